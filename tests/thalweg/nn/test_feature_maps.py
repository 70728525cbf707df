import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import layer_norm

from thalweg.nn.feature_maps import WeightedFeatureMaps


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 2), st.integers(1, 5))
def test_mixtures_follow_the_slow_definition(maps: int, layers: int, batch: int, tokens: int) -> None:
    module = WeightedFeatureMaps(maps, layers, 6)
    given_maps = [torch.randn(batch, tokens, 6) for _ in range(maps)]
    mixtures = module(given_maps)
    assert len(mixtures) == layers
    for layer, mixture in enumerate(mixtures):
        total = torch.zeros(batch, tokens, 6)
        for number, tensor in enumerate(given_maps):
            total += module.weight[layer, number].item() * tensor
        assert torch.allclose(mixture, layer_norm(total, (6,)), atol=1e-4)


def test_weights_begin_with_the_spread_of_the_number_of_maps() -> None:
    torch.manual_seed(0)
    weight = WeightedFeatureMaps(16, 1000, 1).weight.detach()
    assert float(weight.mean()) == pytest.approx(0, abs=0.01)
    assert float(weight.std()) == pytest.approx(16**-0.5, rel=0.05)


def test_weights_and_norms_learn() -> None:
    module = WeightedFeatureMaps(2, 2, 4)
    maps = [torch.randn(1, 3, 4) for _ in range(2)]
    torch.autograd.backward([(mixture**3).sum() for mixture in module(maps)])
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 1e-6, name


def test_every_layer_has_a_norm_of_its_own() -> None:
    assert sum(parameter.numel() for parameter in WeightedFeatureMaps(6, 4, 256).parameters()) == 24 + 2048
