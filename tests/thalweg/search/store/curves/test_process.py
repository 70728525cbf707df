"""The process of learning curves: against its formula written out, and what it learns of curves that mislead."""

import math

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import multivariate_normal

from thalweg.search.store.curves.observed import Observations
from thalweg.search.store.curves.process import CurveProcess, falling, matern
from thalweg.search.store.curves.unit_cube import Array

OWNERS = (0, 1, 1, 2)
HYPERPARAMETERS = ("end", "bond", "start", "rate", "time", "noise")


def some(seed: int = 0, lengths: tuple[int, ...] = (8, 1, 3, 8, 2)) -> Observations:
    random = np.random.default_rng(seed)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    shares = np.concatenate([np.arange(1, num + 1) / 8 for num in lengths])
    return Observations(
        random.random((len(lengths), len(OWNERS))), rows, shares, random.standard_normal(len(rows))
    )


def moved(process: CurveProcess, seed: int = 1) -> Array:
    random = np.random.default_rng(seed)
    hyperparameters = process.hyperparameters + 0.3 * random.standard_normal(len(process.hyperparameters))
    hyperparameters[-1] = -1.0
    return hyperparameters


def slow_kernel(hyperparameters: Array, one: Array, other: Array, t: float, u: float) -> float:
    """The covariance of two noiseless evaluations, as the module's first page writes it."""
    end, bond, start, rate, time, _ = hyperparameters[-6:]
    r = math.exp(rate)

    def g(share: float) -> float:
        return (math.exp(-r * share) - math.exp(-r)) / (math.exp(-r / 8) - math.exp(-r))

    def matern52(lengths: Array) -> float:
        squares = sum(
            ((a - b) / math.exp(lengths[owner])) ** 2 for a, b, owner in zip(one, other, OWNERS, strict=True)
        )
        d = math.sqrt(5 * squares)
        return float((1 + d + d * d / 3) * math.exp(-d))

    of_end = math.exp(end) * matern52(hyperparameters[:3]) * (1 + bond * g(t)) * (1 + bond * g(u))
    along = math.exp(-0.5 * ((t - u) / math.exp(time)) ** 2)
    of_start = math.exp(start) * matern52(hyperparameters[3:6]) * g(t) * g(u) * along
    return float(of_end + of_start) + 4.0 + 10.0 * g(t) * g(u)


def slow_covariance(hyperparameters: Array, seen: Observations, noise: float) -> Array:
    each = list(zip(seen.features[seen.rows], seen.shares, strict=True))
    kernel = [[slow_kernel(hyperparameters, x, z, t, u) for z, u in each] for x, t in each]
    return np.array(kernel) + noise * np.eye(len(each))


def test_the_share_that_falls_is_one_at_an_eighth_and_none_at_the_end() -> None:
    shares = np.array([1 / 8, 0.3, 0.6, 1.0])
    for rate in (-2.0, 1.0, 3.0):
        found = falling(shares, rate)
        assert found[[0, -1]] == pytest.approx([1.0, 0.0])
        assert (np.diff(found) < 0).all()


def test_expected_ends_are_those_of_the_formula() -> None:
    seen, process = some(), CurveProcess(OWNERS)
    process.hyperparameters = moved(process)
    process.condition(seen)
    points = np.random.default_rng(5).random((4, len(OWNERS)))
    means, deviations = process.ends(points)
    covariance = slow_covariance(process.hyperparameters, seen, math.exp(-2.0) + 1e-6)
    for point, mean, deviation in zip(points, means, deviations, strict=True):
        across = np.array(
            [
                slow_kernel(process.hyperparameters, x, point, t, 1.0)
                for x, t in zip(seen.features[seen.rows], seen.shares, strict=True)
            ]
        )
        own = slow_kernel(process.hyperparameters, point, point, 1.0, 1.0)
        assert mean == pytest.approx(across @ np.linalg.solve(covariance, seen.losses))
        variance = own - across @ np.linalg.solve(covariance, across)
        assert deviation == pytest.approx(math.sqrt(variance), rel=1e-6)


