"""Knobs of the data: modalities as rows, attributes, windows, patches; the published experiment is the default.

A modality is a gridded *field* or a *series* of catchments. Code names none of them: everything about one is in its
row.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from thalweg.config import Knobs
from thalweg.data.bounds import Bounds

Filling = Literal["refuse", "zero", "nearest", "median"]

MM_PER_DAY = (
    *("mm", "mm/d", "mm day-1", "mm d-1", "mm per day", "millimeters", "millimetres"),
    *("kg m-2", "kg/m2", "kg m-2 day-1", "kg m-2 d-1", "kg/m2/day", "kg/m2/d"),
)
"""Other names of mm/day in files of daily amounts."""
PLAUSIBLE: Mapping[str, tuple[Bounds, ...]] = {
    "precipitation": (
        Bounds("mm/day", 0, 2000, MM_PER_DAY),
        Bounds("kg m-2 s-1", 0, 2000 / 86400, ("kg/m2/s", "mm/s", "mm s-1")),
        Bounds("m/day", 0, 2, ("m", "m d-1", "m day-1")),
    ),
    "soil_moisture": (
        Bounds(
            "1",
            0,
            1,
            ("m3 m-3", "m3/m3", "cm3/cm3", "fraction", "share", "volumetric", "-", "dimensionless", "none"),
        ),
        Bounds("mm", 0, 5000, ("kg m-2", "kg/m2")),
        Bounds("%", 0, 100, ("percent",)),
    ),
    "temperature": (
        Bounds(
            "degC",
            -100,
            100,
            (
                "C",
                "\N{DEGREE SIGN}C",
                "celsius",
                "degree celsius",
                "degrees celsius",
                "degree_C",
                "degrees_C",
            ),
        ),
        Bounds("K", 150, 350, ("kelvin", "degK", "deg_K", "degrees kelvin")),
    ),
    "evaporation": (Bounds("mm/day", -100, 100, MM_PER_DAY),),
    "river_flow": (Bounds("mm/day", 0, 5000, MM_PER_DAY),),
}
"""Plausible range of each known quantity, by unit, the usual one first.

