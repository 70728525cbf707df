"""Random numbers that depend on a sample's key and on counters, not on what was drawn before.

Every number comes from `thalweg.hashing.splitmix64`, so that a sample is the same in any batch, process or loader.
"""

import hashlib

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int64, UInt16, UInt32

from thalweg.hashing import splitmix64

Hashes = npt.NDArray[np.uint64]


def stream(name: str) -> np.uint64:
    """Returns a counter for a purpose or a variable, the same on every machine."""
    return np.uint64(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little"))


def branch(keys: Hashes, counters: Hashes | np.uint64) -> Hashes:
    """Derives independent keys: one for each pair of a key and a counter, which broadcast."""
    return splitmix64(splitmix64(keys) ^ counters)


def uniform(keys: Hashes) -> Float[np.ndarray, "*shape"]:
    """Returns a number in [0, 1) for each key."""
    shares: Float[np.ndarray, "*shape"] = (keys >> np.uint64(11)) * 2.0**-53
    return shares


def below(keys: Hashes, count: Int64[np.ndarray, "*shape"]) -> Int64[np.ndarray, "*shape"]:
    """Returns a whole number in [0, count) for each key, each as likely as any other; 0 where count is 0."""
    number: Int64[np.ndarray, "*shape"] = (uniform(keys) * count).astype(np.int64)
    return number


def sixteen_bits(keys: Hashes, count: int) -> UInt16[np.ndarray, "*shape count"]:
    """Returns so many whole numbers below 65536 for each key."""
    return _words(keys, count, 4).view("<u2")[..., :count]


def normal(keys: Hashes, count: int) -> Float[np.ndarray, "*shape count"]:
    """Returns so many numbers of the standard normal distribution for each key; none beyond 6.4."""
    from scipy.special import ndtri  # a second that those who only look need not wait for

    bits: UInt32[np.ndarray, "*shape count"] = _words(keys, count, 2).view("<u4")[..., :count]
    numbers: Float[np.ndarray, "*shape count"] = ndtri((bits + 0.5) * 2.0**-32)
    return numbers


def _words(keys: Hashes, count: int, per_word: int) -> Hashes:
    """Returns a hash for each key and each group of numbers, in the byte order of all machines."""
    counters = np.arange(-(-count // per_word), dtype=np.uint64)
    # One round: the keys are hashes, far apart from one another.
    return splitmix64(keys[..., None] + counters).astype("<u8", copy=False)
