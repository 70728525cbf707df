#!/usr/bin/env bash
# rasterio 1.4.4 with numpy 2.4.6: a masked array that is written to a file without a nodata value leaves numpy's own
# fill value, 999999 cast to the type of the file, where pixels are masked: 63 in uint8, 16959 in uint16 and int16, 1e20
# in float32. Nothing is raised or warned, no mask is stored, and the pixels come back valid: 16959 is a bright cloud
# among numbers of Sentinel-2, 63 an ordinary class or grey value. (The docstring of `write` says "the input's own fill
# value".)
# Expected: a refusal, a warning, or a mask in the file.
# Output seen: {'uint8': [63, 1], 'uint16': [16959, 1], 'int16': [16959, 1], 'float32': [1.0000000200408773e+20, 1.0]}
#   with nothing masked and warnings []
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$folder/venv/bin/uv" pip install --quiet --python "$folder/venv/bin/python" rasterio==1.4.4 affine==2.4.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import warnings

import numpy as np
import rasterio

seen, any_masked = {}, False
with warnings.catch_warnings(record=True) as heard:
    warnings.simplefilter("always")
    for kind in ("uint8", "uint16", "int16", "float32"):
        pixels = np.ma.masked_array(np.ones((1, 1, 2), kind), mask=[[[True, False]]])
        place = {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)}
        profile = {"driver": "GTiff", "count": 1, "height": 1, "width": 2, "dtype": kind}
        with rasterio.open(f"{kind}.tif", "w", **profile, **place) as file:
            file.write(pixels)
        with rasterio.open(f"{kind}.tif") as file:
            seen[kind] = file.read().ravel().tolist()
            any_masked |= bool(np.ma.getmaskarray(file.read(masked=True)).any())
told = [str(warning.message) for warning in heard]
print(seen, "with", "some" if any_masked else "nothing", "masked and warnings", told)
expected = "{'uint8': [63, 1], 'uint16': [16959, 1], 'int16': [16959, 1], 'float32': [1.0000000200408773e+20, 1.0]}"
assert (str(seen), any_masked, told) == (expected, False, []), seen
PYTHON
