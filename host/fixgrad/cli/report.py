"""`fixgrad report`: one page that shows a run."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from fixgrad.cli.inspecting import examine
from fixgrad.cli.options import PATH, json_option
from fixgrad.cli.output import note, print_json, print_line, status
from fixgrad.doctor import Finding
from fixgrad.health import diagnose
from fixgrad.rundir import RunFolder, write_atomic


@click.command(short_help="Write one HTML page that shows a run.")
@click.argument("folder", metavar="DIR", type=PATH)
@click.option("--out", type=PATH, metavar="FILE", help="The page; default DIR/report.html.")
@click.option(
    "--figures", type=PATH, metavar="FOLDER", help="Write every figure there too, as SVG and PNG."
)
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
@json_option
def report(
    folder: Path, out: Path | None, figures: Path | None, show: bool, as_json: bool
) -> None:
    """Write a self-contained HTML page of the run in DIR; it loads nothing from elsewhere.

    Learning curves against float64, confusion matrix, the samples it has wrong, numeric health,
    weights and activations over time, memory, link, and the proof. No board is needed: the NumPy
    reference computes the run again, bit for bit.
    """
    from fixgrad.report import Page, render
    from fixgrad.report.drawing import PAPER, file_bytes

    run = RunFolder(folder)
    examined = examine(run)
    with status("drawing"):
        page = Page(
            str(folder), examined, run.latest(examined.prepared.config), run.metrics(),
            run.data_sha256(), run.result(),
        )
        path = out or folder / "report.html"
        (text,) = render(page, None)
        write_atomic(path, text.encode())
        written = []
        if figures is not None:
            figures.mkdir(parents=True, exist_ok=True)
            for name, figure in page.figures(PAPER).items():
                for kind in ("svg", "png"):
                    write_atomic(figures / f"{name}.{kind}", file_bytes(figure, kind))
                    written.append(str(figures / f"{name}.{kind}"))
    codes = [r.kind.code for r in diagnose(examined) if isinstance(r, Finding)]
    if as_json:
        print_json({"page": str(path), "figures": written, "findings": codes})
    else:
        print_line(f"wrote {path}")
        if written:
            print_line(f"wrote {len(written)} figures to {figures}")
    if show and not webbrowser.open(path.resolve().as_uri()):
        note(f"no browser could be started; open {path.resolve().as_uri()}")
