"""Questions that search spaces share: each function asks a trial, and returns a part of a configuration.

A prefix stands before the names of the parameters, so that a space may ask one question twice::

    def space(trial: Trial) -> WaterMAE:
        shown = masking(trial, low=0.15, high=0.85)
        optimization = optimizer(trial, batch_size=[4, 8, 16], lr=(1e-5, 1e-3))
        temperature = schedule(trial, "temperature_", start=(0.1, 0.5), end=(0.02, 0.1), log=True)
        loss = {"contrastive_weight": 0.1, "contrastive_temperature": temperature}
        return PRESETS["tiny"].vary(masking=shown, optimization=optimization, loss=loss)

A function asks in the order of its arguments. Those that are left out are not asked, and stay what the preset says.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from thalweg.config import Knobs
from thalweg.knobs.scheduled import Shape
from thalweg.study import Number, Trial

Range: TypeAlias = tuple[Number, Number]
"""Smallest and largest value."""


def schedule(
    trial: Trial,
    prefix: str,
    *,
    start: Range | Number,
    end: Range | Number,
    shape: Sequence[Shape] = ("exponential", "linear", "cosine", "step"),
    half_point: Range = (0.05, 0.95),
    floor: Range | None = None,
    log: bool = False,
) -> dict[str, Any]:
    """Asks for a schedule, under the names ``PREFIXstart``, ``PREFIXend`` and so on.

    Start and end should have ranges with different middles, which a space is first tried with: a schedule between equal
    values has no course, and `thalweg check` would call its shape dead.

    Args:
        trial: The trial.
        prefix: What stands before the names, such as ``"temperature_"``.
        start: Range of the value at the beginning, or the value.
        end: Range of the value that it goes to, or the value.
        shape: Courses to choose from; one alone is not asked.
        half_point: Range of the share of the stage at half-way, searched on a logarithmic scale.
        floor: Range of the floor, as a share of the way from the smaller of start and end to the larger; None for no
            floor.
        log: Whether start and end are searched on a logarithmic scale.

    Returns:
        Knobs of a `thalweg.knobs.scheduled.Schedule`.
    """

    def value(name: str, domain: Range | Number) -> Number:
        return (
            trial.suggest_float(f"{prefix}{name}", *domain, log=log) if isinstance(domain, tuple) else domain
        )

    knobs: dict[str, Any] = {"start": value("start", start), "end": value("end", end)}
    one = len(shape) == 1
    knobs["shape"] = shape[0] if one else trial.suggest_categorical(f"{prefix}shape", shape)
    knobs["half_point"] = trial.suggest_float(f"{prefix}half_point", *half_point, log=True)
    if floor is not None:
        low, high = sorted((knobs["start"], knobs["end"]))
        knobs["floor"] = low + trial.suggest_float(f"{prefix}floor", *floor) * (high - low)
    return knobs


def optimizer(
    trial: Trial,
    prefix: str = "",
    *,
    batch_size: Sequence[int] = (),
    lr_schedule: Sequence[str] = (),
    lr: Range | None = None,
    warmup_ratio: Range | None = None,
    weight_decay: Range | None = None,
    max_micro_batch: int | None = None,
) -> dict[str, Any]:
    """Asks for the optimizer: batch, schedule, learning rate, warm-up, weight decay.

    Whether weights decay at all is a question of its own, ``PREFIXdecays``, before the learning rate: the strength is
    searched on a logarithmic scale, on which there is no 0. A constant learning rate has no warm-up.

    Args:
        trial: The trial.
        prefix: What stands before the names.
        batch_size: Samples of a batch.
        lr_schedule: Learning-rate schedules.
        lr: Range of the learning rate, on a logarithmic scale.
        warmup_ratio: Range of the share of a stage in which the learning rate rises.
        weight_decay: Range of the weight decay if there is any, on a logarithmic scale.
        max_micro_batch: Samples of the largest forward pass, so that memory does not limit the batch.

    Returns:
        Knobs of `thalweg.config.Optimization`.
    """
    knobs: dict[str, Any] = {}
    if batch_size:
        knobs["batch_size"] = trial.suggest_categorical(f"{prefix}batch_size", batch_size)
        if max_micro_batch is not None:
            knobs["micro_batch_size"] = min(knobs["batch_size"], max_micro_batch)
    if lr_schedule:
        knobs["lr_schedule"] = trial.suggest_categorical(f"{prefix}lr_schedule", lr_schedule)
    decays = weight_decay is not None and trial.suggest_categorical(f"{prefix}decays", [False, True])
    if lr is not None:
        knobs["lr"] = trial.suggest_float(f"{prefix}lr", *lr, log=True)
    if warmup_ratio is not None:
        rises = knobs.get("lr_schedule") != "constant"
        knobs["warmup_ratio"] = trial.suggest_float(f"{prefix}warmup_ratio", *warmup_ratio) if rises else 0.0
    if weight_decay is not None:
        asked = decays and trial.suggest_float(f"{prefix}weight_decay", *weight_decay, log=True)
        knobs["weight_decay"] = float(asked)
    return knobs


def masking(
    trial: Trial, prefix: str = "", *, low: Number, high: Number, kinds: Iterable[str] = ("image", "vector")
) -> dict[str, Any]:
    """Asks for the share that is hidden of each kind of patches, ``PREFIXKIND_mask_ratio``.

    Args:
        trial: The trial.
        prefix: What stands before the names.
        low: Smallest share.
        high: Largest share.
        kinds: Kinds of patches.

    Returns:
        Knobs ``KIND_mask_ratio``.
    """
    return {
        f"{kind}_mask_ratio": trial.suggest_float(f"{prefix}{kind}_mask_ratio", low, high) for kind in kinds
    }


def fusion(
    trial: Trial, group: Knobs, kinds: Sequence[str], prefix: str = "", **choices: Sequence[Any] | range
) -> dict[str, Any]:
    """Asks for a kind of fusion, ``PREFIXfusion``, and for those of its knobs that this kind reads.

    What a kind reads is what `Knobs.idle` of the group does not name.

    Args:
        trial: The trial.
        group: A group of knobs with a field ``kind``.
        kinds: Kinds to choose from.
        prefix: What stands before the names.
        **choices: Choices of further knobs, or a range of whole numbers.

    Returns:
        Knobs of the group.
    """
    kind = trial.suggest_categorical(f"{prefix}fusion", kinds)
    idle = group.vary(kind=kind).idle()
    knobs: dict[str, Any] = {"kind": kind}
    for name, values in choices.items():
        if name in idle:
            continue
        knobs[name] = (
            trial.suggest_int(f"{prefix}{name}", values.start, values[-1], step=values.step)
            if isinstance(values, range)
            else trial.suggest_categorical(f"{prefix}{name}", values)
        )
    return knobs
