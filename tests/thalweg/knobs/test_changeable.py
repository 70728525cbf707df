"""Which knobs may change while a model trains."""

from typing import Any

import pytest

from families.toy.config import Toy
from thalweg.config import FamilyConfig, flat
from thalweg.knobs.changeable import changeable_knobs, fixed_knobs, moved_knobs
from trainables.geo_contrastive.config import PRESETS as FIELDS
from trainables.rgb_lidar.config import PRESETS as SCENES
from trainables.sentinel_supcon.config import PRESETS as SATELLITES
from trainables.water_mae.config import PRESETS as WATER

OPTIMIZER = {"lr", "weight_decay", "momentum", "beta1", "beta2", "eps", "clip_norm", "min_lr_ratio"}
PRESETS: dict[str, FamilyConfig] = {
    "toy": Toy(),
    "water_mae": WATER["tiny"],
    "geo_contrastive": FIELDS["tiny"],
    "rgb_lidar": SCENES["tiny"],
    "sentinel_supcon": SATELLITES["tiny"],
}


def test_knobs_that_a_group_names_and_all_of_a_schedule_may_change() -> None:
    found = changeable_knobs(Toy())
    assert found == {
        *(f"optimization.{name}" for name in OPTIMIZER),
        "loss_weights.first",
        "loss_weights.second",
    }
    water = WATER["tiny"].vary(masking={"image_mask_ratio": {"start": 0.2, "end": 0.8}})
    masks = {name for name in changeable_knobs(water) if name.startswith("masking.image_mask_ratio")}
    assert masks == {
        f"masking.image_mask_ratio.{part}" for part in ("start", "end", "shape", "half_point", "floor")
    }
    assert "masking.vector_mask_ratio" in changeable_knobs(water)
    assert "masking.mask_mode" not in changeable_knobs(water)


@pytest.mark.parametrize("family", PRESETS)
def test_what_shapes_model_data_or_batch_never_may(family: str) -> None:
    config = PRESETS[family]
    found = changeable_knobs(config)
    assert {f"optimization.{name}" for name in OPTIMIZER} <= found <= flat(config, keep_empty=True).keys()
    shaping = (
        "dataset",
        "seed",
        "starts_from",
        "data.",
        "evaluation.",
        "optimization.batch_size",
        "optimization.zero",
    )
    assert not [name for name in found if name.startswith(shaping)]
    assert not [
        name for name in found if name.rpartition(".")[2].endswith(("dim", "width", "depth", "share", "kind"))
    ]


@pytest.mark.parametrize(
    ("family", "changes", "fixed"),
    [
        ("toy", {"optimization": {"lr": 0.5}, "loss_weights": {"first": 3.0}}, set()),
        (
            "toy",
            {"optimization": {"lr": 0.5, "batch_size": 2}, "width": 3},
            {"optimization.batch_size", "width"},
        ),
        ("water_mae", {"masking": {"image_mask_ratio": {"start": 0.2, "end": 0.8}}}, set()),
        ("water_mae", {"loss_weights": {"evaporation": 3.0, "temperature": 2.0}}, set()),
        ("water_mae", {"loss": {"contrastive_weight": 0.1}}, {"loss.contrastive_temperature"}),
        ("geo_contrastive", {"stages": {"alpha": {"half_point": 0.1, "start": 0.9}}}, set()),
        ("geo_contrastive", {"stages": {"joint_share": 3.0}}, {"stages.joint_share"}),
        ("sentinel_supcon", {"tuning": {"sup_delta": 0.0}}, {"tuning.temperature", "tuning.contrast"}),
    ],
)
def test_a_change_is_refused_for_what_it_fixes_or_switches_off(
    family: str, changes: dict[str, Any], fixed: set[str]
) -> None:
    one = PRESETS[family]
    other = one.vary(**changes)
    assert moved_knobs(one, other)
    assert fixed_knobs(one, other) == fixed_knobs(other, one) == fixed
