"""What all commands have: examples, --json, --quiet, settings, completion, exit codes."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from fixgrad import errors
from fixgrad.boards import BOARDS
from fixgrad.cli import cli
from fixgrad.cli.border import INTERNAL_ERROR, INTERRUPTED
from fixgrad.cli.settings import options_of

WITHOUT_RESULTS = {"proxy", "trace", "completion"}
RUN = '[data]\nsource = "iris"\n[model]\nlayers = [4, 8, 3]\n[training]\nepochs = 2\n'


def fixgrad(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(
        cli, [str(a) for a in arguments], prog_name="fixgrad", env=environment
    )


def commands() -> Iterator[tuple[list[str], click.Command]]:
    """Yield every command with the words that name it."""
    ctx = click.Context(cli)
    for name in cli.list_commands(ctx):
        command = cli.get_command(ctx, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from (([name, key], member) for key, member in command.commands.items())
        else:
            yield [name], command


EVERY = {" ".join(words): command for words, command in commands()}


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    for name in [name for name in os.environ if name.startswith("FIXGRAD_")]:
        monkeypatch.delenv(name)


# --- help -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_help_ends_with_examples_that_the_command_accepts(name: str) -> None:
    shown = fixgrad(*name.split(), "--help")
    assert shown.exit_code == 0
    assert "\x1b" not in shown.output
    lines = re.split(r"\n  Examples?:\n", shown.output)[-1].splitlines()
    assert lines
    for line in lines:
        found = re.search(r"fixgrad ([^\")]*)", line)
        assert found and found[1].split()[0] == name.split()[0], line
        ctx = click.Context(cli)
        _, command, rest = cli.resolve_command(ctx, shlex.split(found[1]))
        assert command is not None
        command.make_context("x", rest, parent=ctx)


def test_every_command_that_computes_has_json() -> None:
    lacking = {name for name, command in EVERY.items() if "json" not in options_of(command)}
    assert lacking == WITHOUT_RESULTS


def test_every_command_may_be_quiet_or_verbose() -> None:
    for name, command in EVERY.items():
        assert {"quiet", "verbose"} <= options_of(command).keys(), name


# --- quiet and verbose ----------------------------------------------------------------------------


def test_quiet_leaves_results_and_verbose_adds_what_was_opened() -> None:
    Path("a.toml").write_text(RUN)
    plain = fixgrad("train", "a.toml", "--port", "sim://", "--out", "a")
    quiet = fixgrad("train", "a.toml", "--port", "sim://", "--out", "b", "-q")
    loud = fixgrad("train", "a.toml", "--port", "sim://", "--out", "c", "--verbose")
    assert (quiet.exit_code, quiet.stderr) == (0, "")
    assert quiet.stdout.splitlines()[0] == plain.stdout.splitlines()[0]
    first, *between, last = loud.stderr.splitlines()
    assert between == plain.stderr.splitlines()
    assert re.fullmatch(
        r"sim://: posix \(host\), firmware [0-9a-f]{4}, [\d,]+ bytes for a model, digest 0{8}",
        first,
    )
    assert re.fullmatch(r"sim://: [\d,]+ frames, [\d,]+ bytes sent, 0 of them again, .*", last)


def test_errors_are_told_in_quiet_too() -> None:
    result = fixgrad("train", "no.toml", "--port", "sim://", "--quiet")
    assert result.exit_code == 3
    assert result.stderr == "fixgrad: no run file no.toml; `fixgrad new no.toml` writes one\n"


# --- settings -------------------------------------------------------------------------------------


def used_steps(*arguments: str, **environment: str) -> int:
    """Return how many steps `validate` was told to make."""
    Path("a.toml").write_text(RUN)
    result = fixgrad("validate", "a.toml", "--json", *arguments, **environment)
    assert result.exit_code == 0, result.stderr
    return int(json.loads(result.stdout)["steps"])


def test_flag_beats_environment_beats_project_beats_user(tmp_path: Path) -> None:
    user = tmp_path / "home" / "fixgrad" / "config.toml"
    user.parent.mkdir(parents=True)
    user.write_text('port = "sim://"\n[validate]\nsteps = 5\n')
    assert used_steps() == 5
    Path("fixgrad.toml").write_text("[validate]\nsteps = 4\n")
    assert used_steps() == 4  # the port is still the user's
    assert used_steps(FIXGRAD_VALIDATE_STEPS="3") == 3
    assert used_steps("--steps", "2", FIXGRAD_VALIDATE_STEPS="3") == 2


def test_named_file_stands_in_the_place_of_both() -> None:
    Path("fixgrad.toml").write_text('port = "sim://"\n[validate]\nsteps = 4\n')
    Path("other.toml").write_text('port = "sim://"\n[validate]\nsteps = 3\n')
    assert used_steps(FIXGRAD_CONFIG="other.toml") == 3
    result = fixgrad("boards", FIXGRAD_CONFIG="none.toml")
    assert result.exit_code == 2
    assert result.stderr == (
        "fixgrad: FIXGRAD_CONFIG is none.toml, which is no file; unset it, or name one\n"
    )


def test_keys_of_other_commands_do_no_harm() -> None:
    Path("fixgrad.toml").write_text('port = "sim://"\njson = true\n[train]\nwait = 3\n')
    result = fixgrad("boards")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["boards"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("qiet = true", "fixgrad.toml: unknown key qiet; did you mean quiet?"),
        ("[boarts]\n", "fixgrad.toml: no command has the name of the table [boarts]; did you mean "
         "boards?"),
        ("[boards]\njsn = true", "fixgrad.toml: unknown key [boards] jsn; did you mean json?"),
        ("json = [true]", "fixgrad.toml: json is no text, number, true or false"),
        ("[boards]\njson = 2024-01-01", "fixgrad.toml: json is no text, number, true or false"),
        (f"json = {'[' * 5000}", "fixgrad.toml: nested too deeply to be a settings file"),
        ("[boards", "fixgrad.toml:1: not TOML: expected ']' at the end of a table declaration in "
         "`[boards`; lines look like key = 1, key = \"text\" or key = [1, 2]"),
    ],
)  # fmt: skip
def test_mistake_in_the_settings_is_one_line(text: str, message: str) -> None:
    Path("fixgrad.toml").write_text(text)
    result = fixgrad("boards")
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"fixgrad: {message}\n")


def test_list_in_the_settings_is_for_options_that_may_stand_more_than_once() -> None:
    Path("a.toml").write_text(RUN)
    Path("fixgrad.toml").write_text('[plan]\nboard = ["bbcmicrobit", "nrf52_dk"]\n')
    result = fixgrad("plan", "a.toml", "--json")
    assert [row["board"] for row in json.loads(result.stdout)["boards"]] == [
        "bbcmicrobit", "nrf52_dk",
    ]  # fmt: skip
    Path("fixgrad.toml").write_text("[sweep]\nworkers = [1]\n")
    result = fixgrad("sweep", "a.toml")
    assert (result.exit_code, result.stderr) == (
        2, "fixgrad: fixgrad.toml: workers is no text, number, true or false\n"
    )  # fmt: skip


@pytest.mark.parametrize("option", ["--baud", "--save-every"])
def test_number_that_no_message_can_carry_is_refused(option: str) -> None:
    Path("a.toml").write_text(RUN)
    result = fixgrad("train", "a.toml", "--port", "sim://", option, 2**32)
    assert result.exit_code == 2
    assert f"'{option}'" in result.stderr and "<=4294967295." in result.stderr
    assert not Path("runs").exists()


# --- completion -----------------------------------------------------------------------------------


def completed(root: Path, *words: str) -> list[str]:
    """Return what bash would offer for the last word."""
    script = (
        'eval "$($0 -m fixgrad completion bash)"\n'
        f"COMP_WORDS=({' '.join(map(shlex.quote, words))}) COMP_CWORD={len(words) - 1}\n"
        '_fixgrad_completion fixgrad\nprintf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    environment = {**os.environ, "PYTHONPATH": str(root / "host")}
    folder = Path("bin")
    folder.mkdir(exist_ok=True)
    (folder / "fixgrad").write_text(  # what the script of bash starts
        f"#!/bin/sh\nexec {sys.executable} -c 'from fixgrad.cli import main; main()' \"$@\"\n"
    )
    (folder / "fixgrad").chmod(0o755)
    environment["PATH"] = f"{folder.resolve()}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", script, sys.executable], env=environment, capture_output=True,
        text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout.split()


def test_bash_completes_commands_options_boards_and_ports(root: Path) -> None:
    assert completed(root, "fixgrad", "va") == ["validate"]
    assert completed(root, "fixgrad", "train", "--sa") == ["--save-every"]
    assert completed(root, "fixgrad", "train", "--port", "si") == ["sim://"]
    emulated = [f"qemu://{b.name}" for b in BOARDS.values() if b.machine and "nucleo" in b.name]
    assert completed(root, "fixgrad", "train", "--port", "qemu://nucleo") == emulated
    assert completed(root, "fixgrad", "flash", "bbc") == ["bbcmicrobit", "bbcmicrobit_v2"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_a_script_that_asks_the_same(shell: str) -> None:
    script = fixgrad("completion", shell)
    assert script.exit_code == 0
    assert f"_FIXGRAD_COMPLETE={shell}_complete" in script.stdout
    asked = {"_FIXGRAD_COMPLETE": f"{shell}_complete", "COMP_WORDS": "fixgrad va",
             "COMP_CWORD": "1" if shell == "zsh" else "va"}  # fmt: skip
    offered = CliRunner().invoke(
        cli, [], prog_name="fixgrad", env=asked, complete_var="_FIXGRAD_COMPLETE"
    )
    assert "validate" in offered.stdout


# --- exit codes -----------------------------------------------------------------------------------


def test_every_exit_code_is_documented(root: Path) -> None:
    text = (root / "docs" / "CLI.md").read_text(encoding="utf-8")
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert documented == {0, INTERNAL_ERROR, INTERRUPTED} | {kind.exit_code for kind in kinds}
