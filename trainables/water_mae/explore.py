"""Explores a data set: modalities and their extremes, splits, what is missing, catchments, maps, hydrographs."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from thalweg.data.store import content_hashes, key_of
from thalweg.dataset_contract import Exploration
from thalweg.datasets.charts import draw_coverage, png
from thalweg.datasets.page import Section, page
from trainables.water_mae.data.calendar_share import MAX_SHARE, calendar_share, sentence
from trainables.water_mae.data.grids import Inputs, inspect, places
from trainables.water_mae.data.layout import find_files
from trainables.water_mae.data.modalities import modalities_in
from trainables.water_mae.exploring import look, tables
from trainables.water_mae.exploring.modalities import (
    Modality,
    Series,
    read_all_series,
    read_modalities,
)

PAGE = "index.html"


def explore(folder: Path, target: Path) -> Exploration:
    """Explores a data set as it lies in its files: nothing is filled, and no cell or catchment is left out.

    Args:
        folder: The data set.
        target: Folder for ``index.html``, ``modalities.csv``, ``splits.csv``, ``gaps.csv``, ``catchments.csv``,
            ``coverage.png``, ``missing.png``, ``catchments.png``, ``hydrographs.png``, and ``MODALITY.png`` of each
            modality below ``modalities``; without series nothing of catchments.

    Raises:
        DataError: Files are missing or broken.
    """
    modalities = modalities_in(folder)
    files = find_files(folder, modalities)
    inputs = inspect(files)
    series = read_all_series(files, inputs.dates, modalities)
    found, notes = read_modalities(inputs, series, modalities)
    notes += _calendar_notes(inputs, series)
    listed = {
        "modalities": tables.modality_table(found),
        "splits": tables.split_table(inputs, found),
        "gaps": tables.gap_table(inputs, found),
        **({"catchments": tables.catchment_table(inputs, series)} if modalities.series else {}),
    }
    for name, table in listed.items():
        table.to_csv(target / f"{name}.csv", index=False, float_format="%.7g")
    drawn = _draw(inputs, series, found, target)
    fingerprint = key_of({"files": content_hashes(files, folder / ".store")})
    texts = _texts(folder.name, fingerprint, inputs, series, listed["gaps"])
    (target / PAGE).write_text(
        page(texts["title"], [texts["summary"]], _sections(texts, notes, listed, drawn, series))
    )
    return Exploration(
        fingerprint=fingerprint,
        report=_report(texts, listed, notes),
        statistics=_statistics(inputs, found),
        page=PAGE,
    )


def _draw(inputs: Inputs, series: Series, found: Mapping[str, Modality], target: Path) -> dict[str, bytes]:
    """Writes the pictures; returns them by name, those of modalities by the modality's."""
    year = inputs.dates.astype("datetime64[Y]").astype(np.int64) + 1970
    figures = {
        "coverage": draw_coverage(year, inputs.day_of_year, inputs.spans),
        "missing": look.draw_missing(inputs, found),
        **{name: look.draw_modality(inputs, series, each) for name, each in found.items()},
    }
    if series.modalities.series:
        figures["catchments"] = look.draw_catchments(series)
        figures["hydrographs"] = look.draw_hydrographs(inputs, series)
    drawn = {name: png(figure) for name, figure in figures.items()}
    (target / "modalities").mkdir()
    for name, picture in drawn.items():
        place = target / "modalities" if name in found else target
        (place / f"{name}.png").write_bytes(picture)
    return drawn


def _calendar_notes(inputs: Inputs, series: Series) -> list[str]:
    train = slice(inputs.spans["train"].start, inputs.spans["train"].stop)
    notes = []
    for number, name in enumerate(series.modalities.series):
        if series.modalities[name].is_persistent:
            continue
        values = series.values[train, number].astype(np.float64)
        known = np.isfinite(values)
        share = calendar_share(np.where(known, values, 0.0), inputs.day_of_year[train], known)
        notes += [sentence(share, name)] if share > MAX_SHARE else []
    return notes


