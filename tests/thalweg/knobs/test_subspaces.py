"""Questions that search spaces share: what they ask, in which order, and what they return."""

from typing import Any

import pytest

from thalweg.config import Optimization
from thalweg.errors import ConfigError
from thalweg.knobs.scheduled import Schedule
from thalweg.knobs.subspaces import fusion, masking, optimizer, schedule
from thalweg.search.replay import RecordedTrial
from trainables.geo_contrastive.config import PRESETS

GROUP = PRESETS["tiny"].encoder.fusion


def test_a_schedule_is_asked_for_under_a_prefix() -> None:
    trial = RecordedTrial({"alpha_shape": "cosine"})
    knobs = schedule(trial, "alpha_", start=(0.5, 1.0), end=0.0, floor=(0.0, 0.4))
    assert list(trial.asked) == ["alpha_start", "alpha_shape", "alpha_half_point", "alpha_floor"]
    assert knobs.pop("half_point") == pytest.approx((0.05 * 0.95) ** 0.5)
    assert knobs.pop("floor") == pytest.approx(0.15)
    assert Schedule(**knobs) == Schedule(start=0.75, end=0.0, shape="cosine")


def test_two_schedules_stand_side_by_side_and_one_shape_is_not_asked() -> None:
    trial = RecordedTrial()
    for prefix in ("one_", "other_"):
        found = schedule(trial, prefix, start=(1e-3, 1.0), end=(1e-4, 1e-2), shape=["linear"], log=True)
        assert found["shape"] == "linear" and found["start"] == pytest.approx(1e-3**0.5)
    names = ("start", "end", "half_point")
    assert list(trial.asked) == [f"{prefix}{name}" for prefix in ("one_", "other_") for name in names]


@pytest.mark.parametrize("corner", ["low", "high"])
def test_each_end_of_a_schedule_s_ranges_is_a_schedule(corner: str) -> None:
    for shape in ("exponential", "linear", "cosine", "step"):
        middle = RecordedTrial({"shape": shape})
        schedule(middle, "", start=(0.1, 0.9), end=(0.1, 0.9), floor=(0.0, 1.0))
        ends = {
            name: domain.corners()[0 if corner == "low" else -1]
            for name, domain in middle.asked.items()
            if name != "shape"
        }
        trial = RecordedTrial(ends | {"shape": shape})
        assert Schedule(**schedule(trial, "", start=(0.1, 0.9), end=(0.1, 0.9), floor=(0.0, 1.0)))


def test_a_floor_lies_between_the_ends_whichever_is_smaller() -> None:
    for start, end in ((0.2, 0.6), (0.6, 0.2)):
        trial = RecordedTrial({"floor": 0.25})
        assert schedule(trial, "", start=start, end=end, floor=(0.0, 1.0))["floor"] == pytest.approx(0.3)


def test_an_optimizer_asks_for_the_strength_of_the_decay_only_if_there_is_one() -> None:
    asked: dict[str, Any] = {"batch_size": [16, 64], "lr": (1e-5, 1e-3), "weight_decay": (1e-6, 1e-2)}
    trial = RecordedTrial({"decays": True, "batch_size": 64})
    found = optimizer(trial, max_micro_batch=32, **asked)
    assert list(trial.asked) == ["batch_size", "decays", "lr", "weight_decay"]
    assert Optimization(**found).micro_batch_size == 32 and found["weight_decay"] == pytest.approx(1e-4)
    trial = RecordedTrial({"decays": False})
    assert optimizer(trial, **asked)["weight_decay"] == 0.0
    assert list(trial.asked) == ["batch_size", "decays", "lr"]


def test_a_constant_learning_rate_has_no_warm_up() -> None:
    for kind, names in (("constant", ["lr_schedule"]), ("cosine", ["lr_schedule", "warmup_ratio"])):
        trial = RecordedTrial({"lr_schedule": kind})
        found = optimizer(trial, lr_schedule=["cosine", "constant"], warmup_ratio=(0.1, 0.3))
        assert list(trial.asked) == names and bool(found["warmup_ratio"]) == (kind == "cosine")


def test_what_is_not_asked_stays_what_the_preset_says() -> None:
    trial = RecordedTrial()
    assert optimizer(trial) == {} and trial.asked == {}
    assert list(optimizer(trial, "head_", lr=(1e-4, 1e-2))) == ["lr"] and list(trial.asked) == ["head_lr"]


def test_masks_are_asked_for_by_kind() -> None:
    trial = RecordedTrial({"image_mask_ratio": 0.2})
    assert masking(trial, low=0.1, high=0.9) == {"image_mask_ratio": 0.2, "vector_mask_ratio": 0.5}
    assert masking(RecordedTrial(), "a_", low=0.1, high=0.5, kinds=["image"]) == {"image_mask_ratio": 0.3}


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("average", []),
        ("self_attention", ["heads"]),
        ("gcn", ["layers", "adjacency"]),
        ("gat", ["heads", "layers", "adjacency"]),
        ("cross_attention", ["heads", "adjacency"]),
    ],
)
def test_a_fusion_asks_only_for_what_its_kind_reads(kind: str, names: list[str]) -> None:
    trial = RecordedTrial({"my_fusion": kind})
    found = fusion(
        trial,
        GROUP,
        ["average", "self_attention", "gcn", "gat", "cross_attention"],
        "my_",
        heads=[1, 2],
        layers=range(1, 4),
        adjacency=["full", "learned"],
    )
    assert list(trial.asked) == ["my_fusion", *(f"my_{name}" for name in names)]
    assert list(found) == ["kind", *names]
    GROUP.vary(**found)
    assert "layers" not in names or trial.asked["my_layers"].corners() == (1, 3)


def test_a_fusion_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="kind"):
        fusion(RecordedTrial(), GROUP, ["sum"])
