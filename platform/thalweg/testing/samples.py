"""Checks that opening data is reproducible, and that a training sample depends only on its index and key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from thalweg.contract import Data, SplitName, Task
from thalweg.errors import FamilyError
from thalweg.training.protocol import protocol_hash


def check_data(data: Any) -> None:
    """Checks that opened data tell their fingerprint, their notes and the sizes of their splits.

    Raises:
        FamilyError: They lack one of these, or it is of another kind.
    """
    kind = type(data)
    where = f"{kind.__module__}.{kind.__qualname__}"
    for name, type_, what, way_out in (
        ("fingerprint", str, "a hash of their content", "derive it from what samples are made of"),
        ("notes", tuple, "sentences for their user, often none", "set notes = ()"),
    ):
        found = getattr(data, name, None)
        if not isinstance(found, type_) or found == "":
            raise FamilyError(
                f"opened data must have {name}, {what}, got {'none' if found is None else repr(found)} in {where}; "
                f"{way_out}"
            )
    if not callable(getattr(data, "num_samples", None)):
        raise FamilyError(
            f"opened data must have a method num_samples(split), got none in {where}; return 0 for a split that is "
            "not there"
        )


def check_data_key(task: Task[Any, Any], data: Data, root: Path) -> None:
    """Checks that data sets of two names have two keys if the task opens something else under the other name.

    A lane keeps opened data for all trials with the same key, so that a key that says too little gives a trial the
    data of another one.

    Raises:
        FamilyError: They have one key.
    """
    other = type(task)(task.config.model_copy(update={"dataset": f"{task.config.dataset}-another"}))
    if other.data_key() != task.data_key():
        return
    try:
        is_same = other.open(root).fingerprint == data.fingerprint
    except Exception:  # whatever is raised: it looked for the other data set
        is_same = False
    if not is_same:
        raise FamilyError(
            f"data_key must name everything that open depends on, got {task.data_key()!r} for two data sets, "
            f"{task.config.dataset!r} and {other.config.dataset!r}; put config.dataset into it, and each knob that "
            "changes what is opened"
        )


def check_opening(task: Task[Any, Any], data: Data, root: Path) -> None:
    """Checks that reopened data are the same, and that the splits ``train`` and ``val`` hold samples.

    Args:
        task: The task that opens the data.
        data: What it opened.
        root: The family's data folder.

    Raises:
        FamilyError: The data differ, or a split is empty.
    """
    splits: tuple[SplitName, ...] = ("train", "val")
    for split in splits:
        if data.num_samples(split) < 1:
            raise FamilyError(
                f"the split {split!r} must hold samples, got {data.num_samples(split)}; "
                "let open raise a DataError where data are too few"
            )
    again = type(task)(task.config)
    opened = again.open(root)
    package = type(task.config).__module__.rpartition(".")[0]
    for what, first, second in (
        ("data_key", task.data_key(), again.data_key()),
        ("fingerprint", data.fingerprint, opened.fingerprint),
        ("protocol", protocol_hash(package, task, data), protocol_hash(package, again, opened)),
    ):
        if first != second:
            raise FamilyError(
                f"{what} must be the same for equal configurations and data, got {first!r} and then {second!r}; "
                "derive it from nothing else"
            )


def check_training_samples(task: Task[Any, Any], data: Data) -> None:
    """Checks that a training sample depends only on its index and key, not on the rest of the batch.

    Args:
        task: The task that samples the batches.
        data: What the task opened.

    Raises:
        FamilyError: It depends on something else.
    """
    indices, keys = np.arange(min(3, data.num_samples("train"))), np.array([7, 8, 9], np.uint64)
    keys = keys[: len(indices)]
    everything = task.training_batch(data, indices, keys)
    for sample in (task.training_batch, *(stage.batch for stage in task.stages() if stage.batch)):
        whole = sample(data, indices, keys)
        if other := [
            name
            for name, tensor in whole.items()
            if name not in everything or not torch.equal(tensor, everything[name])
        ]:
            raise FamilyError(
                f"batches of a stage must be parts of training_batch, got another {other[0]!r}; draw it there too"
            )
        for place in reversed(range(len(indices))):
            alone = sample(data, indices[place : place + 1], keys[place : place + 1])
            for name, tensor in alone.items():
                if not torch.equal(whole[name][place : place + 1], tensor):
                    raise FamilyError(
                        f"a training sample must depend on its index and key alone, got {name!r} of sample {place} "
                        "that differs in another batch; draw what is random about it from its key"
                    )
