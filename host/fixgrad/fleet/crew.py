"""Which board does which piece of a batch. Any assignment gives the same bits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Generic, NamedTuple, TypeVar

from fixgrad.errors import LinkError, PortError
from fixgrad.fleet.member import REOPEN_S
from fixgrad.fleet.parts import PartBoard

T = TypeVar("T")


class Piece(NamedTuple):
    """Samples of a batch, by their places.

    Attributes:
        places: of the samples.
        owner: the board that shall do it; None: any.
    """

    places: range
    owner: PartBoard | None


class Done(NamedTuple, Generic[T]):
    """A piece that a board has done."""

    places: range
    board: PartBoard
    result: T


class Crew:
    """The boards of a fleet: each does one thing at a time, in a thread of its own."""

    def __init__(self, boards: Sequence[PartBoard], deadline_s: float) -> None:
        """Look for every board once.

        Args:
            boards: the boards.
            deadline_s: seconds to wait for the first of them to come back when all are away.

        Raises:
            FixgradError: a board can never take part.
        """
        self._boards = boards
        self._deadline_s = deadline_s
        self._called_off = threading.Event()
        self._threads = ThreadPoolExecutor(len(boards))
        self._running: dict[Future[Any], tuple[PartBoard, range]] = {}
        self._joining: dict[Future[bool], PartBoard] = {}
        self._why_away = ""
        for board in boards:
            self._look_for(board, 0.0)
        wait(self._joining)
        try:
            self._take_back()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close every port."""
        self._called_off.set()
        for board in self._boards:
            board.close()
        self._threads.shutdown()

    def cut(self, samples: int) -> list[Piece]:
        """Cut a batch over the boards that are there, in proportion to their shares."""
        self._take_back()
        there = self._free()
        total = sum(board.share for board in there)
        pieces, begin, shares = [], 0, 0
        for board in there:
            shares += board.share
            end = samples * shares // total
            if end > begin:
                pieces.append(Piece(range(begin, end), board))
            begin = end
        return pieces or [Piece(range(samples), None)]

    def do(self, pieces: Sequence[Piece], work: Callable[[PartBoard, range], T]) -> list[Done[T]]:
        """Have every sample of some pieces done; a piece that is too large is divided.

        Args:
            pieces: what to do.
            work: does a piece on a board.

        Raises:
            LinkError: no board was left, and none came back within the deadline.
            FixgradError: a board can never take part.
        """
        waiting, done = list(pieces), list[Done[T]]()
        alone_since: float | None = None
        while waiting or self._running:
            for board in self._free():
                places = self._next(waiting, board)
                if places is not None:
                    self._running[self._threads.submit(work, board, places)] = board, places
            if self._running:
                alone_since = None
            elif alone_since is None:
                alone_since = time.monotonic()
            elif time.monotonic() - alone_since > self._deadline_s:
                raise LinkError(
                    f"no board is left, and none came back within {self._deadline_s:g} s "
                    f"({self._why_away}); the epochs before are kept, the same command goes on"
                )
            wait([*self._running, *self._joining], REOPEN_S, FIRST_COMPLETED)
            self._take_back()
            for future in [future for future in self._running if future.done()]:
                board, places = self._running.pop(future)
                try:
                    done.append(Done(places, board, future.result()))
                except (LinkError, PortError):
                    board.close()
                    self._look_for(board, REOPEN_S)
                    waiting.append(Piece(places, None))
        return done

    def _free(self) -> list[PartBoard]:
        taken = {board.name for board, _ in self._running.values()}
        taken |= {board.name for board in self._joining.values()}
        return [board for board in self._boards if board.name not in taken]

    def _next(self, waiting: list[Piece], board: PartBoard) -> range | None:
        """Take what a free board does next: its own piece, or one whose owner is not free."""
        free = {other.name for other in self._free()}
        for own in (True, False):
            for index, (places, owner) in enumerate(waiting):
                if owner is board if own else owner is None or owner.name not in free:
                    del waiting[index]
                    rest = places[board.capacity :]
                    if rest:
                        waiting.append(Piece(rest, owner))
                    return places[: board.capacity]
        return None

    def _look_for(self, board: PartBoard, pause_s: float) -> None:
        def found() -> bool:
            try:
                if self._called_off.wait(pause_s):
                    return False
                board.open()
            except (LinkError, PortError) as error:
                self._why_away = str(error)
                board.close()
                return False
            return True

        self._joining[self._threads.submit(found)] = board

    def _take_back(self) -> None:
        """Note which boards were found; look for the others again."""
        for future in [future for future in self._joining if future.done()]:
            board = self._joining.pop(future)
            if not future.result():
                self._look_for(board, REOPEN_S)
