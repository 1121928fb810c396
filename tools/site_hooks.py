"""What the documentation site holds beside docs/: the examples' page and the pictures.

mkdocs calls the functions by their names (mkdocs.yml, `hooks`).
"""

from __future__ import annotations

import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))
import click
import site_pictures
from fixgrad.cli import cli
from fixgrad.cli.examples import EXAMPLES as TYPED

EXAMPLES = Path(__file__).parent.parent / "examples"
PAGE = "EXAMPLES.md"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is generated."""
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    files.append(File.generated(config, PAGE, content=page))
    for path in (*EXAMPLES.rglob("*.toml"), *EXAMPLES.glob("*.ipynb")):
        name = path.relative_to(EXAMPLES).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(path)))
    for name, svg in site_pictures.draw_all().items():
        files.append(File.generated(config, f"pictures/{name}.svg", content=svg))
    return files


def on_startup(*, command: str, dirty: bool) -> None:
    """Put the examples of every command behind its description: mkdocs-click leaves them out."""
    ctx = click.Context(cli)
    for name in cli.list_commands(ctx):
        found = cli.get_command(ctx, name)
        members = found.commands if isinstance(found, click.Group) else {}
        for key, described in {"": found, **members}.items():
            lines = TYPED[f"{name} {key}".strip()]
            described.help = "\n".join((described.help, "", "```sh", *lines, "```"))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links to the examples and back stay inside the site."""
    if page.file.src_uri == PAGE:
        return markdown.replace("](../docs/", "](")
    return markdown.replace("](../examples/README.md)", f"]({PAGE})").replace(
        "](../examples/", "]("
    )
