"""What an import of weather fields takes: a source that does not fit into memory, imported and prepared.

The source is what one downloads of ERA5: a folder of netCDF files, one a year, each with 6-hourly fields of two
variables on several levels as packed integers or floats, latitudes from the north, longitudes from 0, compressed not at
all. Told, in a process of its own each:

  import      `thalweg data import weather-fields`: daily means of named levels, regridded to 64 x 32
  own grid    the same without regridding, of which every byte of the result is as large as the source's share
  prepare     the first opening: statistics, z-scores, climatology, of the own grid

Peak memory is the largest resident set (VmHWM), memory-mapped pages included; input is the size of what is read. A
daily mean of the result is checked against numpy's. The disk must hold about one and a half times the source.

Run alone on the machine:  python benchmarks/field_import.py [--quick] [--gb SIZE] [--json FILE]
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np
import numpy.typing as npt

from benchmarks.figures import tell

ROOT = Path(__file__).resolve().parent.parent
LEVELS = (500, 850)
NUM_LONS, NUM_LATS, PER_DAY = 240, 121, 4
LIMIT_MB = 1000

Floats = npt.NDArray[np.float32]


def day_of(number: int) -> Floats:
    """Returns the fields of a day, (time, level, lat, lon): a wave on a mean, different on each day and level."""
    lat, lon = np.deg2rad(np.linspace(90, -90, NUM_LATS)), np.deg2rad(1.5 * np.arange(NUM_LONS))
    phase = 0.37 * (PER_DAY * number + np.arange(PER_DAY))[:, None, None, None]
    level = np.arange(len(LEVELS))[None, :, None, None]
    wave = np.cos(3 * lon + phase) * np.cos(lat)[:, None] * (4 + level)
    fields: Floats = (255 + 20 * level + 25 * np.cos(lat)[:, None] + wave).astype(np.float32)
    return fields


def make_source(folder: Path, num_bytes: float) -> int:
    """Writes years of fields until they are so large; returns the number of days."""
    per_day = PER_DAY * len(LEVELS) * NUM_LATS * NUM_LONS * 4 * 2
    num_days, first, year = int(num_bytes / per_day) + 1, 0, 1980
    while first < num_days:
        count = min(366 if year % 4 == 0 else 365, num_days - first)
        write_year(folder / f"era5_{year}.nc", year, first, count)
        first, year = first + count, year + 1
    return num_days


def write_year(path: Path, year: int, first: int, count: int) -> None:
    """Writes a file of one year, in chunks of a day."""
    with h5netcdf.File(path, "w") as file:
        file.dimensions = {
            "valid_time": PER_DAY * count,
            "pressure_level": len(LEVELS),
            "latitude": NUM_LATS,
            "longitude": NUM_LONS,
        }
        for name, values, units in (
            ("valid_time", 6 * np.arange(PER_DAY * count), f"hours since {year}-01-01"),
            ("pressure_level", np.array(LEVELS, np.float64), "hPa"),
            ("latitude", np.linspace(90, -90, NUM_LATS), "degrees_north"),
            ("longitude", 1.5 * np.arange(NUM_LONS), "degrees_east"),
        ):
            file.create_variable(name, (name,), values.dtype, data=values).attrs["units"] = units
        chunks = (PER_DAY, len(LEVELS), NUM_LATS, NUM_LONS)
        fields = [
            file.create_variable(name, tuple(file.dimensions), np.float32, chunks=chunks)
            for name in ("t", "d")
        ]
        for field in fields:
            field.attrs["units"] = "K"
        for day in range(count):
            for field in fields:
                field[PER_DAY * day : PER_DAY * (day + 1)] = day_of(first + day)


def work(what: str, folder: Path) -> None:
    """Does one thing and prints its peak memory in MB and its time in s."""
    from trainables.geo_contrastive.data.fields import open_fields
    from trainables.geo_contrastive.importing.weather_fields import read
    from trainables.geo_contrastive.knobs import DataKnobs

    began = time.perf_counter()
    if what == "prepare":
        open_fields(folder, "own", DataKnobs(variables=("t", "d")))
    else:
        grid = {"grid": "64x32"} if what == "regrid" else {}
        read(folder / "source", folder / what, variables="t@850hPa,d=d@500hPa", **grid)
    seconds = time.perf_counter() - began
    status = Path("/proc/self/status").read_text()  # getrusage would tell the parent's if that is larger
    peak = int(status.partition("VmHWM:")[2].split()[0]) * 1.024 / 1000
    print("\n" + json.dumps({"mb": peak, "s": seconds}))


def measured(what: str, folder: Path) -> dict[str, float]:
    """Returns what `work` prints in a process of its own."""
    paths = os.pathsep.join([str(ROOT / "platform"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [sys.executable, __file__, "--what", what, "--folder", str(folder)],
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if run.returncode:
        sys.exit(f"{what} failed:\n{run.stderr[-3000:]}")
    found: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return found


def check(folder: Path, num_days: int) -> None:
    """Stops unless the last day of the import is numpy's mean."""
    with h5netcdf.File(folder / "own" / "t.nc") as file:
        found = np.roll(file["t"][num_days - 1], NUM_LONS // 2, axis=0)[:, ::-1].T
    expected = day_of(num_days - 1)[:, 1].mean(axis=0, dtype=np.float64)
    if not np.allclose(found, expected, rtol=1e-6):
        sys.exit("the import is not the mean of the day")


def figures(found: dict[str, dict[str, float]], sizes: dict[str, float]) -> list[dict[str, Any]]:
    """Returns memory and speed of each part."""
    rows: list[dict[str, Any]] = []
    titles = {"regrid": "import, regridded", "own": "import, own grid", "prepare": "prepare, own grid"}
    for what, title in titles.items():
        peak, seconds, size = found[what]["mb"], found[what]["s"], sizes[what] / 1e6
        goal = f"under {LIMIT_MB} MB"
        rows += [
            {"name": f"{title}: input", "value": round(size), "unit": "MB", "goal": "", "met": None},
            {
                "name": f"{title}: peak memory",
                "value": round(peak),
                "unit": "MB",
                "goal": goal,
                "met": peak < LIMIT_MB,
            },
            {
                "name": f"{title}: peak memory / input",
                "value": round(peak / size, 3),
                "unit": "1",
                "goal": "",
                "met": None,
            },
            {"name": f"{title}: time", "value": round(seconds, 1), "unit": "s", "goal": "", "met": None},
        ]
    return rows


def main() -> None:
    """Measures all parts and prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="300 MB")
    parser.add_argument("--gb", type=float, default=10.0, help="size of the source")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--what", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.what:
        work(args.what, args.folder)
        return
    base = Path(tempfile.mkdtemp(prefix="tw-fields-"))
    try:
        (base / "source").mkdir()
        print("writing the source", file=sys.stderr)
        num_days = make_source(base / "source", 0.3e9 if args.quick else args.gb * 1e9)
        source = sum(path.stat().st_size for path in (base / "source").iterdir())
        found = {what: measured(what, base) for what in ("regrid", "own", "prepare")}
        check(base, num_days)
        own = sum(path.stat().st_size for path in (base / "own").glob("*.nc"))
        rows = figures(found, {"regrid": source, "own": source, "prepare": own})
    finally:
        shutil.rmtree(base)
    tell(rows, args.json)


if __name__ == "__main__":
    main()
