"""Which modalities the files of a data set hold, without a configuration."""

from pathlib import Path

from trainables.water_mae.data.layout import fields_in, find_files, series_in
from trainables.water_mae.data.tables import series_columns
from trainables.water_mae.knobs import PUBLISHED_SET, Modality, ModalitySet


def modalities_in(folder: Path) -> ModalitySet:
    """Returns the modalities that the files of a data set hold, those of the published experiment first.

    Raises:
        DataError: The folder holds no data set.
    """
    fields = fields_in(folder)
    files = find_files(folder, fields or PUBLISHED_SET.fields)
    series = [series_in(column) for column in series_columns(files["series"])]
    rows = [row for row in PUBLISHED_SET if row.name in (fields if row.kind == "field" else series)]
    known = {(row.name, row.kind) for row in rows}
    rows += [Modality(name=name, kind="field") for name in fields if (name, "field") not in known]
    rows += [Modality(name=name, kind="series") for name in series if (name, "series") not in known]
    return ModalitySet.of(rows)