The wettest day on record had 1,825 mm (WMO, Foc-Foc 1966); saturation, field capacity and volume are shares.
"""
NRFA_ATTRIBUTES = (
    "latitude",
    "longitude",
    "minimum-altitude",
    "maximum-altitude",
    "50-percentile-altitude",
    "10-percentile-altitude",
    "90-percentile-altitude",
    "catchment-area",
    "dpsbar",
    "propwet",
    "bfihost",
)
"""Catchment attributes of the UK National River Flow Archive, in the order in which the published model sees them."""

_LARGEST = 3e38  # near the largest single-precision number


class Modality(Knobs):
    """A quantity that is reconstructed: a gridded field or a series of catchments."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)
    """Name in files, losses and metrics: lower-case letters, digits and underscores."""
    kind: Literal["field", "series"]
    """A field has a value in each grid cell, a series in each catchment."""
    unit: str = ""
    """Unit of the values; files that declare another one are refused.

    A precipitation, soil moisture, temperature, evaporation or river flow without bounds of its own may be in any usual
    unit of that quantity. Empty takes the unit that the files declare.
    """
    low: float | None = None
    """Smallest plausible value; None takes that of a known quantity, or no bound."""
    high: float | None = None
    """Largest plausible value; None takes that of a known quantity, or no bound."""
    transform: Literal["none", "log"] = "none"
    """Transform before normalisation: log takes log(value + floor), for skewed quantities without negative values."""
    floor: float = Field(1e-6, gt=0)
    """Added before the logarithm, in the unit of the data; rivers that fall dry want about their smallest flow."""
    fill: Filling = "refuse"
    """Fill value of land cells of a field without data, as for `DataKnobs.fill_precipitation`."""

    def __str__(self) -> str:
        """Returns the row in a few words: ``river_flow (series, mm/day, log)``."""
        about = [
            self.kind,
            *([self.unit] if self.unit else []),
            *(["log"] if self.transform == "log" else []),
        ]
        return f"{self.name} ({', '.join(about)})"

    def idle(self) -> tuple[str, ...]:
        """Returns the floor without a logarithm, and the fill value of a series, whose gaps are never shown."""
        return ("floor",) * (self.transform == "none") + ("fill",) * (self.kind == "series")

    @property
    def bounds(self) -> tuple[Bounds, ...]:
        """Plausible range in each unit that files may have, the preferred one first."""
        known = PLAUSIBLE.get(self.name, ()) if self.low is None and self.high is None else ()
        preferred = [each for each in known if not self.unit or each.is_called(self.unit)]
        if preferred:
            return (*preferred, *(each for each in known if each not in preferred))
        low, high = (
            -_LARGEST if self.low is None else self.low,
            _LARGEST if self.high is None else self.high,
        )
        return (Bounds(self.unit, low, high, _spellings(self.unit)),)

    def declared(self, unit: str) -> Self:
        """Returns the row with the unit that files declare, if it names none and the quantity is not a known one."""
        known = self.name in PLAUSIBLE and self.low is None and self.high is None
        return self if self.unit or known or not unit else self.vary(unit=unit)

    @property
    def is_positive(self) -> bool:
        """Whether the quantity has no negative values, so that ratios of its means are meaningful."""
        return self.bounds[0].low >= 0

    @property
    def is_flux(self) -> bool:
        """Whether values are amounts per day, not states."""
        return self.bounds[0].unit.replace(" ", "").endswith(("/day", "/d", "day-1", "d-1"))

    @property
    def is_persistent(self) -> bool:
        """Whether a catchment's value changes little from day to day: states, and logarithms such as that of flow."""
        return self.kind == "series" and (self.transform == "log" or not self.is_flux)

    @property
    def is_skewed(self) -> bool:
        """Whether a few large values would give all others one colour: logarithms, and fields of amounts."""
        return self.transform == "log" or (self.kind == "field" and self.is_flux)

    @property
    def words(self) -> str:
        """The name for people, after the transform: ``log river flow``."""
        return f"{'log ' if self.transform == 'log' else ''}{self.name.replace('_', ' ')}"

    @model_validator(mode="after")
    def _bounds_and_logarithm_fit(self) -> Self:
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low must be below high, got {self.low:g} and {self.high:g} for {self.name}")
        if self.transform == "log" and not self.is_positive:
            raise ValueError(
                f"low must be at least 0 with the transform log, got {self.low} for {self.name}; give low, or take "
                "the transform none"
            )
        if self.kind == "series" and self.fill != "refuse":
            raise ValueError(
                f"fill must be left out of a series, for it would change nothing, got {self.fill!r} for {self.name}; "
                "gaps of catchments are never shown"
            )
        return self


def _spellings(unit: str) -> tuple[str, ...]:
    """Returns all known names of a unit."""
    alike = [each for known in PLAUSIBLE.values() for each in known if unit and each.is_called(unit)]
    return tuple(name for each in alike for name in (each.unit, *each.spellings))


PUBLISHED = (
    Modality(name="precipitation", kind="field", unit="mm/day"),
    Modality(name="soil_moisture", kind="field", unit="1"),
    Modality(name="temperature", kind="field", unit="degC"),
    Modality(name="evaporation", kind="series", unit="mm/day"),
    Modality(name="river_flow", kind="series", unit="mm/day", transform="log"),
)
"""The modalities of the published experiment."""


class Place(NamedTuple):
    """Where a batch holds a modality: ``{kind}s``, ``{kind}_keep`` and so on, at a position of the second axis."""

    kind: Literal["image", "vector"]
    position: int


