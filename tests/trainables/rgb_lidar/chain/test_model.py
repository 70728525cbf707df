from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from thalweg.contract import Batch
from thalweg.errors import ConfigError
from trainables.rgb_lidar.chain.knobs import STAGES, ChainKnobs, SimilarityKnobs
from trainables.rgb_lidar.chain.model import ChainNetwork, ScanClassifier, temperature
from trainables.rgb_lidar.config import PRESETS
from trainables.rgb_lidar.evaluation.contrast import SCALE
from trainables.rgb_lidar.evaluation.retrieval import ROWS
from trainables.rgb_lidar.knobs import DataKnobs
from trainables.rgb_lidar.task import task_for


def counts(preset: str) -> dict[str, int]:
    with torch.device("meta"):
        model = task_for(PRESETS[preset]).build(None)
    return {
        name: sum(weight.numel() for weight in part.parameters()) for name, part in model.named_children()
    }


def test_parts_have_the_published_numbers_of_parameters() -> None:
    cilp, first, second = counts("first_cilp"), counts("first_chain"), counts("second_chain")
    assert cilp["temperature"] == 1
    assert sum(cilp.values()) == 13_393_851
    assert first["classifier"] == 6_676_927
    assert first["projector"] == 751_600
    assert sum(counts("second_cilp").values()) == 1_853_950
    assert second["classifier"] == 906_201
    assert second["projector"] == 2_304_700


def build(knobs: ChainKnobs, inputs: DataKnobs | None = None, side: int = 16) -> ChainNetwork:
    torch.manual_seed(0)
    return ChainNetwork(knobs, inputs or DataKnobs(), side)


def scenes(*, count: int = 3, inputs: DataKnobs | None = None) -> Batch:
    inputs = inputs or DataKnobs()
    generator = torch.Generator().manual_seed(1)
    return {
        "rgb": torch.rand(count, inputs.rgb_channels, 16, 16, generator=generator),
        "lidar": torch.rand(count, inputs.lidar_channels, 16, 16, generator=generator),
        "label": torch.ones(count),
    }


@pytest.mark.parametrize(
    ("stages", "parts", "outputs"),
    [
        (("cilp",), {"rgb", "lidar", "temperature"}, {*ROWS, SCALE}),
        (("classifier",), {"classifier"}, {"lidar_odds"}),
        (
            ("finetune",),
            {"rgb", "classifier", "projector"},
            {"rgb_embedding", "lidar_odds", "target", "projection", "odds"},
        ),
    ],
)
def test_a_model_has_the_parts_that_its_stages_need(
    chain_knobs: ChainKnobs, stages: Any, parts: set[str], outputs: set[str]
) -> None:
    model = build(chain_knobs.model_copy(update={"stages": stages}))
    assert {name for name, _ in model.named_children()} == parts
    assert set(model(scenes())) == outputs


def test_a_part_has_the_same_names_and_shapes_whichever_other_parts_there_are(
    chain_knobs: ChainKnobs,
) -> None:
    whole = build(chain_knobs).state_dict()
    for stage in STAGES:
        alone = build(chain_knobs.model_copy(update={"stages": (stage,)})).state_dict()
        assert {name: weight.shape for name, weight in alone.items()} == {
            name: whole[name].shape for name in alone
        }


@settings(max_examples=20)
@given(
    rgb_channels=st.sampled_from([3, 4]),
    lidar_repr=st.sampled_from(["depth", "xyza"]),
    target=st.sampled_from(["penultimate", "maps"]),
    num_logits=st.sampled_from([1, 2]),
    hidden_dim=st.sampled_from([0, 5]),
    depth=st.integers(0, 2),
    count=st.integers(1, 3),
)
def test_every_combination_gives_all_outputs(
    rgb_channels: Any, lidar_repr: Any, target: Any, num_logits: Any, hidden_dim: int, depth: int, count: int
) -> None:
    inputs = DataKnobs(rgb_channels=rgb_channels, lidar_repr=lidar_repr)
    encoder = {"channels": 2, "max_channels": 4, "depth": 2, "hidden_dim": hidden_dim, "neck_dim": 3}
    knobs = ChainKnobs.model_validate(
        {
            "embedder": encoder | {"embedding_dim": 5},
            "classifier": encoder | {"num_logits": num_logits},
            "projector": {"hidden_dim": 4, "depth": depth, "target": target},
        }
    )
    outputs = build(knobs, inputs)(scenes(count=count, inputs=inputs))
    width = 3 if target == "penultimate" else 4 * 4 * 4
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        "rgb_embedding": (count, 5),
        "lidar_embedding": (count, 5),
        "inverse_temperature": (count,),
        "lidar_odds": (count,),
        "target": (count, width),
        "projection": (count, width),
        "odds": (count,),
    }


