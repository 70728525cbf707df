"""What a training sample costs before a model sees it: the original's way, plainer ones, and Thalweg, side by side.

All arms read the same batches of 16 windows of 30 days of three gridded modalities of 290 x 180 cells, in the same
random order, and must give the same normalised land patches, which is checked before any time is read:

  original    grids cached in memory; each sample is normalised, samples are stacked into a batch as torch's loader
              does, the batch is cut into all 522 patches, and those on land are chosen
  gzip        HDF5 in chunks of 30 days, gzip-4, as the merged files are; the window normalised, land patches chosen
  contiguous  the same from HDF5 without chunks or compression
  mmap        the same from a memory map of the full grids
  ours        `WaterData.tensors`: copies out of the prepared store, into the memory of batches that are gone; float16
              is the same from a store in half the bytes, which stay half until a model has chosen its patches
  memcpy      a bare copy of as many bytes into new memory, whose pages the system clears at their first use
  kept        a bare copy into memory that is kept, which is the limit

Then several processes open the data at once and read every window, as concurrent trials do; told is the private memory
(USS) of each one beyond that of a process that only imported the code.

One thread; caches are warm. Run alone on the machine:  python benchmarks/data_path.py [--quick] [--json FILE]
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import psutil
import torch

from benchmarks.figures import tell

ROOT = Path(__file__).resolve().parent.parent
GRID, PATCH, LENGTH, STRIDE, BATCH = (290, 180), 10, 30, 20, 16
MODALITIES = ("precipitation", "soil_moisture", "temperature")
ARMS = ("original", "gzip", "contiguous", "mmap", "ours", "float16", "memcpy", "kept")
COPIES = ("memcpy", "kept")
NUM_TRIALS = 3  # processes at once
NUM_CATCHMENTS = 604

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]


def make_world(folder: Path, years: int) -> None:
    """Writes a data set of the reference size in the family's layout, and its grids in other containers."""
    import pandas as pd

    from trainables.water_mae.data import writing
    from trainables.water_mae.data.layout import Period
    from trainables.water_mae.knobs import NRFA_ATTRIBUTES

    rng = np.random.default_rng(0)
    land = land_mask()
    train = Period(np.datetime64("1989-01-01"), np.datetime64(f"{1989 + years - 1}-12-31"))
    val = Period(train.last + 1, train.last + 60)
    whole = Period(train.first, val.last)
    writing.write_mask(folder, land)
    for name in MODALITIES:
        for split, period in (("train", train), ("val", val)):
            pieces = (
                in_range(name, weather(len(period.dates), first, land, rng))
                for first in range(0, len(period.dates), 30)
            )
            path = writing.write_grid(folder, name, split, period, land=land, pieces=pieces)  # type: ignore[arg-type]
            if split == "train":
                unpack(path, folder / f"{name}.raw")
    ids = np.arange(1, NUM_CATCHMENTS + 1)
    series = rng.gamma(2.0, size=(2, NUM_CATCHMENTS, len(whole.dates))).astype(np.float32)
    writing.write_series(folder, whole, ids, evaporation=series[0], riverflow=series[1])
    attributes = pd.DataFrame(rng.random((NUM_CATCHMENTS, len(NRFA_ATTRIBUTES))), ids, list(NRFA_ATTRIBUTES))
    writing.write_attributes(folder, attributes)


def land_mask() -> npt.NDArray[np.bool_]:
    """Returns an island with 94 land patches, as the published mask has."""
    rows, cols = (np.arange(0, size, PATCH) for size in GRID)
    centre = np.stack(np.meshgrid(rows - 145, (cols - 90) * 1.6, indexing="ij"), axis=-1)
    order = np.argsort(np.hypot(*np.moveaxis(centre, -1, 0)).ravel(), kind="stable")
    patches = np.zeros(29 * 18, bool)
    patches[order[:94]] = True
    land: npt.NDArray[np.bool_] = np.kron(patches.reshape(29, 18), np.ones((PATCH, PATCH), bool))
    coast = np.random.default_rng(1).random(GRID) < 0.1
    return land & ~coast


