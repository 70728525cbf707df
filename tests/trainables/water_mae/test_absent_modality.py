"""Two workers train on years without rivers: no worker waits, and the result is that of one worker."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trainables.water_mae.data.windows import WaterData

_TRAIN = """
import json
import sys
from dataclasses import replace
from pathlib import Path

from thalweg.training.messages import TrialOrder
from thalweg.training.process_group import join
from thalweg.training.session import DataCache, Session
from trainables.water_mae import task as task_module
from trainables.water_mae.config import PRESETS

root, zero_stage, rivers_from = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
open_data = task_module.open_data


def few(*arguments):
    # windows of which the first seven lack rivers: each step of two pairs them in another way
    data = open_data(*arguments)
    starts = data.starts["train"][:14] if rivers_from else data.starts["train"][:7]
    return replace(data, starts={"train": starts, "val": data.starts["val"][:4]})


task_module.open_data = few
config = PRESETS["tiny"].model_dump(mode="json")
config["data"] |= {"sequence_length": 8, "stride": 4}
config["optimization"] |= {"batch_size": 2, "zero_stage": zero_stage, "lr": 1e-3}
order = TrialOrder(
    trial=f"trial-{zero_stage}",
    family="trainables.water_mae",
    config=config,
    metric="skill",
    evaluations=(28,),
    data_root=str(root),
    directory=str(root / "checkpoints"),
    checkpoints=False,
    num_curve_points=14,
)
world = join()
session = Session(order, world, DataCache())
report = session.advance()
if world.rank == 0:
    print("\\n" + json.dumps({"metrics": dict(report.metrics), "curve": report.curve}))
"""


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _train(root: Path, num_workers: int, zero_stage: int, *, rivers: bool = True) -> dict[str, Any]:
    """Trains in processes of their own; a worker that waits for ever fails the test."""
    shared = os.environ | {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_port()),
        "WORLD_SIZE": str(num_workers),
        "LOCAL_WORLD_SIZE": str(num_workers),
    }
    command = [sys.executable, "-c", _TRAIN, str(root), str(zero_stage), str(int(rivers))]
    workers = [
        subprocess.Popen(
            command,
            env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(num_workers)
    ]
    try:
        outputs = [worker.communicate(timeout=240) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    for worker, (_, errors) in zip(workers, outputs, strict=True):
        assert worker.returncode == 0, errors[-3000:]
    found: dict[str, Any] = json.loads(outputs[0][0].splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def alone(tiny_root: Path, tiny: WaterData) -> dict[str, Any]:
    assert not tiny.vector_present[:30, 1].any() and tiny.vector_present[30:, 1].all()
    return _train(tiny_root, 1, 1)


@pytest.mark.integration
@pytest.mark.parametrize("zero_stage", [1, 3])
def test_two_workers_of_which_one_lacks_rivers_equal_one(
    tiny_root: Path, alone: dict[str, Any], zero_stage: int
) -> None:
    together = _train(tiny_root, 2, zero_stage)
    rivers = [point["loss/river_flow"] for _, point in together["curve"] if "loss/river_flow" in point]
    assert 0 < len(rivers) < len(together["curve"])  # some steps had none at all
    for (samples, mine), (same, theirs) in zip(together["curve"], alone["curve"], strict=True):
        assert samples == same
        losses = [
            {name: value for name, value in point.items() if name.startswith("loss/")}
            for point in (mine, theirs)
        ]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    skills = {name for name in alone["metrics"] if name.startswith(("skill", "nse", "kge"))}
    assert {name: together["metrics"][name] for name in skills} == pytest.approx(
        {name: alone["metrics"][name] for name in skills}, rel=1e-3, abs=1e-4
    )


@pytest.mark.integration
def test_years_without_any_rivers_train_the_rest(tiny_root: Path, tiny: WaterData) -> None:
    found = _train(tiny_root, 2, 1, rivers=False)
    assert all("loss/river_flow" not in point for _, point in found["curve"])
    first, last = (found["curve"][number][1]["loss/soil_moisture"] for number in (0, -1))
    assert last < first
