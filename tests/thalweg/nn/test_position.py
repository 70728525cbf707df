import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from thalweg.nn.position import encode_places, sinusoidal


@given(st.integers(1, 40), st.integers(1, 16))
def test_sinusoids_follow_their_formula(num_positions: int, half: int) -> None:
    table = sinusoidal(num_positions, 2 * half)
    assert table.shape == (num_positions, 2 * half)
    for position in range(num_positions):
        for i in range(half):
            angle = position / 10000 ** (i / half)
            assert float(table[position, i]) == pytest.approx(math.sin(angle), abs=1e-6)
            assert float(table[position, half + i]) == pytest.approx(math.cos(angle), abs=1e-6)


@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 7), st.integers(1, 4))
def test_places_are_the_sum_of_patch_and_step(batch: int, steps: int, patches: int, taken: int) -> None:
    position, time = torch.rand(patches, 3), torch.rand(steps, 3)
    indices = torch.randint(patches, (batch, steps, taken))
    places = encode_places(position, time, indices)
    for b in range(batch):
        for t in range(steps):
            for k in range(taken):
                expected = position[int(indices[b, t, k])] + time[t]
                assert torch.allclose(places[b, t, k], expected)


def test_gradients_reach_only_the_places_that_are_read() -> None:
    position = torch.rand(4, 2, requires_grad=True)
    places = encode_places(position, torch.zeros(2, 2), torch.tensor([[[0, 2], [2, 2]]]))
    torch.autograd.backward(places.sum())
    assert position.grad is not None
    assert position.grad[:, 0].tolist() == [1, 0, 3, 0]
