"use strict";

/* Put the contents of a later page in the place of this one's; keep what is unfolded and in view. */
function replace(text) {
  const fresh = new DOMParser().parseFromString(text, "text/html").querySelector("main");
  const open = [...document.querySelectorAll("details")].map(element => element.open);
  const top = scrollY;
  document.querySelector("main").replaceWith(fresh);
  document.querySelectorAll("details").forEach((element, i) => {
    if (i in open) element.open = open[i];
  });
  scrollTo(0, top);
}

async function follow() {
  let banner = document.getElementById("live");
  while (banner.dataset.stage === "training") {
    try {
      const answer = await fetch(`after/${banner.dataset.version}`);
      if (!answer.ok) throw new Error(answer.statusText);
      replace(await answer.text());
    } catch {
      banner.textContent = "Nothing more comes: `fixgrad train` has ended.";
      return;
    }
    banner = document.getElementById("live");
  }
}

follow();
