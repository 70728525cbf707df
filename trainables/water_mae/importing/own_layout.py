"""Import of a data set in the family's own layout: read as training would, then copied."""

import shutil
from pathlib import Path

import numpy as np

from thalweg.data.faults import Faults
from thalweg.data.store import staged
from trainables.water_mae.data.grids import inspect, places
from trainables.water_mae.data.layout import fields_in, find_files, has_series
from trainables.water_mae.data.modalities import modalities_in
from trainables.water_mae.data.values import require_plausible_attributes, values_note
from trainables.water_mae.exploring.modalities import read_all_series, read_modalities


def is_own(folder: Path) -> bool:
    """Returns whether a folder holds fields, or series and their splits, in the family's own layout."""
    return folder.is_dir() and (
        bool(fields_in(folder)) or ((folder / "splits.csv").is_file() and has_series(folder))
    )


def read(source: Path, target: Path) -> str:
    """Checks a data set and copies it into the new folder `target`; returns a report.

    Raises:
        DataError: Files are missing or broken, or values are implausible; all faults are reported at once.
        OutputError: `target` is not empty or cannot be written.
    """
    faults = Faults()
    modalities = modalities_in(source)
    files = find_files(source, modalities)
    inputs = faults.attempt(lambda: inspect(files))
    dates = np.zeros(0, "datetime64[D]") if inputs is None else inputs.dates
    series = faults.attempt(lambda: read_all_series(files, dates, modalities)) if inputs else None
    if inputs is not None:
        with faults.collected():
            found, notes = read_modalities(inputs, series, modalities)
    if series is not None and modalities.series:
        names = list(map(str, series.attributes.columns))
        numbers = series.attributes.to_numpy(np.float64)
        with faults.collected():
            require_plausible_attributes(files["attributes"], names, numbers, series.ids)
    faults.raise_if_any()
    assert inputs is not None and series is not None
    with staged(target) as folder:
        for path in files.values():
            shutil.copyfile(path, folder / path.name)
    values = values_note({name: each.extremes for name, each in found.items()})
    spans = "; ".join(
        f"{split} {inputs.dates[span.start]} to {inputs.dates[span.stop - 1]}"
        for split, span in inputs.spans.items()
    )
    lines = [f"{places(inputs.land, len(series.ids))}; {spans}", f"  {values}"]
    return "\n".join([*lines, *(f"  {note}" for note in notes)])