def weather(num_days: int, first: int, land: npt.NDArray[np.bool_], rng: np.random.Generator) -> Floats:
    """Returns up to 30 smooth days with two decimals, which compress about as real ones do."""
    days = min(30, num_days - first)
    coarse = rng.standard_normal((days, 29, 18)).astype(np.float32)
    fields: Floats = np.kron(coarse, np.ones((1, PATCH, PATCH), np.float32))[:, land] * 3
    fields += rng.standard_normal(fields.shape, dtype=np.float32) * 0.1
    return fields.round(2)


def in_range(name: str, fields: Floats) -> Floats:
    """Returns fields as values that a modality can have, with their decimals."""
    if name == "precipitation":
        return np.abs(fields)
    if name == "temperature":
        return fields
    shares: Floats = (np.float32(0.5) + fields / np.float32(50)).round(2)
    return shares


def unpack(path: Path, target: Path) -> None:
    """Writes the grids of an HDF5 file without compression: as HDF5 and as numpy's."""
    with h5py.File(path) as file, h5py.File(target.with_suffix(".contiguous"), "w") as plain:
        grids = file["data"]
        copy = plain.create_dataset("data", grids.shape, np.float32)
        mapped = np.lib.format.open_memmap(
            target.with_suffix(".npy"), mode="w+", shape=grids.shape, dtype=np.float32
        )
        for first in range(0, len(grids), 30):
            copy[first : first + 30] = mapped[first : first + 30] = grids[first : first + 30]


