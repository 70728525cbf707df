"""Options of imports that name quantities: ``NAME=VARIABLE, ...``, and the checks that all are there."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import pandas as pd

from thalweg.data.faults import Faults
from thalweg.errors import ConfigError, DataError
from thalweg.wording import some
from trainables.water_mae.data.catchments import without_zeros
from trainables.water_mae.data.layout import AREAS, series_in
from trainables.water_mae.importing.composed import Series
from trainables.water_mae.importing.gauges import Column, gauges_of, on_days, span_of
from trainables.water_mae.importing.units import (
    MM_PER_DAY_OF_DISCHARGE,
    Converter,
    conversion,
    converter,
    is_discharge,
)

LARGEST_AREA = 8_000_000  # km2; the Amazon's basin has about 7 million


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a user may ask of an import that names quantities, as text; the module `options` says what each means."""

    fields: str = ""
    series: str = ""
    attributes: str = ""
    units: str = ""
    declared: str = ""
    missing: str = ""
    area: str = ""
    catchments: str = ""
    train: str = ""
    val: str = ""
    test: str = "none"

    @property
    def splits(self) -> dict[str, str]:
        """The periods, by split."""
        return {"train": self.train, "val": self.val, "test": self.test}


def pairs(option: str, text: str) -> dict[str, str]:
    """Reads ``NAME=VALUE, ...``; a NAME alone stands for itself.

    Raises:
        ConfigError: It cannot be read.
    """
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not name or (equals and not value) or name in found:
            raise ConfigError(
                f"{option} must be NAME or NAME=VALUE by commas, each NAME once, got {text!r}; "
                f"try {option}=river_flow=q"
            )
        found[name] = value or name
    return found


def taken(option: str, text: str, there: Iterable[str]) -> dict[str, str]:
    """Returns what a user takes, by name: as `pairs` reads it, nothing for ``none``, and all that there are by default.

    Raises:
        ConfigError: It cannot be read.
    """
    if text.strip() == "none":
        return {}
    return pairs(option, text) or {plain_name(name): name for name in there}


def chosen_attributes(text: str) -> tuple[str, ...] | None:
    """Returns the attributes that a user takes, in lower case; None if nothing is said."""
    return () if text.strip() == "none" else names(text.casefold()) or None


def numbers_of(option: str, text: str) -> list[float]:
    """Reads numbers by commas.

    Raises:
        ConfigError: They cannot be read.
    """
    try:
        return [float(part) for part in names(text)]
    except ValueError:
        raise ConfigError(f"{option} must be numbers by commas, got {text!r}; try -9999") from None


def names(text: str) -> tuple[str, ...]:
    """Reads names by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def kept(ids: Iterable[str], catchments: str) -> list[str]:
    """Returns the identifiers that the user asks for, by themselves or by patterns; all if nothing is asked for.

    Raises:
        ConfigError: One of those that are asked for is not there.
    """
    every, asked = list(ids), names(catchments)
    if not asked:
        return every
    found = {
        pattern: {each for each in every if fnmatchcase(each, pattern)}
        | {each for each in every if without_zeros(each) == without_zeros(pattern)}
        for pattern in asked
    }
    if unknown := [pattern for pattern, those in found.items() if not those]:
        raise ConfigError(
            f"catchments must be identifiers of the source or patterns, got {some(unknown)}; there are {some(every)}"
        )
    return [each for each in every if any(each in those for those in found.values())]


@dataclass(frozen=True)
class Units:
    """Units that the user names.

    Attributes:
        wanted: Unit to write, by modality.
        declared: Unit in files that declare none, by modality.
    """

    wanted: Mapping[str, str]
    declared: Mapping[str, str]

    @classmethod
    def of(cls, units: str, declared: str) -> "Units":
        """Reads both options."""
        return cls(pairs("units", units), pairs("declared", declared))

    def require_known(self, modalities: Iterable[str]) -> None:
        """Refuses names that are none of the imported modalities.

        Raises:
            ConfigError: There are such.
        """
        known = list(modalities)
        for option, given in (("units", self.wanted), ("declared", self.declared)):
            if strange := [name for name in given if name not in known]:
                raise ConfigError(
                    f"{option} must name fields or series that are imported, got {some(strange)}; there are "
                    f"{some(known)}"
                )


def plain_name(name: str) -> str:
    """Returns the modality's name that a variable has unless the user gives one."""
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name.casefold())
    return series_in(kept if kept[:1].isalpha() else f"v_{kept}".rstrip("_"))


