"""The circumstances of a trial, on which its numbers depend beside its configuration, as its record keeps them.

They are a list of stretches of the training, for they may change within a trial: it went on with other workers, or in
smaller micro-batches after its memory had run out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from thalweg.training.messages import Report

SINCE = "since"
"""Key of a stretch: samples of its first evaluation."""
DATA, DEVICE, WORKERS, MICRO_BATCH = "data_fingerprint", "device", "world_size", "micro_batch_size"
THREADS = "num_threads"
KEPT = (
    DATA,
    DEVICE,
    WORKERS,
    MICRO_BATCH,
    THREADS,
    "version/torch",
    "version/deepspeed",
    "version/numpy",
    "version/thalweg",
    "platform_code",
    "python",
    "processor",
)

Stretch = Mapping[str, Any]
"""Samples of its first evaluation under `SINCE`, and circumstances by the names of a report's provenance."""


def extended(known: Sequence[Stretch], report: Report) -> list[Stretch] | None:
    """Returns the stretches of a trial with that of an evaluation; None if it belongs to the last one that is known.

    Args:
        known: Stretches so far.
        report: The evaluation.
    """
    found = {name: report.provenance[name] for name in KEPT if name in report.provenance}
    last = {name: value for name, value in known[-1].items() if name != SINCE} if known else {}
    return None if found == last else [*known, {SINCE: report.samples, **found}]


def cut(known: Sequence[Stretch], samples: int | None) -> list[Stretch]:
    """Returns the stretches up to a checkpoint.

    Args:
        known: Stretches of a trial.
        samples: Samples at the checkpoint; None keeps all of them.
    """
    return [one for one in known if samples is None or one[SINCE] <= samples]


def at(known: Sequence[Stretch], samples: int) -> Stretch:
    """Returns the stretch to which an evaluation belongs; an empty one if it is not recorded."""
    return next((one for one in reversed(known) if one[SINCE] <= samples), {})
