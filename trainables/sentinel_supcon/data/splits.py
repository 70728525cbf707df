"""Splits: official ones where there are some, else by place, so that neighbours are never in two splits.

Places are dealt so that each split has about its share of every class, and some of one that few places hold. Val and
test are always different scenes.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float64, Int64, UInt64

from thalweg.contract import SplitName
from thalweg.errors import DataError
from thalweg.wording import some
from trainables.sentinel_supcon.data.labels import IGNORED

SPLIT_SEED = 10
HELD_OUT = 0.2
"""Share of the scenes that goes to val, and to test."""
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")

_NONE = IGNORED + 1  # column of scenes without a class

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
        rows |= dealt(rows["val"], {"val": 0.5, "test": 0.5})
        told = "the official split val is halved by place into val and test, which must differ"
    elif given == {"train", "test"}:
        rows |= dealt(rows["train"], {"train": 1 - HELD_OUT, "val": HELD_OUT})
        told = "a fifth of the official training split is val, by place; test is the official one"
    elif len(given) == 1 and given <= {"", "train"}:
        shares: Mapping[SplitName, float] = {"train": 1 - 2 * HELD_OUT, "val": HELD_OUT, "test": HELD_OUT}
        rows |= dealt(np.arange(len(official)), shares)
        told = (
            "splits follow from places: about three fifths of the scenes are train, a fifth val, a fifth test"
        )
    else:
        raise DataError(
            f"official splits must be train and another, got {' and '.join(sorted(given))} alone; copy the rest there"
        )
    return rows, (told,)


def dealt(official: Iterable[str]) -> tuple[SplitName, ...]:
    """Returns the splits among which `assign` deals places, so that no two of them share one.

    Args:
        official: Official split of each scene; empty texts if there is none.
    """
    given = set(official)
    if given == {"train", "val", "test"}:
        return ()
    if given == {"train", "val"}:
        return ("val", "test")
    return ("train", "val") if given == {"train", "test"} else SPLITS


class _Deal:
    """Deals places to splits; attributes as in `assign`.

    Iterative stratification (Sechidis et al. 2011, doi:10.1007/978-3-642-23808-6_10) of places: the class in the fewest
    places comes first, its largest place first, and goes to the split that lacks the largest part of its share.
    """

    def __init__(self, places: Places, labels: Labels, place_names: Sequence[str]) -> None:
        self._places, self._labels, self._names = places, labels, place_names

    def __call__(self, rows: Rows, shares: Mapping[SplitName, float]) -> dict[SplitName, Rows]:
        """Deals the places of some scenes, so that each split has about its share of each class."""
        there, positions = np.unique(self._places[rows], return_inverse=True)
        if len(there) < len(shares):
            raise DataError(
                f"scenes must lie in at least {len(shares)} places to be split into {', '.join(shares)}, got "
                f"{len(there)}: {some((self._names[place] for place in there), 3)}; add places, or name splits"
            )
        num_labels = int(self._labels[rows].max()) + 2
        counts = np.bincount(
            positions * num_labels + self._labels[rows] + 1, minlength=len(there) * num_labels
        ).reshape(len(there), num_labels)
        hashes = name_hashes([self._names[place] for place in there])
        owner = _stratified(counts, hashes, np.array(list(shares.values())))
        return {split: rows[owner[positions] == number] for number, split in enumerate(shares)}


def _stratified(
    counts: Int64[np.ndarray, "place label"],
    hashes: UInt64[np.ndarray, " place"],
    shares: Float64[np.ndarray, " split"],
) -> Int64[np.ndarray, " place"]:
    """Returns the split of each place; none is empty.

    Args:
        counts: Scenes of each label in each place; the first column is that of scenes without one.
        hashes: A hash for each place, which decides between those that are alike.
        shares: Share of the scenes that each split should have.
    """
    owner = np.full(len(counts), -1, np.int64)
    # Column by column: scenes that a split lacks of each label, and has; then of all scenes, and places.
    wanted = shares[:, None] * np.column_stack((counts, counts.sum(1))).sum(0)
    all_wanted = np.maximum(wanted, 1e-9)
    held = np.zeros((len(shares), counts.shape[1] + 1), np.int64)
    order = {label: np.lexsort((hashes, -counts[:, label])) for label in range(counts.shape[1])}
    left = {label: int(np.count_nonzero(counts[:, label])) for label in order}
    queues = {label: iter(places.tolist()) for label, places in order.items()}
    for done in range(len(counts)):
        there = (label for label in left if left[label])
        label = min(there, key=lambda label: (label == _NONE, left[label], label))
        place = next(place for place in queues[label] if owner[place] < 0)
        allowed = _allowed(held[:, -1], len(counts) - done)
        if not allowed and label != _NONE:
            allowed = _allowed(held[:, label], left[label])
        lacking = np.round((wanted / all_wanted)[:, [label, -1]], 6)
        urgency = np.column_stack((lacking[:, 0], shares, lacking[:, 1])).tolist()
        owner[place] = max(allowed or range(len(shares)), key=urgency.__getitem__)
        wanted[owner[place]] -= np.append(counts[place], counts[place].sum())
        held[owner[place]] += np.append(counts[place], 1)
        for each in np.flatnonzero(counts[place]).tolist():
            left[each] -= 1
    return owner


def _allowed(held: Int64[np.ndarray, " split"], left: int) -> list[int]:
    """Returns the splits that hold nothing if no more places are left than there are of them; else none."""
    bare = np.flatnonzero(held == 0).tolist()
    return bare if left <= len(bare) else []


def name_hashes(names: Sequence[str]) -> UInt64[np.ndarray, " name"]:
    """Returns a hash for each name that depends on it alone."""
    content = b"".join(hashlib.sha256(f"{SPLIT_SEED} {name}".encode()).digest()[:8] for name in names)
    hashes: UInt64[np.ndarray, " name"] = np.frombuffer(content, "<u8").astype(np.uint64)
    return hashes


def mixed(rows: Rows, names: Sequence[str]) -> Rows:
    """Returns scenes in the order of a hash of their names, so that the first of them are of all places and classes.

    Args:
        rows: The scenes.
        names: Name of each scene of the data set.
    """
    ordered: Rows = rows[np.argsort(name_hashes([names[row] for row in rows]), kind="stable")]
    return ordered


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
    ordered = mixed(rows, names)
    taken = []
    for label in np.unique(labels[ordered]):
        members = ordered[labels[ordered] == label]
        taken.append(members[: max(1, round(ratio * len(members)))])
    return np.sort(np.concatenate(taken)) if taken else rows


def balance(rows: Rows, labels: Labels) -> Rows:
    """Repeats scenes until each class has as many as the most frequent one; those without a class are left out.

    A scene is repeated as often as any other of its class, or once more.
    """
    known: Rows = rows[labels[rows] != IGNORED]
    counts: Mapping[int, int] = {
        int(label): int((labels[known] == label).sum()) for label in np.unique(labels[known])
    }
    if not counts:
        return known
    most = max(counts.values())
    repeated: Rows = np.concatenate([np.resize(known[labels[known] == label], most) for label in counts])
    return repeated
