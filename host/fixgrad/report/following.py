"""The page of a run that is being trained, after every epoch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from fixgrad.health import Examined
from fixgrad.history import Recorder, held_part
from fixgrad.report.page import Live, Page, render, render_waiting
from fixgrad.run import PreparedRun
from fixgrad.rundir import RunFolder


class Follower:
    """Draws the page of a folder's run as far as it is recorded.

    The NumPy reference computes the run beside the device and is asked for no epoch before the
    device has reported it.

    Attributes:
        version: of the last page.
    """

    def __init__(self, folder: Path) -> None:
        """Take the folder; the run in it may still be to begin."""
        self._path = folder
        self._beside: _Beside | None = None
        self.version = 0

    def waiting(self) -> str:
        """Return the page before the first epoch."""
        return self._draw("training", "Waiting for the first epoch.")

    def training(self, given_up: Callable[[], bool]) -> str:
        """Return the page as far as the run is recorded.

        Args:
            given_up: asked before every epoch; True: draw what there is.

        Raises:
            RunFileError: the folder holds no run, or was changed.
        """
        beside = self._beside = self._beside or _Beside(RunFolder(self._path))
        beside.catch_up(given_up)
        text = f"Training: epoch {beside.done} of {beside.epochs} is done; this page follows."
        return self._draw("training", text)

    def ended(self) -> tuple[str, ...]:
        """Return the last page of the run that has ended, and the one that `fixgrad report` writes.

        Raises:
            RunFileError: as above.
        """
        beside = self._beside = self._beside or _Beside(RunFolder(self._path))
        beside.catch_up(lambda: False)
        beside.keep()
        self.version += 1
        text = f"The run has ended; this page is kept in {self._path / 'report.html'}."
        live = Live("ended", text, self.version)
        return render(beside.page(), live, None)

    def stopped(self) -> str:
        """Return the page of what was drawn of a run that was stopped."""
        return self._draw(
            "stopped",
            "Training was stopped; it goes on with: "
            f"fixgrad train --resume {self._path} --port URL",
        )

    def _draw(self, stage: str, text: str) -> str:
        self.version += 1
        live = Live(stage, text, self.version)
        if self._beside is None or not self._beside.done:
            return render_waiting(self._path.name, live)
        (page,) = render(self._beside.page(), live)
        return page


class _Beside:
    """The reference beside the device."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._prepared: PreparedRun = folder.reopen()
        self._recorder = Recorder(self._prepared)
        self.epochs = self._prepared.run.training.epochs
        self.done = 0
        self._computing = self._recorder.epochs(self.epochs)

    def catch_up(self, given_up: Callable[[], bool]) -> None:
        recorded = len(self._folder.metrics())
        while self.done < recorded and not given_up():
            number = next(self._computing, None)
            if number is None:
                return
            self.done = number

    def keep(self) -> None:
        with contextlib.suppress(OSError):  # a folder that may not be written is read all the same
            self._folder.save_history(self._recorder.history(), self._prepared.run_id)

    def page(self) -> Page:
        folder, history = self._folder, self._recorder.history()
        recorded = folder.digests()[: history.epochs]
        return Page(
            str(folder.path),
            Examined(self._prepared, history, recorded, held_part(self._prepared)[0]),
            folder.latest(self._prepared.config),
            folder.metrics()[: history.epochs],
            folder.data_sha256(),
            folder.result(),
        )