def series_of(
    columns: Mapping[str, Column],
    wanted: Mapping[str, str],
    units: Units,
    attributes: pd.DataFrame,
    *,
    area: str = "",
    catchments: str = "",
) -> Series:
    """Arranges series by day and gauge, in the units to write.

    Args:
        columns: What files hold, by name.
        wanted: Column of each modality.
        units: Units that the user names.
        attributes: Attributes, with areas, for flow in volumes per time.
        area: Column of the areas in km2; empty finds it.
        catchments: What `kept` keeps.

    Raises:
        ConfigError: A catchment that the user asks for is not there.
        DataError: A column is not there, units cannot be converted, or values are there twice; all at once.
    """
    faults = Faults()
    named = {name.casefold(): name for name in columns}
    chosen: dict[str, Column] = {}
    for modality, name in wanted.items():
        if name.casefold() not in named:
            faults.add(
                f"the source must hold the series {name} ({modality}), got none of that name; there are "
                f"{some(columns, 12) or 'none'}"
            )
        else:
            chosen[modality] = columns[named[name.casefold()]]
    faults.raise_if_any()
    span = span_of(chosen.values())
    if span is None:
        raise DataError(
            f"series must have days in common, got none of {some(chosen)}; give files of one time"
        )
    days = np.arange(span[0], span[1] + np.timedelta64(1, "D"))
    ids = kept(gauges_of(chosen), catchments)
    values, converts = {}, {}
    for modality, column in chosen.items():
        with faults.collected():
            found = on_days(modality, column, days, ids)
            values[modality], converts[modality] = _in_unit(
                modality, column, found, units, attributes, ids, area
            )
    faults.raise_if_any()
    where = next(iter(chosen.values())).where
    return Series(ids=ids, days=days, values=values, converts=converts, where=where)


def _in_unit(
    modality: str,
    column: Column,
    values: np.ndarray,
    units: Units,
    attributes: pd.DataFrame,
    ids: list[str],
    area: str,
) -> tuple[np.ndarray, Converter]:
    if len(column.units) > 1:
        raise DataError(
            f"{modality} must have one unit in all files, got {some(sorted(column.units))}; convert it"
        )
    unit = next(iter(column.units), "") or units.declared.get(modality, "")
    wanted = units.wanted.get(modality, "")
    if is_discharge(unit) and (modality == "river_flow" or wanted) and conversion(unit, wanted) is None:
        return _by_area(modality, column, values, unit, attributes, ids, area)
    convert = converter(modality, column.where, unit, wanted)
    return convert(values), convert


def _by_area(
    modality: str,
    column: Column,
    values: np.ndarray,
    unit: str,
    attributes: pd.DataFrame,
    ids: list[str],
    area: str,
) -> tuple[np.ndarray, Converter]:
    """Turns a volume per time into mm/day over the catchment."""
    named = {str(name).casefold(): name for name in attributes.columns}
    asked = (area.casefold(),) if area else AREAS
    name = next((named[each] for each in asked if each in named), None)
    if name is None:
        raise DataError(
            f"{modality} in {column.where} is in {unit}, so that attributes must hold areas in km2, got "
            f"{f'no {area}' if area else 'none'}; name their column with --option area=COLUMN, or take "
            f"--option units={modality}={unit}"
        )
    areas = attributes[name].reindex(ids).to_numpy(np.float64)
    if unknown := [each for each, size in zip(ids, areas, strict=True) if not size > 0]:
        raise DataError(
            f"{name} must be known and positive where {modality} is in {unit}, got none for {some(unknown)}; "
            f"{_way_out(unknown, attributes)}"
        )
    if areas.max() > LARGEST_AREA:
        raise DataError(
            f"{name} must be in km2, got {areas.max():g}, and no river's basin is larger than {LARGEST_AREA:,}; "
            "convert it, 1 km2 is 1,000,000 m2"
        )
    found = conversion(unit, "m3/s")
    assert found is not None
    scaled = values.astype(np.float64) * (found[0] * MM_PER_DAY_OF_DISCHARGE / areas)
    # a factor other than 1 says in the report that the unit changed
    return scaled.astype(np.float32), Converter(unit, "mm/day", MM_PER_DAY_OF_DISCHARGE)


def _way_out(unknown: list[str], attributes: pd.DataFrame) -> str:
    """Says how catchments get their attributes: fill them in, or write identifiers the same in both tables."""
    folded = {str(each).casefold(): str(each) for each in attributes.index}
    known = [each for each in unknown if each.casefold() in folded and each not in attributes.index]
    if not known:
        return "fill it in"
    other = folded[known[0].casefold()]
    return f"write identifiers the same in both tables, {known[0]} or {other}"
