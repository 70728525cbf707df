"""Expected improvement against its integral, and the search for the point where it is largest."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import create_trial
from scipy.integrate import quad
from scipy.stats import norm

from thalweg.search.store.curves.acquisition import _moved, log_expected_improvement, propose
from thalweg.search.store.curves.observed import Observations
from thalweg.search.store.curves.process import CurveProcess
from thalweg.search.store.curves.unit_cube import UnitCube


@pytest.mark.parametrize("mean", [-1.0, 0.0, 0.7, 3.0, 6.0, 9.0])
def test_it_is_the_logarithm_of_the_integral(mean: float) -> None:
    deviation, best = 0.8, 0.3

    def improvement(loss: float) -> float:
        return (best - loss) * float(norm.pdf(loss, mean, deviation))

    integral, _ = quad(improvement, best - 12, best, epsabs=0, epsrel=1e-9, points=[best - 0.5], limit=200)
    found = log_expected_improvement(np.array([mean]), np.array([deviation]), best)
    assert found[0] == pytest.approx(math.log(integral), rel=1e-4)


def test_it_falls_where_it_is_nothing_in_floating_point() -> None:
    means = np.array([1.0, 4.9, 5.1, 30.0, 60.0, 1e4, 1e6])
    found = log_expected_improvement(means, np.ones(7), 0.0)
    assert np.isfinite(found).all()
    assert (np.diff(found) < 0).all()


@given(
    st.integers(0, 2**16),
    st.lists(st.booleans(), min_size=1, max_size=5),
    st.floats(0.001, 0.5),
)
def test_moves_stay_in_the_cube(seed: int, choices: list[bool], width: float) -> None:
    random = np.random.default_rng(seed)
    points = random.random((3, len(choices)))
    found = _moved(points, np.array(choices), width, 32, random)
    assert found.shape == (32, len(choices))
    assert ((found >= 0) & (found <= 1)).all()


def test_the_best_point_is_found_among_numbers_and_choices() -> None:
    kinds = {"x": FloatDistribution(0, 1), "kind": CategoricalDistribution(("a", "b", "c"))}
    cells = [(x, kind) for x in np.linspace(0, 1, 7) for kind in "abc"]
    trials = [
        create_trial(value=0.0, params={"x": float(x), "kind": kind}, distributions=kinds)
        for x, kind in cells
    ]
    encoding = UnitCube(trials)
    points = encoding.points(trials)
    losses = np.array([4 * (x - 0.62) ** 2 + {"a": 0.5, "b": 0.0, "c": 0.8}[kind] for x, kind in cells])
    process = CurveProcess(encoding.owners)
    seen = Observations(encoding.features(points), np.arange(21), np.ones(21), losses - losses.mean())
    process.fit(seen)
    process.condition(seen)
    best = float(process.ends(seen.features)[0].min())
    known = points[np.argsort(losses)]
    found = propose(process, encoding, best, known, np.random.default_rng(0))
    params = encoding.params(found.point)
    assert params["kind"] == "b"
    assert params["x"] == pytest.approx(0.62, abs=0.06)
    assert found.log_mean < found.log_improvement
    even = np.random.default_rng(1).random((2000, 2))
    values = log_expected_improvement(*process.ends(encoding.features(even)), best)
    assert found.log_improvement > values.max() - 1e-3
    assert found.log_mean == pytest.approx(math.log(np.exp(values).mean()), abs=0.5)


def test_the_improvement_of_a_hopeless_point_is_finite() -> None:
    with np.errstate(all="raise", under="ignore"):
        found = log_expected_improvement(np.array([1e3, 1e9]), np.ones(2), 0.0)
    assert np.isfinite(found).all()
    assert found[1] < found[0]
