"""A Gaussian process of learning curves: the loss of a configuration at a share of its budget.

The loss of configuration x at the share t of the budget is modelled as

    f(x) (1 + a g(t)) + h(x, t) g(t) + c_0 + c_1 g(t) + noise,
    g(t) = (exp(-r t) - exp(-r)) / (exp(-r / 8) - exp(-r)).

f is what the training ends at. g falls from 1 at an eighth of the budget to 0 at its end. What a curve is above its end
is f itself, by the factor a, and h, which has nothing to do with the end: if a is below -1, the curves that begin well
end badly. f and h have Matern 5/2 kernels with a length scale per parameter, h also a Gaussian kernel in t; c_0 and c_1
are what all curves have in common. Exponential decays as a basis of curves are those of Swersky et al. (2014,
"Freeze-thaw Bayesian optimization", arXiv:1406.3896); tasks that share a function by factors are the multi-task process
of Swersky et al. (2013). Hyperparameters are those of the largest posterior density.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize

from thalweg.search.store.curves.observed import Observations
from thalweg.search.store.curves.unit_cube import Array, Indices

_EARLY = 1 / 8
"""Share of the budget at which g is 1."""
_LENGTH = 0.5
"""Prior median of a length scale with three parameters; it grows with the root of their number."""
_PRIOR = {  # mean and standard deviation, all but `bond` in logarithms
    "end": (0.0, 1.0),  # variance of f
    "bond": (0.3, 1.0),  # a
    "start": (0.0, 1.5),  # variance of h
    "rate": (math.log(3.0), 0.6),  # r
    "time": (math.log(0.5), 0.5),  # length scale of h along t
    "noise": (math.log(0.03), 1.0),  # standard deviation of an evaluation
}
_FIRST_LENGTH, _FIRST_BOND = math.log(0.5), 0.5
_LENGTH_WIDTH = 0.9
_SHARED, _SHARED_START = 4.0, 10.0
"""Variances of c_0 and c_1: large, for losses are scaled to a variance of about 1."""
_BOUND = (-5.0, 4.0)
_JITTER = 1e-6
_MAX_STEPS = 60
_TOLERANCE = 1e-5
"""Gain of a step, relative to the density's logarithm, below which a fit ends."""


