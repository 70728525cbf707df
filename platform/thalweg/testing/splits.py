"""Checks for leakage between splits by comparing all of their samples."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from thalweg.contract import Data, SplitName
from thalweg.errors import FamilyError

if TYPE_CHECKING:
    from torch import Tensor

    from thalweg.contract import Batch, Indices, Keys

WHOLE = 0
"""Axis of a piece that is the whole row of a sample; axes of slices count from 1."""
MIN_CHANGES = 8
"""Smallest number of values of a slice that differ from the value before and from 0 and 1; of a whole row it is 1."""
_CHUNK = 32
_DIGEST_BYTES = 16

Piece = tuple[str, int, bytes]  # tensor, axis, hash
Places = dict[Piece, tuple[int, int]]  # sample and place where a piece was first seen


class UnrecognisedError(FamilyError):
    """No value of a training sample is among those of an evaluation of the training split."""


class Batches(Protocol):
    """The part of `thalweg.contract.Task` that samples batches."""

    def training_batch(self, data: Any, indices: Indices, keys: Keys) -> Batch:
        """Samples a batch for training."""

    def evaluation_batch(self, data: Any, split: SplitName, indices: Indices) -> Batch:
        """Samples a batch of a split for evaluation."""


def check_splits(task: Batches, data: Data, ignore: frozenset[str] = frozenset()) -> None:
    """Samples all batches and checks that no split holds data of another one.

    Samples are recognised by *pieces* of the tensors that `training_batch` and `evaluation_batch` return under the same
    name: the row of a sample, and each slice of it at one index of one axis, such as a day of a window. So two windows
    that overlap by one day have this day in common. Two pieces are the same if all of their values are equal, bit by
    bit in fp32. A piece identifies a sample if

    - its tensor holds floating-point numbers or bytes, because integers and booleans are classes, masks and dates;
    - it is the same under two keys, because what depends on the key (masks, noise, crops) is not data;
    - it is no simple pattern: at least `MIN_CHANGES` values of a slice, or one of a whole row, differ from the value
      before and are neither 0 nor 1;
    - no two samples that `evaluation_batch` returns for one split have it at the same place, and no sample has it
      twice. This excludes what samples share, such as sky, sea and static attributes.

    Data of which training changes every value, by other units or by noise everywhere, cannot be compared.

    Args:
        task: The task that samples the batches.
        data: What the task opened.
        ignore: Names of tensors that may be equal in different samples, such as the time of the year.

    Raises:
        FamilyError: Training samples have a piece of ``val`` or ``test``, or these two have one in common.
        UnrecognisedError: No piece of a training sample is found among those that `evaluation_batch` returns for
            ``train``.
    """
    trained, names = _sampled_for_training(task, data, ignore)
    evaluated: dict[str, Places] = {}
    common: set[Piece] = set()
    splits: tuple[SplitName, ...] = ("train", "val", "test")
    for split in splits:
        evaluated[split], repeated = _sampled_for_evaluation(task, data, split, names)
        common |= repeated
    pairs: tuple[tuple[str, Places, SplitName], ...] = (
        ("training_batch", trained, "val"),
        ("training_batch", trained, "test"),
        ("evaluation_batch of val", evaluated["val"], "test"),
    )
    for drawn_by, pieces, other in pairs:
        if shared := (pieces.keys() & evaluated[other].keys()) - common:
            raise FamilyError(_leak(drawn_by, pieces, other, evaluated[other], shared))
    if not (trained.keys() & evaluated["train"].keys()) - common:
        raise UnrecognisedError(
            "training samples must be known again in evaluation_batch of train, got no value in common in "
            f"{', '.join(sorted(names)) or 'any tensor'}; draw them from the same split, or give both batches a tensor "
            "that the key does not change"
        )


def _leak(drawn_by: str, pieces: Places, split: str, others: Places, shared: set[Piece]) -> str:
    first = min(shared, key=lambda piece: (pieces[piece][0], piece[0], piece[1]))
    name, axis, _ = first
    (sample, place), (other, there) = pieces[first], others[first]
    here, yonder = ("", "") if axis == WHOLE else (f" at place {place} of axis {axis}", f" at place {there}")
    return (
        f"splits must have nothing in common, got {name!r} of sample {sample}{here} from {drawn_by}, which is that of "
        f"sample {other} of {split}{yonder}; draw each split from its own rows, or name {name!r} in ignore if equal "
        "values do not make samples the same"
    )


def _sampled_for_training(task: Batches, data: Data, ignore: frozenset[str]) -> tuple[Places, frozenset[str]]:
    """Returns the pieces of all training samples that no key changes, and the names of the compared tensors."""
    found: Places = {}
    names: set[str] = set()
    for indices in _chunks(data.num_samples("train")):
        keys = indices.astype(np.uint64)
        batch = task.training_batch(data, indices, keys)
        other = task.training_batch(data, indices, keys + np.uint64(1_000_003))
        for name, tensor in batch.items():
            if name in ignore or not _measures(tensor):
                continue
            names.add(name)
            for piece, sample, place in _pieces(name, tensor, other[name]):
                found.setdefault(piece, (int(indices[sample]), place))
    return found, frozenset(names)


def _sampled_for_evaluation(
    task: Batches, data: Data, split: SplitName, names: frozenset[str]
) -> tuple[Places, set[Piece]]:
    """Returns the pieces of all samples of a split, and those that identify no sample because several have them."""
    found: Places = {}
    repeated: dict[Piece, tuple[set[int], set[int]]] = {}  # samples and places
    common: set[Piece] = set()
    for indices in _chunks(data.num_samples(split)):
        batch = task.evaluation_batch(data, split, indices)
        for name in sorted(names & batch.keys()):
            for piece, row, place in _pieces(name, batch[name], batch[name]):
                sample = int(indices[row])
                if piece not in found:
                    found[piece] = (sample, place)
                    continue
                first_sample, first_place = found[piece]
                samples, places = repeated.setdefault(piece, ({first_sample}, {first_place}))
                if sample in samples or place in places:
                    common.add(piece)
                samples.add(sample)
                places.add(place)
    return found, common


def _chunks(count: int) -> Iterator[Indices]:
    return iter(np.array_split(np.arange(count), range(_CHUNK, count, _CHUNK)) if count else ())


def _measures(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.dtype == torch.uint8


def _pieces(name: str, tensor: Tensor, other: Tensor) -> Iterator[tuple[Piece, int, int]]:
    """Yields the identifying pieces of a tensor (batch, ...) that are the same in the other, with sample and place."""
    values = tensor.detach().cpu().float().numpy() + np.float32(0)  # -0 is 0
    same = (tensor == other).cpu().numpy()
    yield from _hashed(name, WHOLE, values[:, None], same[:, None], min_changes=1)
    for axis in range(1, values.ndim if values.ndim > 2 else 1):
        yield from _hashed(
            name, axis, np.moveaxis(values, axis, 1), np.moveaxis(same, axis, 1), min_changes=MIN_CHANGES
        )


def _hashed(
    name: str, axis: int, values: np.ndarray, same: np.ndarray, *, min_changes: int
) -> Iterator[tuple[Piece, int, int]]:
    """Yields pieces of values (batch, place, ...)."""
    rows = np.ascontiguousarray(values.reshape(*values.shape[:2], -1))
    later = rows[..., 1:]
    changes = ((later != rows[..., :-1]) & (later != 0) & (later != 1)).sum(-1)
    kept = (changes >= min_changes) & same.reshape(rows.shape).all(-1)
    # Without an array for each of many thousand slices.
    content = rows.reshape(-1).view(np.uint8).data
    num_places, size = rows.shape[1], rows.itemsize * rows.shape[2]
    for sample, place in np.argwhere(kept).tolist():
        start = (sample * num_places + place) * size
        # Of the standard library's hashes the quickest on processors that compute it themselves.
        digest = hashlib.sha256(content[start : start + size]).digest()[:_DIGEST_BYTES]
        yield (name, axis, digest), sample, place
