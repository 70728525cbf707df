"""Multi-fidelity problems with known optima: what a search is measured by without training anything.

A problem is a space, the objective of a configuration at the end of its training (smaller is better, its best known
value is 0 or given), and a learning curve that leads to it. Three kinds:

- MF-Hartmann 3 and 6 (Kandasamy et al., "Multi-fidelity Bayesian optimisation with continuous approximations", 2017):
  g(z, x) = sum_i (alpha_i - bias (1 - z)) exp(-sum_j A_ij (x_j - P_ij)^2) at the share z of the budget, with the
  paper's bias 0.1. With bias 4 the weights are negative early, and early evaluations mislead.
- functions of BBOB (Hansen et al. 2009, from the package ``ioh``) as log(1 + f - f_min): `crossing` curves start higher
  and fall faster in some parts of the space than in others. `Misleading` ones start the higher the better they end.
- spaces with categories and with parameters that exist under one category only.

Every evaluation, the last one included, carries noise of 2 % of the spread of random configurations.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import ioh
import numpy as np
from numpy.typing import NDArray

NUM_EVALUATIONS = 8
"""Evaluations of a training, equally spaced: Thalweg's default, for every peer."""
NOISE = 0.02
Array = NDArray[np.float64]
Params = Mapping[str, Any]


@dataclass(frozen=True)
class Knob:
    """A parameter: a range, or categories.

    Attributes:
        low: Smallest value.
        high: Largest value.
        log: Whether the range is logarithmic.
        whole: Whether its values are whole numbers.
        choices: Categories, instead of a range.
        under: Name and value of the category under which it exists; None always.
    """

    low: float = 0.0
    high: float = 1.0
    log: bool = False
    whole: bool = False
    choices: tuple[str, ...] = ()
    under: tuple[str, str] | None = None

    def ask(self, trial: Any, name: str) -> Any:
        """Asks a trial of Optuna for a value."""
        if self.choices:
            return trial.suggest_categorical(name, self.choices)
        if self.whole:
            return trial.suggest_int(name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)


@dataclass(frozen=True)
class Problem:
    """A space with a learning curve for each of its configurations.

    Attributes:
        name: Its name.
        space: Parameters by name; one that depends on a category comes after it.
        curve: Noiseless objective of a configuration at shares of the budget.
        best: Best known objective at the end.
    """

    name: str
    space: Mapping[str, Knob]
    curve: Callable[[Params, Array], Array]
    best: float = 0.0

    def ask(self, trial: Any) -> dict[str, Any]:
        """Asks a trial of Optuna for a configuration."""
        params: dict[str, Any] = {}
        for name, knob in self.space.items():
            if knob.under is None or params[knob.under[0]] == knob.under[1]:
                params[name] = knob.ask(trial, name)
        return params

    def values(self, params: Params) -> Array:
        """Returns the noiseless curve of a configuration."""
        shares = np.arange(1, NUM_EVALUATIONS + 1) / NUM_EVALUATIONS
        return self.curve(params, shares)

    def regret(self, params: Params) -> float:
        """Returns how far a configuration ends from the best known one, without noise."""
        return float(self.values(params)[-1]) - self.best

    @cached_property
    def random_curves(self) -> Array:
        """Curves of 256 random configurations, for the noise and for `correlations`."""
        rng = np.random.default_rng(256)
        return np.array([self.values(_random(self.space, rng)) for _ in range(256)])

    @cached_property
    def noise(self) -> float:
        """Standard deviation of an evaluation."""
        low, high = np.quantile(self.random_curves[:, -1], (0.05, 0.95)).tolist()
        return float(NOISE * (high - low))

    @cached_property
    def correlations(self) -> Array:
        """Spearman's rank correlation of each evaluation with the end, over random configurations."""
        ranks = self.random_curves.argsort(axis=0).argsort(axis=0)
        return np.asarray(np.atleast_2d(np.corrcoef(ranks, rowvar=False))[-1])

    @property
    def misleads(self) -> bool:
        """Whether the first evaluation says the contrary of the end."""
        return bool(self.correlations[0] < 0)


def _random(space: Mapping[str, Knob], rng: np.random.Generator) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for name, knob in space.items():
        if knob.under is not None and params[knob.under[0]] != knob.under[1]:
            continue
        if knob.choices:
            params[name] = str(rng.choice(knob.choices))
            continue
        low, high = (math.log(knob.low), math.log(knob.high)) if knob.log else (knob.low, knob.high)
        value = rng.uniform(low, high)
        value = math.exp(value) if knob.log else value
        params[name] = round(value) if knob.whole else value
    return params


def _point(params: Params, dim: int) -> Array:
    return np.array([params[f"x{index}"] for index in range(dim)])


_ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
_A3 = np.array([[3, 10, 30], [0.1, 10, 35], [3, 10, 30], [0.1, 10, 35]])
_P3 = 1e-4 * np.array([[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]])
_A6 = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
_P6 = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def hartmann(dim: int, bias: float = 0.1) -> Problem:
    """Returns MF-Hartmann in 3 or 6 dimensions, to be minimized."""
    a, p, best = (_A3, _P3, -3.86278) if dim == 3 else (_A6, _P6, -3.32237)

    def curve(params: Params, shares: Array) -> Array:
        peaks = np.exp(-np.sum(a * (_point(params, dim) - p) ** 2, axis=1))
        return np.asarray(-(_ALPHA - bias * (1 - shares[:, None])) @ peaks)

    name = f"hartmann{dim}" + ("" if bias == 0.1 else f"-bias{bias:g}")
    return Problem(name, {f"x{index}": Knob() for index in range(dim)}, curve, best)


