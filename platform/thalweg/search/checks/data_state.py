"""Whether a search would start, and whether its data are there and can be read."""

from __future__ import annotations

import numpy as np

from thalweg.contract import SplitName
from thalweg.search.checks.examined import Examined, spread
from thalweg.search.checks.judgement import Deadline, Judgement
from thalweg.search.preflight import searched_seeds

NUM_READ = 16
"""Samples of each split that are read."""


def judge_start(examined: Examined, deadline: Deadline) -> Judgement:
    """Judges what a search checks before it books anything: objective, protocol, data set, batches and stages.

    Raises:
        ThalwegError: A search would refuse the space.
    """
    prepared = examined.prepared
    lacking = examined.lacking
    inherits = (
        f"a search would not start: {lacking}; the checks below take configurations as they are, without the knobs and "
        "weights of that study"
    )
    return Judgement(
        check="start",
        warnings=((inherits,) if lacking else ()) + tuple(searched_seeds(examined.space)),
        told=f"objective {prepared.metric.name}, protocol {prepared.tags['protocol_hash']}",
        numbers={"protocol_hash": prepared.tags["protocol_hash"]},
    )


def judge_data(examined: Examined, deadline: Deadline) -> Judgement:
    """Reads samples of each split, spread over all of it.

    Raises:
        ThalwegError: They cannot be read.
    """
    task = examined.task(examined.prepared.config)
    data = examined.data(task)
    sizes: dict[SplitName, int] = {}
    splits: tuple[SplitName, ...] = ("train", "val", "test")
    for split in splits:
        sizes[split] = data.num_samples(split)
        for number in spread(sizes[split], NUM_READ):
            if split == "train":
                task.training_batch(data, np.array([number]), np.array([1], np.uint64))
            task.evaluation_batch(data, split, np.array([number]))
            if deadline.has_passed:
                break
    written = ", ".join(f"{count:,} {split}" for split, count in sizes.items() if count)
    return Judgement(
        check="data",
        told=f"{task.config.dataset}, {written} samples, fingerprint {data.fingerprint[:12]}",
        notes=tuple(data.notes),
        numbers={"data_set": task.config.dataset, "fingerprint": data.fingerprint, "samples": sizes},
    )
