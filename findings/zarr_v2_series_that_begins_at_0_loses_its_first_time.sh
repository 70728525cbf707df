#!/usr/bin/env bash
# xarray 2026.9.0 with zarr 3.1.6: arrays that zarr writes in format 2 without a fill value get the fill value 0, which
# xarray takes for "missing". A time axis of "days since its first day" begins at 0: the first time is NaT. Dry days of
# a rain series are NaN. The same calls in format 3 keep both.
# Expected: the numbers that were written, in both formats.
# Output seen: {2: ('NaT', [nan, 2.0, nan, 5.0]), 3: ('2001-01-01', [0.0, 2.0, 0.0, 5.0])}
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$folder/venv/bin/uv" pip install --quiet --python "$folder/venv/bin/python" \
    xarray==2026.9.0 zarr==3.1.6 numpy==2.4.6 pandas==3.1.1
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
import xarray as xr
import zarr

seen = {}
for form in (2, 3):
    group = zarr.open_group(f"store-{form}", mode="w", zarr_format=form)
    for name, values, units in (
        ("time", np.arange(4, dtype="int64"), "days since 2001-01-01"),
        ("rain", np.array([0, 2, 0, 5], "float32"), "mm day-1"),
    ):
        named = {"dimension_names": ["time"]} if form == 3 else {}
        array = group.create_array(name, shape=(4,), chunks=(4,), dtype=values.dtype, **named)
        array[...] = values
        array.attrs["units"] = units
        if form == 2:
            array.attrs["_ARRAY_DIMENSIONS"] = ["time"]
    data = xr.open_zarr(f"store-{form}", consolidated=False)
    seen[form] = (str(data["time"].values[0])[:10], data["rain"].values.tolist())
print(seen)
expected = "{2: ('NaT', [nan, 2.0, nan, 5.0]), 3: ('2001-01-01', [0.0, 2.0, 0.0, 5.0])}"
assert str(seen) == expected, seen
PYTHON
