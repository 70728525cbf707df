from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from thalweg.config import parse
from thalweg.errors import ConfigError
from thalweg.nn.norm import BatchNorm
from thalweg.training.engine import half_precision
from thalweg.training.engine.half_precision import DTYPES
from trainables.geo_contrastive.config import PRESETS, GeoContrastive
from trainables.geo_contrastive.knobs import ObjectiveKnobs
from trainables.geo_contrastive.model.encoders import LateEncoder
from trainables.geo_contrastive.model.field_model import FieldModel, projector

FUSIONS = ("early", "average", "self_attention", "gcn", "gat", "cross_attention")


def test_the_reference_model_has_the_published_parts(size: Callable[[nn.Module], int]) -> None:
    with torch.device("meta"):
        model = FieldModel.build(PRESETS["reference"], None)
    parts = {name: size(child) for name, child in model.named_children()}
    assert parts["encoder"] == 11_695_784
    assert parts["projector"] == 1000 * 128 + 2 * 128 * 128 + 2 * 2 * 128 + 128
    assert list(parts) == ["encoder", "projector", "decoder"]


def test_the_projector_has_three_layers_and_keeps_its_statistics() -> None:
    layers = projector(1000, ObjectiveKnobs(projection_dim=128))
    assert [layer.weight.shape for layer in layers if isinstance(layer, nn.Linear)] == [
        (128, 1000),
        (128, 128),
        (128, 128),
    ]
    norms = [layer for layer in layers if isinstance(layer, BatchNorm)]
    assert len(norms) == 2
    assert all(layer.track_running_stats for layer in norms)
    layers.eval()
    values = torch.randn(4, 1000)
    torch.testing.assert_close(layers(values)[:1], layers(values[:1]))


def test_an_autoencoder_has_no_projector(build: Callable[..., FieldModel]) -> None:
    model = build(None, objective={"kind": "autoencoder"})
    assert [name for name, _ in model.named_children()] == ["encoder", "decoder"]


@pytest.mark.parametrize("kind", FUSIONS)
def test_the_model_reconstructs_the_first_view(
    build: Callable[..., FieldModel], facts: Callable[..., Any], kind: str
) -> None:
    shapes = {"t2m": (8, 6), "z": (8, 6)} if kind == "early" else {"t2m": (5, 7), "z": (8, 6)}
    model = build(facts(shapes), encoder={"fusion": {"kind": kind}}).eval()
    batch = {f"view/{name}": torch.randn(3, 2, *shape) for name, shape in shapes.items()}
    fields = model(batch)
    assert {name: tuple(field.shape[1:]) for name, field in fields.items()} == shapes
    expected = model.decode(model.encode({name: batch[f"view/{name}"][:, 0] for name in shapes}))
    assert all(torch.equal(fields[name], expected[name]) for name in shapes)


@pytest.mark.usefixtures("fp16_everywhere")
@pytest.mark.parametrize(
    ("kind", "decoder"),
    [(kind, "residual") for kind in FUSIONS] + [("early", "deconvolution"), ("early", "improved")],
)
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_the_model_computes_in_half_precision_what_it_computes_in_fp32(
    build: Callable[..., FieldModel], facts: Callable[..., Any], kind: str, precision: Any, decoder: str
) -> None:
    names = ("t2m", "z", "q")
    changes = {
        "encoder": {"fusion": {"kind": kind, "adjacency": "learned"}, "norm": "layer"},
        "decoder": {"kind": decoder, "dropout": 0.0},
    }
    plain, model = (build(facts(dict.fromkeys(names, (8, 6))), **changes) for _ in range(2))
    half_precision.fit(model, precision)
    for weight in model.parameters():
        weight.data = weight.data.to(DTYPES[precision])
    fields = {name: torch.randn(6, 8, 6) for name in names}
    latents, exact = model.encode(fields), plain.encode(fields)
    assert latents.dtype == torch.float32
    torch.testing.assert_close(latents, exact, atol=0.05, rtol=0.05)
    assert model.project(latents).dtype == torch.float32
    decoded, expected = model.decode(latents), plain.decode(exact)
    for name in names:
        assert decoded[name].dtype == torch.float32
        torch.testing.assert_close(decoded[name], expected[name], atol=0.1, rtol=0.1)
    (torch.stack(list(decoded.values())).square().mean() + model.project(latents).square().mean()).backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())


def test_weights_do_not_depend_on_how_variables_are_called(build: Callable[..., FieldModel]) -> None:
    variables = ("keys", "a.b", "train", "type", "a_b")
    model = build(None, data={"variables": variables}, encoder={"fusion": {"kind": "average"}})
    names = {name.split(".")[1] for name, _ in model.named_parameters() if name.startswith("encoder.")}
    assert names == {"keys_encoder", "a_b_encoder", "train_encoder", "type_encoder", "a_b_4_encoder"}
    encoder = model.get_submodule("encoder")
    assert isinstance(encoder, LateEncoder)
    networks = {name: encoder.get_submodule(module) for name, module in encoder._names.items()}
    assert list(networks) == list(variables)
    assert len({id(network) for network in networks.values()}) == 5


@pytest.mark.parametrize("name", ["a/b", "a b", "..", ".a", "", "a:b", "u\n"])
def test_names_that_can_be_no_files_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"variables must have names of letters, .* got .*; rename it"):
        parse(GeoContrastive, {"data": {"variables": ["u", name]}})
