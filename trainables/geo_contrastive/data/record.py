"""What a record of days must hold: the neighbours, negatives and seasons that knobs ask for, and days to forecast.

A distance that no two days have would train without what it names. Windows of forecasts are checked beside them, in
`forecast.windows`.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from thalweg.contract import SplitName
from thalweg.errors import ConfigError
from trainables.geo_contrastive.data.calendars import SEASONS
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.data.pairs import HARD_DAYS, DayIndex, index_of, with_negatives
from trainables.geo_contrastive.data.splits import LEADS, Days
from trainables.geo_contrastive.knobs import PairKnobs


def check_pairs(data: FieldData, pairs: PairKnobs) -> None:
    """Refuses pairs of which the training split holds none.

    Args:
        data: Opened data.
        pairs: Positives and negatives that the objective reads.

    Raises:
        ConfigError: No training day has such a neighbour or negative.
    """
    index = index_of(data, "train")
    longest, span = index.reach, int(index.day[-1] - index.day[0])
    if not longest:
        raise ConfigError(
            f"days of the training split must follow one another for a contrastive objective, got {len(index.day)} "
            "days without a neighbour; set objective.kind to autoencoder"
        )
    if pairs.max_delta > longest:
        raise ConfigError(
            f"pairs.max_delta must be at most the {longest} days to which the longest run of training days reaches, "
            f"got {pairs.max_delta}; set it to {longest} or less"
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
    if (longest := index_of(data, "train").reach) < 2:
        raise ConfigError(
            f"objective.cycle must be off where no training day has one before and one after it, got {cycle} with runs "
            f"of {longest + 1} days at most; set it to off"
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


def leads_without_windows(day: Days, splits: Mapping[SplitName, range]) -> Iterator[str]:
    """Yields a sentence for each split in which no run of days is as long as the last lead of forecasts.

    Args:
        day: Numbers of all days.
        splits: Positions of the days of each split.
    """
    for split, days in splits.items():
        longest = DayIndex.of(day[days.start : days.stop]).reach
        if longest < max(LEADS):
            held = [f"{lead}" for lead in LEADS if lead <= longest]
            yield (
                f"no day of {split} is followed by more than {longest:,} others without a jump: of forecasts "
                f"{', '.join(map(str, LEADS))} days ahead, {split} holds "
                f"{'those ' + ' and '.join(held) + ' ahead alone' if held else 'none'}"
            )
