"""Import of gridded weather: any regular grid, any calendar, hourly to daily, from netCDF, Zarr or GRIB.

Fields are read, averaged, regridded and written in blocks of days: a source of any length needs no more memory than a
short one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from itertools import chain
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Int64

from thalweg.data.faults import Faults
from thalweg.data.opening import OpenFiles
from thalweg.data.store import staged
from thalweg.data.survey import Extremes
from thalweg.errors import ConfigError, DataError
from thalweg.wording import counted
from trainables.geo_contrastive.data import layout
from trainables.geo_contrastive.data.grids import Grid
from trainables.geo_contrastive.data.layout import Described
from trainables.geo_contrastive.data.quantities import quantity_of
from trainables.geo_contrastive.data.record import leads_without_windows
from trainables.geo_contrastive.data.splits import split_days
from trainables.geo_contrastive.data.values import FieldSurvey
from trainables.geo_contrastive.importing.daily import DailySeries, by_day
from trainables.geo_contrastive.importing.opening import open_source
from trainables.geo_contrastive.importing.regridding import Regridder, target_grid
from trainables.geo_contrastive.importing.selection import choose, parse_wanted
from trainables.geo_contrastive.importing.series import Series
from trainables.geo_contrastive.importing.sources import left_out

Numbers = Int64[np.ndarray, " day"]


@dataclass(frozen=True)
class _Plan:
    """What becomes of a variable.

    Attributes:
        daily: Its days.
        grid: The grid that it is written on.
    """

    daily: DailySeries
    grid: Grid

    @property
    def name(self) -> str:
        return self.daily.series.name

    @property
    def described(self) -> Described:
        series = self.daily.series
        attributes = series.attributes
        original = series.pieces[0].opened.name
        quantity = quantity_of(original, attributes.get("standard_name", ""), series.unit)
        return Described(
            name=self.name,
            unit=series.unit,
            grid=self.grid.name,
            level=None if series.level is None else str(series.level),
            long_name=attributes.get("long_name", original),
            quantity="" if quantity is None else quantity.name,
        )


@dataclass(frozen=True)
class _Written:
    """What was written of a variable.

    Attributes:
        described: What it is.
        extremes: Extremes of its days in the source.
        note: A sentence on values that were changed; empty if none were.
    """

    described: Described
    extremes: Extremes
    note: str


def read(
    source: Path,
    target: Path,
    *,
    variables: str = "",
    grid: str = "",
    sums: str = "",
    means: str = "",
    running: str = "",
    day_starts: str = "0",
) -> str:
    """Imports `source` into the new folder `target`, which appears only when complete.

    Args:
        source: A file, a Zarr store, or a folder of these.
        target: Folder of the data set.
        variables: What to take; see `options.WEATHER_FIELDS`, as for the others.
        grid: Grid to regrid to; empty keeps the grid of each variable.
        sums: Names of variables whose days are sums.
        means: Names of variables whose days are means.
        running: Names of variables that are totals over the day so far.
        day_starts: Hour UTC at which a day begins.

    Returns:
        A report: what was read, days, gaps, grids, extremes.

    Raises:
        ConfigError: An option is not understood.
        DataError: The source is broken, or not what the options say; reported for all variables at once.
        OutputError: `target` is not empty or cannot be written.
    """
    if not (day_starts.isdigit() and int(day_starts) < 24):
        raise ConfigError(f"day_starts must be an hour from 0 to 23, got {day_starts!r}; try 0")
    wanted = parse_wanted(variables) if variables else None
    kinds = {"sums": _names(sums), "means": _names(means), "running": _names(running)}
    with OpenFiles() as files:
        series, notes = choose(open_source(source, files), wanted)
        return _imported(source, target, notes, _by_day(series, kinds, int(day_starts)), grid)


def _imported(source: Path, target: Path, notes: list[str], dailies: list[DailySeries], grid: str) -> str:
    faults = Faults()
    days, lost = _common_days(dailies)
    plans = _planned(dailies, grid)
    with staged(target) as folder:
        done = _write(folder, plans, days, faults)
        calendar = dailies[0].series.calendar
        pieces = [piece for each in dailies for piece in each.series.pieces]
        origin = ", ".join(sorted({piece.opened.path.name for piece in pieces}))
        layout.write_table(folder, [each.described for each in done], calendar, origin)
        settled = [each.note for each in done if each.note]
        told = [*left_out(source), *notes, *_notes(dailies), *lost, *settled]
        short = leads_without_windows(days, split_days(len(days)))
        report = _report(plans, done, days, [*told, *short])
        (folder / "README.txt").write_text(f"{report}\nFrom: {origin}\n", encoding="utf-8")
    return report


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _by_day(
    series: Sequence[Series], kinds: Mapping[str, Sequence[str]], day_starts: int
) -> list[DailySeries]:
    known = {name for each in series for name in each.names}
    named = [name for names in kinds.values() for name in names]
    for name in named:
        if name not in known or named.count(name) > 1:
            fault = "several times" if name in known else "of no variable"
            raise ConfigError(
                f"sums, means and running must name variables that are imported, each in one of them, got {name!r} "
                f"{fault}; there are {', '.join(sorted(known))}"
            )
    faults = Faults()
    tried = [faults.attempt(partial(by_day, each, day_starts, **kinds)) for each in series]
    faults.raise_if_any()
    dailies = [daily for daily in tried if daily is not None]
    if day_starts and all(each.days.per_day == 1 for each in dailies):
        raise ConfigError(
            f"day_starts must be left out for fields that are daily already, got {day_starts}; they keep the day of "
            "their times"
        )
    return dailies


def _common_days(dailies: Sequence[DailySeries]) -> tuple[Numbers, list[str]]:
    """Returns the days of all variables, and a sentence on those that not all have."""
    calendars = {each.series.calendar.name: each.series.name for each in dailies}
    if len(calendars) > 1:
        of = ", ".join(f"{calendar} for {name}" for calendar, name in calendars.items())
        raise DataError(f"all variables must have one calendar, got {of}; import them apart")
    common = reduce(np.intersect1d, [each.days.numbers for each in dailies])
    every = reduce(np.union1d, [each.days.numbers for each in dailies])
    if not len(common):
        spans = "; ".join(f"{each.series.name} {_span(each, each.days.numbers)}" for each in dailies)
        raise DataError(f"all variables must have days in common, got {spans}; import them apart")
    if len(common) == len(every):
        return common, []
    short = ", ".join(
        f"{each.series.name} {len(each.days.numbers):,}"
        for each in dailies
        if len(each.days.numbers) < len(every)
    )
    return common, [
        f"{len(every) - len(common):,} of {len(every):,} days were left out, for not all variables have them: {short}"
    ]


def _span(daily: DailySeries, numbers: Numbers) -> str:
    first, last = (daily.series.calendar.text(int(number)) for number in numbers[[0, -1]])
    return f"{len(numbers):,} days from {first} to {last}"


def _planned(dailies: Sequence[DailySeries], grid: str) -> list[_Plan]:
    """Gives each variable its grid; equal grids have one name."""
    own = {each.series.name: each.series.grid for each in dailies}
    common = target_grid(grid, own) if grid else None
    named: list[Grid] = []
    plans = []
    for each in dailies:
        wanted = each.series.grid if common is None else common
        if each.series.name in ("x", "y") and not wanted.geographic:
            raise ConfigError(
                f"variables must be called other than the axes x and y, got {each.series.name!r}; name it anew"
            )
        known = next((one for one in named if one.is_like(wanted)), None)
        if known is None:
            alike = sum(one.shape == wanted.shape for one in named)
            known = replace(wanted, name=f"{wanted.name}_{alike + 1}" if alike else wanted.name)
            named.append(known)
        plans.append(_Plan(each, known))
    return plans


def _write(folder: Path, plans: Sequence[_Plan], days: Numbers, faults: Faults) -> list[_Written]:
    done = []
    for plan in plans:
        with faults.collected():
            done.append(_write_one(folder, plan, days))
    faults.raise_if_any()
    return done


def _write_one(folder: Path, plan: _Plan, days: Numbers) -> _Written:
    """Writes a variable; extremes are those of its days on its own grid.

    Raises:
        DataError: Values are implausible; a unit that is wrong shows in the first block.
    """
    series, described = plan.daily.series, plan.described
    survey = FieldSurvey(described, series.grid, series.calendar, series.pieces[0].opened.path)
    survey.allow(series.precision * (plan.daily.days.per_day if plan.daily.sums else 1))
    regrid = None if series.grid.is_like(plan.grid) else Regridder(series.grid, plan.grid)
    surveyed = _surveyed(plan.daily.blocks(days), survey, days)
    first = next(surveyed)
    survey.raise_if_any()
    described = replace(described, unit=described.unit or survey.extremes.unit)
    blocks = (_on(block, regrid) for block in chain([first], surveyed))
    layout.write_variable(folder, described, plan.grid, days, series.calendar, blocks)
    survey.raise_if_any()
    return _Written(described, survey.extremes, survey.note)


def _surveyed(
    blocks: Iterator[Float[np.ndarray, "day lon lat"]], survey: FieldSurvey, days: Numbers
) -> Iterator[Float[np.ndarray, "day lon lat"]]:
    first = 0
    for block in blocks:
        survey.update(block, days[first : first + len(block)])
        first += len(block)
        yield survey.settled(block)


def _on(
    block: Float[np.ndarray, "day lon lat"], regrid: Regridder | None
) -> Float32[np.ndarray, "day _lon _lat"]:
    return block.astype(np.float32, copy=False) if regrid is None else regrid(block)


def _notes(dailies: Sequence[DailySeries]) -> list[str]:
    """Returns sentences on days that are not whole, gaps and double versions, each once."""
    told: dict[str, list[str]] = {}
    for each in dailies:
        for note in each.days.notes:
            told.setdefault(note, []).append(each.series.name)
        if each.series.num_double:
            note = f"{each.series.num_double:,} times have two versions (expver), of which the final one is taken"
            told.setdefault(note, []).append(each.series.name)
    return [f"{', '.join(names)}: {note}" for note, names in told.items()]


def _report(
    plans: Sequence[_Plan],
    done: Sequence[_Written],
    days: Numbers,
    notes: Sequence[str],
) -> str:
    first = plans[0].daily
    kinds = sorted({piece.opened.kind for plan in plans for piece in plan.daily.series.pieces})
    files = {piece.opened.path for plan in plans for piece in plan.daily.series.pieces}
    lines = [
        f"{counted(len(plans), 'variable')}, {_span(first, days)}, calendar {first.series.calendar.name}, "
        f"from {counted(len(files), 'file')} ({', '.join(kinds)})"
    ]
    for plan, written in zip(plans, done, strict=True):
        series, described = plan.daily.series, written.described
        level = "" if series.level is None else f" at {series.level.told}"
        undeclared = (
            ""
            if series.unit or not described.unit
            else f" (unit not declared, {described.unit} by its values)"
        )
        change = "" if series.grid.is_like(plan.grid) else f", regridded from {series.grid}"
        lines.append(
            f"  {plan.name}: {described.long_name}{level}, {plan.daily.how}; {written.extremes}{undeclared}{change}"
        )
    lines += [f"  grid {each}" for each in {plan.grid.name: plan.grid for plan in plans}.values()]
    lines += [f"  {note}" for note in notes]
    return "\n".join(lines)
