import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from thalweg.errors import ConfigError
from trainables.geo_contrastive.knobs import EncoderKnobs, FusionKnobs, Norm
from trainables.geo_contrastive.model.encoders import ResNet, encoder
from trainables.geo_contrastive.model.field_model import FieldModel
from trainables.geo_contrastive.model.geometry import FieldGeometry, GridShape

SMALL = EncoderKnobs(latent_dim=8, width=4, blocks=1, stem="small", norm="layer", positions=False)
NORM_NAMES: tuple[Norm, ...] = ("batch", "instance", "group8", "group16", "group32", "layer", "none")


def count(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize("name", ["batch", "instance", "group8", "layer"])
@pytest.mark.parametrize(("channels", "published"), [(5, 11_695_784), (1, 11_683_240)])
def test_the_network_has_the_published_size_whatever_its_normalisation(
    name: Norm, channels: int, published: int
) -> None:
    with torch.device("meta"):
        assert count(ResNet(EncoderKnobs(norm=name), channels, GridShape((64, 32), True))) == published


def test_one_network_of_each_of_five_variables_has_the_published_size() -> None:
    knobs = EncoderKnobs(fusion=FusionKnobs(kind="average"))
    with torch.device("meta"):
        late = encoder(knobs, FieldGeometry.of(None, ("t2m", "u", "v", "z", "q")))
    assert count(late) == 58_416_200


@pytest.mark.parametrize(
    ("shape", "stem", "last"),
    [
        ((144, 72), "imagenet", (5, 3)),
        ((64, 32), "imagenet", (2, 2)),
        ((64, 32), "small", (8, 4)),
        ((5, 7), "small", (2, 2)),
        ((3, 1), "imagenet", (2, 1)),
    ],
)
def test_maps_are_halved_as_published_but_never_below_two_cells(
    shape: tuple[int, int], stem: Any, last: tuple[int, int]
) -> None:
    network = ResNet(EncoderKnobs(latent_dim=8, width=4, blocks=1, stem=stem), 1, GridShape(shape, False))
    assert network.features(torch.randn(1, 1, *shape)).shape[2:] == last


@settings(max_examples=50)  # of a network each
@given(
    shape=st.sampled_from([(5, 7), (6, 8), (58, 36), (17, 33), (16, 8), (1, 1), (2, 9)]),
    stem=st.sampled_from(["imagenet", "small"]),
    name=st.sampled_from(NORM_NAMES),
    wraps=st.booleans(),
)
def test_grids_of_any_shape_are_encoded(shape: tuple[int, int], stem: Any, name: Norm, wraps: bool) -> None:
    knobs = EncoderKnobs(latent_dim=8, width=4, blocks=1, stem=stem, norm=name)
    network = ResNet(knobs, 2, GridShape(shape, wraps))
    latents = network(torch.randn(3, 2, *shape))
    assert latents.shape == (3, 8)
    assert latents.isfinite().all()


@pytest.mark.parametrize(("stem", "stride"), [("small", 8), ("imagenet", 32)])
@pytest.mark.parametrize("wraps", [True, False])
def test_maps_of_a_rolled_field_are_rolled_where_the_grid_wraps(stem: Any, stride: int, wraps: bool) -> None:
    knobs = SMALL.vary(stem=stem)
    network, maps = ResNet(knobs, 1, GridShape((64, 32), wraps)), torch.randn(2, 1, 64, 32)
    if stem == "imagenet":
        stride = 64 // network.features(maps).shape[2]
    moved, still = network.features(maps.roll(stride, dims=2)), network.features(maps)
    assert torch.allclose(moved, still.roll(1, dims=2), atol=1e-4) == wraps


def test_an_encoder_without_positions_is_blind_to_longitude_and_with_them_is_not() -> None:
    maps = torch.randn(2, 1, 32, 16)
    for positions in (True, False):
        network = ResNet(SMALL.vary(positions=positions), 1, GridShape((32, 16), True))
        assert torch.allclose(network(maps), network(maps.roll(8, dims=2)), atol=1e-5) != positions


def test_positions_have_no_parameters_and_no_place_in_a_checkpoint() -> None:
    with_them, without = (
        ResNet(SMALL.vary(positions=positions), 1, GridShape((16, 8), True)).state_dict()
        for positions in (True, False)
    )
    assert with_them.keys() == without.keys()


@pytest.mark.parametrize("name", NORM_NAMES)
@pytest.mark.parametrize("kind", ["early", "average", "self_attention", "gcn", "gat", "cross_attention"])
def test_every_parameter_of_an_encoder_learns(kind: Any, name: Norm) -> None:
    torch.manual_seed(1)
    knobs = SMALL.vary(norm=name, fusion={"kind": kind, "heads": 2})
    fields = {variable: torch.randn(6, 16, 8) for variable in ("t2m", "z", "q")}
    network = encoder(knobs, FieldGeometry({key: "a" for key in fields}, {"a": GridShape((16, 8), True)}))
    (network(fields, torch.ones(6, 3, dtype=torch.bool)) * torch.randn(6, 8)).sum().backward()
    lazy = [
        key
        for key, weight in network.named_parameters()
        if weight.grad is None or not weight.grad.abs().sum()
    ]
    assert not lazy


def test_one_encoder_refuses_variables_on_several_grids(facts: Callable[..., Any]) -> None:
    geometry = FieldGeometry.of(facts({"slp": (17, 33), "rain": (58, 36)}), ())
    with pytest.raises(ConfigError, match=re.escape("got slp on 17x33 and rain on 58x36; choose another")):
        encoder(SMALL, geometry)


def test_an_early_encoder_takes_absent_variables_for_zeros(
    build: Callable[..., FieldModel], facts: Callable[..., Any]
) -> None:
    model = build(facts({"t2m": (8, 6), "q": (8, 6)}))
    fields = {name: torch.randn(4, 8, 6) for name in ("t2m", "q")}
    present = torch.tensor([[True, False]]).expand(4, 2)
    zeros = fields | {"q": torch.zeros(4, 8, 6)}
    nothing = fields | {"q": torch.full((4, 8, 6), torch.nan)}
    torch.testing.assert_close(model.encode(nothing, present), model.encode(zeros))
    assert not torch.allclose(model.encode(fields), model.encode(zeros), atol=1e-3)


@pytest.mark.parametrize("kind", ["average", "self_attention", "gcn", "gat", "cross_attention"])
def test_a_late_encoder_leaves_absent_variables_out(
    build: Callable[..., FieldModel], facts: Callable[..., Any], kind: str
) -> None:
    model = build(
        facts({"t2m": (8, 6), "q": (5, 7), "z": (8, 6)}), encoder={"fusion": {"kind": kind, "heads": 4}}
    ).eval()
    fields = {"t2m": torch.randn(4, 8, 6), "q": torch.randn(4, 5, 7), "z": torch.randn(4, 8, 6)}
    present = torch.tensor([[True, True, True], [True, False, True], [False, False, True], [False] * 3])
    latents = model.encode(fields, present)
    other = {name: field.clone() for name, field in fields.items()}
    for index, name in enumerate(fields):
        other[name][~present[:, index]] = torch.nan
    torch.testing.assert_close(model.encode(other, present), latents)
    torch.testing.assert_close(latents[0], model.encode(fields)[0])
    assert latents.isfinite().all()
    assert not torch.allclose(latents[1], model.encode(fields)[1], atol=1e-3)


def test_absent_variables_enter_no_statistics_of_a_batch(
    build: Callable[..., FieldModel], facts: Callable[..., Any]
) -> None:
    knobs = {"norm": "batch", "fusion": {"kind": "average"}}
    means = []
    for present in (
        torch.ones(8, 2, dtype=torch.bool),
        torch.tensor([[False, True], [True, True]]).repeat(4, 1),
    ):
        model = build(facts({"t2m": (8, 6), "q": (5, 7)}), encoder=knobs).train()
        # Days of one field: whichever of them are absent, the statistics are those of this field.
        fields = {"t2m": 3 * torch.ones(8, 8, 6), "q": torch.randn(1, 5, 7).expand(8, 5, 7)}
        fields["t2m"][~present[:, 0]] = torch.nan
        assert model.encode(fields, present).isfinite().all()
        means.append({name: each for name, each in model.named_buffers() if "running_" in name})
    torch.testing.assert_close(*means)
    model.encode(fields, torch.zeros(8, 2, dtype=torch.bool))
    assert all(each.isfinite().all() for each in model.buffers() if each.is_floating_point())


def test_without_a_normalisation_convolutions_have_a_bias() -> None:
    with_bias = {
        key for key, _ in ResNet(SMALL.vary(norm="none"), 1, GridShape((8, 8), True)).named_parameters()
    }
    assert {"stem.0.bias", "groups.0.0.branch.0.bias", "groups.1.0.shortcut.0.bias"} <= with_bias
    assert "stem.0.bias" not in dict(ResNet(SMALL, 1, GridShape((8, 8), True)).named_parameters())


def test_a_linear_layer_adds_what_it_says_of_all_cells(
    build: Callable[..., FieldModel], facts: Callable[..., dict[str, Any]]
) -> None:
    shapes = {"t2m": (8, 4), "pr": (5, 3)}
    late = {"fusion": {"kind": "average"}, "latent_dim": 8, "width": 4}
    model = build(facts(shapes), encoder=late | {"linear": True}, decoder={"linear": True}).eval()
    layers = dict(model.named_modules())
    assert layers["encoder.pr_encoder.linear"].weight.shape == (8, 15)
    fields = {name: torch.randn(2, *shape) for name, shape in shapes.items()}
    before = model.encode(fields)
    with torch.no_grad():
        layers["encoder.pr_encoder.linear"].bias += 2.0
    torch.testing.assert_close(model.encode(fields), before + 1.0)  # half of the mean of two variables
    latents = torch.randn(2, 8)
    decoded = model.decode(latents)
    with torch.no_grad():
        layers["decoder.of_grids.1.linear"].bias[7] += 3.0
    shifted = model.decode(latents)
    assert torch.equal(shifted["t2m"], decoded["t2m"])
    change = torch.zeros(5, 3)
    change[2, 1] = 3.0
    torch.testing.assert_close(shifted["pr"] - decoded["pr"], change.expand(2, -1, -1))
