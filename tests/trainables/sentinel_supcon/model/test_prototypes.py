"""Transport of pixels to prototypes, against a slow twin."""

import numpy as np
import torch

from trainables.sentinel_supcon.model.prototypes import (
    NUM_ITERATIONS,
    REGULARISATION,
    Prototypes,
    sinkhorn,
)


def slow_plan(costs: np.ndarray) -> np.ndarray:
    """Sinkhorn's iterations as in Cuturi (2013), on the kernel itself, of one scene."""
    kernel = np.exp(-costs / REGULARISATION)
    num_sources, num_targets = costs.shape
    right = np.ones(num_targets)
    for _ in range(NUM_ITERATIONS):
        left = (1 / num_sources) / (kernel @ right)
        right = (1 / num_targets) / (kernel.T @ left)
    return np.asarray(left[:, None] * kernel * right[None])


def scaled(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1, shorter ones that are hardly longer than 0."""
    return np.asarray(rows / np.sqrt((rows**2).sum(1, keepdims=True) + 1e-4))


def test_plans_are_those_of_the_slow_twin_and_move_equal_masses() -> None:
    costs = torch.rand(3, 12, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    plans = sinkhorn(costs)
    for plan, cost in zip(plans, costs, strict=True):
        np.testing.assert_allclose(plan.numpy(), slow_plan(cost.numpy()), rtol=1e-9)
    np.testing.assert_allclose(plans.sum(1).numpy(), 1 / 5, rtol=1e-9)
    np.testing.assert_allclose(plans.sum(2).numpy(), 1 / 12, rtol=0.05)


def test_costs_are_those_of_the_plan_and_each_scene_is_a_problem_of_its_own() -> None:
    torch.manual_seed(1)
    prototypes = Prototypes(4, 3)
    maps = torch.randn(5, 3, 2, 4)
    found = prototypes(maps)
    directions = scaled(prototypes.directions.detach().numpy())
    for scene, cost in zip(maps.numpy(), found.tolist(), strict=True):
        costs = 1 - scaled(scene.reshape(3, -1).T) @ directions.T
        assert np.isclose(cost, (slow_plan(costs.astype(float)) * costs).sum(), rtol=1e-4)
    assert torch.allclose(found[2:4], prototypes(maps[2:4]), atol=1e-6)


def test_descent_on_the_cost_draws_prototypes_to_pixels() -> None:
    torch.manual_seed(1)
    prototypes = Prototypes(4, 3)
    maps = torch.randn(8, 3, 3, 3).abs()
    optimizer = torch.optim.SGD(prototypes.parameters(), lr=1.0)
    costs = []
    for _ in range(20):
        cost = prototypes(maps).mean()
        costs.append(float(cost.detach()))
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
    assert costs[-1] < 0.7 * costs[0]


def test_costs_are_finite_in_half_precision_and_where_a_pixel_is_zero() -> None:
    prototypes = Prototypes(4, 3).half()
    maps = torch.zeros(2, 3, 2, 2, dtype=torch.float16, requires_grad=True)
    costs = prototypes(maps)
    costs.sum().backward()
    assert costs.dtype == torch.float32
    assert torch.allclose(costs, torch.ones(2), atol=1e-5)
    assert maps.grad is not None and bool(torch.isfinite(maps.grad).all())
