import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from thalweg.nn.dropout import Dropout


def test_the_share_is_dropped_and_the_rest_scaled() -> None:
    torch.manual_seed(0)
    dropped = Dropout(0.3)(torch.ones(1000, 200))
    # Standard deviation of the share over 200,000 draws: 0.001.
    assert float((dropped == 0).float().mean()) == pytest.approx(0.3, abs=0.005)
    assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.7], rel=1e-4)
    assert float(dropped.mean()) == pytest.approx(1, abs=0.01)


def test_elements_of_one_draw_are_dropped_independently() -> None:
    torch.manual_seed(0)
    kept = (Dropout(0.5)(torch.ones(100_000, 4)) > 0).float()
    assert torch.allclose(kept.mean(0), torch.full((4,), 0.5), atol=0.01)
    correlation = torch.corrcoef(kept.T) - torch.eye(4)
    assert float(correlation.abs().max()) < 0.02


@given(st.lists(st.integers(0, 5), max_size=3), st.floats(0, 0.9))
def test_any_shape_keeps_its_shape(shape: list[int], ratio: float) -> None:
    x = torch.randn(shape)
    dropped = Dropout(ratio)(x)
    assert dropped.shape == x.shape
    assert ((dropped == 0) | (dropped.abs() >= x.abs())).all()


def test_slopes_pass_where_values_do() -> None:
    x = torch.ones(50, 3, requires_grad=True)
    dropped = Dropout(0.4)(x)
    torch.autograd.backward((dropped * 2).sum())
    assert x.grad is not None
    assert torch.equal(x.grad, 2 * dropped.detach())


def test_the_global_generator_decides() -> None:
    x = torch.ones(40)
    torch.manual_seed(3)
    first, second = Dropout(0.5)(x), Dropout(0.5)(x)
    torch.manual_seed(3)
    assert torch.equal(first, Dropout(0.5)(x))
    assert not torch.equal(first, second)


def test_nothing_is_dropped_in_evaluation_or_without_a_ratio() -> None:
    x = torch.randn(40)
    assert Dropout(0.0)(x) is x
    assert Dropout(0.5).eval()(x) is x


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_half_precision(dtype: torch.dtype) -> None:
    assert Dropout(0.5)(torch.ones(40, dtype=dtype)).dtype == dtype


def test_other_devices_use_what_they_have() -> None:
    assert Dropout(0.5)(torch.ones(4, device="meta")).is_meta