def _waves(dim: int, seed: int) -> Callable[[Array], float]:
    """Returns a smooth random function of the unit cube with values in (0, 1)."""
    rng = np.random.default_rng(seed)
    frequencies, phases = rng.normal(scale=2.5, size=(8, dim)), rng.uniform(0, 2 * np.pi, 8)
    return lambda x: float(1 / (1 + np.exp(-np.sum(np.cos(frequencies @ x + phases)))))


def bbob(function: int, dim: int, *, misleading: bool = False, instance: int = 1) -> Problem:
    """Returns a function of BBOB, at the end of curves that cross or mislead.

    Args:
        function: Number in BBOB, 1 to 24.
        dim: Number of parameters.
        misleading: Whether curves start the higher the better they end.
        instance: Instance of the function.
    """
    end = ioh.get_problem(function, instance, dim, ioh.ProblemClass.BBOB)
    gap, rate = _waves(dim, 2 * function), _waves(dim, 2 * function + 1)

    def final(x: Array) -> float:
        return math.log1p(max(0.0, end((10 * x - 5).tolist()) - end.optimum.y))

    cube = np.random.default_rng(function).uniform(size=(256, dim))
    low, high = np.quantile([final(x) for x in cube], [0.02, 0.98])

    def curve(params: Params, shares: Array) -> Array:
        x = _point(params, dim)
        value = final(x)
        if misleading:
            place = min(1.0, max(0.0, (high - value) / (high - low)))
            height, speed = 1.7 * place + 0.3 * gap(x), 3.0
        else:
            height, speed = 0.2 + 1.8 * gap(x), 2.0 + 6.0 * rate(x)
        fallen = (np.exp(-speed * shares) - math.exp(-speed)) / (1 - math.exp(-speed))
        return np.asarray(value + (high - low) * height * fallen)

    name = f"bbob{function}-{dim}d" + ("-misleading" if misleading else "")
    return Problem(name, {f"x{index}": Knob() for index in range(dim)}, curve)


def optimizers() -> Problem:
    """Returns a choice of optimizers, each with parameters of its own beside those that all have."""
    space = {
        "optimizer": Knob(choices=("sgd", "adamw", "lion")),
        "lr": Knob(1e-5, 1.0, log=True),
        "width": Knob(16, 512, log=True, whole=True),
        "momentum": Knob(0.0, 0.99, under=("optimizer", "sgd")),
        "beta2": Knob(0.9, 0.9999, under=("optimizer", "adamw")),
        "weight_decay": Knob(1e-4, 1.0, log=True, under=("optimizer", "lion")),
    }
    bests = {"sgd": -0.7, "adamw": -2.8, "lion": -3.8}

    def curve(params: Params, shares: Array) -> Array:
        kind = params["optimizer"]
        off = math.log10(params["lr"]) - bests[kind]
        if kind == "sgd":
            own = 0.25 + 2.0 * (params["momentum"] - 0.9) ** 2
        elif kind == "adamw":
            own = 0.1 * (math.log10(1 - params["beta2"]) + 2.5) ** 2
        else:
            own = 0.1 + 0.15 * (math.log10(params["weight_decay"]) + 1.0) ** 2
        narrow = math.log2(512 / params["width"]) / 5
        value = own + 0.25 * off**2 + 0.5 * narrow**2 + 0.15 * off * narrow
        speed = (
            2.0 + 2.0 / (1 + math.exp(-off)) + 3.0 * narrow
        )  # small models and large steps learn fast at first
        fallen = (np.exp(-speed * shares) - math.exp(-speed)) / (1 - math.exp(-speed))
        return np.asarray(math.log1p(4 * value) + 6.0 * fallen)

    return Problem("optimizers", space, curve)


def fusion() -> Problem:
    """Returns a space of which half are categories, with a hidden good combination."""
    fusions, norms = ("add", "concat", "film", "attention"), ("batch", "layer", "none")
    space = {
        "fusion": Knob(choices=fusions),
        "norm": Knob(choices=norms),
        "depth": Knob(1, 8, whole=True),
        "lr": Knob(1e-5, 1e-1, log=True),
    }
    rng = np.random.default_rng(7)
    cost, rates = rng.uniform(0.1, 1.0, (4, 3)), rng.uniform(-4.0, -2.0, 4)
    cost[3, 1] = 0.0

    def curve(params: Params, shares: Array) -> Array:
        kind, norm = fusions.index(params["fusion"]), norms.index(params["norm"])
        off = math.log10(params["lr"]) - rates[kind]
        deep = (params["depth"] - 6) / 7
        value = cost[kind, norm] + 0.3 * off**2 + 0.8 * deep**2
        speed = 6.0 - 3.0 * params["depth"] / 8 - 1.0 * (kind == 3)
        fallen = (np.exp(-speed * shares) - math.exp(-speed)) / (1 - math.exp(-speed))
        return np.asarray(math.log1p(4 * value) + 5.0 * fallen)

    return Problem("fusion", space, curve)


def problems() -> Sequence[Problem]:
    """Returns all problems."""
    return (
        hartmann(3),
        hartmann(6),
        hartmann(3, bias=4.0),
        hartmann(6, bias=4.0),
        bbob(8, 4),  # Rosenbrock
        bbob(10, 5),  # ellipsoid, rotated
        bbob(13, 6),  # sharp ridge
        bbob(15, 3),  # Rastrigin, rotated
        bbob(21, 4),  # Gallagher's 101 peaks
        bbob(6, 4, misleading=True),  # attractive sector
        optimizers(),
        fusion(),
    )