def _texts(name: str, fingerprint: str, inputs: Inputs, series: Series, gaps: pd.DataFrame) -> dict[str, str]:
    runs = gaps[gaps["modality"] != "all"]
    between = int(gaps.loc[gaps["modality"] == "all", "days"].sum())
    many = "run of days holds" if len(runs) == 1 else "runs of days hold"
    said = [
        f"{len(runs):,} {many} no data of a modality, {int(runs['days'].sum()):,} days in all."
        if len(runs)
        else "Every modality has some data on every day.",
        f"{between:,} days lie between the splits and in none of them." if between else "",
    ]
    return {
        "title": f"water_mae/{name}",
        "summary": f"{len(inputs.dates):,} days from {inputs.dates[0]} to {inputs.dates[-1]}; "
        f"{places(inputs.land, len(series.ids))}; fingerprint {fingerprint}.",
        "gaps": " ".join(filter(None, said)),
    }


def _sections(
    texts: Mapping[str, str],
    notes: Sequence[str],
    listed: Mapping[str, pd.DataFrame],
    drawn: Mapping[str, bytes],
    series: Series,
) -> list[Section]:
    modalities = {name: drawn[name] for name in listed["modalities"]["modality"]}
    return [
        Section(title="Notes", notes=notes or ["none"]),
        Section(title="Modalities", table=listed["modalities"]),
        Section(
            title="Days and splits",
            text="Splits follow one another in time. Below each modality is the share of its values that are missing.",
            table=listed["splits"],
            pictures={"Days of each year, by split": drawn["coverage"]},
        ),
        Section(
            title="Missing data",
            text=f"{texts['gaps']} The charts show the share of land cells or catchments without data on each day.",
            table=listed["gaps"],
            pictures={"Share of places without data on each day": drawn["missing"]},
        ),
        Section(
            title="Maps, distributions and seasonal cycles",
            text="Grey cells have no data on any day. Colours of means hold the middle 98 % of the places.",
            named=modalities,
        ),
        *(_sections_of_catchments(listed, drawn, series) if series.modalities.series else ()),
    ]


def _sections_of_catchments(
    listed: Mapping[str, pd.DataFrame], drawn: Mapping[str, bytes], series: Series
) -> list[Section]:
    return [
        Section(
            title="Catchments",
            text="The larger a circle, the larger the catchment's area.",
            table=listed["catchments"],
            pictures={"Where the catchments lie": drawn["catchments"]},
        ),
        Section(
            title="Hydrographs",
            text=_of_hydrographs(series),
            pictures={f"{look.words(series.main_name)} over all days".capitalize(): drawn["hydrographs"]},
        ),
    ]


def _of_hydrographs(series: Series) -> str:
    """Says what hydrographs show."""
    name = look.words(series.main_name).capitalize()
    unit = f" in {series.main_unit}" if series.main_unit not in ("", "1") else ""
    scale = ", linear up to 0.1, then logarithmic" if look.is_logarithmic(series) else ""
    order = "wet to dry" if series.main_name == "river_flow" else "high to low"
    return f"{name} of catchments from {order}{unit}{scale}."


def _report(texts: Mapping[str, str], listed: Mapping[str, pd.DataFrame], notes: Sequence[str]) -> str:
    short = listed["modalities"][["modality", "unit", "places", "mean", "lowest", "highest", "missing_share"]]
    blocks = [
        textwrap.indent(table.to_string(index=False, float_format=lambda value: f"{value:.4g}"), " " * 4)
        for table in (short, listed["splits"][["split", "days", "first", "last"]])
    ]
    return "\n\n".join([texts["summary"], *blocks, texts["gaps"], *notes])


def _statistics(inputs: Inputs, found: Mapping[str, Modality]) -> dict[str, float]:
    numbers = {f"days/{split}": float(len(span)) for split, span in inputs.spans.items()}
    for name, each in found.items():
        numbers |= {
            f"places/{name}": float(len(each.mean)),
            f"mean/{name}": each.moments.mean,
            f"std/{name}": each.moments.std,
            f"missing/{name}": each.extremes.num_missing / each.extremes.num_values,
        }
    return numbers
