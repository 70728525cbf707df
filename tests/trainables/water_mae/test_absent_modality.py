"""Two workers train on years without rivers: no worker waits, and the result is that of one worker."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from tests.workers import on_workers
from thalweg.training.messages import TrialOrder
from thalweg.training.process_group import ProcessGroup, join
from thalweg.training.session import DataCache, Session
from trainables.water_mae.config import PRESETS
from trainables.water_mae.data.windows import WaterData, open_data

SOME, NONE = 14, 7  # windows: half of them have rivers, or none has


def trained(root: Path, cases: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
    """Trains each ZeRO stage on so many windows; every worker calls."""
    world = join()
    return [_train(root, world, *case) for case in cases]


def _train(root: Path, world: ProcessGroup, zero_stage: int, num_windows: int) -> dict[str, Any]:
    def few(*arguments: Any) -> WaterData:
        # windows of which the first seven lack rivers: each step of two pairs them in another way
        data = open_data(*arguments)
        return replace(
            data, starts={"train": data.starts["train"][:num_windows], "val": data.starts["val"][:4]}
        )

    config = PRESETS["tiny"].model_dump(mode="json")
    config["data"] |= {"sequence_length": 8, "stride": 4}
    config["optimization"] |= {"batch_size": 2, "zero_stage": zero_stage, "lr": 1e-3}
    order = TrialOrder(
        trial=f"trial-{zero_stage}-{num_windows}",
        family="trainables.water_mae",
        config=config,
        metric="skill",
        evaluations=(28,),
        data_root=str(root),
        directory=str(root / "checkpoints"),
        checkpoints=False,
        num_curve_points=14,
    )
    with patch("trainables.water_mae.task.open_data", few):
        session = Session(order, world, DataCache())
        report = session.advance()
        session.close()
    return {"metrics": dict(report.metrics), "curve": report.curve}


@pytest.fixture(scope="module")
def alone(tiny_root: Path, tiny: WaterData) -> dict[str, Any]:
    assert not tiny.vector_present[:30, 1].any() and tiny.vector_present[30:, 1].all()
    ((found,),) = on_workers(1, trained, tiny_root, [(1, SOME)])
    return found


@pytest.fixture(scope="module")
def of_two(tiny_root: Path) -> dict[tuple[int, int], dict[str, Any]]:
    """What two workers found, by ZeRO stage and number of windows."""
    cases = [(1, SOME), (3, SOME), (1, NONE)]
    found, _ = on_workers(2, trained, tiny_root, cases)
    return dict(zip(cases, found, strict=True))


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize("zero_stage", [1, 3])
def test_two_workers_of_which_one_lacks_rivers_equal_one(
    alone: dict[str, Any], of_two: dict[tuple[int, int], dict[str, Any]], zero_stage: int
) -> None:
    together = of_two[zero_stage, SOME]
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


@pytest.mark.slow
@pytest.mark.integration
def test_years_without_any_rivers_train_the_rest(of_two: dict[tuple[int, int], dict[str, Any]]) -> None:
    found = of_two[1, NONE]
    assert all("loss/river_flow" not in point for _, point in found["curve"])
    first, last = (found["curve"][number][1]["loss/soil_moisture"] for number in (0, -1))
    assert last < first