@dataclass(frozen=True)
class ModalitySet:
    """The modalities of a data set.

    Args:
        rows: Their rows; fields come first, then series, each in the order given.
    """

    rows: tuple[Modality, ...]

    @classmethod
    def of(cls, rows: Sequence[Modality]) -> Self:
        """Returns the set of some rows."""
        return cls(tuple(sorted(rows, key=lambda row: row.kind != "field")))

    def declared(self, units: Mapping[str, str]) -> "ModalitySet":
        """Returns the set with the units that files declare, by name of the modality; see `Modality.declared`."""
        return ModalitySet(tuple(row.declared(units.get(row.name, "")) for row in self.rows))

    def __iter__(self) -> Iterator[Modality]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> Modality:
        return next(row for row in self.rows if row.name == name)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All names, fields first."""
        return tuple(row.name for row in self.rows)

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields."""
        return tuple(row.name for row in self.rows if row.kind == "field")

    @cached_property
    def series(self) -> tuple[str, ...]:
        """Names of the series."""
        return tuple(row.name for row in self.rows if row.kind == "series")

    @cached_property
    def places(self) -> Mapping[str, Place]:
        """Place in a batch of each modality, by name."""
        return {name: Place("image", index) for index, name in enumerate(self.fields)} | {
            name: Place("vector", index) for index, name in enumerate(self.series)
        }

    def of_kind(self, kind: str) -> tuple[str, ...]:
        """Returns the names of the modalities that a batch holds as ``image`` or ``vector``."""
        return self.fields if kind == "image" else self.series

    def index(self, name: str) -> int:
        """Returns the position of a modality among all."""
        return self.names.index(name)

    @cached_property
    def measured(self) -> tuple[str, ...]:
        """Series without negative values, of which efficiencies are computed."""
        return tuple(row.name for row in self.rows if row.kind == "series" and row.is_positive)


PUBLISHED_SET = ModalitySet.of(PUBLISHED)


def require_different_names(rows: Sequence[Modality]) -> None:
    """Refuses no rows at all, and names that are there twice.

    Raises:
        ValueError: They are refused.
    """
    names = [row.name for row in rows]
    if not names:
        raise ValueError("modalities must hold at least one field or series, got none; add one")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"modalities must have different names, got {', '.join(twice)} several times")


