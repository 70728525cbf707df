"""What reading a batch of Sentinel-1 and Sentinel-2 scenes costs: GeoTIFF by GeoTIFF, torchgeo, and Thalweg.

All arms read the same batches of 32 scenes, in the same random order, out of 2,000 training scenes in the layout of
SEN12MS: a GeoTIFF of two float32 bands in dB and one of 13 uint16 bands for each scene, 256 x 256 pixels, not
compressed; and must give the same standardised fp32 tensors, which is checked before any time is read:

  rasterio  opens both files of each scene, reads them, standardises, stacks scenes into a batch as torch's loader does
  deflate   the same from files with deflate compression, as `thalweg data import` writes them
  torchgeo  its SEN12MS data set, whose samples hold a map of classes too, and torch's collation, then standardised
  ours      `SceneTask.training_batch` without augmentation, labels included, out of the prepared store
  memcpy    a bare copy of as many bytes into memory that is there already, which is the limit

torchgeo is no dependency of this project. To measure it make an environment of its own that also finds this one's
packages, and name its Python; without it the arm is left out:

  uv venv /tmp/tg --python 3.11
  python -c "import site; print(site.getsitepackages()[0])" > /tmp/tg/lib/python3.11/site-packages/house.pth
  uv pip install --python /tmp/tg/bin/python --no-deps torchgeo==0.8.1 geopandas pyogrio shapely pyproj torchmetrics \
      kornia kornia-rs lightning lightning-utilities pytorch-lightning segmentation-models-pytorch lightly

One thread, each arm and round in a process of its own, arms in turn. Times are seconds of the processor, as if all
files were in the system's cache. The preparation, once for all studies, is told beside, by the clock.

Run alone on the machine:  python benchmarks/scene_path.py [--quick] [--json FILE] [--torchgeo PYTHON]
"""

import argparse
import importlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.figures import tell

ROOT = Path(__file__).resolve().parent.parent
ARMS = ("rasterio", "deflate", "torchgeo", "ours", "memcpy")
BATCH, NUM_COMPRESSED = 32, 256
NUM_REGIONS = 10  # of which eight are for training
SEASONS = (
    "ROIs1158_spring",
    "ROIs1868_summer",
    "ROIs1970_fall",
    "ROIs2017_winter",
)  # torchgeo wants these folders
IGBP = (1, 6, 10, 11, 12, 13, 16, 17)
TOLERANCE = 1e-4  # of standardised values: other orders of operations in fp32
WORLD, PLAN = "scenes", "plan.json"

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]
Read = Callable[[Numbers], tuple[Floats, Floats]]


def make_world(folder: Path, num_training: int, side: int) -> None:
    """Writes scenes of ten regions for training and validation, and a region for tests."""
    rng = np.random.default_rng(0)
    bases = [base(rng, side) for _ in range(24)]
    for season in SEASONS:
        (folder / season).mkdir(parents=True)
    per_region = num_training // (NUM_REGIONS - 2)
    for region in range(NUM_REGIONS + 1):
        roi = "ROIs0000_validation" if region < NUM_REGIONS else "ROIs0000_test"
        for kind in ("s1", "s2", "lc"):
            (folder / roi / f"{kind}_{region}").mkdir(parents=True)
        for patch in range(per_region if region < NUM_REGIONS else len(IGBP)):
            s1, s2 = bases[rng.integers(len(bases))]
            step = int(rng.integers(side))
            cover = np.full((4, side, side), IGBP[patch % len(IGBP)], np.uint8)
            images: dict[str, npt.NDArray[Any]] = {
                "s1": np.roll(s1, step, 2),
                "s2": np.roll(s2, step, 2),
                "lc": cover,
            }
            for kind, image in images.items():
                write(folder / roi / f"{kind}_{region}" / f"{roi}_{kind}_{region}_p{patch}.tif", image, {})


