"""`fixgrad report`: a page that holds everything, and a browser that has nothing to complain of."""

import json
import re
import shutil
import webbrowser
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import DARK, LIGHT, visit
from click.testing import CliRunner, Result
from fixgrad.cli import cli
from fixgrad.metrics import wilson_interval
from fixgrad.rundir import RunFolder

NASTY = "<script>alert(1)</script>"


def fixgrad(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments], prog_name="fixgrad")


def trained(folder: Path, name: str, data: str, model: str, training: str) -> Path:
    run = folder / f"{name}.toml"
    run.write_text(f"[data]\n{data}\n[model]\n{model}\n[training]\n{training}\n")
    result = fixgrad("train", run, "--port", "sim://", "--out", folder / name)
    assert result.exit_code == 0, result.stderr
    return folder / name


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of runs whose reports are written."""
    top = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(1)
    rows = [f"{x:.2f},{y:.2f},{NASTY if x > y else 'b&c'}" for x, y in rng.normal(size=(50, 2))]
    (top / "plane.csv").write_text(f"width,{NASTY},class\n" + "\n".join(rows) + "\n")
    folders = {
        "digits": trained(
            top, "digits", 'source = "digits"', "layers = [64, 12, 10]", "epochs = 2"
        ),
        "plane": trained(top, "plane", 'source = "plane.csv"', "layers = [2, 4, 2]", "epochs = 2"),
        "diabetes": trained(
            top, "diabetes", 'source = "diabetes"',
            'layers = [10, 8, 1]\nloss = "squared_error"', "epochs = 2\nlearning_rate = 0.02",
        ),
    }  # fmt: skip
    for folder in folders.values():
        result = fixgrad("report", folder)
        assert result.exit_code == 0, result.stderr
        assert result.stdout == f"wrote {folder / 'report.html'}\n"
    return folders


def text_of(folder: Path) -> str:
    return (folder / "report.html").read_text()


class Reader(HTMLParser):
    """Collects sections, addresses and table rows of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.sections: list[str] = []
        self.addresses: list[str] = []
        self.tags: set[str] = set()
        self.identifiers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.add(tag)
        if tag == "section":
            self.sections.append(values.get("id") or "")
        if values.get("id"):
            self.identifiers.append(values["id"] or "")
        for name in ("src", "href", "xlink:href", "srcset", "action", "data"):
            if values.get(name):
                self.addresses.append(values[name] or "")


def read(folder: Path) -> Reader:
    reader = Reader()
    reader.feed(text_of(folder))
    return reader


COMMON = ["learning", "test", "health", "memory", "link", "proof"]


@pytest.mark.parametrize(
    ("name", "more"),
    [("digits", ["wrong", "first-weights"]), ("plane", ["wrong"]), ("diabetes", [])],
)
def test_page_has_its_sections(pages: dict[str, Path], name: str, more: list[str]) -> None:
    assert sorted(read(pages[name]).sections) == sorted(COMMON + more)


@pytest.mark.parametrize("name", ["digits", "plane", "diabetes"])
def test_page_holds_everything_itself(pages: dict[str, Path], name: str) -> None:
    reader = read(pages[name])
    assert all(a.startswith(("data:", "#")) for a in reader.addresses)
    assert not reader.tags & {"script", "iframe", "object"}
    assert "@import" not in text_of(pages[name])
    assert not re.findall(r"url\((?!#)", text_of(pages[name]))
    assert len(set(reader.identifiers)) == len(reader.identifiers)


def test_names_from_the_data_are_only_text(pages: dict[str, Path]) -> None:
    assert NASTY not in text_of(pages["plane"])
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text_of(pages["plane"])


def test_page_shows_the_figures_of_training(pages: dict[str, Path]) -> None:
    folder = RunFolder(pages["digits"])
    page, result = text_of(pages["digits"]), folder.result()
    assert result is not None
    assert f"<b>{100 * result['test_accuracy']:.2f} %</b>" in page
    assert f"<b>{result['digest']}</b>" in page
    for line in folder.metrics():
        assert page.count(line["digest"]) >= 2  # the device's and the reference's
        assert f"<td>{line['loss']:.4f}</td>" in page
    assert folder.data_sha256() in page
    matrix = np.array(result["metrics"]["confusion"])
    right = int(np.trace(matrix))
    assert page.count("<figure>") == min(24, int(matrix.sum()) - right)


