import math

import pytest
import torch

from thalweg.nn.contrastive.nt_xent import nt_xent
from thalweg.nn.contrastive.temperature import Temperature


@pytest.mark.parametrize(("initial", "learnable"), [(0.07, True), (0.5, True), (0.2, False), (1.0, False)])
def test_embeddings_are_divided_by_the_temperature(initial: float, learnable: bool) -> None:
    temperature, rows = Temperature(initial, learnable=learnable), torch.randn(4, 3)
    torch.testing.assert_close(temperature(rows), rows / initial)
    assert list(temperature.state_dict()) == (["log_scale"] if learnable else [])


@pytest.mark.parametrize("learnable", [True, False])
def test_rows_of_one_set_carry_half_of_it_each(learnable: bool) -> None:
    temperature, views = Temperature(0.2, learnable=learnable), torch.randn(4, 2, 3)
    found = nt_xent(temperature.on_both_sides(views)).total
    torch.testing.assert_close(found, nt_xent(views, temperature=0.2).total)
    if learnable:
        assert temperature.log_scale is not None
        found.backward()  # type: ignore[no-untyped-call]
        step = 1e-2
        above, below = (nt_xent(views, temperature=0.2 * math.exp(-gap)).total for gap in (step, -step))
        assert temperature.log_scale.grad is not None
        slope = float(temperature.log_scale.grad)
        assert slope == pytest.approx(float(above - below) / (2 * step), rel=1e-2, abs=1e-2)


def slope(log_scale: float, direction: float) -> tuple[float, float]:
    """Returns the scale and the gradient by its logarithm of a loss that grows with it, or falls."""
    temperature = Temperature(0.07, learnable=True)
    assert temperature.log_scale is not None
    with torch.no_grad():
        temperature.log_scale.fill_(log_scale)
    scaled = temperature(torch.ones(1, 1))
    (direction * scaled).sum().backward()
    assert temperature.log_scale.grad is not None
    return float(scaled.detach()), float(temperature.log_scale.grad)


def test_below_its_limit_the_scale_follows_every_gradient() -> None:
    for direction in (-1.0, 1.0):
        scale, gradient = slope(math.log(30), direction)
        assert scale == pytest.approx(30, rel=1e-5)
        assert gradient == pytest.approx(30 * direction, rel=1e-5)


def test_beyond_its_limit_the_scale_is_reflected_and_so_is_its_gradient() -> None:
    reflected = 100**2 / 150
    assert slope(math.log(150), 1.0) == pytest.approx((reflected, -reflected), rel=1e-5)
    assert slope(math.log(150), -1.0) == pytest.approx((reflected, reflected), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("lr", [1e-3, 1e-2])
def test_a_temperature_at_its_limit_neither_drifts_nor_sticks(lr: float) -> None:
    temperature = Temperature(0.015, learnable=True)
    optimizer = torch.optim.AdamW(temperature.parameters(), lr=lr, weight_decay=0.0)
    found = []
    for direction in [-1.0] * 800 + [1.0] * 40:
        optimizer.zero_grad()
        (direction * temperature(torch.ones(1, 1))).sum().backward()
        optimizer.step()
        found.append(float(temperature.scale().detach()))
    assert max(found) <= 100 * (1 + 1e-6)
    assert all(scale > 100 * (1 - 30 * lr) for scale in found[600:800])
    assert found[-1] < 100 * (1 - 20 * lr)


@pytest.mark.parametrize("log_scale", [math.log(14), math.log(99), math.log(150)])
def test_the_scales_gradient_adds_up_over_micro_batches(log_scale: float) -> None:
    torch.manual_seed(0)
    embeddings, directions = torch.randn(16, 4), torch.randn(16, 4)

    def gradient(micro: int) -> float:
        temperature = Temperature(0.07, learnable=True)
        assert temperature.log_scale is not None
        with torch.no_grad():
            temperature.log_scale.fill_(log_scale)
        for start in range(0, 16, micro):
            rows = slice(start, start + micro)
            (temperature(embeddings[rows]) * directions[rows]).sum().backward()
        assert temperature.log_scale.grad is not None
        return float(temperature.log_scale.grad)

    assert gradient(2) == pytest.approx(gradient(16), rel=1e-4)


def test_the_lowest_temperature_can_rise() -> None:
    temperature = Temperature(0.01, learnable=True)
    assert temperature.log_scale is not None
    temperature(torch.ones(1, 1)).sum().backward()
    assert temperature.log_scale.grad is not None
    assert float(temperature.log_scale.grad) == pytest.approx(100, rel=1e-4)