class CurveProcess:
    """A Gaussian process of learning curves.

    Args:
        owners: Parameter that each feature belongs to, from 0 on.
    """

    def __init__(self, owners: Sequence[int]) -> None:
        self._owners = tuple(owners)
        self._num = max(owners, default=-1) + 1
        lengths = np.full(2 * self._num, math.log(_LENGTH) + 0.5 * math.log(max(self._num, 1) / 3))
        means, widths = np.array([*_PRIOR.values()]).T
        self._mean = np.concatenate([lengths, means])
        self._width = np.concatenate([np.full(2 * self._num, _LENGTH_WIDTH), widths])
        self.hyperparameters = self._first()

    def _first(self) -> Array:
        """Returns the hyperparameters that a fit starts from."""
        first = self._mean.copy()
        first[: 2 * self._num] = _FIRST_LENGTH
        first[2 * self._num + 1] = _FIRST_BOND
        return first

    def fit(self, seen: Observations) -> None:
        """Finds the hyperparameters of the largest posterior density; L-BFGS from the same start each time."""
        firsts = np.flatnonzero(np.r_[True, seen.rows[1:] != seen.rows[:-1]])
        features = seen.features[seen.rows[firsts]]
        rows = np.repeat(np.arange(len(firsts)), np.diff(np.r_[firsts, len(seen.rows)]))
        squares = self._squares(features, features)
        found = minimize(
            self.loss,
            self._first(),
            args=(squares, rows, firsts, seen.shares, seen.losses),
            jac=True,
            method="L-BFGS-B",
            bounds=[_BOUND] * len(self._mean),
            options={"maxiter": _MAX_STEPS, "ftol": _TOLERANCE},
        )
        self.hyperparameters = np.asarray(found.x)

    def loss(
        self,
        hyperparameters: Array,
        squares: Array,
        rows: Indices,
        firsts: Indices,
        shares: Array,
        losses: Array,
    ) -> tuple[float, Array]:
        """Returns the negative logarithm of the posterior density, up to a constant, and its gradient.

        Args:
            hyperparameters: Two length scales per parameter, and those of `_PRIOR`.
            squares: Squared distances of configurations by parameter; shape (parameters, configurations, same).
            rows: Configuration of each evaluation, from 0 on, ascending.
            firsts: First evaluation of each configuration.
            shares: Share of the budget at each evaluation.
            losses: Loss of each evaluation.
        """
        parts = _Parts.of(hyperparameters, squares, rows, rows, shares, shares)
        covariance = parts.covariance
        noise = math.exp(2 * hyperparameters[-1])
        covariance[np.diag_indices(len(losses))] += noise + _JITTER
        try:
            lower = cholesky(covariance, lower=True, check_finite=False)
        except LinAlgError:
            return 1e10, np.zeros_like(hyperparameters)
        inverse = dpotri(lower, lower=1)[0]
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        weights = inverse @ losses
        away = (hyperparameters - self._mean) / self._width
        value = 0.5 * losses @ weights + np.log(np.diag(lower)).sum() + 0.5 * away @ away
        outer = 0.5 * (inverse - np.outer(weights, weights))  # derivative by the covariance
        gradient = parts.gradient(outer, squares, firsts)
        gradient[-1] = 2 * noise * np.trace(outer)
        return float(value), gradient + away / self._width

    def condition(self, seen: Observations) -> None:
        """Takes what is seen into the posterior, with the hyperparameters as they are."""
        squares = self._squares(seen.features, seen.features)
        parts = _Parts.of(self.hyperparameters, squares, seen.rows, seen.rows, seen.shares, seen.shares)
        covariance = parts.covariance
        noise = math.exp(2 * self.hyperparameters[-1]) + _JITTER
        covariance[np.diag_indices(len(seen.losses))] += noise
        self._lower = cholesky(covariance, lower=True, check_finite=False)
        self._weights = cho_solve((self._lower, True), seen.losses, check_finite=False)
        self._seen = seen

    def ends(self, features: Array) -> tuple[Array, Array]:
        """Returns mean and standard deviation of the noiseless loss at the end of the budget; shape (points,) each.

        Args:
            features: Of configurations; shape (points, features).
        """
        squares = self._squares(self._seen.features, features)
        num = len(features)
        parts = _Parts.of(
            self.hyperparameters, squares, self._seen.rows, np.arange(num), self._seen.shares, np.ones(num)
        )
        across = parts.covariance
        solved = solve_triangular(self._lower, across, lower=True, check_finite=False)
        variance = math.exp(self.hyperparameters[2 * self._num]) + _SHARED
        variances = np.maximum(variance - np.einsum("ij,ij->j", solved, solved), 1e-10)
        return across.T @ self._weights, np.sqrt(variances)

    def _squares(self, some: Array, others: Array) -> Array:
        """Returns squared distances by parameter; shape (parameters, some, others)."""
        found = np.zeros((self._num, len(some), len(others)))
        for index, owner in enumerate(self._owners):
            found[owner] += (some[:, None, index] - others[None, :, index]) ** 2
        return found


def falling(shares: Array, log_rate: float) -> Array:
    """Returns g: 1 at an eighth of the budget, 0 at its end, exponential between; shape as given."""
    rate = math.exp(log_rate)
    last = math.exp(-rate)
    return np.asarray((np.exp(-rate * shares) - last) / (math.exp(-rate * _EARLY) - last))


def matern(squares: Array, log_lengths: Array) -> tuple[Array, Array]:
    """Returns the Matern 5/2 kernel, and what makes its derivatives.

    Args:
        squares: Squared distances by parameter; shape (parameters, rows, columns).
        log_lengths: Logarithms of the length scales; shape (parameters,).

    Returns:
        The kernel, shape (rows, columns). The second, times the squares over the squared length scale of a parameter,
        is the derivative by the logarithm of that length scale.
    """
    scaled = np.sqrt(5 * np.tensordot(np.exp(-2 * log_lengths), squares, 1) + 1e-16)
    fall = np.exp(-scaled)
    return (1 + scaled + scaled**2 / 3) * fall, (5 / 3) * (1 + scaled) * fall


