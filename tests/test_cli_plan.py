"""`fixgrad plan`, `boards` and `ports`."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from conftest import EMULATED
from fixgrad.boards import BOARDS
from fixgrad.cli import cli
from fixgrad.fitting import advice, largest_batch, widest_layers
from fixgrad.images import Image
from fixgrad.model import ModelConfig
from fixgrad.planner import plan
from fixgrad.run import prepare
from fixgrad.runfile import format_run, new_run, parse_run


def fixgrad(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments), prog_name="fixgrad")


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    path = tmp_path / "digits.toml"
    path.write_text(format_run(new_run(path, source="digits", layers=(64, 32, 10), settings={})))
    return path


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    path = tmp_path / "wide.toml"
    run = new_run(path, source="digits", layers=(64, 200, 10), settings={"batch_size": 64})
    path.write_text(format_run(run))
    return path


@pytest.fixture
def config() -> ModelConfig:
    text = '[data]\nsource = "digits"\n[model]\nlayers = [64, 32, 16, 10]\n'
    return prepare(parse_run(text, Path("run.toml"))).config


def test_plan_shows_every_byte_and_every_board(digits: Path) -> None:
    result = fixgrad("plan", str(digits))
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == "64-32-10, batch 8: 2,410 parameters"
    listed = lines[lines.index("") + 2 : lines.index("", 2)]
    sizes = [int(line.split()[-1].replace(",", "")) for line in listed]
    assert sizes[-1] == sum(sizes[:-1])
    for board in BOARDS:
        assert any(line.startswith(f"{board} ") for line in lines)


def test_plan_in_json_adds_up(digits: Path) -> None:
    report = json.loads(fixgrad("plan", str(digits), "--json").stdout)
    assert report["ram_bytes"] == sum(report["ram"].values())
    assert report["ram"]["weights"] == 2 * (64 * 32 + 32 * 10)
    assert [board["board"] for board in report["boards"]] == list(BOARDS)
    for board in report["boards"]:
        parts = ("stack_bytes", "link_bytes", "program_bytes", "model_bytes")
        assert sum(board[part] for part in parts) == board["ram_bytes"]
        assert board["left_bytes"] == board["model_bytes"] - report["ram_bytes"]
        assert board["fits"] == (board["left_bytes"] >= 0)
        # A sample is 64 codes of 5 bits and its class; 17 levels take a table of 32, then the head
        # of the data set and a TRAIN_TO of one stretch.
        room = board["left_bytes"] - 10 - 32 - 9
        assert board["cacheable_samples"] == max(0, room // (64 * 5 // 8 + 1))


def test_plan_tells_the_flash_of_images_that_were_built(
    digits: Path,
    tmp_path: Path,
    read_built_image: Callable[[str], Image],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = read_built_image("disco_f100rb")
    arguments = ("plan", str(digits), "--board", "disco_f100rb", "--json")
    assert json.loads(fixgrad(*arguments).stdout)["boards"][0]["image_bytes"] == image.flash_bytes
    monkeypatch.setattr("fixgrad.builds.project_dir", lambda: tmp_path)
    assert json.loads(fixgrad(*arguments).stdout)["boards"][0]["image_bytes"] is None
    assert "not built" in fixgrad(*arguments[:-1]).stdout


def test_plan_tells_instructions_and_the_least_time(digits: Path) -> None:
    report = json.loads(fixgrad("plan", str(digits), "--json").stdout)
    assert report["steps_per_epoch"] == 180  # 1,437 samples in batches of 8
    for board in report["boards"]:
        work = board["instructions"]
        parts = {(p["phase"], p["layer"]): p["instructions"] for p in work["parts"]}
        assert parts.pop(("digest", 0)) == work["digest"]
        assert sum(parts.values()) == pytest.approx(work["step"], abs=len(parts))
        # An M7 begins two instructions a cycle, an M3 one.
        width = 2 if board["core"] in ("cortex-m7", "cortex-m55") else 1
        least = work["step"] / width / BOARDS[board["board"]].clock_hz
        assert work["step_seconds_at_least"] == pytest.approx(least)
        epoch = board["streamed"]["core_seconds_at_least"] * width * board["clock_hz"]
        frames = board["streamed"]["epoch"]["frames"]
        assert epoch == pytest.approx(180 * work["step"] + min(180, frames) * work["digest"])


def test_plan_tells_the_line_at_a_baud_rate_and_what_binds(digits: Path, wide: Path) -> None:
    def board(baud: str, path: Path = digits, name: str = "nucleo_f103rb") -> dict[str, Any]:
        result = fixgrad("plan", str(path), "--board", name, "--json", "--baud", baud)
        found: dict[str, Any] = json.loads(result.stdout)["boards"][0]
        return found

    slow, fast = board("9600"), board("1000000")
    streamed = slow["streamed"]
    sent = streamed["epoch"]["to_board_bytes"] + streamed["reading"]["to_host_bytes"]
    assert streamed["epoch_seconds"] == pytest.approx(10 * sent / 9600)
    assert fast["streamed"]["epoch_seconds"] == pytest.approx(10 * sent / 1000000)
    # An epoch's 61 KB take 60 s or 0.3 s; its 25 million instructions 0.34 s at 72 MHz.
    assert (slow["limited_by"], board("2000000")["limited_by"]) == ("serial line", "core")
    assert board("9600", wide)["limited_by"] == "RAM"
    # The line of this board has no other speed, which text and JSON tell.
    stays = board("2000000", name="bbcmicrobit")
    sent = (
        stays["streamed"]["epoch"]["to_board_bytes"] + stays["streamed"]["reading"]["to_host_bytes"]
    )
    assert (fast["baud"], stays["baud"]) == (1000000, 115200)
    assert stays["streamed"]["epoch_seconds"] == pytest.approx(10 * sent / 115200)
    text = fixgrad("plan", str(digits), "--baud", "2000000").stdout
    (line,) = [
        line for line in text.splitlines() if line.startswith("at 115,200 baud, for ")
    ]
    changing = {name for name in BOARDS if name not in line.split(": ")[1].split(", ")}
    assert changing == {n for n, board in BOARDS.items() if board.line_baud(2000000) == 2000000}
    assert changing


def test_plan_tells_where_the_samples_fit(digits: Path) -> None:
    report = json.loads(fixgrad("plan", str(digits), "--json").stdout)
    boards = {board["board"]: board for board in report["boards"]}
    # 64 features of 5 bits and a class take 41 bytes, head and table 10 and 32.
    assert (boards["disco_f100rb"]["cached"], boards["disco_f100rb"]["cached_bytes"]) == (None, 0)
    for name, in_flash in [("olimex_p405", False), ("bbcmicrobit", True)]:
        kept = boards[name]
        assert (kept["cached_bytes"], kept["cached_in_flash"]) == (42 + 1437 * 41, in_flash)
        assert kept["cached"]["epoch"]["to_board_bytes"] < 150
        assert kept["cached"]["load"]["to_board_bytes"] > kept["cached_bytes"]
    assert boards["bbcmicrobit"]["cacheable_samples_in_flash"] == (191 * 1024 - 42) // 41
    assert boards["disco_f100rb"]["cacheable_samples_in_flash"] == 0


def test_plan_in_text_has_every_board_four_times(digits: Path) -> None:
    lines = fixgrad("plan", str(digits), "--baud", "1000000").stdout.splitlines()
    for board in BOARDS:
        assert sum(line.startswith(f"{board} ") for line in lines) == 4
    assert any(line.startswith("1,437 samples an epoch at 1,000,000 baud") for line in lines)


def test_run_that_does_not_fit_an_emulated_board_is_refused_before_its_image_is_built(
    wide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*_: object, **__: object) -> Path:
        pytest.fail("an image was asked for")

    monkeypatch.setattr("fixgrad.urlhandlers.protocol_qemu.build_image", build)
    result = fixgrad("train", str(wide), "--port", "qemu://disco_f100rb")
    assert result.exit_code == 6
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("fixgrad: the model needs ")


def test_digits_with_batch_8_fit_the_8_kilobyte_board(digits: Path) -> None:
    assert fixgrad("plan", str(digits), "--board", "disco_f100rb").exit_code == 0


def test_plan_for_a_board_that_is_too_small_says_what_would_fit(wide: Path) -> None:
    result = fixgrad("plan", str(wide), "--board", "disco_f100rb")
    assert result.exit_code == 6
    assert "does not fit" in result.stdout
    assert result.stderr.startswith(f"fixgrad: {wide} needs ")
    assert "would fit" in result.stderr
    assert result.stderr.count("\n") == 1


def test_plan_of_all_boards_leaves_with_0_even_if_some_are_too_small(wide: Path) -> None:
    assert fixgrad("plan", str(wide)).exit_code == 0


def test_unknown_board_is_a_usage_error(digits: Path) -> None:
    assert fixgrad("plan", str(digits), "--board", "toaster").exit_code == 2


def test_largest_batch_fits_and_one_more_does_not(config: ModelConfig) -> None:
    arena = plan(dataclasses.replace(config, batch=5)).arena_bytes
    assert largest_batch(config, arena, 99) == 5
    assert largest_batch(config, arena - 1, 99) == 4
    assert largest_batch(config, 10**6, 99) == 99
    assert largest_batch(config, 100, 99) == 0


def test_largest_batch_keeps_the_update_budget(config: ModelConfig) -> None:
    # NUMERICS section 2: B * (2**7 - 1) * 255 <= 2**30.
    assert largest_batch(config, 10**9, 10**6) == 2**30 // (127 * 255)


def test_widest_layers_fit_and_one_wider_does_not(config: ModelConfig) -> None:
    wanted = (64, 24, 12, 10)
    arena = plan(dataclasses.replace(config, layers=wanted)).arena_bytes
    assert widest_layers(config, arena) == wanted
    assert widest_layers(config, arena - 1) == (64, 23, 11, 10)
    assert widest_layers(config, 100) is None


def test_advice_names_batch_and_layers_or_another_board(config: ModelConfig) -> None:
    arena = plan(config).arena_bytes - 1
    assert advice(config, arena) == "batch_size = 7 or layers = [64, 31, 15, 10] would fit"
    assert advice(config, 100) == (
        "no batch or hidden width would fit; choose a board with more RAM (fixgrad boards)"
    )


def test_boards_lists_every_board() -> None:
    result = fixgrad("boards")
    assert (result.exit_code, result.stderr) == (0, "")
    for name, board in BOARDS.items():
        row = next(line for line in result.stdout.splitlines() if line.startswith(f"{name} "))
        assert board.mcu in row
        assert f"{board.ram_bytes:,}" in row
        assert (f"qemu://{name}" in row) == (name in EMULATED)
    rows = json.loads(fixgrad("boards", "--json").stdout)["boards"]
    assert [row["name"] for row in rows] == list(BOARDS)


def test_boards_tell_what_a_run_needs(digits: Path, wide: Path) -> None:
    for path in (digits, wide):
        needs = json.loads(fixgrad("plan", str(path), "--json").stdout)["ram_bytes"]
        text = fixgrad("boards", str(path)).stdout.splitlines()
        rows = json.loads(fixgrad("boards", str(path), "--json").stdout)["boards"]
        for row, line in zip(rows, text[1:], strict=True):
            assert (row["needed_bytes"], row["fits"]) == (needs, needs <= row["arena_bytes"])
            assert f" {needs:,}  {'fits' if row['fits'] else 'does not fit'} " in line
    assert not rows[0]["fits"] and rows[-1]["fits"]


def test_ports_lists_what_needs_no_hardware() -> None:
    listed = [port["port"] for port in json.loads(fixgrad("ports", "--json").stdout)["ports"]]
    assert listed[-1 - len(EMULATED) :] == ["sim://", *(f"qemu://{name}" for name in EMULATED)]
    for port in listed:
        assert port in fixgrad("ports").stdout


def test_readme_tells_the_memory_of_every_board(root: Path) -> None:
    rows = [
        line for line in (root / "README.md").read_text().splitlines() if line.startswith("| `")
    ]
    for name, board in BOARDS.items():
        short = name.removeprefix("mps2")
        (row,) = [row for row in rows if f"`{name}`" in row or f"`{short}`" in row]
        assert f"{board.arena_bytes:,} B" in row