class Windows:
    """Reads windows in the way of one arm.

    Args:
        arm: Name of the arm.
        folder: What `make_world` wrote.
    """

    def __init__(self, arm: str, folder: Path) -> None:
        from trainables.water_mae.data.patches import kept_patches
        from trainables.water_mae.data.windows import open_data
        from trainables.water_mae.knobs import DataKnobs

        self._arm = arm
        self._folder = folder
        knobs = DataKnobs(stored_as="float16" if arm == "float16" else "float32")
        self._data = open_data(folder.parent, folder.name, knobs)
        self.num_windows = self._data.num_samples("train")
        self._mean, self._std = (
            moments[:3].astype(np.float32) for moments in (self._data.mean, self._data.std)
        )
        self._land = np.load(folder / f"land_mask_{GRID[0]}x{GRID[1]}.npy").astype(bool)
        self._patches = kept_patches(self._land, PATCH, 0.5)
        self._keep = torch.from_numpy(self._patches.rows_cols @ np.array([GRID[1] // PATCH, 1]))
        if arm in COPIES:
            one = self._ours(np.zeros(1, np.int64))
            size = sum(int(values.nbytes) for values in one.values()) // 4
            self._source = np.ones((self.num_windows, size), np.float32)
            self._target = np.empty((BATCH, size), np.float32)
        self.read: Callable[[Numbers], Mapping[str, npt.NDArray[Any]]] = getattr(self, f"_{arm}")

    def batches(self) -> list[Numbers]:
        """Returns the numbers of windows, shuffled and in whole batches."""
        order = np.random.default_rng(0).permutation(self.num_windows)
        return list(order[: len(order) // BATCH * BATCH].reshape(-1, BATCH))

    def _ours(self, numbers: Numbers) -> Mapping[str, npt.NDArray[Any]]:
        found = self._data.tensors("train", numbers)
        return {name: found[name].numpy() for name in ("images", "vectors", "vector_present", "day_of_year")}

    _float16 = _ours

    def _memcpy(self, numbers: Numbers) -> Mapping[str, npt.NDArray[Any]]:
        return {"copy": self._source[: len(numbers)].copy()}

    def _kept(self, numbers: Numbers) -> Mapping[str, npt.NDArray[Any]]:
        np.copyto(self._target, self._source[: len(numbers)])
        return {"copy": self._target}

    def _original(self, numbers: Numbers) -> Mapping[str, npt.NDArray[Any]]:
        samples = [self._sample(_days(number)) for number in numbers.tolist()]
        batch = {name: torch.stack([sample[name] for sample in samples]) for name in MODALITIES}
        patches = []
        for grids in batch.values():
            cut = grids.reshape(len(grids), LENGTH, 29, PATCH, 18, PATCH).permute(0, 1, 2, 4, 3, 5)
            patches.append(cut.reshape(len(grids), LENGTH, 29 * 18, PATCH * PATCH)[:, :, self._keep])
        return {"images": torch.stack(patches, 1).numpy()}

    def _sample(self, days: slice) -> dict[str, torch.Tensor]:
        normalised = {}
        for name, cache, mean, std in zip(MODALITIES, self._caches, self._mean, self._std, strict=True):
            scaled = np.where(self._land, (cache[days] - mean) / std, np.float32(0))
            normalised[name] = torch.from_numpy(scaled)
        return normalised

    def _gzip(self, numbers: Numbers) -> Mapping[str, npt.NDArray[Any]]:
        return self._chosen(numbers, [file["data"] for file in self._merged])

    def _contiguous(self, numbers: Numbers) -> Mapping[str, npt.NDArray[Any]]:
        return self._chosen(numbers, [file["data"] for file in self._plain])

    def _mmap(self, numbers: Numbers) -> Mapping[str, npt.NDArray[Any]]:
        return self._chosen(numbers, self._maps)

    def _chosen(self, numbers: Numbers, grids: Sequence[Any]) -> Mapping[str, npt.NDArray[Any]]:
        """Takes the land patches out of grids and normalises them."""
        valid, cells = self._patches.valid, self._patches.cells
        out = np.empty((len(numbers), len(MODALITIES), LENGTH, *valid.shape), np.float32)
        for window, number in zip(out, numbers.tolist(), strict=True):
            for target, days, mean, std in zip(window, grids, self._mean, self._std, strict=True):
                cut = days[_days(number)].reshape(LENGTH, -1)[:, cells]
                target[...] = np.where(valid, (cut - mean) / std, np.float32(0))
        return {"images": out}

    @cached_property
    def _caches(self) -> list[Floats]:
        return [np.array(np.load(self._folder / f"{name}.npy", mmap_mode="r")) for name in MODALITIES]

    @cached_property
    def _maps(self) -> list[Floats]:
        return [np.load(self._folder / f"{name}.npy", mmap_mode="r") for name in MODALITIES]

    @cached_property
    def _merged(self) -> list[h5py.File]:
        return [h5py.File(next(self._folder.glob(f"{name}_train_*.h5"))) for name in MODALITIES]

    @cached_property
    def _plain(self) -> list[h5py.File]:
        return [h5py.File(self._folder / f"{name}.contiguous") for name in MODALITIES]


def _days(number: int) -> slice:
    return slice(STRIDE * number, STRIDE * number + LENGTH)


def check_equal(folder: Path) -> None:
    """Stops unless every arm gives the same windows."""
    reference = Windows("ours", folder)
    numbers = np.array([0, 7, reference.num_windows - 1])
    expected = reference.read(numbers)["images"]
    for arm in set(ARMS) - set(COPIES):
        tolerance = 0.01 if arm == "float16" else 1e-5  # rounding to half; order of operations
        if not np.allclose(Windows(arm, folder).read(numbers)["images"], expected, atol=tolerance, rtol=0):
            sys.exit(f"{arm} and ours read different windows")


def time_arm(arm: str, folder: Path, seconds: float) -> dict[str, float]:
    """Reads batches in random order for some seconds; returns the median time of a window in ms."""
    torch.set_num_threads(1)
    windows = Windows(arm, folder)
    batches = windows.batches()
    for numbers in batches[:2]:
        windows.read(numbers)
    times: list[float] = []
    while sum(times) < seconds or len(times) < 5:
        numbers = batches[len(times) % len(batches)]
        began = time.perf_counter()
        values = windows.read(numbers)
        times.append(time.perf_counter() - began)
    size = sum(item.nbytes for item in values.values()) / 1e6
    return {"window_ms": 1e3 * statistics.median(times) / BATCH, "mb": size / BATCH}


def private_memory(arm: str, folder: Path) -> None:
    """Opens an arm, reads every window and prints USS beyond that of the imports in MB; speaks and waits in turns."""
    import trainables.water_mae.data.windows  # noqa: F401

    process = psutil.Process()
    before = process.memory_full_info().uss
    windows = Windows(arm, folder)
    for numbers in windows.batches():
        windows.read(numbers)
    print("read", flush=True)
    sys.stdin.readline()  # until all have read
    print((process.memory_full_info().uss - before) / 1e6, flush=True)
    sys.stdin.readline()  # until all have measured


def command(arm: str, what: str, folder: Path, seconds: float) -> list[str]:
    """Returns the command of one measurement in a process of its own."""
    options = ["--arm", arm, "--what", what, "--folder", str(folder), "--seconds", str(seconds)]
    return [sys.executable, __file__, *options]


def environment() -> dict[str, str]:
    """Returns an environment with one thread and this repository on the path."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    return os.environ | threads | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def timing(arm: str, folder: Path, seconds: float) -> dict[str, float]:
    """Times an arm in a process of its own."""
    run = subprocess.run(
        command(arm, "time", folder, seconds), env=environment(), capture_output=True, text=True
    )
    if run.returncode:
        sys.exit(f"{arm} failed:\n{run.stderr[-3000:]}")
    found: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return found


def memories(arm: str, folder: Path) -> list[float]:
    """Returns the private memory of each of several processes that have the data open at once."""
    trials = [
        subprocess.Popen(
            command(arm, "memory", folder, 0),
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(NUM_TRIALS)
    ]

    def hear() -> list[str]:
        return [trial.stdout.readline() for trial in trials if trial.stdout is not None]

    def speak() -> None:
        for trial in trials:
            assert trial.stdin is not None
            trial.stdin.write("\n")
            trial.stdin.flush()

    if set(hear()) != {"read\n"}:
        sys.exit(f"{arm} could not be read by {NUM_TRIALS} processes at once")
    speak()
    found = [float(line) for line in hear()]
    speak()
    for trial in trials:
        trial.wait()
    return found


def figures(
    times: Mapping[str, list[dict[str, float]]], memory: Mapping[str, list[float]], years: int
) -> list[dict[str, Any]]:
    """Returns medians over rounds and their goals."""
    rows: list[dict[str, Any]] = []

    def add(name: str, value: float, unit: str, goal: str = "", met: bool | None = None) -> None:
        rows.append({"name": name, "value": round(value, 4), "unit": unit, "goal": goal, "met": met})

    median = {arm: statistics.median(item["window_ms"] for item in found) for arm, found in times.items()}
    for arm, value in median.items():
        add(f"{arm}: a window of {times[arm][0]['mb']:.1f} MB", value, "ms")
    share = statistics.median(
        limit["window_ms"] / ours["window_ms"]
        for limit, ours in zip(times["memcpy"], times["ours"], strict=True)
    )
    add("ours: speed as a share of memcpy's", share, "1", "at least 0.6", share >= 0.6)
    add("ours: speed as a share of a copy's into kept memory", median["kept"] / median["ours"], "1")
    ratio = median["original"] / median["ours"]
    add("original / ours", ratio, "1", "at least 100", ratio >= 100)
    ratio = median["original"] / median["float16"]
    add("original / ours from a store in float16", ratio, "1", "at least 100", ratio >= 100)
    add("original / a copy into kept memory, which bounds that", median["original"] / median["kept"], "1")
    for arm, values in memory.items():
        add(f"{arm}: private memory of a trial, {years} years of data", max(values), "MB")
    most, batch = max(memory["ours"]), BATCH * times["ours"][0]["mb"]
    add("ours: private memory of each further trial", most, "MB", "at most a batch", most <= 1.1 * batch)
    return rows


def measure(folder: Path, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Measures all arms in turn."""
    times: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}
    for number in range(args.rounds):
        for arm in ARMS:
            times[arm].append(timing(arm, folder, args.seconds))
            print(f"round {number + 1} {arm}: {times[arm][-1]['window_ms']:.3f} ms", file=sys.stderr)
    memory = {arm: memories(arm, folder) for arm in ("original", "gzip", "mmap", "ours")}
    return figures(times, memory, args.years)


def main() -> None:
    """Measures all arms and prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a year of data if not said, one short round")
    parser.add_argument("--years", type=int, help="years of data, 4 unless quick; the published split has 22")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each arm in each round")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    parser.add_argument("--what", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds = 1, 0.5
    args.years = args.years or (1 if args.quick else 4)
    if args.arm:
        if args.what == "memory":
            private_memory(args.arm, args.folder)
        else:
            print("\n" + json.dumps(time_arm(args.arm, args.folder, args.seconds)), flush=True)
        return
    base = Path(tempfile.mkdtemp(prefix="tw-data-"))
    try:
        (base / "world").mkdir()
        print(f"writing {args.years} years of data", file=sys.stderr)
        make_world(base / "world", args.years)
        check_equal(base / "world")
        rows = measure(base / "world", args)
    finally:
        shutil.rmtree(base)
    tell(rows, args.json)


if __name__ == "__main__":
    main()
