from collections.abc import Callable, Sequence
from itertools import pairwise, product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from thalweg.errors import ConfigError
from thalweg.nn.map_fusion import FUSIONS, Add, Attention, Gated, MapFusion


def each_place(maps: Sequence[Tensor], combine: Callable[[list[Tensor]], Tensor]) -> Tensor:
    out = torch.zeros_like(maps[0])
    for index in torch.cartesian_prod(*(torch.arange(size) for size in out.shape)):
        place = tuple(index.tolist())
        out[place] = combine([each[place] for each in maps])
    return out


def slow_add(maps: Sequence[Tensor]) -> Tensor:
    return each_place(maps, lambda values: torch.stack(values).sum())


def slow_hadamard(maps: Sequence[Tensor]) -> Tensor:
    return each_place(maps, lambda values: torch.stack(values).prod())


def slow_concat(maps: Sequence[Tensor]) -> Tensor:
    return torch.stack(
        [torch.stack([channel for one in maps for channel in one[sample]]) for sample in range(2)]
    )


def slow_matmul(maps: Sequence[Tensor]) -> Tensor:
    """Sums over all paths from the row of the first map to the column of the last one."""
    out = torch.zeros_like(maps[0])
    batch, dim, side, _ = out.shape
    for sample, channel, row, column in product(range(batch), range(dim), range(side), range(side)):
        for between in product(range(side), repeat=len(maps) - 1):
            stations = (row, *between, column)
            steps = [
                one[sample, channel, start, end]
                for one, (start, end) in zip(maps, pairwise(stations), strict=True)
            ]
            out[sample, channel, row, column] += torch.stack(steps).prod()
    return out


SLOW = {"add": slow_add, "hadamard": slow_hadamard, "concat": slow_concat, "matmul": slow_matmul}


@pytest.mark.parametrize("num_maps", [2, 3])
@pytest.mark.parametrize("name", sorted(SLOW))
def test_a_fusion_without_weights_follows_its_slow_definition(name: str, num_maps: int) -> None:
    maps = [torch.randn(2, 2, 3, 3) for _ in range(num_maps)]
    torch.testing.assert_close(FUSIONS[name](2, num_maps)(maps), SLOW[name](maps))


def test_multiplication_by_elements_and_by_matrices_differ() -> None:
    a, b = torch.randn(1, 2, 4, 4), torch.randn(1, 2, 4, 4)
    assert not torch.allclose(FUSIONS["hadamard"](2)([a, b]), FUSIONS["matmul"](2)([a, b]))


def test_the_gate_weighs_each_channel_and_place() -> None:
    fusion, a, b = Gated(3), torch.randn(2, 3, 2, 2), torch.randn(2, 3, 2, 2)
    fused = fusion([a, b])
    weight, bias = fusion.gate.weight[:, :, 0, 0], fusion.gate.bias
    assert bias is not None
    for sample in range(2):
        for row in range(2):
            for column in range(2):
                one, other = a[sample, :, row, column], b[sample, :, row, column]
                gate = 1 / (1 + torch.exp(-(weight @ torch.cat((one, other)) + bias)))
                expected = gate * one + (1 - gate) * other
                torch.testing.assert_close(fused[sample, :, row, column], expected)


def test_the_gate_of_three_maps_is_a_softmax_with_the_last_map_at_zero() -> None:
    fusion, maps = Gated(3, 3), [torch.randn(2, 3, 2, 2) for _ in range(3)]
    fused = fusion(maps)
    weight, bias = fusion.gate.weight[:, :, 0, 0], fusion.gate.bias
    assert bias is not None
    for sample, row, column in product(range(2), range(2), range(2)):
        here = [one[sample, :, row, column] for one in maps]
        logits = weight @ torch.cat(here) + bias
        for channel in range(3):
            sizes = torch.stack([logits[channel].exp(), logits[3 + channel].exp(), torch.tensor(1.0)])
            values = torch.stack([one[channel] for one in here])
            expected = (sizes * values).sum() / sizes.sum()
            torch.testing.assert_close(fused[sample, channel, row, column], expected)


