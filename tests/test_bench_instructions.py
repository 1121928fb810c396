"""The counts of bench.instructions: not above the checked-in ones; the yardsticks train."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from ceilings import TRAINER_FLASH
from fixgrad.images import read_image

from bench.instructions import classes, results, tables, textbook
from bench.instructions.measuring import Row, firmware_image, measure
from bench.instructions.nets import NETS
from bench.machines import COMPILER, MACHINES

pytestmark = pytest.mark.skipif(
    shutil.which(COMPILER) is None or shutil.which("qemu-system-arm") is None,
    reason=f"needs {COMPILER} and qemu-system-arm",
)


@pytest.fixture
def m4_row() -> Row:
    return next(row for row in results.load()[1] if (row["core"], row["net"]) == ("m4", "N1"))


@pytest.mark.parametrize("core", MACHINES)
def test_no_count_grows(core: str) -> None:
    if results.load()[0] != results.compiler():
        pytest.skip("the checked-in counts are of another compiler")
    rows = [measure(core, net) for net in NETS.values()]
    assert results.grown(rows) == []
    for row in rows:
        # The parts are timed in an image of their own, with some instructions more at each border.
        assert sum(row["phases"].values()) == pytest.approx(row["instructions"], rel=0.01)


@pytest.mark.parametrize("core", TRAINER_FLASH)
def test_trainer_and_link_fit_in_their_flash(core: str) -> None:
    image = read_image(firmware_image(core))
    assert image.flash_bytes <= TRAINER_FLASH[core]
    # Nothing of it was left out for want of a port that calls it; GCC puts .isra.0 behind a name.
    names = {symbol.split(".")[0] for symbol in image.symbols}
    assert {"handle_load", "handle_data", "handle_infer", "mlp_update_layer"} <= names


def test_growth_is_found(m4_row: Row) -> None:
    assert results.grown([m4_row]) == []
    assert results.grown([m4_row | {"instructions": round(1.0049 * m4_row["instructions"])}]) == []
    assert results.grown([m4_row | {"instructions": round(1.006 * m4_row["instructions"])}])
    assert results.grown([m4_row | {"digest": round(1.006 * m4_row["digest"])}])


def test_counts_are_repeatable() -> None:
    assert measure("m0", NETS["N1-batch1"]) == measure("m0", NETS["N1-batch1"])


def test_every_core_and_net_has_a_checked_in_row() -> None:
    rows = results.load()[1]
    assert [(row["core"], row["net"]) for row in rows] == [(c, n) for c in MACHINES for n in NETS]


def test_macs_are_those_of_the_definition() -> None:
    # forward 64*32 + 32*10, backward 32*10, gradient 64*32 + 32*10
    assert NETS["N1"].macs == 16 * 5056
    assert NETS["N2"].macs == 16 * 173300


def test_classes_add_up_to_the_step() -> None:
    net = NETS["N1-batch1"]
    counts = classes.count("m55", net)
    # Files are told apart only before the images are optimised once more when they are linked.
    total = sum(counter.total() for counter in counts.values())
    assert total == pytest.approx(measure("m55", net)["instructions"], rel=0.03)
    assert sum(counter["multiply"] for counter in counts.values()) > net.macs / 8


@pytest.mark.parametrize(
    ("mnemonic", "name"),
    [
        ("ldrsh.w", "load"), ("pop", "load"), ("vldrw.u32", "load"), ("ldmia", "load"),
        ("stmdb", "store"), ("vstrh.16", "store"), ("muls", "multiply"), ("smladeq", "multiply"),
        ("smull", "multiply"), ("vmlava.s16", "multiply"), ("ssat16", "saturate"),
        ("lsls", "shift"), ("bls.n", "branch"), ("bl", "branch"), ("blt.w", "branch"),
        ("le", "branch"), ("bics", "other"), ("bfi", "other"), ("lea", "other"), ("adds", "other"),
    ],
)  # fmt: skip
def test_class_of_an_instruction(mnemonic: str, name: str) -> None:
    assert classes.class_of(mnemonic) == name


@pytest.mark.parametrize("kind", textbook.KINDS)
def test_yardsticks_learn(kind: str) -> None:
    done = textbook.count("m4", NETS["N1"], kind, steps=200)
    assert done.right_before <= 3  # of 16, in 10 classes
    assert done.right_after >= 9


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    copy = tmp_path / "expected.json"
    shutil.copy(results.EXPECTED, copy)
    monkeypatch.setattr(results, "EXPECTED", copy)
    yield tmp_path


def test_saving_some_rows_keeps_the_others(folder: Path, m4_row: Row) -> None:
    before = results.load()[1]
    results.save([m4_row | {"instructions": 1}])
    after = results.load()[1]
    assert len(after) == len(before)
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [m4_row | {"instructions": 1}]


def test_document_needs_its_markers(tmp_path: Path, m4_row: Row) -> None:
    path = tmp_path / "document.md"
    path.write_text(f"before\n{tables.BEGIN}\nold\n{tables.END}\nafter\n")
    text = tables.document([m4_row], path)
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "m4 N1" in text
    path.write_text("nothing\n")
    with pytest.raises(ValueError, match="has no lines"):
        tables.document([m4_row], path)
