"""Regressions of latents: what they tell, and how far off they are."""

import numpy as np
import torch

from trainables.geo_contrastive.downstream.regression import CoordinateRegression
from trainables.geo_contrastive.downstream.ridge import PENALTIES, fit_ridge

RNG = np.random.default_rng(5)
MEMBERS = torch.from_numpy(RNG.normal(2.0, 1.0, (400, 3)))
TRUTH = torch.tensor([[1.0, 0.0], [-2.0, 0.5], [0.0, 0.0]], dtype=torch.float64)
NOISE = torch.tensor([0.1, 1.0], dtype=torch.float64)
TARGETS = MEMBERS @ TRUTH + 7.0 + NOISE * torch.from_numpy(RNG.normal(size=(400, 2)))


def test_lines_of_each_coordinate_are_those_of_least_squares() -> None:
    regression = CoordinateRegression(2)
    targets = TARGETS + 3.0 * MEMBERS[:, :2]
    regression.fit(MEMBERS[:, :2], targets)
    found = regression(MEMBERS[:, :2])
    for number in range(2):
        given, told = MEMBERS[:, number].numpy(), targets[:, number].numpy()
        line = np.polynomial.Polynomial.fit(given, told, 1)
        np.testing.assert_allclose(found[:, number], line(given), atol=1e-4)
        np.testing.assert_allclose(regression.spread[number], (told - line(given)).std(), rtol=1e-4)


def test_a_coordinate_that_does_not_vary_tells_the_mean() -> None:
    regression = CoordinateRegression(2)
    regression.fit(torch.full((50, 2), 3.0), TARGETS[:50])
    torch.testing.assert_close(regression(torch.tensor([[3.0, 3.0]]))[0], TARGETS[:50].mean(0).float())


def test_a_regression_of_too_few_days_tells_nothing() -> None:
    regression = CoordinateRegression(3)
    regression.fit(MEMBERS[:31], MEMBERS[:31])
    assert not regression(MEMBERS).any()


def test_the_penalty_is_the_one_that_tells_the_last_fifth_best() -> None:
    members = MEMBERS[:60] - 2.0
    targets = torch.from_numpy(RNG.normal(size=(60, 2)))  # nothing to be learnt
    found = fit_ridge(members, targets)
    errors = {}
    for penalty in PENALTIES:
        ridge = penalty * float((members[:48] ** 2).sum(0).mean()) * np.eye(3)
        first, second = members[:48].numpy(), targets[:48].numpy()
        weights = np.linalg.solve(first.T @ first + ridge, first.T @ second)
        errors[penalty] = ((members[48:].numpy() @ weights - targets[48:].numpy()) ** 2).sum()
    best = min(errors, key=lambda penalty: errors[penalty])
    ridge = best * float((members**2).sum(0).mean()) * np.eye(3)
    every = members.numpy()
    expected = np.linalg.solve(every.T @ every + ridge, every.T @ targets.numpy())
    np.testing.assert_allclose(found, expected, atol=1e-10)