@pytest.mark.parametrize("num_maps", [2, 3])
def test_attention_follows_its_slow_definition(num_maps: int) -> None:
    fusion, maps = Attention(4, num_maps), [torch.randn(1, 4, 2, 2) for _ in range(num_maps)]
    places = [(row, column) for row in range(2) for column in range(2)]
    tokens = [
        one[0, :, row, column] + modality
        for one, modality in zip(maps, fusion.modality_tokens, strict=True)
        for row, column in places
    ]
    parts = [fusion.queries_keys_values(fusion.norm(token)).split(4) for token in tokens]
    attended = []
    for query, _, _ in parts:
        heads = []  # four heads of one number each
        for head in range(4):
            scores = torch.stack([query[head] * key[head] for _, key, _ in parts])
            shares = torch.exp(scores) / torch.exp(scores).sum()
            heads.append(sum(share * value[head] for share, (_, _, value) in zip(shares, parts, strict=True)))
        attended.append(fusion.output(torch.stack([torch.as_tensor(head) for head in heads])))
    fused = fusion(maps)
    for place, (row, column) in enumerate(places):
        here = [tokens[number] + attended[number] for number in range(place, 4 * num_maps, 4)]
        torch.testing.assert_close(fused[0, :, row, column], torch.stack(here).mean(0))


def test_attention_of_single_places_still_trains_its_queries() -> None:
    fusion = Attention(4)
    fusion([torch.randn(3, 4, 1, 1), torch.randn(3, 4, 1, 1)]).square().sum().backward()
    gradient = fusion.queries_keys_values.weight.grad
    assert gradient is not None
    assert gradient[:4].abs().sum() > 0


@pytest.mark.parametrize("name", sorted(FUSIONS))
@given(batch=st.integers(1, 3), dim=st.integers(1, 6), side=st.integers(1, 4), num_maps=st.integers(2, 4))
def test_every_fusion_keeps_places_and_says_its_channels(
    name: str, batch: int, dim: int, side: int, num_maps: int
) -> None:
    fusion: MapFusion = FUSIONS[name](dim, num_maps)
    fused = fusion([torch.randn(batch, dim, side, side) for _ in range(num_maps)])
    assert fused.shape == (batch, fusion.out_dim, side, side)


@pytest.mark.parametrize("num_maps", [2, 3])
@pytest.mark.parametrize("name", sorted(FUSIONS))
def test_every_fusion_hears_all_maps(name: str, num_maps: int) -> None:
    fusion: MapFusion = FUSIONS[name](4, num_maps)
    maps = [torch.randn(2, 4, 3, 3, requires_grad=True) for _ in range(num_maps)]
    fusion(maps).square().sum().backward()
    assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in maps)


def test_weights_of_a_fusion_of_two_maps_have_the_names_and_draws_of_stored_models() -> None:
    torch.manual_seed(3)
    attention, gated = Attention(4), Gated(4)
    assert list(attention.state_dict()) == [
        "modality_tokens",
        "norm.weight",
        "norm.bias",
        "queries_keys_values.weight",
        "queries_keys_values.bias",
        "output.weight",
        "output.bias",
    ]
    assert list(gated.state_dict()) == ["gate.weight", "gate.bias"]
    torch.manual_seed(3)
    assert torch.equal(attention.modality_tokens, 0.02 * torch.randn(2, 4))
    for found, drawn in (
        (attention.queries_keys_values, nn.Linear(4, 12)),
        (attention.output, nn.Linear(4, 4)),
        (gated.gate, nn.Conv2d(8, 4, kernel_size=1)),
    ):
        assert torch.equal(found.weight, drawn.weight)


@pytest.mark.parametrize("name", sorted(FUSIONS))
def test_one_map_is_no_fusion(name: str) -> None:
    with pytest.raises(ConfigError, match="at least 2 maps, got 1; use the map"):
        FUSIONS[name](4, 1)


def test_a_modality_that_is_missing_is_not_passed_over() -> None:
    with pytest.raises(ValueError, match="a fusion of 3 maps must be given as many, got 2"):
        Add(4, 3)([torch.ones(1, 4, 2, 2)] * 2)