CHANGES: list[tuple[str, dict[str, Any]]] = [
    *(
        ("rgb_embedding", {"embedder": change})
        for change in (
            {"downsampling": "avgpool"},
            {"channels": 3},
            {"max_channels": 5},
            {"depth": 1},
            {"hidden_dim": 0},
            {"neck_dim": 9},
            {"embedding_dim": 5},
            {"dropout": 0.5},
        )
    ),
    *(
        ("lidar_odds", {"classifier": change})
        for change in (
            {"downsampling": "strided_replace"},
            {"channels": 3},
            {"max_channels": 5},
            {"depth": 1},
            {"hidden_dim": 0},
            {"neck_dim": 9},
            {"dropout": 0.5},
            {"num_logits": 1},
        )
    ),
    ("projection", {"projector": {"hidden_dim": 9}}),
    ("projection", {"projector": {"depth": 2}}),
    ("projection", {"projector": {"dropout": 0.5}}),
    ("target", {"projector": {"target": "maps"}}),
]


@pytest.mark.parametrize(("output", "change"), CHANGES)
def test_every_knob_of_a_part_changes_what_it_gives(
    chain_knobs: ChainKnobs, output: str, change: dict[str, dict[str, Any]]
) -> None:
    ((part, knobs),) = change.items()
    values = chain_knobs.model_dump()
    changed = ChainKnobs.model_validate(values | {part: values[part] | knobs})
    before, after = (build(each).train()(scenes())[output] for each in (chain_knobs, changed))
    assert before.shape != after.shape or not torch.allclose(before, after)


def test_every_knob_of_a_part_has_such_a_test() -> None:
    for part in ("embedder", "classifier", "projector"):
        known = set(type(getattr(ChainKnobs(), part)).model_fields)
        tried = {name for _, change in CHANGES for name in change.get(part, {})}
        assert tried == known - {"loss"}


def test_the_projector_reads_embeddings_of_length_one(chain_knobs: ChainKnobs) -> None:
    model = build(chain_knobs)
    read: list[Tensor] = []
    model.projector.register_forward_pre_hook(lambda module, inputs: read.append(inputs[0]))
    before = model(scenes())["projection"]
    last = list(model.rgb.modules())[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        for parameter in last.parameters():
            parameter.mul_(7)
    torch.testing.assert_close(model(scenes())["projection"], before)
    torch.testing.assert_close(torch.cat(read).norm(dim=1), torch.ones(6))


@pytest.mark.parametrize("target", ["penultimate", "maps"])
def test_a_layer_of_the_classifier_and_what_follows_it_make_the_classifier(
    chain_knobs: ChainKnobs, target: Any
) -> None:
    torch.manual_seed(0)
    classifier = ScanClassifier(chain_knobs.classifier, 4, 16)
    scans = scenes()["lidar"]
    layer = classifier.layer(scans, target)
    assert layer.shape == (3, classifier.dims[target])
    torch.testing.assert_close(classifier.rest(layer, target), classifier(scans))


def test_the_penultimate_layer_is_the_neck_after_its_relu(chain_knobs: ChainKnobs) -> None:
    model = build(chain_knobs)
    target = model(scenes(count=32))["target"]
    assert target.shape == (32, chain_knobs.classifier.neck_dim)
    assert float(target.detach().min()) == 0.0
    expected = model.classifier.output(target.relu())
    torch.testing.assert_close(model.classifier(scenes(count=32)["lidar"]), expected)


def test_the_assembled_classifier_sees_no_scan(chain_knobs: ChainKnobs) -> None:
    model, batch = build(chain_knobs), scenes()
    blind = batch | {"lidar": torch.zeros_like(batch["lidar"])}
    torch.testing.assert_close(model(batch)["odds"], model(blind)["odds"])
    torch.testing.assert_close(model.odds(batch), model(batch)["odds"])
    assert not torch.allclose(model(batch)["lidar_odds"], model(blind)["lidar_odds"])


def test_a_model_of_half_precision_computes_in_full_precision_what_it_gives(chain_knobs: ChainKnobs) -> None:
    outputs = build(chain_knobs).to(torch.bfloat16)(scenes())
    assert {value.dtype for value in outputs.values()} == {torch.float32}
    for name in ("rgb_embedding", "lidar_embedding"):
        torch.testing.assert_close(outputs[name].norm(dim=1), torch.ones(3))


def test_maps_must_be_halved_without_remainder(chain_knobs: ChainKnobs) -> None:
    deep = chain_knobs.classifier.model_copy(update={"depth": 5})
    with pytest.raises(ConfigError, match="side must be a multiple of 32, got 16"):
        build(chain_knobs.model_copy(update={"classifier": deep}))


@pytest.mark.parametrize(
    ("knobs", "scale", "learns"),
    [
        ({}, 1 / 0.07, True),
        ({"initial_temperature": 0.5}, 2.0, True),
        ({"temperature": "fixed"}, 1 / 0.07, False),
        ({"temperature": "fixed", "initial_temperature": 0.2}, 5.0, False),
        ({"temperature": "none"}, 1.0, False),
        ({"temperature": "none", "logit_map": "half_cosine"}, 0.5, False),
    ],
)
def test_the_temperature_is_what_its_knobs_say(knobs: dict[str, Any], scale: float, learns: bool) -> None:
    scaling = temperature(SimilarityKnobs.model_validate(knobs))
    rows = torch.randn(4, 3)
    torch.testing.assert_close(scaling(rows), scale * rows)
    assert len(list(scaling.parameters())) == learns
