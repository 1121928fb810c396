"""The digest of a trained state (NUMERICS section 9)."""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fixgrad.model import State

SEED: Final = 0x811C9DC5
MULTIPLIER: Final = 0x9E3779B1
WORD: Final = 2**32


def state_digest(state: State) -> int:
    """Return the digest, 32 bits.

    D' = D * m + u for each word u; for a tensor of n words at once that is
    D' = D * m**n + sum(u[k] * m**(n-1-k)), modulo 2**32.
    """
    words = [t.astype(np.int32).view(np.uint32).ravel() for _, _, t in state.tensors()]
    words.append(np.array([v % WORD for v in state.scalars()], np.uint32))
    digest = SEED
    for tensor in words:
        powers = _powers(tensor.size)
        share = int((tensor * powers).sum(dtype=np.uint32))
        digest = (digest * int(powers[0]) * MULTIPLIER + share) % WORD
    return digest


@lru_cache(maxsize=32)
def _powers(count: int) -> NDArray[np.uint32]:
    """Return m**(count-1), ..., m, 1 modulo 2**32."""
    powers = np.full(count, MULTIPLIER, np.uint32)
    powers[0] = 1
    return np.cumprod(powers, dtype=np.uint32)[::-1].copy()
