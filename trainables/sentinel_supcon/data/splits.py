"""Splits: official ones where there are some, else by place, so that neighbours are never in two splits.

Places in the order of their main class and a hash are dealt in fives: one to val, one to test, three to train. Val and
test are always different scenes.
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int64, UInt64

from thalweg.contract import SplitName
from thalweg.errors import DataError
from thalweg.hashing import splitmix64
from trainables.sentinel_supcon.data.labels import IGNORED

SPLIT_SEED = 10
DEAL = 5
"""Of so many places one goes to val and one to test."""
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")

Labels = Int64[np.ndarray, " scene"]
Places = Int64[np.ndarray, " scene"]
Rows = Int64[np.ndarray, " _"]


def assign(
    official: Sequence[str], places: Places, labels: Labels, place_names: Sequence[str]
) -> tuple[dict[SplitName, Rows], tuple[str, ...]]:
    """Assigns scenes to splits.

    Args:
        official: Official split of each scene; empty texts if there is none.
        places: Number of each scene's place.
        labels: Class of each scene.
        place_names: Names of the places.

    Returns:
        Rows of each split in ascending order, and sentences on what is not official.

    Raises:
        DataError: Some scenes have an official split and others none, or there are too few places.
    """
    given = set(official)
    if "" in given and len(given) > 1:
        raise DataError(
            f"all scenes must have an official split or none, got {sum(not one for one in official)} of "
            f"{len(official)} without; name all or none"
        )
    by_name = np.array(official)
    rows = {split: np.flatnonzero(by_name == split) for split in SPLITS}
    dealt = _Deal(places, labels, place_names)
    if given == {"train", "val", "test"}:
        return rows, ()
    if given == {"train", "val"}:
        rows["val"], rows["test"] = dealt(rows["val"], 2, ("val", "test"))
        told = "the official split val is halved by place into val and test, which must differ"
    elif given == {"train", "test"}:
        rows["train"], rows["val"] = dealt(rows["train"], DEAL, ("train", "val"))
        told = "one in five places of the official training split is val; test is the official one"
    elif len(given) == 1 and given <= {"", "train"}:
        rows["train"], rows["val"], rows["test"] = dealt(np.arange(len(official)), DEAL, SPLITS)
        told = "splits follow from places: three in five are train, one val, one test"
    else:
        raise DataError(
            f"official splits must be train and another, got {' and '.join(sorted(given))} alone; copy the rest there"
        )
    return rows, (told,)


class _Deal:
    """Deals places to splits; attributes as in `assign`."""

    def __init__(self, places: Places, labels: Labels, place_names: Sequence[str]) -> None:
        self._places, self._labels, self._names = places, labels, place_names

    def __call__(self, rows: Rows, of: int, splits: Sequence[str]) -> list[Rows]:
        """Deals the places of some scenes: of each `of`, one to each split but the first, which takes the rest."""
        there = np.unique(self._places[rows])
        if len(there) < len(splits):
            raise DataError(
                f"scenes must lie in at least {len(splits)} places to be split into {', '.join(splits)}, got "
                f"{len(there)}: {', '.join(self._names[place] for place in there[:3])}; add places, or name splits"
            )
        hashes = np.zeros(int(self._places.max()) + 1, np.uint64)
        hashes[there] = name_hashes([self._names[place] for place in there])
        mains = _main_classes(self._places[rows], self._labels[rows])
        order = there[np.lexsort((hashes[there], mains[there]))]
        owner = np.zeros(int(self._places.max()) + 1, np.int64)
        for start in range(0, len(order), of):
            group = order[start : start + of]
            if start and 2 * len(group) <= of:
                continue  # a small rest stays with the first split
            ranks = np.argsort(splitmix64(hashes[group]))
            for number in range(1, len(splits)):
                owner[group[ranks[number - 1]]] = number
        return [rows[owner[self._places[rows]] == number] for number in range(len(splits))]


def name_hashes(names: Sequence[str]) -> UInt64[np.ndarray, " name"]:
    """Returns a hash for each name that depends on it alone."""
    content = b"".join(hashlib.sha256(f"{SPLIT_SEED} {name}".encode()).digest()[:8] for name in names)
    return np.frombuffer(content, "<u8").astype(np.uint64)


def _main_classes(places: Places, labels: Labels) -> Int64[np.ndarray, " place"]:
    """Returns the most frequent class of each place; `IGNORED` if its scenes have none."""
    num_places, num_labels = int(places.max()) + 1, int(labels.max()) + 2
    counts = np.bincount(places * num_labels + labels + 1, minlength=num_places * num_labels)
    known = counts.reshape(num_places, num_labels)[:, 1:]
    if not known.size:
        return np.full(num_places, IGNORED, np.int64)
    return np.where(known.any(1), known.argmax(1), IGNORED).astype(np.int64)


def share_of(rows: Rows, labels: Labels, names: Sequence[str], ratio: float) -> Rows:
    """Returns a share of scenes, of each class alike, in ascending order.

    Those that come first by a hash of their names are taken, so that a smaller share is part of a larger one.

    Args:
        rows: The scenes.
        labels: Class of each scene of the data set.
        names: Name of each scene of the data set.
        ratio: The share; it is rounded, and at least one scene of each class is taken.
    """
    if ratio == 1:
        return rows
    ordered = rows[np.argsort(name_hashes([names[row] for row in rows]), kind="stable")]
    taken = []
    for label in np.unique(labels[ordered]):
        members = ordered[labels[ordered] == label]
        taken.append(members[: max(1, round(ratio * len(members)))])
    return np.sort(np.concatenate(taken)) if taken else rows


def balance(rows: Rows, labels: Labels) -> Rows:
    """Repeats scenes until each class has as many as the most frequent one; those without a class are left out.

    A scene is repeated as often as any other of its class, or once more.
    """
    known = rows[labels[rows] != IGNORED]
    counts: Mapping[int, int] = {
        int(label): int((labels[known] == label).sum()) for label in np.unique(labels[known])
    }
    if not counts:
        return known
    most = max(counts.values())
    return np.concatenate([np.resize(known[labels[known] == label], most) for label in counts])
