import pytest
import torch
from torch import nn

from thalweg.nn.norm import NORMS, BatchNorm, norm
from thalweg.training.engine import sync_batch_norm

GROUPS = {"instance": 12, "group8": 6, "group16": 12, "group32": 12, "layer": 1}


@pytest.mark.parametrize("name", sorted(GROUPS))
def test_each_group_of_a_sample_gets_mean_0_and_variance_1(name: str) -> None:
    maps = 3 + 2 * torch.randn(2, 12, 4, 3)
    found = norm(name, 12)(maps)
    size = 12 // GROUPS[name]
    for sample in range(2):
        for start in range(0, 12, size):
            group = maps[sample, start : start + size]
            expected = (group - group.mean()) / (group.var(correction=0) + 1e-5).sqrt()
            torch.testing.assert_close(found[sample, start : start + size], expected)


@pytest.mark.parametrize(
    ("name", "dim", "groups"),
    [("group8", 64, 8), ("group16", 64, 16), ("group32", 64, 32), ("group8", 7, 7), ("group32", 250, 25)],
)
def test_the_number_of_groups_is_the_largest_divisor_below_its_name(name: str, dim: int, groups: int) -> None:
    layer = norm(name, dim)
    assert isinstance(layer, nn.GroupNorm)
    assert layer.num_groups == groups


def test_none_leaves_values_as_they_are() -> None:
    maps = torch.randn(2, 3, 4, 5)
    assert norm("none", 3)(maps) is maps


@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 2, 4)])
def test_a_batch_norm_without_an_engine_is_that_of_torch(shape: tuple[int, ...]) -> None:
    own = norm("batch", 3)
    plain: nn.Module = nn.BatchNorm1d(3) if len(shape) == 2 else nn.BatchNorm2d(3)
    for _ in range(3):
        values = 2 + torch.randn(shape)
        torch.testing.assert_close(own(values), plain(values))
    assert own.state_dict().keys() == plain.state_dict().keys()
    for one, other in zip(own.state_dict().values(), plain.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other)


def test_a_batch_norm_evaluates_by_what_it_saw_in_training_not_by_the_batch() -> None:
    layer = BatchNorm(3)
    for _ in range(200):
        layer(5 + 2 * torch.randn(64, 3))
    layer.eval()
    torch.testing.assert_close(layer(torch.full((1, 3), 7.0)), torch.ones(1, 3), atol=0.15, rtol=0)


def test_an_engine_lets_batch_norms_look_at_all_workers() -> None:
    model = nn.Sequential(norm("batch", 3))
    assert "forward" not in vars(model[0])
    sync_batch_norm.fit(model)
    assert "forward" in vars(model[0])


@pytest.mark.parametrize("name", sorted(set(NORMS) - {"none"}))
def test_every_normalisation_has_a_scale_and_a_shift_for_each_feature(name: str) -> None:
    shapes = {key: tuple(weight.shape) for key, weight in norm(name, 12).named_parameters()}
    assert shapes == {"weight": (12,), "bias": (12,)}
