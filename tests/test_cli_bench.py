"""`fixgrad bench` counts what bench.instructions counts, and says why it counts nothing."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from core_library import CoreModel
from fixgrad import bench
from fixgrad.boards import BOARDS
from fixgrad.cli import cli
from fixgrad.device import Device
from fixgrad.emulators import instructions_per_tick
from fixgrad.errors import UsageError
from fixgrad.protocol import Phase
from fixgrad.quantize import learning_rate_pair
from fixgrad.run import prepare
from fixgrad.runfile import format_run, new_run
from fixgrad.stream import ListedSchedule, Samples, SampleStream

from bench.instructions.measuring import measure
from bench.instructions.nets import LEARNING_RATE, NETS, Net


def stream_of(net: Net) -> SampleStream:
    """Return the samples that the bench trains."""
    batches = net.batches(bench.WARM_STEPS + 1)
    features, targets = (np.concatenate(column) for column in zip(*batches, strict=True))
    rates = [learning_rate_pair(LEARNING_RATE, net.batch)] * len(batches)
    schedule = ListedSchedule([net.batch] * len(batches), rates)
    return SampleStream(schedule, Samples(features, targets).wire(net.config()))


@pytest.mark.parametrize(("name", "core"), [("bbcmicrobit", "m0"), ("mps3_an547", "m55")])
def test_board_counts_what_the_bare_image_counts(name: str, core: str) -> None:
    net = NETS["N1"]
    expected = measure(core, net)
    with Device.open(f"qemu://{name}?profile") as device:
        counted = {
            f"{part.phase.name.lower()}{part.layer}": ticks * instructions_per_tick(BOARDS[name])
            for part, ticks in bench.measure(device, net.config(), net.initial(), stream_of(net))
        }
    expected["parts"]["digest0"] = expected["digest"]
    assert counted.keys() == expected["parts"].keys()
    # Copying a sample costs less where it happens to lie aligned.
    assert counted.pop("pack0") == pytest.approx(expected["parts"].pop("pack0"), rel=0.5)
    # Both have some instructions of their own at every border, and are linked with other code.
    for part, count in counted.items():
        assert count == pytest.approx(expected["parts"][part], rel=0.03, abs=100), part


def test_report_names_every_part(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    settings = {"batch_size": 4}
    run = new_run(path, source="iris", layers=(4, 8, 5, 3), settings=settings)
    path.write_text(format_run(run))
    arguments = ["bench", str(path), "--port", "qemu://disco_f100rb"]
    result = CliRunner().invoke(cli, [*arguments, "--json"], prog_name="fixgrad")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert [(part["phase"], part["layer"], part["macs"]) for part in report["parts"]] == [
        ("pack", 0, 0),
        ("forward", 0, 4 * 4 * 8), ("forward", 1, 4 * 8 * 5), ("loss", 2, 4 * 5 * 3),
        ("backward", 2, 4 * 5 * 3), ("backward", 1, 4 * 8 * 5),
        ("update", 0, 4 * 4 * 8), ("update", 1, 4 * 8 * 5), ("update", 2, 4 * 5 * 3),
        ("end", 0, 0), ("digest", 0, 0),
    ]  # fmt: skip
    *step, digest = (part["cost"] for part in report["parts"])
    assert min(step) > 0
    assert (report["unit"], report["step"], report["digest"]) == ("instructions", sum(step), digest)
    assert report["flash_bytes"] > 8192
    asked = CoreModel(prepare(run).config, arena_bytes=0)
    assert report["ram"]["model_bytes"] == asked.detail
    image = ("link_bytes", "program_bytes", "stack_bytes")
    assert sum(report["ram"][part] for part in image) == 8192 - BOARDS["disco_f100rb"].arena_bytes

    text = CliRunner().invoke(cli, arguments, prog_name="fixgrad").stdout
    assert text.startswith("4-8-5-3, batch 4, on disco_f100rb (cortex-m3): one training step\n")
    rows = [line.split("  ")[0] for line in text.splitlines()[2:-1]]
    ram = report["ram"]
    assert text.splitlines()[-1] == (
        f"RAM: model and batch {ram['model_bytes']:,}, link {ram['link_bytes']}, program "
        f"{ram['program_bytes']}, stack {ram['stack_bytes']} bytes; flash: "
        f"{report['flash_bytes']:,} bytes"
    )
    assert rows == [
        "pack the samples", "forward", "forward", "last layer forward, loss", "backward",
        "backward", "update", "update", "update", "end of batch", "digest of the state", "step",
    ]  # fmt: skip


def test_process_counts_nothing() -> None:
    result = CliRunner().invoke(cli, ["bench", "--port", "sim://"], prog_name="fixgrad")
    assert result.exit_code == 2
    assert result.stderr == (
        "fixgrad: sim:// is a process, which counts nothing; type --port qemu://BOARD\n"
    )


def test_image_that_does_not_profile_is_refused_with_what_to_flash() -> None:
    net = NETS["N1-batch1"]
    with Device.open("sim://") as device:
        assert device.profile(Phase.PACK, 0) is None
        with pytest.raises(UsageError, match="-DPROFILE pio run -e"):
            next(bench.measure(device, net.config(), net.initial(), stream_of(net)))
