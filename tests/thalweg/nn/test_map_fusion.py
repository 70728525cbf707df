import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from thalweg.nn.map_fusion import FUSIONS, Attention, Gated, MapFusion


def slow_add(a: Tensor, b: Tensor) -> Tensor:
    out = torch.zeros_like(a)
    for index in torch.cartesian_prod(*(torch.arange(size) for size in a.shape)):
        place = tuple(index.tolist())
        out[place] = a[place] + b[place]
    return out


def slow_hadamard(a: Tensor, b: Tensor) -> Tensor:
    out = torch.zeros_like(a)
    for index in torch.cartesian_prod(*(torch.arange(size) for size in a.shape)):
        place = tuple(index.tolist())
        out[place] = a[place] * b[place]
    return out


def slow_concat(a: Tensor, b: Tensor) -> Tensor:
    return torch.stack([torch.stack([*one, *other]) for one, other in zip(a, b, strict=True)])


def slow_matmul(a: Tensor, b: Tensor) -> Tensor:
    out = torch.zeros_like(a)
    batch, dim, side, _ = a.shape
    for sample in range(batch):
        for channel in range(dim):
            for row in range(side):
                for column in range(side):
                    for k in range(side):
                        out[sample, channel, row, column] += (
                            a[sample, channel, row, k] * b[sample, channel, k, column]
                        )
    return out


SLOW = {"add": slow_add, "hadamard": slow_hadamard, "concat": slow_concat, "matmul": slow_matmul}


@pytest.mark.parametrize("name", sorted(SLOW))
def test_a_fusion_without_weights_follows_its_slow_definition(name: str) -> None:
    a, b = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(FUSIONS[name](3)(a, b), SLOW[name](a, b))


def test_multiplication_by_elements_and_by_matrices_differ() -> None:
    a, b = torch.randn(1, 2, 4, 4), torch.randn(1, 2, 4, 4)
    assert not torch.allclose(FUSIONS["hadamard"](2)(a, b), FUSIONS["matmul"](2)(a, b))


def test_the_gate_weighs_each_channel_and_place() -> None:
    fusion, a, b = Gated(3), torch.randn(2, 3, 2, 2), torch.randn(2, 3, 2, 2)
    fused = fusion(a, b)
    weight, bias = fusion.gate.weight[:, :, 0, 0], fusion.gate.bias
    assert bias is not None
    for sample in range(2):
        for row in range(2):
            for column in range(2):
                one, other = a[sample, :, row, column], b[sample, :, row, column]
                gate = 1 / (1 + torch.exp(-(weight @ torch.cat((one, other)) + bias)))
                expected = gate * one + (1 - gate) * other
                torch.testing.assert_close(fused[sample, :, row, column], expected)


def test_attention_follows_its_slow_definition() -> None:
    fusion, a, b = Attention(4), torch.randn(1, 4, 2, 2), torch.randn(1, 4, 2, 2)
    places = [(row, column) for row in range(2) for column in range(2)]
    tokens = [a[0, :, row, column] + fusion.modality_tokens[0] for row, column in places]
    tokens += [b[0, :, row, column] + fusion.modality_tokens[1] for row, column in places]
    parts = [fusion.queries_keys_values(fusion.norm(token)).split(4) for token in tokens]
    attended = []
    for query, _, _ in parts:
        heads = []  # four heads of one number each
        for head in range(4):
            scores = torch.stack([query[head] * key[head] for _, key, _ in parts])
            shares = torch.exp(scores) / torch.exp(scores).sum()
            heads.append(sum(share * value[head] for share, (_, _, value) in zip(shares, parts, strict=True)))
        attended.append(fusion.output(torch.stack([torch.as_tensor(head) for head in heads])))
    fused = fusion(a, b)
    for place, (row, column) in enumerate(places):
        expected = (tokens[place] + attended[place] + tokens[place + 4] + attended[place + 4]) / 2
        torch.testing.assert_close(fused[0, :, row, column], expected)


def test_attention_of_single_places_still_trains_its_queries() -> None:
    fusion = Attention(4)
    fusion(torch.randn(3, 4, 1, 1), torch.randn(3, 4, 1, 1)).square().sum().backward()
    gradient = fusion.queries_keys_values.weight.grad
    assert gradient is not None
    assert gradient[:4].abs().sum() > 0


@pytest.mark.parametrize("name", sorted(FUSIONS))
@given(batch=st.integers(1, 3), dim=st.integers(1, 6), side=st.integers(1, 4))
def test_every_fusion_keeps_places_and_says_its_channels(name: str, batch: int, dim: int, side: int) -> None:
    fusion: MapFusion = FUSIONS[name](dim)
    fused = fusion(torch.randn(batch, dim, side, side), torch.randn(batch, dim, side, side))
    assert fused.shape == (batch, fusion.out_dim, side, side)


@pytest.mark.parametrize("name", sorted(FUSIONS))
def test_every_fusion_hears_both_maps(name: str) -> None:
    fusion: MapFusion = FUSIONS[name](4)
    maps = [torch.randn(2, 4, 3, 3, requires_grad=True) for _ in range(2)]
    fusion(*maps).square().sum().backward()
    assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in maps)
