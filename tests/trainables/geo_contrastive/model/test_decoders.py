from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from trainables.geo_contrastive.knobs import DecoderKnobs
from trainables.geo_contrastive.model.decoders import LEVELS, FieldDecoder, GridDecoder, Level
from trainables.geo_contrastive.model.geometry import FieldGeometry, GridShape

KINDS = sorted(LEVELS)
NORM_NAMES = ("batch", "instance", "group8", "group16", "group32", "layer", "none")


def test_the_published_decoder_begins_with_500_maps_of_two_cells_and_doubles_them_five_times() -> None:
    with torch.device("meta"):
        decoder = GridDecoder(DecoderKnobs(), 1000, 5, GridShape((64, 32), True))
    assert decoder.seed.out_features == 500 * 2 * 1
    assert len(decoder.levels) == 5


@pytest.mark.slow
@settings(max_examples=50)  # of a network each
@given(
    shape=st.sampled_from([(5, 7), (6, 8), (58, 36), (17, 33), (16, 8), (1, 1), (2, 9)]),
    kind=st.sampled_from(KINDS),
    name=st.sampled_from(NORM_NAMES),
    latent_dim=st.integers(4, 70),
    wraps=st.booleans(),
)
def test_latents_of_any_width_become_fields_of_any_shape(
    shape: tuple[int, int], kind: Any, name: Any, latent_dim: int, wraps: bool
) -> None:
    decoder = GridDecoder(DecoderKnobs(kind=kind, norm=name), latent_dim, 2, GridShape(shape, wraps))
    fields = decoder(torch.randn(3, latent_dim))
    assert fields.shape == (3, 2, *shape)
    assert fields.isfinite().all()


@pytest.mark.parametrize("name", NORM_NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_of_a_decoder_learns(kind: Any, name: Any) -> None:
    torch.manual_seed(1)
    decoder = GridDecoder(DecoderKnobs(kind=kind, norm=name), 12, 2, GridShape((13, 8), True))
    (decoder(torch.randn(6, 12)) * torch.randn(6, 2, 13, 8)).sum().backward()
    lazy = [
        key
        for key, weight in decoder.named_parameters()
        if weight.grad is None or not weight.grad.abs().sum()
    ]
    assert not lazy


@pytest.mark.parametrize("kind", KINDS)
def test_levels_follow_maps_around_the_globe_where_the_grid_wraps(kind: Any) -> None:
    maps, latents = torch.randn(2, 32, 8, 4), torch.randn(2, 16)
    for wraps in (True, False):
        knobs = DecoderKnobs(kind=kind, norm="layer", dropout=0)
        level = LEVELS[kind](knobs, Level(32, 32, 16, GridShape((16, 8), wraps)))
        if kind == "improved":
            level.get_buffer("codes").zero_()
        moved, still = level(maps.roll(3, dims=2), latents), level(maps, latents).roll(6, dims=2)
        # Transposed convolutions of 2 x 2 reach no neighbour: only the block behind them looks around.
        assert torch.allclose(moved, still, atol=1e-5) == wraps


@pytest.mark.parametrize("kind", KINDS)
def test_maps_of_an_odd_grid_have_its_size_where_a_level_looks_around(kind: Any) -> None:
    decoder = GridDecoder(DecoderKnobs(kind=kind), 16, 1, GridShape((13, 7), True))
    sizes = []
    for level in decoder.levels:
        level.register_forward_hook(lambda _, __, maps: sizes.append(tuple(maps.shape[2:])))
    decoder(torch.randn(2, 16))
    assert sizes == [(4, 2), (7, 4), (13, 7)]


def test_fields_come_in_the_order_of_the_variables_whatever_their_grids() -> None:
    grids = {"one": GridShape((6, 8), False), "two": GridShape((5, 7), False)}
    geometry = FieldGeometry({"a": "one", "b": "two", "c": "one"}, grids)
    decoder, latents = FieldDecoder(DecoderKnobs(dropout=0), 16, geometry).eval(), torch.randn(3, 16)
    fields = decoder(latents)
    assert [(name, tuple(field.shape)) for name, field in fields.items()] == [
        ("a", (3, 6, 8)),
        ("b", (3, 5, 7)),
        ("c", (3, 6, 8)),
    ]
    torch.testing.assert_close(fields["c"], decoder.of_grids[0](latents)[:, 1])


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_drops_in_training_alone(kind: Any) -> None:
    decoder = GridDecoder(DecoderKnobs(kind=kind, dropout=0.5), 16, 1, GridShape((8, 8), True))
    latents = torch.randn(2, 16)
    assert not torch.equal(decoder(latents), decoder(latents))
    decoder.eval()
    assert torch.equal(decoder(latents), decoder(latents))


def test_the_latent_modulates_every_scale_of_the_improved_decoder() -> None:
    decoder = GridDecoder(DecoderKnobs(kind="improved"), 16, 1, GridShape((16, 8), True)).eval()
    one, other = torch.randn(1, 16), torch.randn(1, 16)
    for level, shape in zip(decoder.levels, [(2, 1), (4, 2), (8, 4)], strict=True):
        maps = torch.randn(1, 32, *shape)
        assert not torch.allclose(level(maps, one), level(maps, other), atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_decoder_learns_fields(kind: Any, size: Callable[[nn.Module], int]) -> None:
    """Two latents are driven to two fields."""
    torch.manual_seed(0)
    decoder = GridDecoder(DecoderKnobs(kind=kind, dropout=0), 16, 1, GridShape((8, 6), True))
    latents, fields = torch.randn(2, 16), torch.randn(2, 1, 8, 6)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=1e-3)
    for _ in range(40):
        optimizer.zero_grad()
        loss = (decoder(latents) - fields).square().mean()
        loss.backward()
        optimizer.step()
    assert loss < 0.2
    assert size(decoder) > 0
