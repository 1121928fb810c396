"""The Board: train, load and predict in a few lines."""

from pathlib import Path

import numpy as np
import pytest
from fixgrad import Board, Network
from fixgrad.errors import DoesNotFitError, UsageError
from fixgrad.reference import Reference
from fixgrad.run import prepare
from fixgrad.rundir import RunFolder
from fixgrad.runfile import load_run
from fixgrad.training import EpochDone
from small_runs import iris_run

RUN = iris_run(epochs=3)


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(RUN)
    return path


def test_trained_network_predicts_and_can_be_kept(run_file, tmp_path):
    prepared = prepare(load_run(run_file))
    epochs = []
    with Board() as board:
        network = board.train(
            run_file, lambda event: epochs.append(event) if isinstance(event, EpochDone) else None
        )
        features = np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]])
        said = board.predict(features)
        shares = board.outputs(features).probabilities
    reference = Reference(network.config, network.state)
    expected = reference.logits(network.mantissas(features)).argmax(axis=1)
    assert list(said) == [prepared.class_names[i] for i in expected]
    assert shares is not None and np.allclose(shares.sum(axis=1), 1)
    assert [event.epoch for event in epochs] == [1, 2, 3]
    folder = RunFolder(tmp_path / "kept")
    folder.create(prepared)
    folder.save_final(network.config, network.state)
    with Board() as board:
        assert board.load(tmp_path / "kept").digest == network.digest
        assert board.device.hello().digest == network.digest
        assert list(board.predict(features)) == list(said)


def test_network_that_is_there_is_not_sent_again(run_file, patient):
    with Board() as board:
        network = board.train(run_file)
        board.load(network)
        sent = board.device.stats.wire_bytes
        board.load(network)
        assert board.device.stats.wire_bytes - sent < 100


def test_board_without_a_network_says_so():
    with Board() as board, pytest.raises(UsageError, match="load\\(\\) or train\\(\\) first"):
        board.predict(np.zeros((1, 4)))


def test_too_large_a_network_is_refused(run_file):
    with Board("sim://?arena=256") as board, pytest.raises(DoesNotFitError, match="256 bytes"):
        board.train(run_file)


def test_public_names_are_found():
    import fixgrad

    assert Network is fixgrad.Network
    with pytest.raises(AttributeError, match="Bord"):
        _ = fixgrad.Bord
