"""Sizes of the networks, what of them trains, and what they refuse."""

from typing import Any

import pytest
import torch
from torch import Tensor

from thalweg.config import Precision
from thalweg.contract import Batch
from thalweg.errors import ConfigError
from thalweg.nn.norm import BatchNorm
from thalweg.nn.unallocated import unallocated
from thalweg.training.engine import half_precision
from trainables.sentinel_supcon.config import PRESETS, SentinelSupCon
from trainables.sentinel_supcon.model.scene_model import LOGITS, SceneModel

TINY = PRESETS["tiny"]
BACKBONES: list[tuple[str, dict[str, Any]]] = [
    ("shared", {}),
    ("dual", {}),
    ("prototypes", {"pretraining": {"share": 0.5}}),
    ("resnet18", {}),
    ("resnet50", {}),
    ("swin_t", {}),
]


def sizes(config: SentinelSupCon) -> dict[str, int]:
    with unallocated():
        model = SceneModel(config)
    return {
        name: sum(weight.numel() for weight in child.parameters()) for name, child in model.named_children()
    }


def tiny(backbone: str, **changes: Any) -> SentinelSupCon:
    model = {"backbone": backbone, "width": 0.05, "embedding_dim": 8, **changes.pop("model", {})}
    return TINY.vary(model=model, **changes)


def images(config: SentinelSupCon, batch: int = 4) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    bands = {"s1": 2, "s2": len(config.data.bands)}
    side = config.data.size
    return {name: torch.randn(batch, count, side, side, generator=generator) for name, count in bands.items()}


def settled(config: SentinelSupCon) -> SceneModel:
    """A model in evaluation mode, whose batch norms have seen the images."""
    torch.manual_seed(0)
    model = SceneModel(config).train()
    norms = [module for module in model.modules() if isinstance(module, BatchNorm)]
    for module in norms:
        module.momentum = 1.0
    model.embed(images(config))
    return model.eval()


def batched(config: SentinelSupCon, batch: int = 4) -> Batch:
    return {name: values[:, None] for name, values in images(config, batch).items()}


class TestSizes:
    """Against the published numbers and arithmetic of the layers."""

    def test_a_shared_alexnet_has_the_published_parameters(self) -> None:
        found = sizes(PRESETS["meterml"].vary(model={"backbone": "shared"}))
        assert found == {
            "stem_s1": 96 * 2 * 9 + 2 * 96,
            "stem_s2": 96 * 4 * 9 + 2 * 96,
            "trunk": 70_472_064,
            "fusion": 0,
            "head": 256 * 7 + 7,
        }
        assert sum(found.values()) - found["head"] == 70_477_632

    def test_dual_alexnets_have_the_published_parameters_without_the_stems_that_nothing_reads(self) -> None:
        found = sizes(PRESETS["meterml"])
        unused = (96 * 2 * 9 + 2 * 96) + (96 * 4 * 9 + 2 * 96)  # of the other sensor in each of both networks
        assert found["s1"] + found["s2"] == 140_955_264 - unused
        assert found["head"] == 256 * 7 + 7

    def test_dual_resnet50s_have_the_published_parameters(self) -> None:
        found = sizes(PRESETS["dfc2020"])
        assert sum(found.values()) == 55_963_592
        assert found["head"] == 2_056

    def test_a_resnet18_has_its_parameters_but_those_of_the_first_layer_and_of_1000_classes(self) -> None:
        found = sizes(PRESETS["meterml"].vary(model={"backbone": "resnet18"}))
        assert found["trunk"] == 11_689_512 - 64 * 3 * 49 - (512 * 1000 + 1000) + (512 * 128 + 128)
        assert found["stem_s2"] == 64 * 4 * 9 + 2 * 64

    def test_a_swin_t_has_its_parameters_with_other_bands_and_another_head(self) -> None:
        found = sizes(PRESETS["dfc2020"].vary(model={"backbone": "swin_t"}))
        published, classes = 28_288_354, 768 * 1000 + 1000
        projection = 768 * 768 + 768 + 768 * 128 + 128
        assert found["s1"] == published - classes + (2 - 3) * 16 * 96 + projection
        assert found["s2"] == published - classes + (13 - 3) * 16 * 96 + projection

    def test_prototypes_are_300_of_as_many_channels_as_the_stem_has(self) -> None:
        config = PRESETS["meterml"].vary(model={"backbone": "prototypes"}, pretraining={"share": 0.5})
        found = sizes(config)
        assert found["prototypes"] == 300 * 96
        assert found["trunk"] == 70_472_064

    @pytest.mark.parametrize(
        ("scenario", "parts"),
        [
            ("s1", {"s1", "head_s1"}),
            ("s2", {"s2", "head_s2"}),
            ("s1s2", {"s1", "s2", "head_s1", "head_s2"}),
            ("s1s2_fused", {"s1", "s2", "fusion", "head"}),
        ],
    )
    def test_a_scenario_builds_what_it_reads(self, scenario: str, parts: set[str]) -> None:
        assert set(sizes(TINY.vary(model={"scenario": scenario}))) == parts
        shared = set(sizes(TINY.vary(model={"scenario": scenario, "backbone": "shared"})))
        stems = {f"stem_{name}" for name in parts & {"s1", "s2"}}
        assert shared == stems | {"trunk"} | {name for name in parts if name not in ("s1", "s2")}


