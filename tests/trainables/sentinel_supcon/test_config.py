from typing import Any

import pytest

from thalweg.config import active, idle_knobs
from thalweg.errors import ConfigError
from trainables.sentinel_supcon.config import PRESETS, SentinelSupCon

TINY = PRESETS["tiny"]


def test_defaults_and_presets_are_the_published_experiments() -> None:
    meterml, dfc2020 = PRESETS["meterml"], PRESETS["dfc2020"]
    assert (meterml.model.backbone, meterml.model.scenario, meterml.seed) == ("dual", "s1s2_fused", 10)
    knobs = meterml.optimization
    assert (knobs.optimizer, knobs.lr, knobs.momentum, knobs.batch_size) == ("sgd", 0.01, 0.0, 32)
    assert (meterml.data.size, len(meterml.data.bands), meterml.data.ignored) == (72, 4, ("Negative",))
    assert (dfc2020.data.size, len(dfc2020.data.bands), len(dfc2020.data.classes)) == (224, 13, 8)
    assert (dfc2020.optimization.lr, dfc2020.optimization.weight_decay) == (1e-5, 1e-3)
    assert dfc2020.tuning.head_lr_scale * dfc2020.optimization.lr == pytest.approx(3e-6)
    assert SentinelSupCon().model.backbone == dfc2020.model.backbone == "resnet50"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tuning": {"mode": "linear"}}, "sup_delta must be 0 in the mode linear, a dead knob"),
        ({"tuning": {"mode": "linear", "sup_delta": 0.0}}, "where encoders start at random"),
        (
            {"model": {"pretrained": "a.pth"}, "starts_from": ("other",)},
            "model.pretrained must be empty with starts_from",
        ),
        ({"model": {"pretrained": "../a.pth"}}, "should match pattern"),
        ({"model": {"backbone": "prototypes"}}, "pretraining.share must be above 0"),
        (
            {"pretraining": {"share": 0.5, "views": True}, "views": {"augment": False}},
            "both blocks of a sensor",
        ),
        ({"pretraining": {"share": 0.5}, "model": {"scenario": "s1"}}, "must compare at least 2 blocks"),
        (
            {"pretraining": {"share": 0.5, "negatives": True}, "data": {"ignored": ()}},
            "must be off where data.ignored names no class",
        ),
        (
            {"pretraining": {"share": 0.5}, "data": {"balanced": True}},
            r"repeated scenes would be negatives of themselves, .*share of 0.5; switch it off",
        ),
        ({"views": {"min_crop": 1.0, "flip": False}}, "augment must be off"),
        ({"data": {"ignored": ("Cities",)}}, "ignored must name some of the classes"),
        ({"data": {"ignored": ("Mines", "Mines")}}, "ignored must name each class once"),
        (
            {"data": {"classes": ("a", "b", "a"), "ignored": ()}},
            "classes must be named once each, got 'a' twice",
        ),
        ({"data": {"classes": ("+", "a"), "ignored": ()}}, r"must hold a letter or a digit, got '\+'"),
        ({"data": {"classes": ("a", "b"), "ignored": ("a",)}}, "at least 2 classes must be left"),
        ({"optimization": {"micro_batch_size": 8}}, "take the backbone swin_t"),
        ({"optimization": {"batch_size": 1}}, "optimization.batch_size must be at least 2"),
        (
            {"optimization": {"micro_batch_size": 1}, "ghost_batch_norm": True},
            "optimization.micro_batch_size must be at least 2",
        ),
    ],
)
def test_a_law_between_knobs_is_told(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        TINY.vary(**changes)


@pytest.mark.parametrize(
    ("changes", "idle"),
    [
        ({"tuning": {"sup_delta": 0.0}}, {"tuning.temperature", "tuning.contrast"}),
        ({"views": {"augment": False}}, {"views.flip", "views.paired_geometry", "tuning.contrast"}),
        ({"model": {"scenario": "s1"}}, {"data.optical", "model.fusion", "views.paired_geometry"}),
        ({"pretraining": {"share": 0.5}}, {"pretraining.loss", "pretraining.ot_weight"}),
        ({"model": {"backbone": "swin_t"}}, {"ghost_batch_norm", "pretraining.views"}),
    ],
)
def test_knobs_without_effect_are_named(changes: dict[str, Any], idle: set[str]) -> None:
    config = TINY.vary(**changes)
    assert idle <= set(idle_knobs(config))
    assert not idle & set(active(config))


@pytest.mark.parametrize(
    ("backbone", "size", "precision"), [("swin_t", 16, "bf16"), ("resnet18", 17, "bf16")]
)
def test_a_resnet_halves_no_map_of_one_pixel_in_bf16(backbone: str, size: int, precision: str) -> None:
    TINY.vary(model={"backbone": backbone}, data={"size": size}, optimization={"precision": precision})
    TINY.vary(model={"backbone": "resnet18"}, data={"size": 16})
    with pytest.raises(ConfigError, match=r"data.size must be above 16 for a ResNet in bf16, got 16"):
        TINY.vary(model={"backbone": "resnet18"}, data={"size": 16}, optimization={"precision": precision})


def test_knobs_with_effect_are_not_named() -> None:
    config = TINY.vary(pretraining={"share": 0.5, "views": True}, model={"backbone": "prototypes"})
    live = {
        "pretraining.loss",
        "pretraining.ot_weight",
        "model.num_prototypes",
        "tuning.contrast",
        "ghost_batch_norm",
    }
    assert live <= set(active(config))
    assert len(idle_knobs(config)) == len(set(idle_knobs(config)))


def test_layer_norms_and_frozen_batch_norms_know_no_batch() -> None:
    micro = {"micro_batch_size": 8}
    assert TINY.vary(model={"backbone": "swin_t"}, optimization=micro).optimization.micro_batch_size == 8
    linear = {"mode": "linear", "sup_delta": 0.0}
    frozen = TINY.vary(tuning=linear, starts_from=("pretrained",), optimization=micro | {"batch_size": 9})
    assert not frozen.trains_batch_norms
