"""The endless sequence of training samples, and how a batch of it is spread over workers.

Position ``p`` of the stream is sample ``order[p]``; each pass over the split is shuffled anew. Batch size, micro-batch
and number of workers only cut the stream: the samples, their order and their keys stay the same. The number of
samples seen is the whole state of the sampler.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from thalweg.errors import ConfigError, DataError
from thalweg.hashing import splitmix64

if TYPE_CHECKING:
    from thalweg.contract import Indices, Keys


class SampleStream:
    """Shuffled passes over a split, addressed by position.

    Args:
        num_samples: Size of the split.
        seed: Seed of the order and of the keys.
        whole_batches_of: Batch size; each pass ends with its last whole batch, so that no batch holds a sample twice.
            In a contrastive batch the copy would be a false negative. 1 visits every sample in each pass.

    Raises:
        DataError: The split is empty.
        ConfigError: A batch is larger than the split.
    """

    def __init__(self, num_samples: int, seed: int, whole_batches_of: int = 1) -> None:
        if num_samples < 1:
            raise DataError(
                "a training split must hold at least 1 sample, got 0; "
                "lengthen its period or shorten the sequence"
            )
        if whole_batches_of > num_samples:
            raise ConfigError(
                "a batch whose loss joins its samples must hold none twice, got optimization.batch_size "
                f"{whole_batches_of} and {num_samples} training samples; lower it or use more data"
            )
        self.num_samples = num_samples
        self._pass_length = num_samples // whole_batches_of * whole_batches_of
        self._seed = seed
        self._passes: dict[int, npt.NDArray[np.int64]] = {}

    def take(self, start: int, count: int) -> tuple["Indices", "Keys"]:
        """Returns sample numbers and keys of the positions start .. start + count - 1, shape (count,) each."""
        positions = np.arange(start, start + count)
        passes, offsets = np.divmod(positions, self._pass_length)
        indices = np.empty(count, dtype=np.int64)
        for number in np.unique(passes):
            chosen = passes == number
            indices[chosen] = self._order(int(number))[offsets[chosen]]
        seeded = splitmix64(np.uint64(self._seed))
        return indices, splitmix64(seeded + positions.astype(np.uint64))

    def _order(self, number: int) -> npt.NDArray[np.int64]:
        if number not in self._passes:
            self._passes = {key: order for key, order in self._passes.items() if key >= number - 1}
            generator = np.random.Generator(np.random.Philox(key=[self._seed, number]))
            self._passes[number] = generator.permutation(self.num_samples)
        return self._passes[number]


@dataclass(frozen=True)
class Layout:
    """How one global batch is cut: every worker trains ``accumulation`` micro-batches per optimizer step.

    Workers take their steps together, so all of them have the same number of micro-batches. The shares of workers
    differ by at most one sample, and so do the sizes of all micro-batches.

    Attributes:
        batch_size: Samples per optimizer step over all workers.
        micro_batch_size: Samples of the largest micro-batch.
        accumulation: Gradient accumulation: micro-batches per worker and optimizer step.
        world_size: Number of workers.
    """

    batch_size: int
    micro_batch_size: int
    accumulation: int
    world_size: int

    @classmethod
    def of(cls, batch_size: int, max_size: int | None, world_size: int) -> "Layout":
        """Derives the fewest micro-batches of at most ``max_size`` samples; None takes a worker's share as one.

        Raises:
            ConfigError: A worker or one of its micro-batches would have no sample.
        """
        if batch_size < world_size:
            raise ConfigError(
                f"batch_size must be at least the lane's number of workers, {world_size}, got {batch_size}; "
                f"try {world_size}, or fewer workers"
            )
        share = -(-batch_size // world_size)
        accumulation = -(-share // (max_size or share))
        if batch_size < accumulation * world_size:
            near = batch_size // world_size * world_size
            raise ConfigError(
                f"batch_size must be a multiple of the lane's {world_size} workers where micro_batch_size is 1, got "
                f"{batch_size}; try {near} or {near + world_size}, or micro_batch_size 2"
            )
        micro = -(-batch_size // (accumulation * world_size))
        return cls(batch_size, micro, accumulation, world_size)

    def halved(self, times: int) -> "Layout | None":
        """Returns the same batch in micro-batches of half the size, several times; None if there is none so small."""
        found = self
        for _ in range(times):
            if found.micro_batch_size == 1:
                return None
            try:
                found = Layout.of(self.batch_size, found.micro_batch_size // 2, self.world_size)
            except ConfigError:  # a worker would have no sample
                return None
        return found

    @property
    def is_uneven(self) -> bool:
        """Whether some micro-batches are a sample smaller than the others."""
        return self.micro_batch_size * self.accumulation * self.world_size != self.batch_size

    def positions(self, start: int, rank: int) -> list[range]:
        """Returns the positions in the stream of each micro-batch of a worker, for the batch that begins at start."""
        first, end = _edges(self.batch_size, self.world_size)[rank : rank + 2]
        edges = [start + first + edge for edge in _edges(end - first, self.accumulation)]
        return [range(*pair) for pair in pairwise(edges)]

    def share(self, rank: int) -> int:
        """Returns how many samples of a batch a worker trains."""
        return sum(len(positions) for positions in self.positions(0, rank))


def _edges(size: int, num_pieces: int) -> list[int]:
    """Returns where samples are cut into pieces, the first of which may hold one more than the others."""
    smaller, larger = divmod(size, num_pieces)
    return [number * smaller + min(number, larger) for number in range(num_pieces + 1)]
