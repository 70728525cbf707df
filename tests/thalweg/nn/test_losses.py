import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from thalweg.nn.losses import masked_mse


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


def test_what_is_not_valid_has_no_gradient() -> None:
    prediction = torch.ones(1, 4, requires_grad=True)
    valid = torch.tensor([[True, False, True, False]])
    torch.autograd.backward(masked_mse(prediction, torch.zeros(1, 4), valid).sum())
    assert prediction.grad is not None
    assert prediction.grad.tolist() == [[1.0, 0.0, 1.0, 0.0]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_losses_of_half_precision_models_are_fp32(dtype: torch.dtype) -> None:
    # 300 squared overflows fp16.
    loss = masked_mse(torch.full((1, 2), 300.0, dtype=dtype), torch.zeros(1, 2), torch.ones(1, 2).bool())
    assert loss.dtype == torch.float32
    assert float(loss) == 90_000