def loss_of(process: CurveProcess, seen: Observations, hyperparameters: Array) -> tuple[float, Array]:
    squares = process._squares(seen.features, seen.features)
    firsts = np.flatnonzero(np.r_[True, seen.rows[1:] != seen.rows[:-1]])
    return process.loss(hyperparameters, squares, seen.rows, firsts, seen.shares, seen.losses)


def test_the_loss_is_the_likelihood_with_the_prior() -> None:
    seen, process = some(), CurveProcess(OWNERS)
    differences = []
    for seed in (1, 2):
        hyperparameters = moved(process, seed)
        covariance = slow_covariance(hyperparameters, seen, math.exp(-2.0) + 1e-6)
        likelihood = multivariate_normal.logpdf(seen.losses, cov=covariance)
        away = (hyperparameters - process._mean) / process._width
        differences.append(loss_of(process, seen, hyperparameters)[0] + likelihood - 0.5 * away @ away)
    assert differences[0] == pytest.approx(differences[1])  # a constant


@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_is_that_of_the_loss(seed: int) -> None:
    seen, process = some(seed), CurveProcess(OWNERS)
    hyperparameters = moved(process, seed + 10)
    _, gradient = loss_of(process, seen, hyperparameters)
    expected = approx_fprime(hyperparameters, lambda each: loss_of(process, seen, each)[0], 1e-6)
    assert gradient == pytest.approx(expected, abs=1e-3)


def test_every_hyperparameter_moves_what_is_expected() -> None:
    seen, process = some(), CurveProcess(OWNERS)
    first = moved(process)
    points = np.random.default_rng(5).random((4, len(OWNERS)))
    found = []
    for index in range(-1, len(first)):
        process.hyperparameters = first.copy()
        if index >= 0:
            process.hyperparameters[index] += 0.2
        process.condition(seen)
        found.append(process.ends(points)[0])
    assert len(found) == 1 + 6 + len(HYPERPARAMETERS)
    for other in found[1:]:
        assert np.abs(other - found[0]).max() > 1e-4


def test_a_matern_kernel_is_one_at_home_and_falls() -> None:
    squares = np.array([[[0.0, 0.5, 4.0]]])
    kernel, _ = matern(squares, np.zeros(1))
    assert kernel[0, 0] == pytest.approx(1.0)
    assert (np.diff(kernel[0]) < 0).all()


def curves(ends: Array, begin_as: float) -> Observations:
    """Curves that begin above their end by 2 and `begin_as` times the end; one feature, of no meaning."""
    shares = np.arange(1, 9) / 8
    losses = [end + (2 + begin_as * end) * falling(shares, 1.0) for end in ends]
    features = np.linspace(0, 40, len(ends))[:, None]  # so far apart that no curve says anything of another
    rows = np.repeat(np.arange(len(ends)), 8)
    return Observations(features, rows, np.tile(shares, len(ends)), np.concatenate(losses))


@pytest.mark.parametrize(("begin_as", "good_begins_low"), [(0.5, True), (-3.0, False)])
def test_it_learns_whether_beginnings_mislead(begin_as: float, good_begins_low: bool) -> None:
    whole = curves(np.array([-1.2, -0.4, 0.1, 0.8, 1.3]), begin_as)
    process = CurveProcess((0,))
    process.fit(whole)
    features = np.concatenate([whole.features, [[60.0], [80.0]]])
    begun = [0.5, 3.0]
    process.condition(
        Observations(
            features,
            np.r_[whole.rows, 5, 6],
            np.r_[whole.shares, 1 / 8, 1 / 8],
            np.r_[whole.losses, begun],
        )
    )
    (low, high), _ = process.ends(features[5:])
    assert (low < high) == good_begins_low
    assert abs(low - high) > 0.5


def test_a_fit_raises_the_density() -> None:
    seen, process = some(3), CurveProcess(OWNERS)
    before = loss_of(process, seen, process.hyperparameters)[0]
    process.fit(seen)
    assert loss_of(process, seen, process.hyperparameters)[0] < before - 1
