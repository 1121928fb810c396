"""Settings from files and the environment: what an option is where the command line is silent.

An option is, in this order: what the command line says; the environment (FIXGRAD_PORT and the like,
or FIXGRAD_TRAIN_WAIT for --wait of `fixgrad train`); fixgrad.toml in the current folder; the user's
config.toml; its default. FIXGRAD_CONFIG names another file in the place of both.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from platformdirs import user_config_dir

from fixgrad import tomlfile
from fixgrad.errors import UsageError

CONFIG_VARIABLE = "FIXGRAD_CONFIG"
COMMON = ("port", "baud", "json", "quiet", "verbose")
"""Keys outside of a table: options of every command that has them."""

_KIND = "settings file"
_HERE, _USER = Path("fixgrad.toml"), "config.toml"


def long_name(option: click.Option) -> str:
    """Return the name of an option without its dashes."""
    return next((name[2:] for name in option.opts if name.startswith("--")), str(option.name))


def options_of(command: click.Command) -> dict[str, click.Option]:
    """Return the options of a command by name, --help apart."""
    return {
        long_name(option): option for option in command.params if isinstance(option, click.Option)
    }


def files() -> Iterator[Path]:
    """Yield the files that are there, the weakest first.

    Raises:
        UsageError: FIXGRAD_CONFIG names none.
    """
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        if not Path(named).is_file():
            raise UsageError(
                f"{CONFIG_VARIABLE} is {named}, which is no file; unset it, or name one"
            )
        yield Path(named)
        return
    for path in (Path(user_config_dir("fixgrad", appauthor=False)) / _USER, _HERE):
        if path.is_file():
            yield path


def defaults(name: str, command: click.Command, commands: Iterable[str]) -> dict[str, Any]:
    """Return what the files say of a command, as click's default map.

    Args:
        name: of the command.
        command: the command.
        commands: names of all commands: tables that may be there.

    Raises:
        UsageError: a file is no TOML, or has a key that means nothing.
    """
    found: dict[str, Any] = {}
    for path in files():
        text = tomlfile.read_text(path, _KIND, f"no {_KIND} {path}", UsageError)
        settings = tomlfile.parse(text, path, _KIND, UsageError)
        common = {key: value for key, value in settings.items() if not isinstance(value, dict)}
        _require_known(path, common, COMMON, "")
        _require_known(path, settings.keys() - common.keys(), commands, "table")
        _merge(found, _of_command(command, path, common, settings.get(name, {}), name))
    return found


def _of_command(
    command: click.Command, path: Path, common: Mapping[str, Any], own: Mapping[str, Any], name: str
) -> dict[str, Any]:
    if isinstance(command, click.Group):
        members = command.commands
        known = {key for member in members.values() for key in options_of(member)}
        _require_known(path, own, known, f"[{name}]")
        return {
            key: _named(member, path, {**common, **own}) for key, member in members.items()
        }
    _require_known(path, own, options_of(command), f"[{name}]")
    return _named(command, path, {**common, **own})


def _named(command: click.Command, path: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by the names of click's parameters; those of other commands are left out."""
    options = options_of(command)
    known = {key: value for key, value in values.items() if key in options}
    for key, value in known.items():
        _require_value(path, key, value, options[key].multiple)
    return {str(options[key].name): value for key, value in known.items()}


def _require_value(path: Path, key: str, value: object, multiple: bool) -> None:
    """Refuse what an option cannot be: a list, unless it may stand more than once, or a date."""
    values = value if multiple and isinstance(value, list) else [value]
    if not all(isinstance(item, str | int | float) for item in values):
        raise UsageError(
            f"{path}: {key} is no {'list of texts' if multiple else 'text, number, true or false'}"
        )


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, dict):
            _merge(into.setdefault(key, {}), value)
        else:
            into[key] = value


def _require_known(path: Path, keys: Iterable[str], known: Iterable[str], where: str) -> None:
    names = sorted(known)
    for key in keys:
        if key in names:
            continue
        close = difflib.get_close_matches(key, names, 1)
        guess = f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
        if where == "table":
            raise UsageError(f"{path}: no command has the name of the table [{key}]; {guess}")
        raise UsageError(f"{path}: unknown key {where + ' ' if where else ''}{key}; {guess}")
