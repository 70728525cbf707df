"""Provenance of an imported gb-hydrology data set: sources, licences, what is observed, counts."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thalweg.contract import SplitName
from trainables.water_mae.data.calendar_share import MAX_SHARE, sentence
from trainables.water_mae.data.layout import Period

ATTRIBUTION = (
    "Contains data supplied by Natural Environment Research Council. "
    "(c) UK Centre for Ecology & Hydrology; (c) University of Bristol; "
    "contains Environment Agency information (c) Environment Agency and/or database right; "
    "data from the UK National River Flow Archive; "
    "contains public sector information licensed under the Open Government Licence v3.0; "
    "(c) Crown copyright, Met Office."
)
"""The acknowledgement that the Open Government Licence v3 requires; keep it with every copy of the data."""
SOURCES = (
    "CAMELS-GB (Open Government Licence v3.0): Coxon et al. (2020), ESSD 12, 2459-2483, "
    "doi:10.5194/essd-12-2459-2020; data doi:10.5285/8344e4f3-d2ea-44f5-8afa-86d2987543a9; "
    "in the form of Reaney (2022), CAMELS-GB-2-HBV-Light (CC0-1.0)",
    "Met Office 5 km grid, annual mean temperature 1910, from iris-test-data (Open Government Licence v3.0)",
    "land mask: Natural Earth 1:50m (public domain)",
    "catchment attributes: NRFA station table and Peak Flow Dataset "
    "(NRFA terms, see https://nrfa.ceh.ac.uk/help/costs-terms-and-conditions); "
    "Caravan, Kratzert et al. (2023), doi:10.1038/s41597-023-01975-w, and "
    "HydroATLAS, Linke et al. (2019), doi:10.1038/s41597-019-0300-6 (CC-BY-4.0)",
)
KINDS = {
    "riverflow": "OBSERVED: specific discharge of the National River Flow Archive in mm/day; gaps were "
    "filled forward upstream, runs of 15 and more equal days are counted above",
    "evaporation": "DERIVED: mean course of potential evaporation, corrected by the unseasonal part of "
    "temperature (HBV-light, 0.06 per degC); mm/day",
    "precipitation": "INTERPOLATED: from observed catchment means, six nearest gauges, inverse squared "
    "distance; mm/day",
    "temperature": "INTERPOLATED: likewise, as departures from the Met Office map of 1910, to which they are "
    "added back; degC",
    "soil_moisture": "MODEL STATE: HBV soil routine per catchment (field capacity 150 mm, beta 2, "
    "evaporation limit 0.7, 3 mm/degC/day), gridded like precipitation; share of field capacity in [0, 1]",
    "attributes": "10, 50 and 90 percentile altitudes are APPROXIMATED (Beta distribution between minimum, "
    "mean and maximum); the others are published values",
}


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Choices and counts of one import.

    Attributes:
        periods: The splits.
        mask: Name of the land mask.
        land_cells: Land cells of 5 km.
        num_catchments: Catchments with series.
        num_complete: Catchments among these with all attributes.
        num_gauges: Gauges from which the grids are interpolated.
        spin_up_days: Days that the soil model ran before the first day.
        repeated_ratio: Share of river-flow values within runs of 15 or more days of equal flow.
        num_repeated_catchments: Catchments with more than 5 % of such values.
        suspect_flow: Whether these values were kept or made missing.
        calendar_share: Share of the variance of evaporation over the training split that the annual cycle and one
            anomaly per day explain.
        mended_days: Days with a wrong temperature upstream, replaced by that of the day before; marked as no data.
        values: Extremes and missing share of each modality, in words.
    """

    periods: Mapping[SplitName, Period]
    mask: str
    land_cells: int
    num_catchments: int
    num_complete: int
    num_gauges: int
    spin_up_days: int
    repeated_ratio: float
    num_repeated_catchments: int
    suspect_flow: str
    calendar_share: float
    mended_days: list[str]
    values: Mapping[str, str]


def write_provenance(folder: Path, provenance: Provenance, sources: list[Path]) -> str:
    """Writes ``provenance.json`` and ``README.txt`` into a data set; returns the report for people."""
    report = _report(provenance)
    (folder / "provenance.json").write_text(json.dumps(_record(provenance, sources), indent=1) + "\n")
    text = "\n\n".join(
        (
            "Great Britain hydrology in the layout of water_mae",
            report,
            "What is what\n" + "\n".join(f"- {name}: {kind}" for name, kind in KINDS.items()),
            "Sources\n" + "\n".join(f"- {source}" for source in SOURCES),
            "Attribution (required)\n" + ATTRIBUTION,
        )
    )
    (folder / "README.txt").write_text(text + "\n")
    return report


def _record(provenance: Provenance, sources: list[Path]) -> dict[str, Any]:
    plain = {name: value for name, value in vars(provenance).items() if name != "periods"}
    periods = {str(name): [str(span.first), str(span.last)] for name, span in provenance.periods.items()}
    return {
        "dataset": "gb-hydrology",
        **periods,
        **plain,
        "kinds": KINDS,
        "sources": SOURCES,
        "source_sha256": {path.name: _sha256(path) for path in sources},
        "attribution": ATTRIBUTION,
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _report(provenance: Provenance) -> str:
    fate = "kept" if provenance.suspect_flow == "keep" else "made missing"
    lines = [
        ", ".join(f"{name} {span.first} to {span.last}" for name, span in provenance.periods.items()),
        f"observed: river flow of {provenance.num_catchments} catchments ({provenance.num_complete} with all "
        f"attributes); {provenance.repeated_ratio:.1%} of its values lie in runs of 15 and more equal days "
        f"(filled forward upstream, or steady baseflow) and were {fate}; {provenance.num_repeated_catchments} "
        "catchments have over 5 % of them",
        f"interpolated from {provenance.num_gauges} catchment means: precipitation and temperature on "
        f"{provenance.land_cells} land cells of 5 km (mask {provenance.mask})",
        f"derived: evaporation; model state: soil moisture, after {provenance.spin_up_days} days of spin-up",
    ]
    if provenance.calendar_share > MAX_SHARE:
        lines.append(sentence(provenance.calendar_share))
    lines += [
        f"mended: temperature of {day}, wrong upstream, is that of the day before and counts nowhere"
        for day in provenance.mended_days
    ]
    lines.append("values: " + "; ".join(f"{name} {found}" for name, found in provenance.values.items()))
    lines.append("README.txt holds sources and the attribution that the licences require")
    return "\n".join(lines)
