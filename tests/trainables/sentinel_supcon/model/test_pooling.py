"""Max pooling that keeps positions alone."""

import pytest
import torch
from torch import Tensor, nn

from trainables.sentinel_supcon.model.alexnet import stem
from trainables.sentinel_supcon.model.pooling import MaxPool


@pytest.mark.parametrize("side", [7, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_maxima_and_slopes_are_those_of_the_plain_pool(side: int, dtype: torch.dtype) -> None:
    maps = (
        torch.randn(3, 4, side, side, dtype=dtype).round(decimals=1).requires_grad_()
    )  # some maxima come twice
    weights = torch.randn(3, 4, 3, 3, dtype=dtype)
    found, expected = (
        (pooled.detach(), torch.autograd.grad((pooled * weights).sum(), maps)[0])
        for pooled in (MaxPool()(maps), nn.MaxPool2d(3, 2)(maps))
    )
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)
    with torch.no_grad():
        torch.testing.assert_close(MaxPool()(maps), expected[0], rtol=0, atol=0)


def test_a_stem_is_a_convolution_with_batch_norm_relu_and_pool() -> None:
    found = stem(2, 5)
    convolution, norm = found[0], found[1]
    images = torch.randn(4, 2, 16, 16)
    published = nn.Sequential(convolution, norm, nn.ReLU(), nn.MaxPool2d(3, 2))
    results = []
    for network in (found, published):
        pooled = network(images)
        pooled.square().sum().backward()
        weight = convolution.get_parameter("weight")
        assert weight.grad is not None
        results.append((pooled.detach(), weight.grad))
        network.zero_grad(set_to_none=True)
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_what_is_kept_for_the_backward_pass_is_a_seventh_of_the_plain_pools() -> None:
    maps = torch.randn(2, 3, 33, 33, requires_grad=True)
    sizes = []
    for pool in (MaxPool(), nn.MaxPool2d(3, 2)):
        kept: list[int] = []

        def keep(tensor: Tensor, kept: list[int] = kept) -> Tensor:
            kept.append(tensor.nbytes)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            pool(maps * 1.0)
        sizes.append(sum(kept))
    assert 6 * sizes[0] < sizes[1]
