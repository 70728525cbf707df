"""Explores a data set: variables and their extremes, splits, gaps, maps, seasonal cycles, and a page with all of it."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from thalweg.dataset_contract import Exploration
from thalweg.datasets.charts import draw_coverage, png
from thalweg.wording import counted
from trainables.geo_contrastive.data.fields import FieldData, open_fields
from trainables.geo_contrastive.data.layout import read_table
from trainables.geo_contrastive.data.record import leads_without_windows
from trainables.geo_contrastive.exploring import look, tables
from trainables.geo_contrastive.exploring.field_statistics import statistics_of
from trainables.geo_contrastive.exploring.maps import date_of
from trainables.geo_contrastive.exploring.page import page
from trainables.geo_contrastive.knobs import DataKnobs

PAGE = "index.html"


def explore(folder: Path, target: Path) -> Exploration:
    """Explores all variables of a data set; it is prepared if it was not yet.

    Args:
        folder: The data set.
        target: Folder for ``index.html``, ``variables.csv``, ``splits.csv``, ``gaps.csv``, ``coverage.png``, and
            ``VARIABLE.png`` of each variable below ``variables``.

    Raises:
        DataError: Files are missing or broken.
    """
    contents = read_table(folder)
    data = open_fields(folder.parent, folder.name, DataKnobs(variables=tuple(contents.variables)))
    statistics = {name: statistics_of(data, name) for name in data.variables}
    found = {
        "variables": tables.variable_table(data, statistics),
        "splits": tables.split_table(data),
        "gaps": tables.gap_table(data),
    }
    for name, table in found.items():
        table.to_csv(target / f"{name}.csv", index=False, float_format="%.7g")
    coverage = png(draw_coverage(data.year, data.day_of_year, data.days))
    (target / "coverage.png").write_bytes(coverage)
    pictures = {name: png(look.draw_variable(data, name, each)) for name, each in statistics.items()}
    (target / "variables").mkdir()
    for name, picture in pictures.items():
        (target / "variables" / f"{name}.png").write_bytes(picture)
    texts = _texts(folder.name, contents.origin, data, found["gaps"])
    notes = [*data.notes, *leads_without_windows(data.day, data.days)]
    (target / PAGE).write_text(page(texts, found, notes, coverage, pictures), encoding="utf-8")
    return Exploration(
        fingerprint=data.fingerprint,
        report=_report(texts, found, notes),
        statistics=_statistics(data, found["gaps"]),
        page=PAGE,
    )


def _texts(name: str, origin: str, data: FieldData, gaps: pd.DataFrame) -> dict[str, str]:
    grids = "; ".join(str(grid) for grid in data.grids.values())
    return {
        "title": f"geo_contrastive/{name}",
        "summary": f"{counted(len(data.variables), 'variable')} on {len(data.day):,} days from {date_of(data, 0)} to "
        f"{date_of(data, len(data.day) - 1)}; grids {grids}; fingerprint {data.fingerprint}.",
        "origin": f"From {origin.rstrip('.')}." if origin else "Where the data come from is not recorded.",
        "gaps_text": "" if len(gaps) else "No day is missing between the first and the last.",
    }


def _report(texts: Mapping[str, str], found: Mapping[str, pd.DataFrame], notes: Sequence[str]) -> str:
    short = found["variables"][["variable", "level", "unit", "grid", "with_data", "lowest", "highest"]]
    blocks = [
        textwrap.indent(table.to_string(index=False, float_format=lambda value: f"{value:.5g}"), " " * 4)
        for table in (short, found["splits"][["split", "days", "first", "last", "jumps"]])
    ]
    return "\n\n".join(filter(None, [texts["summary"], *blocks, texts["gaps_text"], *notes]))


def _statistics(data: FieldData, gaps: pd.DataFrame) -> dict[str, float]:
    numbers = {f"days/{split}": float(len(days)) for split, days in data.days.items()}
    numbers |= {"gaps": float(len(gaps)), "days/missing": float(gaps["missing"].sum())}
    for name, variable in data.variables.items():
        numbers |= {
            f"cells/{name}": float(data.valid[name].sum()),
            f"mean/{name}": variable.mean,
            f"std/{name}": variable.std,
        }
    return numbers
