import math
from typing import Any

import pytest
import torch
from torch import Tensor

from trainables.geo_contrastive.model.adversary import FieldAdversary, PatchDiscriminator
from trainables.geo_contrastive.model.geometry import FieldGeometry, GridShape

GRIDS = {"one": GridShape((12, 8), True), "two": GridShape((5, 7), False)}
GEOMETRY = FieldGeometry({"a": "one", "b": "two", "c": "one"}, GRIDS)


def fields(batch: int = 3) -> dict[str, Tensor]:
    return {name: torch.randn(batch, *GEOMETRY.grid(name).shape) for name in "abc"}


def everywhere(batch: int = 3) -> dict[str, Tensor]:
    return {name: torch.ones(batch, *GEOMETRY.grid(name).shape, dtype=torch.bool) for name in "abc"}


def test_the_error_is_a_cross_entropy_over_patches_and_grids() -> None:
    adversary, truth, decoded = FieldAdversary(GEOMETRY, 8), fields(), fields()
    found = adversary(truth, decoded, everywhere(), 1.0)
    for sample in range(3):
        errors = []
        for number, names in enumerate(("ac", "b")):
            odds = [
                adversary.of_grids[number](torch.stack([kind[name][sample] for name in names])[None])
                for kind in (truth, decoded)
            ]
            errors.append(-(odds[0].sigmoid().log().mean() + (1 - odds[1].sigmoid()).log().mean()))
        torch.testing.assert_close(found[sample], torch.stack(errors).mean())


def test_the_decoder_ascends_what_the_opponent_descends() -> None:
    adversary, truth, gradients = FieldAdversary(GEOMETRY, 8), fields(), {}
    drawn = fields()
    for weight in (0.0, 1.0, 0.5):
        decoded = {name: field.clone().requires_grad_() for name, field in drawn.items()}
        adversary.zero_grad()
        adversary(truth, decoded, everywhere(), weight).sum().backward()
        gradients[weight] = [decoded[name].grad for name in "abc"]
        own = [parameter.grad for parameter in adversary.parameters()]
        assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in own)
    plain = {name: field.clone().requires_grad_() for name, field in drawn.items()}
    odds = [
        adversary.of_grids[number](torch.stack([plain[name] for name in names], dim=1))
        for number, names in enumerate(("ac", "b"))
    ]
    torch.stack([(1 + each.exp()).log().mean((1, 2, 3)) for each in odds]).mean(0).sum().backward()  # type: ignore[no-untyped-call]
    for name, zero, whole, half in zip(
        "abc", *(gradients[weight] for weight in (0.0, 1.0, 0.5)), strict=True
    ):
        assert zero is not None and not zero.any()
        assert whole is not None and half is not None
        torch.testing.assert_close(whole, -plain[name].grad)  # type: ignore[operator]
        torch.testing.assert_close(half, whole / 2)


def test_cells_without_data_are_not_judged() -> None:
    adversary, truth, decoded, valid = FieldAdversary(GEOMETRY, 8), fields(), fields(), everywhere()
    for name in "abc":
        valid[name][:, 1:3] = False
    other = {name: field.masked_fill(~valid[name], torch.nan) for name, field in decoded.items()}
    torch.testing.assert_close(adversary(truth, other, valid, 1.0), adversary(truth, decoded, valid, 1.0))


def test_an_opponent_learns_to_tell_smooth_fields_from_true_ones() -> None:
    torch.manual_seed(0)
    adversary = FieldAdversary(GEOMETRY, 8)
    optimizer = torch.optim.Adam(adversary.parameters(), lr=1e-2)
    for _ in range(30):
        truth = fields(8)
        smooth = {name: (field + field.roll(1, dims=1)) / 2 for name, field in truth.items()}
        error = adversary(truth, smooth, everywhere(8), 1.0).mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    assert error < math.log(2)


@pytest.mark.parametrize("wraps", [True, False])
def test_an_opponent_judges_a_rolled_field_alike_where_the_grid_wraps(wraps: bool) -> None:
    opponent: Any = PatchDiscriminator(1, GridShape((12, 8), wraps), 8)
    maps = torch.randn(2, 1, 12, 8)
    moved, still = opponent(maps.roll(4, dims=2)), opponent(maps).roll(1, dims=2)
    assert moved.shape == (2, 1, 3, 2)
    assert torch.allclose(moved, still, atol=1e-5) == wraps
