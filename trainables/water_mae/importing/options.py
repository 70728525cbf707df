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
