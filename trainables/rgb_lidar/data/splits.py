"""Splits: assigns scenes by a hash of class and file number; no assignment is stored.

Of each 20 consecutive numbers of a class, 14 go to training, 3 to validation and 3 to the test, chosen by hash. So
all splits have the same shares of the classes, and adding or removing a file moves no other file.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int64, UInt64

from thalweg.contract import SplitName
from thalweg.hashing import splitmix64

SPLIT_SEED = 51
BLOCK = 20
SHARES: Mapping[SplitName, int] = {"train": 14, "val": 3, "test": 3}

Labels = Int64[np.ndarray, " scene"]
Numbers = Int64[np.ndarray, " scene"]
Rows = Int64[np.ndarray, " _"]


def split_rows(labels: Labels, numbers: Numbers, data_fraction: float) -> dict[SplitName, Rows]:
    """Returns the rows of each split, in an order that mixes the classes.

    Args:
        labels: Class of each scene.
        numbers: File number of each scene.
        data_fraction: Share of the training scenes of each class that is kept, rounded, at least one. They come
            first in the order of the hash, so that a smaller share is part of a larger one.
    """
    scores = _scores(labels, numbers)
    ranks = _ranks(labels, numbers)
    order = np.argsort(scores, kind="stable")
    ends = np.cumsum(list(SHARES.values()))
    number = np.searchsorted(ends, ranks, side="right")
    rows = {split: order[number[order] == index] for index, split in enumerate(SHARES)}
    train = rows["train"]
    kept = [_share(train[labels[train] == label], data_fraction) for label in np.unique(labels[train])]
    chosen = np.concatenate([*kept, np.zeros(0, np.int64)])
    rows["train"] = chosen[np.argsort(scores[chosen], kind="stable")]
    return rows


def _share(rows: Rows, fraction: float) -> Rows:
    return rows[: max(1, round(fraction * len(rows)))]


def _scores(labels: Labels, numbers: Int64[np.ndarray, "*scene"]) -> UInt64[np.ndarray, "*scene"]:
    classes = splitmix64(np.uint64(SPLIT_SEED) + labels.astype(np.uint64))
    classes = classes.reshape(classes.shape + (1,) * (numbers.ndim - 1))
    return splitmix64(classes ^ numbers.astype(np.uint64))


def _ranks(labels: Labels, numbers: Numbers) -> Int64[np.ndarray, " scene"]:
    """Returns the rank of each number, by hash, among all numbers of its block, existing or not."""
    block = (numbers // BLOCK * BLOCK)[:, None] + np.arange(BLOCK)
    own = _scores(labels, numbers)[:, None]
    return np.asarray((_scores(labels, block) < own).sum(1), dtype=np.int64)
