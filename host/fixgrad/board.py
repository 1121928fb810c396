"""A board in a few lines of Python: open, train, load, predict."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fixgrad import training
from fixgrad.datasets.dataset import Features
from fixgrad.delivery import deliver
from fixgrad.device import Device, DeviceInfo
from fixgrad.errors import UsageError
from fixgrad.fitting import check_fit
from fixgrad.metrics import Outputs
from fixgrad.network import Network
from fixgrad.run import PreparedRun, prepare
from fixgrad.runfile import load_run
from fixgrad.training import Checkpoint, Ended, EpochDone, Event, Tally


class Board:
    """A board at a port; a context manager that closes it. Not for use from several threads.

    Attributes:
        device: the messages underneath.
        network: what was loaded or trained last; None before.
    """

    def __init__(self, port: str = "sim://", *, baud: int = 115200) -> None:
        """Open the port.

        Args:
            port: /dev/ttyACM0, COM5, socket://HOST:PORT, sim:// or qemu://BOARD.
            baud: speed of a real serial port, as far as the board knows it.

        Raises:
            PortError: the port cannot be opened.
            BuildError: the firmware behind the port could not be built.
            LinkError: nothing answers, or not fixgrad.
            VersionError: the board speaks another version.
        """
        self.device = Device.open(port, baud=baud)
        self.network: Network | None = None

    def __enter__(self) -> Board:
        """Return the board."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the port."""
        self.close()

    def close(self) -> None:
        """Close the port."""
        self.device.close()

    @property
    def info(self) -> DeviceInfo:
        """Name, core, memory and what the board held when it last said HELLO."""
        return self.device.info

    def load(self, network: Network | str | Path) -> Network:
        """Make the board hold a trained network; nothing is sent where it does already.

        Args:
            network: the network, or the folder of a finished run.

        Returns:
            The network.

        Raises:
            RunFileError: the folder holds no finished run.
            DoesNotFitError: the board has too little memory.
            LinkError: the board stopped answering.
        """
        if not isinstance(network, Network):
            network = Network.open(network)
        check_fit(self.device, network.config)
        network.hold(self.device)
        self.network = network
        return network

    def train(
        self,
        run: PreparedRun | str | Path,
        on_event: Callable[[Event], object] = lambda event: None,
    ) -> Network:
        """Train a run to its end.

        Args:
            run: a run file, or a prepared run.
            on_event: called with every event of `fixgrad.training`.

        Returns:
            The trained network; the board holds it.

        Raises:
            RunFileError, DataError, ModelError: the run file, its data or its model is wrong.
            DoesNotFitError: the board has too little memory.
            LinkError: the board stopped answering.
        """
        if not isinstance(run, PreparedRun):
            run = prepare(load_run(Path(run)))
        for event in self.events(run):
            on_event(event)
        assert self.network is not None
        return self.network

    def events(self, run: PreparedRun) -> Iterator[Event]:
        """Train a run event by event; `network` is that of the last epoch that is done.

        Args:
            run: the run. Who stops listening after an `EpochDone` leaves the board with that epoch.

        Raises:
            DoesNotFitError: the board has too little memory.
            LinkError: the board stopped answering.
        """
        check_fit(self.device, run.config)
        delivery = deliver(run.train, run.config, run.schedule, self.device.info.arena_bytes)
        for event in training.train(
            self.device,
            run.config,
            run.run_id,
            run.train,
            run.schedule,
            Checkpoint(run.initial, 0, Tally()),
            delivery=delivery,
            monitor=run.monitor,
        ):
            match event:
                case EpochDone():
                    self.network = Network(run.config, event.checkpoint.state, run.form)
                case Ended():
                    self.network = Network(run.config, event.state, run.form)
            yield event

    def outputs(self, features: Features) -> Outputs:
        """Return classes, probabilities or values that the board's network gives.

        Args:
            features: [N, n], as they come in the data: the network's own scaling is applied.

        Raises:
            UsageError: nothing was loaded or trained yet.
            LinkError: the board stopped answering.
        """
        if self.network is None:
            raise UsageError("the board has no network yet; call load() or train() first")
        mantissas = self.network.mantissas(np.asarray(features, np.float64))
        return self.network.outputs(self.network.infer(self.device, mantissas))

    def predict(self, features: Features) -> NDArray[np.generic]:
        """Return the class names [N], or the predicted values [N, outputs].

        Args:
            features: as for `outputs`.

        Raises:
            UsageError, LinkError: as for `outputs`.
        """
        outputs = self.outputs(features)
        if outputs.classes is not None:
            assert self.network is not None
            return np.array(self.network.form.class_names)[outputs.classes]
        assert outputs.values is not None
        return outputs.values
