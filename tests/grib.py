"""Fields as GRIB messages."""

from collections.abc import Iterator

import eccodes
import numpy as np
import xarray as xr


def messages(
    dataset: xr.Dataset,
    name: str,
    short: str,
    *,
    level: tuple[str, int] | None = None,
    step: int = 0,
    span: int = 1,
) -> Iterator[bytes]:
    """Encodes each time of a variable as a GRIB message, `step` hours after the forecast began, amounts over a span.

    Times are hours since 2001-01-01; latitudes fall and longitudes rise by equal steps.
    """
    lats, lons = (dataset[axis].values.astype(float) for axis in ("latitude", "longitude"))
    for number, values in enumerate(dataset[name].values):
        message = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib2")
        began = np.datetime64("2001-01-01T00") + np.timedelta64(
            int(dataset["time"].values[number]) - step, "h"
        )
        day, hour = str(began).split("T")
        keys = {
            "Ni": len(lons), "Nj": len(lats),
            "iDirectionIncrementInDegrees": lons[1] - lons[0], "jDirectionIncrementInDegrees": lats[0] - lats[1],
            "latitudeOfFirstGridPointInDegrees": lats[0], "latitudeOfLastGridPointInDegrees": lats[-1],
            "longitudeOfFirstGridPointInDegrees": lons[0], "longitudeOfLastGridPointInDegrees": lons[-1],
            "dataDate": int(day.replace("-", "")), "dataTime": 100 * int(hour), "shortName": short,
        }  # fmt: skip
        for key, value in keys.items():
            eccodes.codes_set(message, key, value)
        if level is not None:
            eccodes.codes_set(message, "typeOfLevel", level[0])
            eccodes.codes_set(message, "level", level[1])
        if step:
            eccodes.codes_set(message, "stepRange", f"{step - span}-{step}" if short == "tp" else str(step))
        eccodes.codes_set(message, "bitsPerValue", 24)
        eccodes.codes_set(message, "missingValue", 9999.0)
        eccodes.codes_set(message, "bitmapPresent", int(np.isnan(values).any()))
        eccodes.codes_set_values(message, np.nan_to_num(values, nan=9999.0).ravel().astype(np.float64))
        yield eccodes.codes_get_message(message)
        eccodes.codes_release(message)
