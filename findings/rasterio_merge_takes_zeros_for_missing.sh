#!/usr/bin/env bash
# rasterio 1.4.4 with numpy 2.4.6: rasterio.merge.merge of files without a nodata value takes every pixel that is 0 for
# missing, so that another file's value takes its place, whatever the method. The first of [0, -5] and [-3, -3] is
# [-3, -5], and so is what is called the larger of 0 and -3: backscatter of 0 dB, heights at sea level, temperatures at
# the freezing point are lost. NaN, on the other hand, counts as a value and stays ("first" and "max" alike).
# Expected: the first is [0, -5], and the larger [0, -3].
# Output seen: first [-3.0, -5.0], max [-3.0, -3.0], of NaN and -3 [nan, nan] with warnings []
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
from rasterio.merge import merge


def write(path: str, pixels: list[float]) -> None:
    place = {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)}
    profile = {"driver": "GTiff", "count": 1, "height": 2, "width": 2, "dtype": "float32"}
    with rasterio.open(path, "w", **profile, **place) as file:
        file.write(np.array([[pixels, pixels]], "float32"))


def merged(names: list[str], method: str) -> list[float]:
    return merge(names, method=method)[0][0, 0].tolist()


with warnings.catch_warnings(record=True) as heard:
    warnings.simplefilter("always")
    write("one.tif", [0, -5])
    write("other.tif", [-3, -3])
    write("nan.tif", [np.nan, np.nan])
    first, largest = (merged(["one.tif", "other.tif"], method) for method in ("first", "max"))
    of_nan = [merged(["nan.tif", "other.tif"], method)[0] for method in ("first", "max")]
told = [str(warning.message) for warning in heard]
print(f"first {first}, max {largest}, of NaN and -3 {of_nan} with warnings {told}")
assert (first, largest, str(of_nan), told) == ([-3, -5], [-3, -3], "[nan, nan]", [])
PYTHON
