"""Campaign 12 in short: each planted bug applies, some are found; tests/sim/mutants.py does all."""

from pathlib import Path

import pytest
from mutants import MUTANTS, ROOT, SEEDS, copy_to, finders, finds, plant

PLANTED = (3, 14, 17, 19, 35, 39, 43, 61)
"""Bugs of as many files, which what is tried first finds fast."""


def first_finder(number: int, seeds: int) -> list[str]:
    return next(iter(finders(MUTANTS[number].file, seeds).values()))


@pytest.mark.parametrize("number", range(len(MUTANTS)))
def test_planted_bug_applies(number: int) -> None:
    mutant = MUTANTS[number]
    assert (ROOT / mutant.file).read_text("utf-8").count(mutant.right) == 1
    assert mutant.wrong != mutant.right


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    copy_to(folder)
    return folder


@pytest.mark.parametrize("number", PLANTED)
def test_nothing_is_found_without_the_bug(number: int, tree: Path) -> None:
    assert not finds(tree, first_finder(number, 20))


@pytest.mark.parametrize("number", PLANTED)
def test_planted_bug_is_found(number: int, tree: Path) -> None:
    mutant = MUTANTS[number]
    text = plant(mutant, tree)
    try:
        assert finds(tree, first_finder(number, SEEDS))
    finally:
        (tree / mutant.file).write_text(text)
