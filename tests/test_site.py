"""The documentation site builds without a warning and needs no network to be read."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from fixgrad.cli import cli

ROOT = Path(__file__).parent.parent
LOADED = re.compile(r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?([^"'\s>]+)""")
LINKED = re.compile(r"""<link\b[^>]*\bhref=["']?([^"'\s>]+)""")
FETCHED = re.compile(r"""(?:url\(|@import)\s*["']?(https?:[^"')]+)""")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(folder)]
    built = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT / "host")},
    )
    assert built.returncode == 0, built.stdout + built.stderr
    assert "WARNING" not in built.stderr
    return folder


def test_every_document_is_a_page(site: Path) -> None:
    pages = {page.stem for page in site.glob("*.html")}
    assert {page.stem for page in (ROOT / "docs").glob("*.md")} <= pages


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        for address in LOADED.findall(text) + LINKED.findall(text):
            assert not re.match(r"(https?:)?//", address), f"{page.name} loads {address}"
    for sheet in site.rglob("*.css"):
        assert not FETCHED.findall(sheet.read_text(encoding="utf-8")), sheet.name


def test_reference_has_every_command(site: Path) -> None:
    text = (site / "CLI.html").read_text(encoding="utf-8")
    for name in cli.list_commands(click.Context(cli)):
        assert f'id="fixgrad-{name}"' in text, name


def test_pictures_are_drawn(site: Path) -> None:
    text = (site / "CONCEPTS.html").read_text(encoding="utf-8")
    pictures = re.findall(r'src="(pictures/[^"]+)"', text)
    assert len(pictures) == 3
    for picture in pictures:
        assert (site / picture).read_text(encoding="utf-8").rstrip().endswith("</svg>")
