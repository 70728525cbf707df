"""Models that take no memory."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from thalweg.nn.unallocated import unallocated


def test_weights_take_no_memory_and_know_their_shapes() -> None:
    with unallocated():
        model = nn.Sequential(nn.Linear(3, 5), nn.Conv2d(2, 7, 3), nn.LSTM(4, 6), nn.Embedding(8, 9))
    expected = [each.shape for each in nn.Sequential(nn.Linear(3, 5), nn.Conv2d(2, 7, 3)).parameters()]
    assert [each.shape for each in model[:2].parameters()] == expected
    assert all(each.is_meta for each in model.parameters())


@pytest.mark.parametrize(
    "draw",
    [
        torch.Tensor.normal_,
        torch.Tensor.uniform_,
        nn.init.normal_,
        nn.init.uniform_,
        nn.init.xavier_normal_,
        nn.init.kaiming_uniform_,
        nn.init.kaiming_normal_,
        nn.init.trunc_normal_,
    ],
)
def test_what_has_no_memory_is_left_alone_and_what_has_some_is_drawn_as_ever(
    draw: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    torch.manual_seed(0)
    outside = draw(torch.zeros(4, 4))
    torch.manual_seed(0)
    with unallocated():
        empty = torch.zeros(4, 4)
        assert draw(empty) is empty
        inside = draw(torch.zeros(4, 4, device="cpu"))
    torch.testing.assert_close(inside, outside, rtol=0, atol=0)
    assert float(inside.std()) > 0