def base(rng: np.random.Generator, side: int) -> tuple[Floats, npt.NDArray[np.uint16]]:
    """Returns a scene of the family's synthetic land."""
    from trainables.sentinel_supcon.worlds.dfc2020 import Recipe, render

    _, s1, s2 = render(rng, Recipe(num_scenes=100, side=side, seed=0), int(rng.choice([1, 4, 6, 7, 10])))
    return s1, s2


def write(path: Path, image: npt.NDArray[Any], options: Mapping[str, str]) -> None:
    """Writes a GeoTIFF with coordinates."""
    import rasterio

    bands, rows, columns = image.shape
    profile = {"driver": "GTiff", "count": bands, "height": rows, "width": columns, "dtype": image.dtype.name}
    place = {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)}
    with rasterio.open(path, "w", **profile, **place, **options) as file:
        file.write(image)


def prepare(base_folder: Path) -> float:
    """Prepares the store, writes what other arms need to know, and returns the seconds it took."""
    began = time.perf_counter()
    data, _ = opened(base_folder)
    seconds = time.perf_counter() - began
    names = []
    for row in data.rows["train"]:
        roi, region, patch = data.names[row].rsplit("_", 2)
        names.append(f"{roi}/{{kind}}_{region}/{roi}_{{kind}}_{region}_{patch}.tif")
    unit = np.array([1.0] * 2 + [1e4] * (len(data.mean) - 2))
    plan = {"names": names, "mean": list(data.mean * unit), "std": list(data.std * unit), "side": data.side}
    (base_folder / PLAN).write_text(json.dumps(plan))
    world = base_folder / WORLD
    lists = "".join(f"{Path(name.format(kind='s1')).name}\n" for name in names)
    for split in ("train", "test"):
        (world / f"{split}_list.txt").write_text(lists)
    return seconds


def compress(base_folder: Path) -> None:
    """Writes the first training scenes once more, compressed."""
    import rasterio

    for name in json.loads((base_folder / PLAN).read_text())["names"][:NUM_COMPRESSED]:
        for kind in ("s1", "s2"):
            path = base_folder / "deflate" / name.format(kind=kind)
            path.parent.mkdir(parents=True, exist_ok=True)
            with rasterio.open(base_folder / WORLD / name.format(kind=kind)) as file:
                write(path, file.read(), {"compress": "deflate"})


def opened(base_folder: Path) -> tuple[Any, Any]:
    """Returns the data and the task of our arm."""
    from trainables.sentinel_supcon.config import PRESETS
    from trainables.sentinel_supcon.task import SceneTask

    preset = PRESETS["dfc2020"]
    side = json.loads((base_folder / "side.json").read_text())
    config = preset.vary(
        dataset=WORLD,
        data={"size": side},
        views={"augment": False},
        tuning={"sup_delta": 0.0},
    )
    task = SceneTask(config)
    return task.open(base_folder), task


