"""The one border where errors become a line on stderr and an exit code."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any, NoReturn

import click

from fixgrad.cli.examples import epilog
from fixgrad.cli.output import set_verbosity
from fixgrad.cli.settings import defaults, long_name
from fixgrad.errors import FixgradError

TRACEBACK_VARIABLE = "FIXGRAD_TRACEBACK"
INTERRUPTED = 130
INTERNAL_ERROR = 70


class InterruptedRunError(FixgradError):
    """Ctrl-C; the message says what was kept."""

    exit_code = INTERRUPTED


class Border(click.Group):
    """A group whose commands are imported when they are called, and whose errors are one line."""

    def __init__(self, *args: Any, commands_by_name: Mapping[str, str], **kwargs: Any) -> None:
        """Take `module:function` of every command, in the order of the help."""
        super().__init__(*args, **kwargs)
        self._places = commands_by_name

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in their order."""
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command and give it what all commands have."""
        if cmd_name not in self._places:
            return None
        module, _, name = self._places[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        _dress(command, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command, and what the files of settings say of it."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and command is not None and not ctx.resilient_parsing:
            ctx.default_map = {name: defaults(name, command, self._places)}
        return name, command, rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command and translate what it raises."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except FixgradError as error:
            _leave(ctx, str(error), error.exit_code)
        except KeyboardInterrupt:
            _leave(ctx, "stopped", INTERRUPTED)
        except OSError as error:
            _leave(ctx, _system_error(error), FixgradError.exit_code)
        except Exception as error:
            if os.environ.get(TRACEBACK_VARIABLE):
                raise
            _leave(
                ctx,
                f"a defect of fixgrad: {type(error).__name__}: {error}; please report it with what "
                f"the same command prints under {TRACEBACK_VARIABLE}=1",
                INTERNAL_ERROR,
            )


def _dress(command: click.Command, name: str) -> None:
    """Give a command --quiet, --verbose, examples, and an environment variable for every option."""
    if command.epilog is not None:
        return
    command.epilog = epilog(name)
    if isinstance(command, click.Group):
        for key, member in command.commands.items():
            _dress(member, f"{name} {key}")
        return
    command.params += [_loudness("quiet"), _loudness("verbose")]
    for option in command.params:
        if isinstance(option, click.Option) and option.envvar is None:
            words = f"fixgrad {name} {long_name(option)}"
            option.envvar = words.upper().replace(" ", "_").replace("-", "_")


def _loudness(name: str) -> click.Option:
    what = {
        "quiet": "Print results and errors only, no progress and no notes.",
        "verbose": "Tell on stderr what is opened, what answers and what went over the line.",
    }

    def take(ctx: click.Context, option: click.Parameter, value: bool) -> None:
        if value:
            set_verbosity(ctx, -1 if name == "quiet" else 1)

    return click.Option(
        [f"-{name[0]}", f"--{name}"], is_flag=True, expose_value=False, callback=take,
        help=what[name], envvar=f"FIXGRAD_{name.upper()}",
    )


def _leave(ctx: click.Context, message: str, exit_code: int) -> NoReturn:
    """Print one line on stderr and end with an exit code."""
    click.echo(f"fixgrad: {' '.join(message.splitlines())}", err=True)
    ctx.exit(exit_code)


def _system_error(error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason
