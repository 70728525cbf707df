from collections.abc import Callable
from weakref import ReferenceType, ref

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import conv2d

from trainables.geo_contrastive.model import layers
from trainables.geo_contrastive.model.layers import Conv, Deconv, MaxPool, Residual, draw_kaiming, wrap


@given(size=st.integers(1, 5), cells=st.integers(0, 12))
def test_beyond_the_last_longitude_come_the_first_ones(size: int, cells: int) -> None:
    maps = torch.randn(2, 1, size, 2)
    expected = torch.stack([maps[:, :, cell % size] for cell in range(-cells, size + cells)], dim=2)
    assert torch.equal(wrap(maps, cells), expected)


def slow_convolution(x: Tensor, layer: Conv, wraps: bool) -> Tensor:
    """Adds up all products, cell by cell."""
    (out_dim, _, kernel, _), (strides, beyond) = layer.weight.shape, (layer.stride, layer.kernel_size[0] // 2)
    longitudes, latitudes = x.shape[2:]
    shape = [-(-size // stride) for size, stride in zip((longitudes, latitudes), strides, strict=True)]
    found = torch.zeros(len(x), out_dim, *shape)
    for row in range(shape[0]):
        for column in range(shape[1]):
            for i in range(kernel):
                for j in range(kernel):
                    first, second = row * strides[0] + i - beyond, column * strides[1] + j - beyond
                    if (wraps or 0 <= first < longitudes) and 0 <= second < latitudes:
                        found[:, :, row, column] += (
                            x[:, :, first % longitudes, second] @ layer.weight[:, :, i, j].T
                        )
    return found


@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (2, 1)])
@pytest.mark.parametrize("wraps", [True, False])
@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_a_convolution_follows_its_slow_definition(kernel: int, wraps: bool, stride: tuple[int, int]) -> None:
    layer, maps = Conv(2, 3, kernel, wraps=wraps, stride=stride), torch.randn(2, 2, 6, 5)
    torch.testing.assert_close(layer(maps), slow_convolution(maps, layer, wraps))


@pytest.mark.parametrize("cells", [1, 6])
def test_a_convolution_keeps_no_wrapped_copy_and_has_the_gradients_of_one(
    cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, maps = Conv(2, 3, 5, wraps=True, bias=True), torch.randn(4, 2, cells, 5, requires_grad=True)
    plain = conv2d(wrap(maps, 2), layer.weight, layer.bias, padding=(0, 2))
    copies: list[ReferenceType[Tensor]] = []

    def watched(x: Tensor, cells: int) -> Tensor:
        result = wrap(x, cells)
        copies.append(ref(result))
        return result

    monkeypatch.setattr(layers, "wrap", watched)
    result = layer(maps)
    assert len(copies) == 1
    assert copies[0]() is None
    assert torch.equal(result, plain)
    assert layer.bias is not None
    inputs, slope = (maps, layer.weight, layer.bias), torch.randn_like(plain)
    pairs = (torch.autograd.grad(output, inputs, slope) for output in (result, plain))
    assert all(torch.equal(found, wanted) for found, wanted in zip(*pairs, strict=True))


@pytest.mark.parametrize("wraps", [True, False])
def test_a_pool_takes_the_largest_value_around_a_cell(wraps: bool) -> None:
    maps = torch.randn(1, 1, 6, 5) - 9
    pooled = MaxPool((2, 2), wraps=wraps)(maps)
    assert pooled.shape == (1, 1, 3, 3)
    longitudes = [5, 0, 1] if wraps else [0, 1]
    assert pooled[0, 0, 0, 0] == maps[0, 0, longitudes, :2].max()
    assert pooled[0, 0, 2, 1] == maps[0, 0, 3:6, 1:4].max()


@pytest.mark.parametrize(
    ("make", "times"),
    [
        (lambda wraps: Conv(2, 2, 3, wraps=wraps), 1),
        (lambda wraps: Residual(2, 2, "layer", wraps=wraps), 1),
        (lambda wraps: Deconv(2, 2, wraps=wraps, bias=True), 2),
    ],
    ids=["conv", "residual", "deconv"],
)
def test_a_layer_that_wraps_follows_a_field_around_the_globe_and_no_other_does(
    make: Callable[[bool], nn.Module], times: int
) -> None:
    maps = torch.randn(2, 2, 6, 5)
    for wraps in (True, False):
        layer = make(wraps)
        moved, expected = layer(maps.roll(2, dims=2)), layer(maps).roll(2 * times, dims=2)
        assert moved.shape == (2, 2, 6 * times, 5 * times)
        assert torch.allclose(moved, expected, atol=1e-5) == wraps


def test_a_transposed_convolution_without_wrapping_is_that_of_torch() -> None:
    layer, plain = Deconv(2, 3, wraps=False, bias=True), nn.ConvTranspose2d(2, 3, 4, stride=2, padding=1)
    plain.load_state_dict(layer.state_dict())
    maps = torch.randn(1, 2, 3, 4)
    torch.testing.assert_close(layer(maps), plain(maps))


def test_a_residual_block_adds_its_shortcut() -> None:
    block = Residual(3, 6, "instance", wraps=True, stride=(2, 1)).eval()
    maps = torch.randn(2, 3, 6, 4)
    first, norm, activation, _, second, last_norm = block.branch
    branch = last_norm(second(activation(norm(first(maps)))))
    torch.testing.assert_close(block(maps), (branch + block.shortcut(maps)).clamp(min=0))
    assert block(maps).shape == (2, 6, 3, 4)


def test_many_blocks_without_a_normalisation_keep_the_size_of_their_input() -> None:
    torch.manual_seed(0)
    blocks = nn.Sequential(*(Residual(32, 32, "none", wraps=True) for _ in range(16)))
    draw_kaiming(blocks)
    maps = torch.randn(4, 32, 8, 8)
    with torch.no_grad():
        assert 0.3 < blocks(maps).std() / maps.std() < 5