class Scenes:
    """Reads batches in the way of one arm.

    Args:
        arm: Name of the arm.
        folder: Where the world, its plan and its compressed part are.
    """

    def __init__(self, arm: str, folder: Path) -> None:
        plan = json.loads((folder / PLAN).read_text())
        self._folder = folder / ("deflate" if arm == "deflate" else WORLD)
        self._names = plan["names"]
        self.num_scenes = min(len(self._names), NUM_COMPRESSED) if arm == "deflate" else len(self._names)
        mean, std = (torch.tensor(plan[name], dtype=torch.float32)[:, None, None] for name in ("mean", "std"))
        self._mean, self._std = mean, std
        if arm == "ours":
            self._data, self._task = opened(folder)
        elif arm == "torchgeo":
            self._set = importlib.import_module("torchgeo.datasets").SEN12MS(str(self._folder))
        elif arm == "memcpy":
            self._source = np.ones((BATCH, len(mean), plan["side"], plan["side"]), np.float32)
            self._target = self._source.copy()
        self.read: Read = getattr(self, f"_{arm}")

    def batches(self) -> list[Numbers]:
        """Returns the numbers of scenes, shuffled and in whole batches."""
        order = np.random.default_rng(0).permutation(self.num_scenes)
        return list(order[: len(order) // BATCH * BATCH].reshape(-1, BATCH))

    def _rasterio(self, numbers: Numbers) -> tuple[Floats, Floats]:
        samples = [self._sample(self._names[number]) for number in numbers.tolist()]
        s1, s2 = (torch.stack(each) for each in zip(*samples, strict=True))
        return s1.numpy(), s2.numpy()

    _deflate = _rasterio

    def _sample(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        import rasterio

        images = []
        for kind in ("s1", "s2"):
            with rasterio.open(self._folder / name.format(kind=kind)) as file:
                images.append(torch.from_numpy(file.read().astype(np.float32)))
        s1, s2 = images
        return (s1 - self._mean[:2]) / self._std[:2], (s2 - self._mean[2:]) / self._std[2:]

    def _torchgeo(self, numbers: Numbers) -> tuple[Floats, Floats]:
        batch = torch.utils.data.default_collate([self._set[number] for number in numbers.tolist()])
        images = ((batch["image"] - self._mean) / self._std).numpy()
        return images[:, :2], images[:, 2:]

    def _ours(self, numbers: Numbers) -> tuple[Floats, Floats]:
        batch = self._task.training_batch(self._data, numbers, numbers.astype(np.uint64))
        return batch["s1"][:, 0].numpy(), batch["s2"][:, 0].numpy()

    def _memcpy(self, numbers: Numbers) -> tuple[Floats, Floats]:
        target = self._target[: len(numbers)]
        np.copyto(target, self._source[: len(numbers)])
        return target[:, :2], target[:, 2:]


def read_few(arm: str, folder: Path, target: Path) -> None:
    """Reads a few scenes and saves them."""
    np.savez(target, *Scenes(arm, folder).read(np.array([0, 7, 50, 3])))


def time_arm(arm: str, folder: Path, seconds: float) -> dict[str, float]:
    """Reads batches in random order for some seconds; returns the median processor time of a scene in ms."""
    scenes = Scenes(arm, folder)
    batches = scenes.batches()
    for numbers in batches[:2]:
        scenes.read(numbers)
    times: list[float] = []
    while sum(times) < seconds or len(times) < 5:
        numbers = batches[len(times) % len(batches)]
        began = time.process_time()
        values = scenes.read(numbers)
        times.append(time.process_time() - began)
        size = sum(item.nbytes for item in values) / 1e6
        del values  # as a step lets its batch go
    return {"scene_ms": 1e3 * statistics.median(times) / BATCH, "mb": size / BATCH}


def run_arm(arm: str, what: str, folder: Path, python: str, *more: str) -> str:
    """Runs a measurement in a process of its own and returns what it printed."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    environment = os.environ | threads | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [python, __file__, "--arm", arm, "--what", what, "--folder", str(folder), *more]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"{arm} failed:\n{run.stderr[-3000:]}")
    return run.stdout


def has_torchgeo(python: str) -> bool:
    """Returns whether an interpreter can import torchgeo's data set."""
    run = subprocess.run([python, "-c", "from torchgeo.datasets import SEN12MS"], capture_output=True)
    return not run.returncode


def check_equal(folder: Path, pythons: Mapping[str, str]) -> float:
    """Stops unless every arm gives the same tensors; returns the largest difference."""
    found = {}
    for arm, python in pythons.items():
        run_arm(arm, "few", folder, python)
        with np.load(folder / f"{arm}.npz") as file:
            found[arm] = [file[name] for name in file.files]
    differences = [
        float(np.abs(one - two).max())
        for each in found.values()
        for one, two in zip(each, found["ours"], strict=True)
    ]
    if not max(differences) <= TOLERANCE:
        sys.exit(f"arms read different scenes: standardised values differ by up to {max(differences):.2g}")
    return max(differences)


def figures(
    times: Mapping[str, list[dict[str, float]]], difference: float, prepared: float
) -> list[dict[str, Any]]:
    """Returns medians over rounds and their goals."""
    rows: list[dict[str, Any]] = []

    def add(name: str, values: list[float], unit: str, least: float | None = None) -> None:
        value = statistics.median(values)
        goal, met = ("", None) if least is None else (f"at least {least:g}", value >= least)
        rows.append({"name": name, "value": float(f"{value:.4g}"), "unit": unit, "goal": goal, "met": met})

    def ratios(slow: str, fast: str) -> list[float]:
        both = zip(times[slow], times[fast], strict=True)
        return [one["scene_ms"] / two["scene_ms"] for one, two in both]

    add("largest difference of standardised values", [difference], "1")
    add("preparation of all scenes, once", [prepared], "s")
    for arm, found in times.items():
        add(f"{arm}: a scene of {found[0]['mb']:.2f} MB", [each["scene_ms"] for each in found], "ms")
    add("ours: speed as a share of memcpy's", ratios("memcpy", "ours"), "1", 0.6)
    add("rasterio / ours", ratios("rasterio", "ours"), "1", 30)
    add("rasterio from compressed files / ours", ratios("deflate", "ours"), "1", 30)
    if "torchgeo" in times:
        add("torchgeo / ours", ratios("torchgeo", "ours"), "1")
    add("rasterio / memcpy, which bounds that", ratios("rasterio", "memcpy"), "1")
    add("rasterio from compressed files / memcpy, which bounds that", ratios("deflate", "memcpy"), "1")
    return rows


def measure(folder: Path, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Measures all arms in turn."""
    pythons = dict.fromkeys(ARMS, sys.executable) | {"torchgeo": args.torchgeo}
    if not has_torchgeo(args.torchgeo):
        print("torchgeo is left out: it cannot be imported; --help says how to install it", file=sys.stderr)
        del pythons["torchgeo"]
    print(f"writing {args.scenes:,} training scenes of {args.side} x {args.side} pixels", file=sys.stderr)
    (folder / "side.json").write_text(json.dumps(args.side))
    make_world(folder / WORLD, args.scenes, args.side)
    prepared = prepare(folder)
    compress(folder)
    difference = check_equal(folder, {arm: each for arm, each in pythons.items() if arm != "memcpy"})
    times: dict[str, list[dict[str, float]]] = {arm: [] for arm in pythons}
    for number in range(args.rounds):
        for arm, python in pythons.items():
            told = run_arm(arm, "time", folder, python, "--seconds", str(args.seconds))
            times[arm].append(json.loads(told.splitlines()[-1]))
            print(f"round {number + 1} {arm}: {times[arm][-1]['scene_ms']:.3f} ms", file=sys.stderr)
    return figures(times, difference, prepared)


def parsed() -> argparse.Namespace:
    """Returns the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="160 scenes of 128 x 128 pixels, a short round")
    parser.add_argument("--scenes", type=int, default=2000, help="for training")
    parser.add_argument("--side", type=int, default=256, help="in pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each arm in each round")
    parser.add_argument("--torchgeo", default=sys.executable, help="Python of an environment with torchgeo")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    parser.add_argument("--what", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.quick:
        args.scenes, args.side, args.rounds, args.seconds = 160, 128, 1, 0.5
    return args


def main() -> None:
    """Measures all arms and prints the figures."""
    args = parsed()
    if args.arm:
        torch.set_num_threads(1)
        warnings.simplefilter("ignore")
        if args.what == "few":
            read_few(args.arm, args.folder, args.folder / f"{args.arm}.npz")
        else:
            print("\n" + json.dumps(time_arm(args.arm, args.folder, args.seconds)), flush=True)
        return
    folder = Path(tempfile.mkdtemp(prefix="tw-scenes-"))
    try:
        rows = measure(folder, args)
    finally:
        shutil.rmtree(folder)
    tell(rows, args.json)


if __name__ == "__main__":
    main()
