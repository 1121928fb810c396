"""One thread for matrix products as small as a training step's.

A BLAS that spreads them over every core waits for its slowest thread: beside one other busy process
that was measured to make a step twenty times slower, and alone it is no faster.
"""

from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]


def single_threaded() -> AbstractContextManager[object]:
    """Return a context in which BLAS uses the caller's thread only."""
    context: AbstractContextManager[object] = _controller().limit(limits=1, user_api="blas")
    return context


@cache
def _controller() -> ThreadpoolController:
    """Return the controller of the libraries loaded so far; NumPy's BLAS must be among them."""
    return ThreadpoolController()
