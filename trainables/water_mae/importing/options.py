"""Options of the imports; a module of their own, so that listing data sets does not wait for pandas."""

from collections.abc import Mapping

GB_TRAIN, GB_VAL = "2001-01-01:2010-12-31", "2011-01-01:2013-12-31"
GB_HYDROLOGY: Mapping[str, str] = {
    "train": f"first and last day of the training split, YYYY-MM-DD:YYYY-MM-DD (default {GB_TRAIN})",
    "val": f"first and last day of the validation split (default {GB_VAL})",
    "test": "first and last day of a test split, or none (default)",
    "catchments": "complete (all 11 attributes known; default), all, or how many of the complete ones",
    "mask": "land to keep: gb (Great Britain and Man; default) or uk (and Northern Ireland)",
    "suspect_flow": "keep (default), or missing: river flow in runs of 15 and more equal days, which are "
    "mostly gaps that were filled forward, becomes NaN",
}

MONTHLY_TRAIN, MONTHLY_VAL = "1989-01-01:2010-12-31", "2011-01-01:2015-12-30"
MONTHLY: Mapping[str, str] = {
    "train": f"first and last day of the training split, YYYY-MM-DD:YYYY-MM-DD (default {MONTHLY_TRAIN})",
    "val": f"first and last day of the validation split (default {MONTHLY_VAL})",
    "test": "first and last day of a test split, or none (default)",
    "missing_days": "refuse (default), or interpolate: days that no file holds are interpolated and marked, "
    "not shown to a model and not counted",
}

_SPLITS: Mapping[str, str] = {
    "train": "first and last day of the training split, YYYY-MM-DD:YYYY-MM-DD (default the first three quarters of the "
    "days that all have)",
    "val": "first and last day of the validation split (default the rest)",
    "test": "first and last day of a test split, or none (default)",
}
WATER: Mapping[str, str] = {
    "fields": "fields to take, by commas: VARIABLE, or NAME=VARIABLE, such as precipitation=pr,snow=swe (default all "
    "with time, y and x, under their own names)",
    "series": "series of catchments to take, in the same way, such as river_flow=q,groundwater=gwl (default all)",
    "attributes": "columns that describe catchments to a model, by commas, such as area,elev_mean (default all columns "
    "of numbers)",
    "units": "units to write, NAME=UNIT by commas, such as temperature=degC (default the usual unit of precipitation, "
    "soil moisture, temperature, evaporation and river flow, else that of the files)",
    "declared": "units in files that declare none, NAME=UNIT by commas, such as river_flow=m3/s",
    "missing": "numbers in series that mean no data, by commas, such as -9999",
    "mask": "the land mask, a NumPy file below the folder (default *mask_*x*.npy, else cells with data in all fields)",
    "area": "column of the areas of catchments in km2, for flow in m3/s (default by usual names)",
    "catchments": "identifiers of the catchments to take, by commas (default all)",
    **_SPLITS,
}
GAUGED: Mapping[str, str] = {
    "fields": "quantities that are interpolated from the catchments to a grid, by commas: COLUMN, or NAME=COLUMN",
    "series": "quantities that stay series of catchments, in the same way",
    "attributes": "columns that describe catchments to a model, by commas",
    "units": "units to write, NAME=UNIT by commas",
    "declared": "units in files that declare none, NAME=UNIT by commas",
    "missing": "numbers that mean no data, by commas, such as -99.99",
    "area": "column of the areas of catchments in km2, for flow in m3/s (default by usual names)",
    "catchments": "identifiers of the catchments to take or patterns such as camelsgb_*, by commas (default all)",
    "cell": "size of a cell of the grid in degrees of latitude (default 0.1)",
    "reach": "cells from the nearest gauge within which the grid has values (default 3)",
    **_SPLITS,
}