@pytest.mark.parametrize("scenario", ["s1", "s2", "s1s2", "s1s2_fused"])
@pytest.mark.parametrize(("backbone", "changes"), BACKBONES)
def test_every_parameter_has_a_part_in_the_loss(
    backbone: str, changes: dict[str, Any], scenario: str
) -> None:
    alone = scenario in ("s1", "s2")
    changes = {name: dict(knobs) for name, knobs in changes.items()}
    if alone and changes:
        changes["pretraining"]["views"] = True
    config = tiny(backbone, **changes, model={"scenario": scenario, "fusion": "gated"})
    model = SceneModel(config)
    if backbone == "prototypes":
        vectors, costs = model.embed_and_transport(images(config))
    else:
        vectors, costs = model.embed(images(config)), torch.zeros(1)
    loss = sum(logits[:, :3].sum() for logits in model.classify(vectors).values()) + costs.sum()
    loss.backward()  # type: ignore[no-untyped-call]
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []


@pytest.mark.parametrize("fusion", ["concat", "mean", "gated", "attention"])
def test_every_fusion_reads_both_sensors(fusion: str) -> None:
    config = tiny("dual", model={"fusion": fusion})
    model, batch = settled(config), batched(config)
    with torch.no_grad():
        found = model(batch)[LOGITS]
        for sensor in ("s1", "s2"):
            other = model(batch | {sensor: batch[sensor].flip(0)})[LOGITS]
            assert not torch.allclose(found, other, atol=1e-6), sensor


def test_a_mean_is_the_mean_of_both_embeddings() -> None:
    model = SceneModel(tiny("dual", model={"fusion": "mean"}))
    first, second = torch.randn(3, 8), torch.randn(3, 8)
    assert torch.allclose(model.fusion([first, second]), (first + second) / 2)


def test_embeddings_have_length_one_and_do_not_know_the_other_sensor() -> None:
    for backbone in ("shared", "dual", "resnet18"):
        config = tiny(backbone)
        model, given = settled(config), images(config)
        with torch.no_grad():
            vectors = model.embed(given)
            other = model.embed(given | {"s2": -given["s2"]})
        assert all(torch.allclose(each.norm(dim=1), torch.ones(4), atol=1e-6) for each in vectors.values())
        assert torch.allclose(vectors["s1"], other["s1"], atol=1e-6)
        assert not torch.allclose(vectors["s2"], other["s2"], atol=1e-3)


def test_two_heads_give_the_geometric_mean_of_their_probabilities() -> None:
    config = tiny("dual", model={"scenario": "s1s2"})
    model, batch = settled(config), batched(config)
    with torch.no_grad():
        found = model(batch)[LOGITS].softmax(1)
        heads = model.classify(model.embed(images(config)))
    product = heads["s1"].softmax(1).double() * heads["s2"].softmax(1).double()
    expected = product.sqrt() / product.sqrt().sum(1, keepdim=True)
    assert torch.allclose(found.double(), expected, atol=1e-6)


def test_an_ignored_class_is_never_called_and_leaves_the_others_their_probabilities() -> None:
    config = tiny("dual")
    model = SceneModel(config).eval()
    with torch.no_grad():
        model.get_parameter("head.bias")[3] = 100.0
        logits = model(batched(config))[LOGITS]
    assert config.data.classes[3] == "Negative"
    assert torch.equal(logits.softmax(1)[:, 3], torch.zeros(4))
    assert torch.allclose(logits.softmax(1).sum(1), torch.ones(4))
    assert not torch.equal(logits.argmax(1), torch.full((4,), 3))


@pytest.mark.parametrize(("backbone", "changes"), BACKBONES)
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_keeps_results_in_fp32(
    backbone: str, changes: dict[str, Any], precision: Precision
) -> None:
    config = tiny(backbone, **changes)
    model, batch = settled(config), batched(config)
    with torch.no_grad():
        expected = model(batch)[LOGITS]
        half_precision.fit(model, precision)
        for weight in model.parameters():
            weight.data = weight.data.to(half_precision.DTYPES[precision])
        found = model(batch)[LOGITS]
        vectors = model.embed(images(config))
    assert found.dtype == torch.float32
    assert all(each.dtype == torch.float32 for each in vectors.values())
    assert torch.allclose(found, expected, atol=0.05)
    assert not torch.equal(found, expected)


class TestBatchNorms:
    """A batch of one scene has no variance behind the dense layers."""

    def test_a_batch_of_one_scene_is_refused_by_name(self) -> None:
        config = tiny("dual")
        model = SceneModel(config).train()
        with pytest.raises(ConfigError, match="a batch must hold at least 2 scenes where batch norms"):
            model.embed(images(config, batch=1))

    def test_it_is_taken_in_evaluations_and_by_a_network_without_such_norms(self) -> None:
        config = tiny("dual")
        assert SceneModel(config).eval()(batched(config, batch=1))[LOGITS].shape == (1, 7)
        config = tiny("swin_t")
        assert SceneModel(config).train()(batched(config, batch=1))[LOGITS].shape == (1, 7)


@pytest.mark.parametrize("backbone", [name for name, _ in BACKBONES])
@pytest.mark.parametrize("size", [16, 45, 72])
def test_scenes_may_have_any_side(backbone: str, size: int) -> None:
    config = tiny(backbone, pretraining={"share": 0.5}, data={"size": size})
    assert SceneModel(config).eval()(batched(config, batch=1))[LOGITS].shape == (1, 7)
