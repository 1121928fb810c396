"""The page of a sweep: the front against the cost, and the trials on it. One file, no network."""

from __future__ import annotations

import io
from importlib.resources import files

import pandas as pd
from jinja2 import Environment
from matplotlib.figure import Figure

from fixgrad.rundir import write_atomic
from fixgrad.sweep.records import Records
from fixgrad.sweep.sweepfile import OBJECTIVES
from fixgrad.sweep.trial import COMPLETE

UNITS = {
    "accuracy": "accuracy on the validation part",
    "loss": "loss on the validation part",
    "ram": "RAM of the model, bytes",
    "instructions": "instructions of a step",
    "time": "seconds of a step at least",
    "flash": "bytes of a checkpoint in flash",
}
_GREY, _FRONT = "#808080", "#00897b"


def write_page(records: Records, table: pd.DataFrame) -> None:
    """Write front.html.

    Args:
        records: the sweep.
        table: what `Records.write_tables` returned.
    """
    text = (files("fixgrad.sweep") / "page.html").read_text("utf-8")
    template = Environment(autoescape=True).from_string(text)
    counts = table["status"].value_counts().to_dict()
    front = [outcome.number for outcome in records.front()]
    rows = table.set_index("number").loc[front].reset_index()
    names = [*records.objectives, "layers", *_varied(table)]
    page = template.render(
        name=records.folder.name,
        board=records.board,
        counts=counts,
        picture=_picture(records, table),
        columns=["number", *dict.fromkeys(names)],
        rows=rows.to_dict("records"),
    )
    write_atomic(records.folder / "front.html", page.encode())


def _varied(table: pd.DataFrame) -> list[str]:
    """Return the columns of the search space."""
    return [name for name in table.columns if "." in name]


def _picture(records: Records, table: pd.DataFrame) -> str:
    """Draw the first objective over the second one, or over the trials; nothing without any."""
    trials = table[table["status"] == COMPLETE]
    if trials.empty:
        return ""
    y = records.objectives[0]
    x = records.objectives[1] if len(records.objectives) > 1 else "number"
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.scatter(trials[x], trials[y], s=14, color=_GREY, alpha=0.5, label="trials")
    front = trials[trials["front"]].sort_values(x)
    axes.plot(front[x], front[y], "o-", color=_FRONT, label="front", drawstyle="steps-post")
    axes.set(xlabel=UNITS.get(x, "trial"), ylabel=UNITS[y])
    if OBJECTIVES[y] == "minimize":
        axes.invert_yaxis()
    axes.legend(frameon=False, labelcolor=_GREY)
    axes.tick_params(colors=_GREY)
    axes.xaxis.label.set_color(_GREY)
    axes.yaxis.label.set_color(_GREY)
    for spine in axes.spines.values():
        spine.set_color(_GREY)
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
