"""The data of contrastive weather fields: normalised days of variables, each on its grid."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int64

from thalweg.contract import SplitName
from trainables.geo_contrastive.data.grids import Grid


@dataclass(frozen=True)
class Variable:
    """A variable of a data set.

    Attributes:
        name: Its name in the data set.
        unit: Its unit, ``1`` for a dimensionless number, empty if the source did not say.
        level: Its level, such as ``850 hPa``; None at the surface, or if the source did not say.
        grid: Name of its grid.
        mean: Mean of all valid cells and training days.
        std: Standard deviation of the same.
    """

    name: str
    unit: str
    level: str | None
    grid: str
    mean: float
    std: float


@dataclass(frozen=True)
class FieldData:
    """Daily fields; large arrays stay in the store and are shared by all processes.

    Mappings by variable are in the order of the configuration's variables.

    Attributes:
        variables: The variables.
        grids: The grids that the variables lie on.
        fields: z-scores by the training split; 0 where a cell is not valid.
        valid: False at sea, or wherever a variable has data on less than half of the days.
        climatology: Mean of each day of the year over the training split, smoothed, in z-scores.
        day: Days since 1970-01-01 in the data set's calendar. Days that follow each other differ by 1; larger
            differences are jumps.
        season: 0 in December to February, 1 in March to May, 2 in June to August, 3 in September to November.
        day_of_year: Days since 1 January, 0 to 365.
        year: Calendar year.
        days: Positions of the days of each split, in the order of time.
        fingerprint: Hash of the days, fields and validity.
        notes: Sentences for users of the data, such as which days were left out.
    """

    variables: Mapping[str, Variable]
    grids: Mapping[str, Grid]
    fields: Mapping[str, Float32[np.ndarray, "day _lon _lat"]]
    valid: Mapping[str, Bool[np.ndarray, "_lon _lat"]]
    climatology: Mapping[str, Float32[np.ndarray, "366 _lon _lat"]]
    day: Int64[np.ndarray, " day"]
    season: Int64[np.ndarray, " day"]
    day_of_year: Int64[np.ndarray, " day"]
    year: Int64[np.ndarray, " day"]
    days: Mapping[SplitName, range]
    fingerprint: str
    notes: tuple[str, ...] = ()

    @property
    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """The variables of each grid, in order."""
        return {
            grid: tuple(name for name, variable in self.variables.items() if variable.grid == grid)
            for grid in self.grids
        }

    def num_samples(self, split: SplitName) -> int:
        """Returns the number of days of a split."""
        return len(self.days[split]) if split in self.days else 0


def split_days(num_days: int) -> dict[SplitName, range]:
    """Splits days in the order of time: three fifths, one fifth and the rest.

    The reference data set of 23,386 days has 14,031, 4,677 and 4,678.
    """
    train, val = num_days * 3 // 5, num_days // 5
    return {
        "train": range(train),
        "val": range(train, train + val),
        "test": range(train + val, num_days),
    }