def test_page_tells_when_the_proof_fails(pages: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(pages["plane"], tmp_path / "altered"))
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    line = json.loads(lines[1])
    line["digest"] = "01234567"
    (folder / "metrics.jsonl").write_text(lines[0] + "\n" + json.dumps(line) + "\n")
    told = json.loads(fixgrad("report", folder, "--json").stdout)
    assert "FG601" in told["findings"]
    assert "<td>DIFFERENT</td>" in text_of(folder)


def test_interrupted_run_has_a_page(pages: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(pages["plane"], tmp_path / "short"))
    (folder / "final.npz").unlink()
    (folder / "result.json").unlink()
    assert fixgrad("report", folder).exit_code == 0
    assert "not finished, the page shows its last checkpoint" in text_of(folder)


def test_figures_are_written_as_files(pages: dict[str, Path], tmp_path: Path) -> None:
    result = fixgrad(
        "report", pages["diabetes"], "--figures", tmp_path / "figures", "--out", tmp_path / "a.html"
    )
    assert result.exit_code == 0, result.stderr
    names = {"learning", "numbers", "distributions", "predicted"}
    written = {path.name for path in (tmp_path / "figures").iterdir()}
    assert written == {f"{name}.{kind}" for name in names for kind in ("svg", "png")}
    assert (tmp_path / "figures" / "learning.png").read_bytes().startswith(b"\x89PNG")
    assert "#0103" not in (tmp_path / "figures" / "learning.svg").read_text()


def test_same_run_gives_the_same_page(pages: dict[str, Path], tmp_path: Path) -> None:
    assert fixgrad("report", pages["plane"], "--out", tmp_path / "a.html").exit_code == 0
    assert (tmp_path / "a.html").read_text() == text_of(pages["plane"])


def test_page_is_opened_if_asked_for(
    pages: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    assert fixgrad("report", pages["plane"], "--open").exit_code == 0
    assert opened == [(pages["plane"] / "report.html").resolve().as_uri()]


def test_wilson_interval_is_the_published_one() -> None:
    # Newcombe 1998, table I: 81 of 263, 0 of 20, 15 of 148.
    for right, count, low, high in ((81, 263, 0.2553, 0.3662), (0, 20, 0, 0.1611),
                                    (15, 148, 0.0624, 0.1605)):
        assert wilson_interval(right, count) == pytest.approx((low, high), abs=5e-5)


# --- in a browser ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["digits", "plane"])
@pytest.mark.parametrize(("scheme", "ground"), [(LIGHT, (255, 255, 255)), (DARK, (18, 22, 28))])
def test_browser_draws_the_page_and_asks_for_nothing(
    pages: dict[str, Path], name: str, scheme: int, ground: tuple[int, ...], tmp_path: Path
) -> None:
    seen = visit(pages[name] / "report.html", tmp_path, scheme)
    assert (seen.complaints, seen.requests) == ([], [])
    assert tuple(seen.pixels[5, 5]) == ground
    drawn = (seen.pixels != np.array(ground)).any(axis=2)
    assert drawn[:, 60:1000].any(axis=1).mean() > 0.5


def test_a_page_with_faults_would_be_noticed(tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        '<img src="http://example.invalid/a.png"><script>console.error("broken")</script>'
    )
    seen = visit(page, tmp_path, LIGHT)
    assert seen.requests == ["http://example.invalid/a.png"]
    assert any("broken" in line for line in seen.complaints)


def test_json_tells_what_was_written(pages: dict[str, Path]) -> None:
    told: dict[str, Any] = json.loads(fixgrad("report", pages["digits"], "--json").stdout)
    assert told["page"] == str(pages["digits"] / "report.html")
    assert told["figures"] == []