class DataKnobs(Knobs):
    """How days, grid cells and catchments become samples; the evaluation depends on these knobs too."""

    added: ClassVar[frozenset[str]] = frozenset({"modalities", "attributes"})

    modalities: tuple[Modality, ...] = PUBLISHED
    """What is reconstructed: a row for each field and series. The default is the published five.

    There may be fields alone, or series alone, as of gauges without maps. A field is found by its name in the names of
    files, a series by its name among the columns. A row is a `trainables.water_mae.knobs.Modality`: name, kind, unit,
    low, high, transform, floor and fill.
    """
    attributes: tuple[str, ...] = NRFA_ATTRIBUTES
    """Columns of the attribute table that describe catchments to the model; the default is that of Great Britain.

    Without any, () here, the model tells catchments apart by their place in vector patches and their series only.
    """
    sequence_length: int = Field(default=30, ge=1, le=366, json_schema_extra={"unit": "d"})
    """Days in a window.

    A trial is evaluated on windows of this length, and longer windows show more days around a masked patch. So trials
    of different lengths cannot be compared, and the length belongs to the protocol.
    """
    stride: int = Field(default=20, ge=1, le=366, json_schema_extra={"unit": "d"})
    """Days between the first days of neighbouring training windows; at most `sequence_length`.

    Evaluations do not depend on it. The budget counts samples, so a smaller stride does not mean more training.
    """
    evaluation_stride: int | None = Field(default=None, ge=1, le=366, json_schema_extra={"unit": "d"})
    """Days between the first days of neighbouring windows of an evaluation; at most `sequence_length`.

    None takes two thirds of `sequence_length`, the published 20 of 30.
    """
    patch_size: int = Field(default=10, ge=1, le=64, json_schema_extra={"unit": "cells"})
    """Side of a square image patch, in grid cells."""
    vector_patch_size: int = Field(default=8, ge=1, le=256, json_schema_extra={"unit": "catchments"})
    """Catchments in a vector patch; the last one is padded.

    With fewer than twice as many catchments it is lowered to half of them, so that some are seen and some are hidden.
    Evaluations hide whole patches, and larger patches hide more neighbours at once, so trials of different sizes cannot
    be compared.
    """
    land_threshold: float = Field(default=0.5, gt=0, le=1)
    """Smallest share of land cells of an image patch that is kept.

    It decides which cells are reconstructed and evaluated, so trials of different thresholds cannot be compared.
    """
    max_missing_ratio: float = Field(default=0.05, ge=0, le=1)
    """Largest share of missing days of a series of a catchment that is kept.

    On a missing day a catchment is left out of its vector patch; forecasts start from its last observed day.
    """
    max_common_gap: int = Field(default=7, ge=0, le=366, json_schema_extra={"unit": "d"})
    """Longest run of days without any data of a modality that a window may contain.

    The modality is hidden on such days. A window that overlaps a longer run lacks the modality altogether, and so does
    a window that consists of such days.
    """
    fill_precipitation: Filling = "refuse"
    """Fill value of land cells without precipitation: 0, or the nearest cell or the median of the cell's own patch.

    A field of another name has it in its row, as `fill`.
    Filled values come from the same day, so that they are masked with the values that they come from. They enter
    no statistics, losses or metrics. A patch without any data on a day is not shown.
    """
    fill_soil_moisture: Filling = "refuse"
    """Fill value of land cells without soil moisture."""
    fill_temperature: Filling = "refuse"
    """Fill value of land cells without temperature."""
    stored_as: Literal["float32", "float16"] = "float32"
    """Number format of the prepared days and of batches.

    float16 halves their size and rounds the values; the study reports by how much.
    """

    @property
    def evaluated_every(self) -> int:
        """Days between the first days of neighbouring windows of an evaluation."""
        return self.evaluation_stride or max(self.sequence_length * 2 // 3, 1)

    @property
    def modality_set(self) -> ModalitySet:
        """The modalities, fields first."""
        return ModalitySet.of(self.modalities)

    @property
    def described_by(self) -> tuple[str, ...]:
        """Attributes of the catchments, if there are catchments."""
        return self.attributes if self.modality_set.series else ()

    def filling(self, name: str) -> Filling:
        """Returns the fill value of a field."""
        own: Filling | None = getattr(self, f"fill_{name}", None)
        return self.modality_set[name].fill if own is None else own

    def idle(self) -> tuple[str, ...]:
        """Returns the names of knobs without effect: fill values of fields that there are not, knobs of their kind."""
        fields, series = self.modality_set.fields, self.modality_set.series
        return (
            *(f"fill_{name}" for name in PUBLISHED_SET.fields if name not in fields),
            *(() if fields else ("patch_size", "land_threshold")),
            *(() if series else ("attributes", "vector_patch_size", "max_missing_ratio")),
        )

    @model_validator(mode="after")
    def _modalities_are_told_once(self) -> Self:
        require_different_names(self.modalities)
        for row in self.modalities:
            if row.fill != "refuse" and f"fill_{row.name}" in type(self).model_fields:
                raise ValueError(
                    f"the fill value of {row.name} must be given once, got {row.fill!r} in its row; give it as "
                    f"fill_{row.name}"
                )
        if twice := sorted({name for name in self.attributes if self.attributes.count(name) > 1}):
            raise ValueError(f"attributes must differ, got {', '.join(twice)} several times; leave them out")
        return self

    @model_validator(mode="after")
    def _every_day_is_seen(self) -> Self:
        for name in ("stride", "evaluation_stride"):
            days = getattr(self, name)
            if days is not None and days > self.sequence_length:
                raise ValueError(
                    f"{name} must be at most sequence_length, got {days} > {self.sequence_length}"
                )
        return self
