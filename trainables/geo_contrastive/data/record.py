"""What a record of days must hold: neighbours, negatives and windows that knobs ask for.

A distance that no two days have would train without what it names, and a metric of leads that never come is NaN.
"""

import numpy as np

from thalweg.errors import ConfigError
from trainables.geo_contrastive.data.calendars import SEASONS
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.data.pairs import HARD_DAYS, DayIndex, index_of, with_negatives
from trainables.geo_contrastive.knobs import PairKnobs


def longest_reach(index: DayIndex) -> int:
    """Returns how many days at most follow a day without a jump."""
    return int(index.after.max(initial=0))


def check_pairs(data: FieldData, pairs: PairKnobs) -> None:
    """Refuses pairs of which the training split holds none.

    Args:
        data: Opened data.
        pairs: Positives and negatives that the objective reads.

    Raises:
        ConfigError: No training day has such a neighbour or negative.
    """
    index = index_of(data, "train")
    reach, span = longest_reach(index), int(index.day[-1] - index.day[0])
    if not reach:
        raise ConfigError(
            f"days of the training split must follow one another for a contrastive objective, got {len(index.day)} "
            "days without a neighbour; set objective.kind to autoencoder"
        )
    if pairs.max_delta > reach:
        raise ConfigError(
            f"pairs.max_delta must be at most the {reach} days to which the longest run of training days reaches, got "
            f"{pairs.max_delta}; set it to {reach} or less"
        )
    if pairs.hard_negatives and not with_negatives(index, HARD_DAYS).any():
        raise ConfigError(
            f"pairs.hard_negatives needs training days that lie {HARD_DAYS[0]} to {HARD_DAYS[1]} days apart, got "
            f"{len(index.day)} days over {span} without any; set it to false"
        )
    if pairs.soft_negatives and pairs.soft_gap > span:
        raise ConfigError(
            f"pairs.soft_gap must be at most the {span} days between the first and the last training day, got "
            f"{pairs.soft_gap}; lower it, or set pairs.soft_negatives to false"
        )


def check_curvature(data: FieldData, cycle: str) -> None:
    """Refuses a curvature where no training day has a neighbour on both sides.

    Args:
        data: Opened data.
        cycle: Where curvature is penalised.

    Raises:
        ConfigError: No run of training days is three days long.
    """
    if (reach := longest_reach(index_of(data, "train"))) < 2:
        raise ConfigError(
            f"objective.cycle must be off where no training day has one before and one after it, got {cycle} with runs "
            f"of {reach + 1} days at most; set it to off"
        )


def check_seasons(data: FieldData, needed_by: str) -> None:
    """Refuses a training split of a single season, among which nothing can be told apart.

    Args:
        data: Opened data.
        needed_by: The knob that tells seasons apart, with its value.

    Raises:
        ConfigError: There is one season only.
    """
    days = data.days["train"]
    found = [SEASONS[number] for number in np.unique(data.season[days.start : days.stop])]
    if len(found) < 2:
        raise ConfigError(
            f"{needed_by} needs training days of at least 2 seasons, got {found[0] if found else 'none'} alone; import "
            f"a longer record, or choose another {needed_by.partition(' ')[0]}"
        )
