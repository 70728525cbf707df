"""Which days a forecast reads and which it is for: on one side of every jump, in one split."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from thalweg.contract import Indices
from thalweg.errors import ConfigError, DataError
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.data.pairs import DayIndex, index_of
from trainables.geo_contrastive.data.record import longest_reach
from trainables.geo_contrastive.forecast.knobs import ForecastKnobs


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


def check_windows(data: FieldData, knobs: ForecastKnobs, max_lead: int) -> None:
    """Refuses windows that no run of days holds: their oldest or last day would stand for days that do not exist.

    Args:
        data: Opened data.
        knobs: Context, stride and horizon.
        max_lead: Days ahead of the last forecast in evaluation.

    Raises:
        ConfigError: Context or horizon reach further than the longest run of training days.
        DataError: No run of validation days is long enough to be evaluated on.
    """
    reach = longest_reach(index_of(data, "train"))
    for name, steps in (("context", knobs.context - 1), ("horizon", knobs.horizon)):
        if steps * knobs.stride > reach:
            raise ConfigError(
                f"downstream.{name} and downstream.stride must span at most the {reach} days to which the longest run "
                f"of training days reaches, got {steps * knobs.stride} days with {name} {getattr(knobs, name)} and "
                f"stride {knobs.stride}; lower one of them"
            )
    if (known := longest_reach(index_of(data, "val"))) < max_lead:
        raise DataError(
            f"forecasts must be evaluated {max_lead} days ahead, got validation days that reach {known} days ahead at "
            "most; import a longer record"
        )
