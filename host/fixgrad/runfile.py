"""The run file: TOML in, checked settings out, and back to commented TOML.

Every error is one line with file, line and key, what is wrong and what to type.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fixgrad import contradictions, tomlfile
from fixgrad.errors import FixgradError, RunFileError
from fixgrad.runkeys import KEYS, REQUIRED, SECTIONS, BadValueError, Key, toml_value

_HEADER = """\
# A fixgrad run: data, model and training. The weights it ends with depend on nothing else.
#   fixgrad train {name} --port sim://
# sim:// is a process of this machine; qemu://disco_f100rb an emulated board; /dev/ttyACM0 or COM5
# a real one.
"""


@dataclass(frozen=True)
class DataSettings:
    """Section [data]; the keys are explained in `fixgrad.runkeys`."""

    source: str
    label: str | int | tuple[str | int, ...] | None
    labels: str | None
    header: bool | None
    test_fraction: float
    scale: str
    input_bits: int | None
    targets: str
    target_scale: str
    class_weights: str | tuple[float, ...]
    validation_fraction: float


@dataclass(frozen=True)
class ModelSettings:
    """Section [model]. `activation` and `activation_bits` hold one entry a hidden layer."""

    layers: tuple[int, ...]
    activation: tuple[str, ...]
    activation_bits: tuple[int, ...]
    loss: str
    init: str
    init_scale: float
    init_file: str | None
    headroom: str | float
    frozen_layers: int


@dataclass(frozen=True)
class TrainingSettings:
    """Section [training]."""

    epochs: int
    batch_size: int
    learning_rate: float
    schedule: str
    rate_factor: float
    drop_epochs: tuple[int, ...] | None
    final_rate: float
    plateau_patience: int | None
    warmup_epochs: int
    patience: int | None
    target_loss: float | None
    min_improvement: float
    shuffle: bool
    adaptive: bool
    widen: bool
    momentum: float
    velocity_bits: int
    weight_decay: float
    clip: int | None


@dataclass(frozen=True)
class RunFile:
    """A run file with every default filled in.

    Attributes:
        path: the file.
        seed: seed of the run.
        data, model, training: the sections.
        lines: line of each key that stands in the file, by (section, key).
    """

    path: Path
    seed: int
    data: DataSettings
    model: ModelSettings
    training: TrainingSettings
    lines: Mapping[tuple[str, str], int] = dataclasses.field(default_factory=dict, compare=False)

    def where(self, section: str, key: str) -> str:
        """Return `file:line` of a key, `file` if it stands there by default."""
        return _where(self.path, self.lines, section, key)

    def error(
        self, section: str, key: str, message: str, kind: type[FixgradError] = RunFileError
    ) -> FixgradError:
        """Return an error about a key that parsed well but does not go together with the rest."""
        value = toml_value(self.value(section, key))
        return kind(f"{self.where(section, key)}: {key} = {value}: {message}")

    def value(self, section: str, key: str) -> object:
        """Return the value of a key."""
        return getattr(getattr(self, section) if section else self, key)


def load_run(path: Path) -> RunFile:
    """Read a run file.

    Raises:
        RunFileError: it is missing, not TOML, or a key is unknown, missing or wrong.
    """
    missing = f"no run file {path}; `fixgrad new {path}` writes one"
    text = tomlfile.read_text(path, "run file", missing, RunFileError)
    return parse_run(text, path)


def parse_run(text: str, path: Path) -> RunFile:
    """Check the text of a run file.

    Args:
        text: TOML.
        path: the file, for messages and relative paths.

    Raises:
        RunFileError: as for `load_run`.
    """
    tables = tomlfile.parse(text, path, "run file", RunFileError)
    return run_from_tables(tables, path, _key_lines(text))


def run_from_tables(
    tables: Mapping[str, Any], path: Path, lines: Mapping[tuple[str, str], int]
) -> RunFile:
    """Check what a run file's TOML holds.

    Args:
        tables: what tomllib read.
        path: the file, for messages and relative paths.
        lines: line of each key, where there is a text.

    Raises:
        RunFileError: a key is unknown, missing or wrong.
    """
    _refuse_unknown(tables, path, lines)
    return _build(tables, path, lines)


def _build(
    tables: Mapping[str, Any], path: Path, lines: Mapping[tuple[str, str], int]
) -> RunFile:
    values: dict[str, dict[str, Any]] = {section: {} for section in ("", *SECTIONS)}
    for key in KEYS:
        values[key.section][key.name] = _value(key, tables, path, lines)
    _spread_over_hidden_layers(values["model"], path, lines)
    run = RunFile(
        path,
        values[""]["seed"],
        DataSettings(**values["data"]),
        ModelSettings(**values["model"]),
        TrainingSettings(**values["training"]),
        lines,
    )
    contradictions.check(run)
    return run


def format_run(run: RunFile) -> str:
    """Return a run as commented TOML that parses to the same settings."""
    parts = [_HEADER.format(name=run.path.name)]
    section = ""
    for key in KEYS:
        if key.section != section:
            section = key.section
            parts.append(f"\n\n[{section}]")
        parts.append("\n")
        parts += [f"# {line}\n" for line in key.comment.splitlines()]
        value = run.value(key.section, key.name)
        if value is None:
            parts.append(f"# {key.example}\n")
        else:
            parts.append(f"{key.name} = {toml_value(_compact(key, value))}\n")
    return "".join(parts)


def new_run(
    path: Path, *, source: str, layers: tuple[int, ...], settings: Mapping[str, object]
) -> RunFile:
    """Make a run of a source, layers and any other keys; the rest is the default.

    Args:
        path: the file it will be written to.
        source: key source.
        layers: key layers.
        settings: other keys, by name.

    Raises:
        RunFileError: a value is out of its range.
    """
    given = {"source": source, "layers": list(layers), **settings}
    tables: dict[str, Any] = {section: {} for section in SECTIONS}
    for key in KEYS:
        if key.name in given:
            table = tables[key.section] if key.section else tables
            table[key.name] = given[key.name]
    return _build(tables, path, {})


def _value(
    key: Key, tables: Mapping[str, Any], path: Path, lines: Mapping[tuple[str, str], int]
) -> object:
    table = tables.get(key.section, {}) if key.section else tables
    if key.name not in table:
        if key.default is REQUIRED:
            place = _where(path, lines, key.section, "")
            raise RunFileError(
                f"{place}: key {key.name} is missing in [{key.section}]; type e.g. {key.example}"
            )
        return key.default
    try:
        return key.check(table[key.name])
    except BadValueError as error:
        place = _where(path, lines, key.section, key.name)
        raise RunFileError(
            f"{place}: {key.name} = {toml_value(table[key.name])}: {error}, e.g. {key.example}"
        ) from error


def _refuse_unknown(
    tables: Mapping[str, Any], path: Path, lines: Mapping[tuple[str, str], int]
) -> None:
    top = [key.name for key in KEYS if not key.section]
    for name, table in tables.items():
        if name in SECTIONS:
            if not isinstance(table, dict):
                place = _where(path, lines, "", name)
                raise RunFileError(f"{place}: {name} is a section; type [{name}] on its own line")
            known = [key.name for key in KEYS if key.section == name]
            for key in table:
                if key not in known:
                    raise RunFileError(_unknown(path, lines, name, key, known))
        elif name not in top:
            is_table = isinstance(table, dict)
            line = lines.get((name, "") if is_table else ("", name))
            what = f"section [{name}]" if is_table else f"key {name}"
            candidates = list(SECTIONS) if is_table else top
            raise RunFileError(
                f"{path}{f':{line}' if line else ''}: unknown {what}; "
                + _suggest(name, candidates, "section" if is_table else "key")
            )


def _unknown(
    path: Path,
    lines: Mapping[tuple[str, str], int],
    section: str,
    name: str,
    known: list[str],
) -> str:
    place = _where(path, lines, section, name)
    return f"{place}: unknown key {name} in [{section}]; {_suggest(name, known, 'key', section)}"


def _suggest(name: str, known: list[str], kind: str, section: str = "") -> str:
    close = difflib.get_close_matches(name, known, 1)
    if close:
        return f"did you mean {f'[{close[0]}]' if kind == 'section' else close[0]}?"
    if kind == "key":
        for key in KEYS:
            if key.name == name and key.section != section:
                place = f"in [{key.section}]" if key.section else "at the top, before any section"
                return f"{name} belongs {place}"
    return f"known are {', '.join(known)}"


def _spread_over_hidden_layers(
    model: dict[str, Any], path: Path, lines: Mapping[tuple[str, str], int]
) -> None:
    """Give every hidden layer its own entry of the keys that may be one value for all."""
    hidden = len(model["layers"]) - 2
    for name in ("activation", "activation_bits"):
        value = model[name]
        if not isinstance(value, tuple):
            model[name] = (value,) * hidden
        elif len(value) != hidden:
            place = _where(path, lines, "model", name)
            raise RunFileError(
                f"{place}: {name} = {toml_value(value)}: {len(value)} entries, but layers = "
                f"{toml_value(model['layers'])} has {hidden} hidden layers; type one entry each, "
                "or a single value for all"
            )


def _compact(key: Key, value: object) -> object:
    """Write equal entries of all hidden layers as one value."""
    if key.name in ("activation", "activation_bits") and isinstance(value, tuple):
        if not value:
            return key.default
        return value[0] if len(set(value)) == 1 else value
    return value


def _where(
    path: Path, lines: Mapping[tuple[str, str], int], section: str, key: str
) -> str:
    places = [(section, key), (f"{section}.{key}", ""), (section, "")]
    line = next((lines[place] for place in places if place != ("", "") and place in lines), None)
    return f"{path}:{line}" if line else str(path)


def _key_lines(text: str) -> dict[tuple[str, str], int]:
    """Find the line of every key and section header; (section, "") is the header's."""
    lines: dict[tuple[str, str], int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]", line)
        if header:
            section = _bare(header[1])
            lines.setdefault((section, ""), number)
            continue
        assignment = re.match(r"\s*([\w\-.\"' ]+?)\s*=", line)
        if assignment:
            table, _, key = _bare(assignment[1]).rpartition(".")
            lines.setdefault((table or section, key), number)
    return lines


def _bare(name: str) -> str:
    return name.replace('"', "").replace("'", "").replace(" ", "")
