#!/usr/bin/env bash
# cfgrib 0.9.15.1 with eccodes 2.50.0 and xarray 2026.9.0: a GRIB file in which one field (same variable, time, level)
# comes twice with different values, such as after two downloads were joined, is opened without an error, a warning or a
# second entry: the first message counts and the other is dropped.
# Expected: a refusal, a warning, or both messages.
# Output seen: 1.0 with warnings [] and log records [] from messages of 1.0 and 2.0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$folder/venv/bin/uv" pip install --quiet --python "$folder/venv/bin/python" \
    cfgrib==0.9.15.1 eccodes==2.50.0 xarray==2026.9.0 numpy==2.4.6 pandas==3.1.1
cd "$folder"
venv/bin/python - <<'PYTHON'
import logging
import warnings

import eccodes
import numpy as np
import xarray as xr

AREA = {
    "Ni": 4,
    "Nj": 3,
    "latitudeOfFirstGridPointInDegrees": 52,
    "longitudeOfFirstGridPointInDegrees": 0,
    "latitudeOfLastGridPointInDegrees": 50,
    "longitudeOfLastGridPointInDegrees": 3,
    "iDirectionIncrementInDegrees": 1,
    "jDirectionIncrementInDegrees": 1,
    "dataDate": 20200101,
    "dataTime": 0,
}
with open("joined.grib", "wb") as file:
    for value in (1.0, 2.0):
        message = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib2")
        for key, setting in AREA.items():
            eccodes.codes_set(message, key, setting)
        eccodes.codes_set_values(message, np.full(12, value))
        eccodes.codes_write(message, file)
records: list[str] = []


class Kept(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        records.append(record.getMessage())


logging.getLogger("cfgrib").addHandler(Kept())
with warnings.catch_warnings(record=True) as heard:
    warnings.simplefilter("always")
    data = xr.open_dataset("joined.grib", engine="cfgrib", backend_kwargs={"indexpath": ""}, decode_timedelta=True)
    (field,) = data.data_vars.values()
told = [str(warning.message) for warning in heard if "GRIB" in str(warning.message).upper()]
print(float(field.mean()), "with warnings", told, "and log records", records, "from messages of 1.0 and 2.0")
assert (float(field.mean()), told, records) == (1.0, [], []), data
PYTHON
