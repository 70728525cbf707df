"""Which days a forecast reads and which it is for: on one side of every jump, in one split."""

from dataclasses import dataclass
from typing import get_args

import numpy as np
from jaxtyping import Bool, Int64

from thalweg.contract import Indices
from thalweg.errors import ConfigError
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.data.pairs import DayIndex, index_of
from trainables.geo_contrastive.data.splits import LEADS
from trainables.geo_contrastive.forecast.knobs import ForecastKnobs

_MIN_STRETCHES, _MAX_STRETCHES = 5, 20
_MIN_DAYS = 30  # of a stretch, three times the last lead, or twice the stride
_STRIDES = get_args(ForecastKnobs.model_fields["stride"].annotation)
_EVERY, _FIRST = 5, 2  # stretches that are left out


@dataclass(frozen=True)
class Window:
    """Positions of days in a split, one row for each day on which a forecast is issued.

    Attributes:
        context: Days that are read, the oldest first, ending with the day of issue.
        ahead: Days that are forecast; the day of issue where there is none.
        exists: Whether there is such a day to come.
    """

    context: Int64[np.ndarray, "batch context"]
    ahead: Int64[np.ndarray, "batch ahead"]
    exists: Bool[np.ndarray, "batch ahead"]


def window(
    index: DayIndex, indices: Indices, *, context: int, stride: int, ahead: Int64[np.ndarray, " ahead"]
) -> Window:
    """Returns the days around days of issue.

    Every day is a day of issue, whatever the context: where the record does not reach back far enough, the oldest day
    of the context that it holds stands for those before it.

    Args:
        index: The split.
        indices: Positions of the days of issue.
        context: Number of days that are read.
        stride: Distance of these days.
        ahead: Distances of the days that are forecast, in days.
    """
    back = stride * np.arange(context - 1, -1, -1)
    reach = index.before[indices] // stride * stride
    exists = ahead <= index.after[indices][:, None]
    return Window(
        context=indices[:, None] - np.minimum(back, reach[:, None]),
        ahead=indices[:, None] + ahead * exists,
        exists=exists,
    )


def num_steps(stride: int) -> int:
    """Returns how many steps the last lead takes.

    Args:
        stride: Days of a step.
    """
    return -(-max(LEADS) // stride)


def left_out(
    positions: Int64[np.ndarray, "*shape"], num_days: int, stride: int
) -> Bool[np.ndarray, "*shape"]:
    """Returns which training days the network does not learn from: about a fifth, in stretches over all of the time.

    Args:
        positions: Positions in the split ``train``.
        num_days: Days of the split.
        stride: Days of a step, which must fit into a stretch.
    """
    most = num_days // max(_MIN_DAYS, 2 * stride)
    count = min(max(most, _MIN_STRETCHES), _MAX_STRETCHES)
    chosen: Bool[np.ndarray, "*shape"] = positions * count // num_days % _EVERY == _FIRST
    return chosen


def is_judged(index: DayIndex, stride: int) -> bool:
    """Returns whether any forecast of training days is of a day left out, issued on one: of no other the trust learns.

    Args:
        index: The split ``train``.
        stride: Days of a step.
    """
    count = len(index.day)
    every = np.arange(count)
    steps = stride * np.arange(1, num_steps(stride) + 1)
    found = window(index, every, context=1, stride=stride, ahead=steps)
    both = left_out(every, count, stride)[:, None] & left_out(found.ahead, count, stride)
    return bool((found.exists & both).any())


def check_windows(data: FieldData, knobs: ForecastKnobs) -> None:
    """Refuses windows that no run of days holds: their oldest or last day would stand for days that do not exist.

    Refuses steps that no stretch of days left out holds, too: forecasts would never come to trust the network, and no
    knob of it would change any.

    Args:
        data: Opened data.
        knobs: Context, stride and horizon.

    Raises:
        ConfigError: Context or horizon reach further than the longest run of training days, or no forecast is one of
            days left out.
    """
    index = index_of(data, "train")
    longest = index.reach
    for name, steps in (("context", knobs.context - 1), ("horizon", knobs.horizon)):
        if steps * knobs.stride > longest:
            raise ConfigError(
                f"downstream.{name} and downstream.stride must span at most the {longest} days to which the longest "
                f"run of training days reaches, got {steps * knobs.stride} days with {name} {getattr(knobs, name)} and "
                f"stride {knobs.stride}; lower one of them"
            )
    if not is_judged(index, knobs.stride):
        shorter = [stride for stride in _STRIDES if stride < knobs.stride and is_judged(index, stride)]
        lower = f"lower it to {max(shorter)}, or " if shorter else ""
        raise ConfigError(
            "downstream.stride must fit into a stretch of the training days that the network does not learn from, by "
            f"which forecasts come to trust it, got {knobs.stride} with {len(index.day):,} training days "
            f"in runs of at most {longest + 1:,}; {lower}import a longer record"
        )
