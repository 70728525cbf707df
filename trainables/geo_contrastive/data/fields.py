"""The data of contrastive weather fields: normalised days of variables, each on its grid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int64

from thalweg.contract import SplitName
from thalweg.data.store import Store, StoreWriter, content_hashes, key_of, open_store
from trainables.geo_contrastive.data.grids import Grid
from trainables.geo_contrastive.data.layout import TABLE, find_fields, read_table
from trainables.geo_contrastive.data.prepare import prepare
from trainables.geo_contrastive.data.splits import SPLITS
from trainables.geo_contrastive.knobs import DataKnobs

FORMAT = 1
"""Version of the store's format, which `prepare` writes; part of its key."""


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
        range: Largest minus smallest of the same, in standard deviations.
    """

    name: str
    unit: str
    level: str | None
    grid: str
    mean: float
    std: float
    range: float


@dataclass(frozen=True)
class FieldData:
    """Daily fields; large arrays stay in the store and are shared by all processes.

    Mappings by variable are in the order of the configuration's variables.

    Attributes:
        variables: The variables.
        grids: The grids that the variables lie on.
        fields: z-scores by the training split; 0 in cells that are not valid.
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
        fitted: Runs of days, as in `day`, that z-scores and climatology were computed from; empty if a store of an
            earlier version does not tell.
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
    fitted: tuple[Sequence[int], ...] = ()

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


def open_fields(root: Path, dataset: str, knobs: DataKnobs) -> FieldData:
    """Opens a data set; the first time, checks it and prepares its store.

    Args:
        root: The family's data folder.
        dataset: Name of a folder below it.
        knobs: Which variables.

    Raises:
        DataError: Files are missing or broken.
        OutputError: The store cannot be written.
    """
    folder = root / dataset
    contents = read_table(folder)
    paths = find_fields(folder, contents, sorted(knobs.variables))
    stores = folder / ".store"
    key = key_of({"format": FORMAT, "files": content_hashes({**paths, TABLE: folder / TABLE}, stores)})

    def fill(writer: StoreWriter) -> dict[str, Any]:
        return prepare(writer, paths, contents)

    return _serve(open_store(stores, key, fill), knobs.variables)


def _serve(store: Store, names: tuple[str, ...]) -> FieldData:
    arrays, metadata = store.arrays, store.metadata
    variables = {name: Variable(name=name, **metadata["variables"][name]) for name in names}
    grids = {
        grid: Grid(grid, arrays[f"first_{grid}"], arrays[f"second_{grid}"], metadata["geographic"][grid])
        for grid in dict.fromkeys(variable.grid for variable in variables.values())
    }
    days = {split: range(*metadata["splits"][split]) for split in SPLITS}
    return FieldData(
        variables=variables,
        grids=grids,
        fields={name: arrays[f"fields_{name}"] for name in names},
        valid={name: arrays[f"valid_{name}"] for name in names},
        climatology={name: arrays[f"climatology_{name}"] for name in names},
        **{name: arrays[name] for name in ("day", "season", "day_of_year", "year")},
        days=days,
        fingerprint=metadata["content"],
        notes=tuple(metadata["notes"]),
        fitted=tuple(metadata.get("fitted", ())),
    )
