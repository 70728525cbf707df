"""Options of the imports; a module of their own, so that listing data sets does not wait for pandas."""

from collections.abc import Mapping

GB_TRAIN, GB_VAL = "2001-01-01:2010-12-31", "2011-01-01:2013-12-31"
MONTHLY_TRAIN, MONTHLY_VAL = "1989-01-01:2010-12-31", "2011-01-01:2015-12-30"


def _splits(train: str, val: str) -> dict[str, str]:
    """Returns the options of the splits."""
    return {
        "train": f"first and last day of the training split, YYYY-MM-DD:YYYY-MM-DD (default {train})",
        "val": f"first and last day of the validation split (default {val})",
        "test": "first and last day of a test split, or none (default)",
    }


GB_HYDROLOGY: Mapping[str, str] = {
    **_splits(GB_TRAIN, GB_VAL),
    "catchments": "complete (all 11 attributes known; default), all, or how many of the complete ones",
    "mask": "land to keep: gb (Great Britain and Man; default) or uk (and Northern Ireland)",
    "suspect_flow": "keep (default), or missing: river flow in runs of 15 and more equal days, which are "
    "mostly gaps that were filled forward, becomes NaN",
}
MONTHLY: Mapping[str, str] = {
    **_splits(MONTHLY_TRAIN, MONTHLY_VAL),
    "missing_days": "refuse (default), or interpolate: days that no file holds are interpolated and marked, "
    "not shown to a model and not counted",
}

_NAMED: Mapping[str, str] = {
    "attributes": "columns that describe catchments to a model, by commas, such as area,elev_mean, or none (default "
    "all columns of numbers, of Caravan and CAMELS the usual ones)",
    "units": "units to write, NAME=UNIT by commas, such as temperature=degC (default the usual unit of precipitation, "
    "soil moisture, temperature, evaporation and river flow, else that of the files)",
    "declared": "units in files that declare none, NAME=UNIT by commas, such as river_flow=m3/s",
    "missing": "numbers in series that mean no data, by commas, such as -9999",
    "area": "column of the areas of catchments in km2, for flow in m3/s (default by usual names)",
    "catchments": "catchments to take, by commas: identifiers, or patterns such as camelsgb_* (default all)",
    **_splits("the first three quarters of the days that all have", "the rest"),
}
WATER: Mapping[str, str] = {
    "fields": "fields to take, by commas: VARIABLE, or NAME=VARIABLE, such as precipitation=pr,snow=swe, or none "
    "(default all with time, y and x, under their own names)",
    "series": "series of catchments to take, in the same way, such as river_flow=q,groundwater=gwl, or none (default "
    "all)",
    "mask": "the land mask, a NumPy file below the folder (default *mask_*x*.npy, else cells with data in all fields)",
    **_NAMED,
}
GAUGED: Mapping[str, str] = {
    "fields": "quantities that are interpolated from the catchments to a grid, by commas: COLUMN, or NAME=COLUMN "
    "(default the weather), or none: weather then stays series of catchments",
    "series": "quantities that stay series of catchments, in the same way (default river flow)",
    "cell": "size of a cell of the grid in degrees of latitude (default 0.1)",
    "reach": "cells from the nearest gauge within which the grid has values (default 3)",
    **_NAMED,
}