@dataclass(frozen=True)
class _Parts:
    """What a covariance matrix of evaluations is made of; matrices have a row and a column per evaluation.

    Attributes:
        hyperparameters: As in `CurveProcess.loss`.
        shares: Share of the budget of each row.
        falls: g of each row.
        ends: Kernel of f.
        starts: Kernel of h by configuration.
        slopes: What makes the derivatives of both by length scales; by configuration, not by evaluation.
        bonds: (1 + a g(t)) (1 + a g(t')).
        fall: g(t) g(t').
        apart: Squared distance in t over the squared length scale.
        in_time: Kernel of h along t.
    """

    hyperparameters: Array
    shares: Array
    falls: Array
    ends: Array
    starts: Array
    slopes: tuple[Array, Array]
    bonds: Array
    fall: Array
    apart: Array
    in_time: Array

    @classmethod
    def of(
        cls,
        hyperparameters: Array,
        squares: Array,
        rows: Indices,
        columns: Indices,
        row_shares: Array,
        column_shares: Array,
    ) -> _Parts:
        num = len(squares)
        bond, _, rate, time, _ = hyperparameters[-5:]
        ends, end_slopes = matern(squares, hyperparameters[:num])
        starts, start_slopes = matern(squares, hyperparameters[num : 2 * num])
        falls, column_falls = falling(row_shares, rate), falling(column_shares, rate)
        apart = ((row_shares[:, None] - column_shares) / math.exp(time)) ** 2
        at = np.ix_(rows, columns)
        return cls(
            hyperparameters,
            row_shares,
            falls,
            ends[at],
            starts[at],
            (end_slopes, start_slopes),
            np.outer(1 + bond * falls, 1 + bond * column_falls),
            np.outer(falls, column_falls),
            apart,
            np.exp(-0.5 * apart),
        )

    @property
    def variances(self) -> tuple[float, float]:
        """Variances of f and h."""
        end, _, start = self.hyperparameters[-6:-3]
        return math.exp(end), math.exp(start)

    @property
    def covariance(self) -> Array:
        """Covariance of noiseless evaluations."""
        end, start = self.variances
        common = _SHARED + (_SHARED_START + start * self.starts * self.in_time) * self.fall
        return np.asarray(end * self.ends * self.bonds + common)

    def gradient(self, outer: Array, squares: Array, firsts: Indices) -> Array:
        """Returns the gradient by all hyperparameters but the noise, which is left 0.

        Args:
            outer: Derivative of the loss by the covariance; symmetric.
            squares: As in `CurveProcess.loss`.
            firsts: First evaluation of each configuration.
        """
        num = len(squares)
        bond, _, log_rate = self.hyperparameters[-5:-2]
        end, start = self.variances
        of_ends, of_starts = outer * self.bonds * end, outer * self.in_time * self.fall * start

        def by_configuration(matrix: Array) -> Array:
            return np.add.reduceat(np.add.reduceat(matrix, firsts, 0), firsts, 1)

        lengths = [
            np.tensordot(squares, by_configuration(weighted) * slope, 2)
            for weighted, slope in zip((of_ends, of_starts), self.slopes, strict=True)
        ]
        in_start = of_starts * self.starts
        bent = outer * end * self.ends @ (1 + bond * self.falls)
        fallen = outer * (start * self.starts * self.in_time + _SHARED_START) @ self.falls
        faster = _by_rate(self.shares, log_rate)
        rest = [
            (of_ends * self.ends).sum(),
            2 * self.falls @ bent,
            in_start.sum(),
            2 * bond * faster @ bent + 2 * faster @ fallen,
            (in_start * self.apart).sum(),
            0.0,
        ]
        return np.concatenate([np.concatenate(lengths) / np.exp(2 * self.hyperparameters[: 2 * num]), rest])


def _by_rate(shares: Array, log_rate: float) -> Array:
    """Returns the derivative of g by the logarithm of its rate, by central differences."""
    step = 1e-5
    return (falling(shares, log_rate + step) - falling(shares, log_rate - step)) / (2 * step)
