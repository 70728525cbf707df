from contextlib import suppress
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn

from thalweg.contract import Batch
from thalweg.errors import ConfigError
from thalweg.nn.map_fusion import FUSIONS
from trainables.rgb_lidar.config import PRESETS
from trainables.rgb_lidar.evaluation.classification import log_odds
from trainables.rgb_lidar.fusion.model import FusionClassifier, sized
from trainables.rgb_lidar.knobs import DataKnobs, Downsampling, FusionKnobs
from trainables.rgb_lidar.task import task_for

PUBLISHED = {
    "first_late": 13_147_202,
    "first_concat": 13_015_952,
    "first_add": 6_615_952,
    "first_hadamard": 6_615_952,
    "second_late": 1_906_307,
    "second_concat": 13_354_851,
    "second_add": 6_684_751,
    "second_matmul": 6_684_751,
}
STRIDED_EXTRA = {name: count + 236_600 for name, count in PUBLISHED.items() if name.startswith("first")} | {
    "second_late": 3_572_407,
    "second_concat": 13_940_351,
    "second_add": 7_000_151,
    "second_matmul": 7_000_151,
}
DOWNSAMPLINGS = ["maxpool", "avgpool", "strided_extra", "strided_replace"]


def num_parameters(preset: str, downsampling: Downsampling) -> int:
    config = PRESETS[preset]
    model = config.model.model_copy(update={"downsampling": downsampling})
    with torch.device("meta"):
        built = task_for(config.model_copy(update={"model": model})).build(None)
    return sum(parameter.numel() for parameter in built.parameters())


@pytest.mark.parametrize("downsampling", ["maxpool", "avgpool", "strided_replace"])
@pytest.mark.parametrize("preset", sorted(PUBLISHED))
def test_presets_have_the_published_number_of_parameters(preset: str, downsampling: Downsampling) -> None:
    assert num_parameters(preset, downsampling) == PUBLISHED[preset]


@pytest.mark.parametrize("preset", sorted(STRIDED_EXTRA))
def test_further_strided_convolutions_add_the_published_number(preset: str) -> None:
    assert num_parameters(preset, "strided_extra") == STRIDED_EXTRA[preset]


def build(knobs: FusionKnobs, inputs: DataKnobs | None = None, side: int = 16) -> FusionClassifier:
    torch.manual_seed(0)
    return FusionClassifier(knobs, inputs or DataKnobs(), side)


def scenes(inputs: DataKnobs | None = None, *, count: int = 3, side: int = 16) -> Batch:
    inputs = inputs or DataKnobs()
    generator = torch.Generator().manual_seed(1)
    return {
        "rgb": torch.rand(count, inputs.rgb_channels, side, side, generator=generator),
        "lidar": torch.rand(count, inputs.lidar_channels, side, side, generator=generator),
    }


@given(
    stage=st.sampled_from(["late", "intermediate", "early"]),
    fusion=st.sampled_from(sorted(FUSIONS)),
    downsampling=st.sampled_from(DOWNSAMPLINGS),
    depth=st.integers(1, 3),
    fused_depth=st.integers(0, 1),
    num_logits=st.sampled_from([1, 2]),
    rgb_channels=st.sampled_from([3, 4]),
    lidar_repr=st.sampled_from(["depth", "xyza"]),
)
def test_every_combination_gives_logits(num_logits: int, **drawn: Any) -> None:
    stage = drawn.pop("stage")
    inputs = DataKnobs(rgb_channels=drawn.pop("rgb_channels"), lidar_repr=drawn.pop("lidar_repr"))
    if stage != "intermediate":
        drawn["fused_depth"] = 0
        drawn["fusion"] = "add" if FUSIONS[drawn["fusion"]].needs_square else drawn["fusion"]
    if stage == "early":
        del drawn["fusion"]
    knobs = FusionKnobs.model_validate(
        drawn
        | {"fusion_stage": stage, "num_logits": num_logits}
        | {"channels": 2, "max_channels": 4, "hidden_dim": 5, "neck_dim": 4, "embedding_dim": 3}
    )
    logits = build(knobs, inputs)(scenes(inputs))
    assert logits.shape == (3, num_logits)
    assert torch.isfinite(logits).all()


CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("late", {"fusion_stage": "intermediate"}),
    ("late", {"fusion": "add"}),
    ("late", {"downsampling": "avgpool"}),
    ("late", {"downsampling": "strided_extra"}),
    ("late", {"downsampling": "strided_replace"}),
    ("late", {"channels": 3}),
    ("late", {"max_channels": 5}),
    ("late", {"depth": 1}),
    ("late", {"hidden_dim": 0}),
    ("late", {"neck_dim": 9}),
    ("late", {"embedding_dim": 5}),
    ("late", {"head_dim": 5}),
    ("late", {"normalize_embeddings": True}),
    ("late", {"num_logits": 1}),
    ("late", {"dropout": 0.5}),
    ("late", {"num_parameters": 3000}),
    ("intermediate", {"fused_depth": 1}),
    ("intermediate", {"hidden_dim": 0}),
    ("intermediate", {"neck_dim": 9}),
    ("intermediate", {"depth": 1}),
    ("intermediate", {"downsampling": "strided_extra"}),
    ("intermediate", {"dropout": 0.5}),
    *(
        ("early", change)
        for change in (
            {"fusion_stage": "intermediate"},
            {"downsampling": "avgpool"},
            {"channels": 3},
            {"max_channels": 5},
            {"depth": 1},
            {"hidden_dim": 0},
            {"neck_dim": 9},
            {"num_logits": 1},
            {"dropout": 0.5},
            {"num_parameters": 3000},
        )
    ),
    *(("intermediate", {"fusion": name}) for name in sorted(FUSIONS) if name != "concat"),
]


