"""`fixgrad completion`: the script with which a shell completes commands, options and values."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from fixgrad.cli.output import print_line

_VARIABLE = "_FIXGRAD_COMPLETE"


@click.command(short_help="Print the script for completion in a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    r"""Print what lets SHELL complete commands, options, boards and ports.

    \b
    bash, in ~/.bashrc:   eval "$(fixgrad completion bash)"
    zsh, in ~/.zshrc:     eval "$(fixgrad completion zsh)"
    fish, once:           fixgrad completion fish > ~/.config/fish/completions/fixgrad.fish
    """
    found = get_completion_class(shell)
    assert found is not None
    print_line(found(ctx.find_root().command, {}, "fixgrad", _VARIABLE).source())
