from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from thalweg.nn.losses import masked_mse, patch_normalised_mse


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(0, 10_000))
def test_masked_mse_follows_the_slow_definition(batch: int, rows: int, columns: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    prediction = torch.randn(batch, rows, columns, generator=generator)
    target = torch.randn(batch, rows, columns, generator=generator)
    valid = torch.rand(batch, rows, columns, generator=generator) < 0.5
    losses = masked_mse(prediction, target, valid)
    for b in range(batch):
        errors = [
            float(prediction[b, r, c] - target[b, r, c]) ** 2
            for r in range(rows)
            for c in range(columns)
            if valid[b, r, c]
        ]
        expected = sum(errors) / len(errors) if errors else 0.0
        assert float(losses[b]) == pytest.approx(expected, abs=1e-5)


@given(st.integers(1, 2), st.integers(1, 3), st.integers(1, 5), st.integers(0, 10_000))
def test_patch_normalised_mse_follows_the_slow_definition(
    batch: int, patches: int, values: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    prediction, target = rng.normal(size=(2, batch, patches, values)).astype(np.float32)
    valid = rng.random((batch, patches, values)) < 0.6
    losses = patch_normalised_mse(*map(torch.from_numpy, (prediction, target, valid)))
    for b in range(batch):
        total, count = 0.0, 0
        for p in range(patches):
            chosen = valid[b, p]
            if not chosen.any():
                continue
            errors, wanted = (prediction - target)[b, p][chosen], target[b, p][chosen]
            pattern = errors - errors.mean()
            total += float((errors.mean() ** 2 + pattern**2 / (wanted.var() + 0.01)).sum())
            count += int(chosen.sum())
        assert float(losses[b]) == pytest.approx(total / max(count, 1), rel=1e-4, abs=1e-5)


def test_errors_of_patterns_are_those_of_normalised_pixels() -> None:
    target = torch.randn(1, 3, 40)
    prediction = target + 0.2 * torch.randn(1, 3, 40)
    prediction += (target - prediction).mean(-1, keepdim=True)  # as if MAE had been told the means
    mean, spread = target.mean(-1, keepdim=True), target.std(-1, correction=0, keepdim=True)
    pixels = ((prediction - mean) / spread - (target - mean) / spread).square().mean()
    loss = patch_normalised_mse(prediction, target, torch.ones(1, 3, 40).bool(), floor=0.0)
    assert float(loss) == pytest.approx(float(pixels), rel=1e-4)


def test_a_flat_patch_does_not_rule_the_loss() -> None:
    prediction = torch.tensor([[[0.1, -0.1]]])
    loss = patch_normalised_mse(prediction, torch.zeros(1, 1, 2), torch.ones(1, 1, 2).bool())
    assert float(loss) == pytest.approx(1.0)


def test_what_is_not_valid_has_no_gradient() -> None:
    prediction = torch.ones(1, 4, requires_grad=True)
    valid = torch.tensor([[True, False, True, False]])
    torch.autograd.backward(masked_mse(prediction, torch.zeros(1, 4), valid).sum())
    assert prediction.grad is not None
    assert prediction.grad.tolist() == [[1.0, 0.0, 1.0, 0.0]]


@pytest.mark.parametrize("loss_of", [masked_mse, patch_normalised_mse])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_losses_of_half_precision_models_are_fp32(
    loss_of: Callable[[Tensor, Tensor, Tensor], Tensor], dtype: torch.dtype
) -> None:
    # 300 squared overflows fp16.
    loss = loss_of(torch.full((1, 2), 300.0, dtype=dtype), torch.zeros(1, 2), torch.ones(1, 2).bool())
    assert loss.dtype == torch.float32
    assert float(loss) == 90_000