@pytest.mark.parametrize(("stage", "change"), CHANGES)
def test_every_knob_of_the_model_changes_its_predictions(
    fusion_knobs: FusionKnobs, stage: str, change: dict[str, Any]
) -> None:
    before = fusion_knobs.model_copy(update={"fusion_stage": stage})
    after = FusionKnobs.model_validate(before.model_dump() | change)
    batch = scenes()
    odds = [log_odds(build(knobs).train()(batch)) for knobs in (before, after)]
    assert not torch.allclose(odds[0], odds[1])


def test_every_knob_of_the_model_has_such_a_test() -> None:
    assert {name for _, change in CHANGES for name in change} == set(FusionKnobs.model_fields) - {"kind"}


def test_late_fusion_joins_embeddings_and_intermediate_fusion_maps(fusion_knobs: FusionKnobs) -> None:
    late = build(fusion_knobs)
    maps = build(fusion_knobs.model_copy(update={"fusion_stage": "intermediate"}))
    assert late.rgb(scenes()["rgb"]).shape == (3, 6, 1, 1)
    assert maps.rgb(scenes()["rgb"]).shape == (3, 8, 4, 4)


def test_early_fusion_is_one_encoder_of_the_channels_of_both_sensors(fusion_knobs: FusionKnobs) -> None:
    """The twin: blocks and dense layers, one after the other, on stacked pixels."""
    knobs = fusion_knobs.model_copy(update={"fusion_stage": "early"})
    inputs = DataKnobs(rgb_channels=3, lidar_repr="depth")
    model, batch = build(knobs, inputs), scenes(inputs)
    weights = list(model.parameters())
    values = torch.stack([torch.cat([batch["rgb"][row], batch["lidar"][row]]) for row in range(3)])
    assert values.shape == (3, 4, 16, 16)
    for weight, bias in zip(weights[:4:2], weights[1:4:2], strict=True):
        values = nn.functional.max_pool2d(nn.functional.conv2d(values, weight, bias, padding=1).relu(), 2)
    values = values.flatten(1)
    for weight, bias in zip(weights[4:8:2], weights[5:8:2], strict=True):
        values = (values @ weight.T + bias).relu()
    torch.testing.assert_close(model(batch), values @ weights[8].T + weights[9])
    assert len(weights) == 10


def test_an_early_fusion_sees_both_sensors_in_one_encoder(fusion_knobs: FusionKnobs) -> None:
    model = build(fusion_knobs.model_copy(update={"fusion_stage": "early"}))
    assert [name for name, _ in model.named_children()] == ["both", "head"]
    batch = scenes()
    for sensor in ("rgb", "lidar"):
        other = {**batch, sensor: batch[sensor].flip(0)}
        assert not torch.allclose(model(batch), model(other))


@pytest.mark.parametrize("change", [{"fusion": "add"}, {"fused_depth": 1}, {"normalize_embeddings": True}])
def test_pixels_are_stacked_and_nothing_else(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"(early|late) fusion"):
        FusionKnobs.model_validate({"fusion_stage": "early"} | change)


def test_normalised_embeddings_have_length_one(fusion_knobs: FusionKnobs) -> None:
    model = build(fusion_knobs.model_copy(update={"normalize_embeddings": True}))
    for name, encoder in (("rgb", model.rgb), ("lidar", model.lidar)):
        lengths = encoder(scenes()[name]).flatten(1).norm(dim=1)
        torch.testing.assert_close(lengths, torch.ones(3))


def test_an_unknown_fusion_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"model\.fusion must be one of add, attention, .* got 'sum'"):
        build(FusionKnobs(fusion="sum"))


def test_embeddings_are_no_matrices() -> None:
    with pytest.raises(ConfigError, match=r"model\.fusion 'matmul' needs maps, got fusion_stage 'late'"):
        build(FusionKnobs(fusion="matmul"))


def test_maps_of_one_place_are_no_matrices() -> None:
    """There the matrix product is the element-wise one, under another name."""
    maps = {"fusion_stage": "intermediate", "channels": 2, "max_channels": 4, "hidden_dim": 0}
    knobs = FusionKnobs.model_validate(maps | {"fusion": "matmul", "depth": 4})
    with pytest.raises(
        ConfigError, match=r"'matmul' needs maps of more than one place.* 4 blocks .* side 16"
    ):
        build(knobs)
    others = [FusionKnobs.model_validate(maps | {"fusion": name, "depth": 4}) for name in ("hadamard", "add")]
    for shallower in (knobs.model_copy(update={"depth": 3}), *others):
        assert build(shallower)(scenes()).shape == (3, 2)


