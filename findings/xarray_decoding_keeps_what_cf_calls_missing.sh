#!/usr/bin/env bash
# xarray 2026.9.0 with h5netcdf 1.8.2: decoding a packed netCDF variable (int16 with scale_factor)
# applies _FillValue and missing_value, but neither valid_min, valid_max and valid_range nor netCDF's default fill
# value. A cell that was never written, -32767 in the file, becomes the physical value -32.767, and a flag value
# outside of valid_range stays a number; both go into every mean.
# Expected by the CF conventions (2.5.1, missing data): both are missing.
# Output seen: {'never written': -32.767, 'outside of valid_range': 30.0, 'declared by _FillValue': nan}
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    xarray==2026.9.0 h5netcdf==1.8.2 h5py==3.16.0 numpy==2.4.6 pandas==3.1.1
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import h5netcdf
import numpy as np
import xarray as xr

with h5netcdf.File("packed.nc", "w") as file:
    file.dimensions = {"cell": 2}
    snow = file.create_variable("snow", ("cell",), "i2")
    snow[:] = np.array([-32767, 5], "i2")  # netCDF's default fill value of int16: a cell that was never written
    snow.attrs["scale_factor"] = np.float32(0.001)
    rain = file.create_variable("rain", ("cell",), "i2")
    rain[:] = np.array([30000, -1], "i2")
    rain.attrs["scale_factor"] = np.float32(0.001)
    rain.attrs["valid_range"] = np.array([0, 20000], "i2")
    rain.attrs["_FillValue"] = np.int16(-1)
data = xr.open_dataset("packed.nc", engine="h5netcdf")
flag, declared = (round(float(value), 3) for value in data["rain"].values)
never = round(float(data["snow"].values[0]), 3)
seen = {"never written": never, "outside of valid_range": flag, "declared by _FillValue": declared}
print(seen)
assert seen["never written"] == -32.767, seen
assert seen["outside of valid_range"] == 30.0, seen
assert np.isnan(seen["declared by _FillValue"]), seen
PYTHON
