"""Which modalities the files of a data set hold, without a configuration."""

from pathlib import Path

from trainables.water_mae.data.layout import fields_in, find_files, has_series, series_in, table_of_series
from trainables.water_mae.data.tables import series_columns
from trainables.water_mae.knobs import PUBLISHED_SET, Modality, ModalitySet


def modalities_in(folder: Path) -> ModalitySet:
    """Returns the modalities that the files of a data set hold, those of the published experiment first.

    Raises:
        DataError: The folder holds no data set.
    """
    fields, series = fields_in(folder), []
    if not (fields or has_series(folder)):
        find_files(folder, PUBLISHED_SET)  # refuses
    if has_series(folder):
        series = [series_in(column) for column in series_columns(table_of_series(folder))]
    rows = [row for row in PUBLISHED_SET if row.name in (fields if row.kind == "field" else series)]
    known = {(row.name, row.kind) for row in rows}
    rows += [Modality(name=name, kind="field") for name in fields if (name, "field") not in known]
    rows += [Modality(name=name, kind="series") for name in series if (name, "series") not in known]
    return ModalitySet.of(rows)