def test_maps_must_be_halved_without_remainder() -> None:
    with pytest.raises(ConfigError, match="side must be a multiple of 32, got 16"):
        build(FusionKnobs(depth=5))


def test_a_model_of_half_precision_takes_the_same_batch(fusion_knobs: FusionKnobs) -> None:
    logits = build(fusion_knobs).to(torch.bfloat16)(scenes())
    assert logits.dtype == torch.float32


def sizes(**knobs: Any) -> dict[str, int]:
    """Counts the parameters of all fusions, by where and how they meet."""
    found: dict[str, int] = {}
    for stage in ("late", "intermediate"):
        for name, kind in sorted(FUSIONS.items()):
            if stage == "late" and kind.needs_square:
                continue
            chosen = FusionKnobs.model_validate(knobs | {"fusion_stage": stage, "fusion": name})
            with torch.device("meta"):
                model = FusionClassifier(chosen, DataKnobs(), 64)
            found[f"{stage} {name}"] = sum(parameter.numel() for parameter in model.parameters())
    with torch.device("meta"):
        early = FusionClassifier(
            FusionKnobs.model_validate(knobs | {"fusion_stage": "early"}), DataKnobs(), 64
        )
    return found | {"early": sum(parameter.numel() for parameter in early.parameters())}


@pytest.mark.parametrize(
    ("asked", "knobs"),
    [
        (6_600_000, {}),
        (400_000, {"channels": 8, "max_channels": 32, "hidden_dim": 0, "neck_dim": 32}),
        (400_000, {"channels": 8, "max_channels": 32, "hidden_dim": 1, "neck_dim": 32}),
    ],
)
def test_all_fusions_can_have_equally_many_parameters(asked: int, knobs: dict[str, Any]) -> None:
    free, matched = sizes(**knobs), sizes(num_parameters=asked, **knobs)
    assert len(matched) == 12
    assert max(free.values()) > 1.5 * min(free.values())
    assert all(abs(count - asked) < 0.01 * asked for count in matched.values()), matched


@settings(max_examples=20)
@given(width=st.integers(1, 400), hidden=st.booleans(), fusion=st.sampled_from(["add", "concat", "gated"]))
def test_the_width_that_has_a_number_of_parameters_is_found(width: int, hidden: bool, fusion: str) -> None:
    name = "hidden_dim" if hidden else "neck_dim"
    knobs = FusionKnobs.model_validate(
        {"channels": 2, "max_channels": 4, "hidden_dim": 0, "fusion": fusion} | {name: width}
    )
    count = sum(parameter.numel() for parameter in FusionClassifier(knobs, DataKnobs(), 16).parameters())
    asked = knobs.model_copy(update={name: 7, "num_parameters": count})
    assert sized(asked, DataKnobs(), 16) == knobs


def test_a_size_that_no_width_gives_names_the_smallest(fusion_knobs: FusionKnobs) -> None:
    smallest = sized_count(fusion_knobs.model_copy(update={"hidden_dim": 1}))
    with pytest.raises(ConfigError, match=rf"must be within {smallest:,} and .* model\.hidden_dim .* got 9;"):
        build(fusion_knobs.model_copy(update={"num_parameters": 9}))


def sized_count(knobs: FusionKnobs) -> int:
    return sum(parameter.numel() for parameter in build(knobs).parameters())


def test_matching_a_size_does_not_touch_the_weights_that_are_drawn(fusion_knobs: FusionKnobs) -> None:
    asked = fusion_knobs.model_copy(update={"num_parameters": sized_count(fusion_knobs)})
    for one, other in zip(build(fusion_knobs).parameters(), build(asked).parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("downsampling", ["strided_extra", "strided_replace"])
@pytest.mark.parametrize(("depth", "fused"), [(1, 0), (3, 0), (6, 0), (1, 5), (6, 5), (3, 2)])
def test_no_strided_convolution_meets_a_map_of_one_pixel(
    downsampling: Downsampling, depth: int, fused: int
) -> None:
    """For those torch computes random gradients in bf16 on a CPU; see findings."""
    kind: dict[str, Any] = {"fusion_stage": "intermediate", "fusion": "add"} if fused else {}
    knobs = FusionKnobs(
        downsampling=downsampling,
        channels=1,
        max_channels=1,
        depth=depth,
        fused_depth=fused,
        hidden_dim=0,
        **kind,
    )
    seen: list[int] = []

    def note(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        if layer.stride != (1, 1):
            seen.append(min(given[0].shape[2:]))

    accepted = 0
    for side in (1, 2, 3, 4, 6, 8, 16, 24, 32, 64, 96, 2048):
        with suppress(ConfigError), torch.device("meta"):
            model = FusionClassifier(knobs, DataKnobs(), side)
            for layer in model.modules():
                if isinstance(layer, nn.Conv2d):
                    layer.register_forward_pre_hook(note)
            model(scenes(count=2, side=side))
            accepted += 1
    assert accepted and min(seen) == 2
