"""What a search space imports: `Study`, the settings of a search, `Trial`, which proposes values, and `grid`.

A search space is a file with ``study = Study(...)`` and one function ``space(trial: Trial) -> Config``. It asks the
trial for values, or a grid for the values of one of its cells::

    GRID = grid(fusion=["add", "concat"], lr=[1e-3, 1e-4], seeds=3)
    study = Study(metric="loss", mode="min", samples=4096, grid=GRID)

    def space(trial: Trial) -> MyConfig:
        cell = GRID.ask(trial)
        return MyConfig(fusion=cell["fusion"], lr=cell["lr"], seed=cell["seed"])
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, Protocol, Self, TypeAlias, TypeVar

from pydantic import Field, FiniteFloat, InstanceOf, field_validator, model_validator
from pydantic.dataclasses import dataclass as checked

from thalweg.config import Knobs, plain, plain_scalar
from thalweg.contract import Mode
from thalweg.errors import SpaceError, meant, nothing

Choice = TypeVar("Choice")
Number: TypeAlias = float | int  # spelt out: the checker that tests run under takes no int for a float


class Trial(Protocol):
    """Proposes the values that a search space asks for; backed by Optuna, a recorded parameter set or a test.

    Ranges are finite and steps positive. A range has a step or a logarithmic scale, not both. A choice is None, a bool,
    a number, text, or a tuple, list or dict of these. A parameter has the same choices in every branch of the space.
    """

    def suggest_float(
        self, name: str, low: Number, high: Number, *, step: Number | None = None, log: bool = False
    ) -> float:
        """Asks for a number in [low, high]: in steps from ``low``, or evenly in its logarithm."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Asks for a whole number in [low, high]."""

    def suggest_categorical(self, name: str, choices: Sequence[Choice]) -> Choice:
        """Asks for one of several values that have no order."""


class Cell(dict[str, Any]):
    """The values of one cell of a grid, by name of the parameter."""

    def __missing__(self, name: object) -> Any:
        """Refuses a name that no axis has.

        Raises:
            SpaceError: Always.
        """
        raise SpaceError(nothing(f"axis {name!r}", "the grid", name, self))


@dataclass(frozen=True)
class Grid:
    """All combinations of some values, one trial for each, in the order of `cells`; made by `grid`.

    Attributes:
        axes: Choices by name of the parameter. If they are a mapping, its keys are the choices and `ask` returns its
            values.
        seeds: Number of seeds with which each combination is tried, from 0 on; None leaves the seed as it is.
    """

    axes: Mapping[str, tuple[Any, ...] | Mapping[Any, Any]]
    seeds: int | None = None

    @property
    def cells(self) -> tuple[dict[str, Any], ...]:
        """Parameter sets of the trials: the seed varies most slowly, then the first axis; the last varies fastest."""
        seeds = [] if self.seeds is None else [range(self.seeds)]
        names = [*("seed" for _ in seeds), *self.axes]
        return tuple(dict(zip(names, cell, strict=True)) for cell in product(*seeds, *self.axes.values()))

    def ask(self, trial: Trial) -> Cell:
        """Asks a trial for its cell of the grid: the axes in their order, then the seed.

        Returns:
            Values by name of the parameter, the seed under ``"seed"``.
        """
        found = Cell()
        for name, choices in self.axes.items():
            choice = trial.suggest_categorical(name, tuple(choices))
            found[name] = choices[choice] if isinstance(choices, Mapping) else choice
        if self.seeds is not None:
            found["seed"] = trial.suggest_int("seed", 0, self.seeds - 1)
        return found


def grid(*, seeds: Any = None, **axes: Any) -> Grid:
    """Returns the grid of some parameters.

    Args:
        seeds: Number of seeds with which each combination is tried, an integer; ``seed`` is then a parameter too.
        axes: Choices by name of the parameter: a list of values, or a mapping of recorded names to values.

    Raises:
        SpaceError: An axis is no list of values, there is none, or ``seeds`` is no number of seeds.
    """
    if not axes and seeds is None:
        raise SpaceError("a grid must have at least one axis, got none; try grid(lr=[1e-3, 1e-4])")
    seeds = plain_scalar(seeds)
    if seeds is not None and (type(seeds) is not int or seeds < 1):
        raise SpaceError(
            f"seeds must be a whole number of at least 1, got {seeds!r}; try seeds=3, or an axis seed=[...] for "
            "seeds of your choice"
        )
    if seeds is not None and "seed" in axes:
        raise SpaceError(
            f"seeds must be given without an axis 'seed' beside it, got {seeds} and the axes {', '.join(axes)}; "
            "leave one of them out"
        )
    return Grid({name: _axis(name, choices) for name, choices in axes.items()}, seeds)


def _axis(name: str, choices: Any) -> tuple[Any, ...] | Mapping[Any, Any]:
    choices = plain_scalar(choices)
    if isinstance(choices, str | bytes | Set) or not isinstance(choices, Iterable):
        raise SpaceError(
            f"an axis of a grid must be a list of values, got {choices!r} for {name!r}; try {name}=[...]"
        )
    axis = dict(choices) if isinstance(choices, Mapping) else tuple(plain(choice) for choice in choices)
    if not axis:
        raise SpaceError(f"an axis of a grid must have at least one value, got none for {name!r}")
    return axis


COST = "cost/"
"""How names of costs begin; less is better."""
NUM_PARAMETERS = f"{COST}num_parameters"
COSTS = (NUM_PARAMETERS, f"{COST}epoch_s", f"{COST}peak_memory_mib")
"""What each trial costs: its parameters, seconds of training per pass over the data, and peak memory in MiB."""

SamplerName = Literal["curves", "gp_tpe", "tpe", "random", "gp", "cmaes", "nsga2"]
SchedulerName = Literal[
    "expected_improvement",
    "guarded_halving",
    "guarded_promotion",
    "successive_halving",
    "promotion",
    "hyperband",
    "population",
    "none",
]


@checked(frozen=True)
class Prior:
    """A best guess of a parameter, with a confidence, as in ``Prior(3e-3, "high")``; see `Study.priors`."""

    value: Any
    """The guess."""
    confidence: Literal["low", "medium", "high"] = "medium"
    """Standard deviation of a number of 1/2, 1/4 or 1/8 of its range; weight of a choice of 2, 4 or 8 against 1."""

    @field_validator("value", mode="before")
    @classmethod
    def _without_numpy(cls, value: Any) -> Any:
        return plain(value)


@checked(frozen=True)
class Population:
    """Population-based training (Jaderberg et al., arXiv:1711.09846), as in ``Study(population=Population(size=8))``.

    Members train to a mark, in turns if there are fewer lanes than members, and wait for one another there. Then the
    worst of them end, and a new trial continues a copy of one of the best in the place of each, with perturbed values
    of the parameters that may change during training. All this follows from the values at the mark and from the
    study's seed, not from the number of lanes.
    """

    size: int = Field(default=8, ge=2)
    """Members that train together; `Study.num_trials` is a multiple of it, as several populations train in turns."""
    every: int | None = Field(default=None, ge=1)
    """Training samples between two marks, which lie at evaluations; None takes every evaluation."""
    burn_in: int = Field(default=0, ge=0)
    """Training samples before which there is no mark."""
    exploit: float = Field(default=0.25, gt=0, le=0.5)
    """Share of the members that end at each mark, rounded up, and of those that others may continue."""
    resample: float = Field(default=0.25, ge=0, le=1)
    """Probability that a perturbed parameter is drawn anew from its range, instead of multiplied by a factor."""
    factors: tuple[float, float] = (0.8, 1.2)
    """Factors of which a perturbed number takes either; a choice, which has no order, is only ever drawn anew."""
    perturb: tuple[str, ...] = ()
    """Parameters that are perturbed; empty takes all that may change during training (`Knobs.changeable`)."""


@checked(frozen=True)
class Lesson:
    """What an earlier study taught this one, which keeps it; see `Study.learn_from`."""

    study: str
    """Name of the earlier study."""
    metric: str
    """The objective of both."""
    value: float
    """The objective of its best trial."""
    trials: tuple[int, ...]
    """Numbers of its best trials, the best first."""
    params: tuple[dict[str, Any], ...]
    """Their parameters, of those that this space asks."""
    num_complete: int
    """Complete trials that they were chosen from."""
    protocol: str
    """Hash of the evaluation protocol of both."""


class Study(Knobs):
    """The settings of one search: objective, budget in training samples, sampler, early stopping, and resources."""

    metric: str = Field(min_length=1)
    """The objective: a metric of the family that is declared search-invariant."""
    mode: Mode
    """Whether smaller or larger is better."""
    samples: int = Field(ge=1)
    """Budget of a trial, in training samples seen."""
    also: dict[str, Mode] = Field(default_factory=dict)
    """Further objectives, metrics or costs, and their modes: the sampler looks for the Pareto front of all.

    Ranks and the best trial know `metric` alone.
    """
    at_most: dict[str, FiniteFloat] = Field(default_factory=dict)
    """Largest values of metrics or costs. A trial that exceeds one ranks behind all that keep them.

    A trial with more parameters than `cost/num_parameters` allows is not trained.
    """
    at_least: dict[str, FiniteFloat] = Field(default_factory=dict)
    """Smallest values of metrics or costs, likewise."""
    num_trials: int = Field(default=32, ge=1)
    """Trials that end as complete, pruned or failed. One that was interrupted or promoted counts once."""
    num_evaluations: int = Field(default=8, ge=1)
    """Evaluations of a trial, equally spaced over its budget; the last one lies at its end."""
    sampler: SamplerName = "curves"
    """Proposes parameters; `gp_tpe` with bounds, further objectives, or a scheduler other than `expected_improvement`.

    `curves` is a Gaussian process of learning curves for the first 200 trials, `gp_tpe` one of ends; TPE goes on.
    Both, and `tpe`, learn from stopped trials; `gp`, `cmaes` and `nsga2` learn from complete trials only.
    """
    scheduler: SchedulerName = "expected_improvement"
    """Stops trials early, by `metric` alone; `none` with further objectives, and `guarded_halving` without `curves`.

    `guarded_halving` is `successive_halving` that first runs three trials to the end, and that stops none while the
    rank correlation of a rung with the end is low, as measured by the trials that ran to the end.
    `expected_improvement` stops a trial, at any evaluation from `min_samples` on, if a new one promises more.
    `promotion` (ASHA) lets none pass a rung before `reduction_factor` trials have reached it. It promotes a trial that
    was stopped once it is among the best there: another trial goes on from its checkpoint, and both count as one.
    `guarded_promotion` is `guarded_halving` that promotes. `population` is population-based training: see `population`.
    """
    population: Population | None = None
    """Settings of population-based training; None for the other schedulers. It takes the sampler `random`.

    Its trials have schedules of values instead of values: each one tells which other it continues, and from where.
    """
    soft_ranking: bool = False
    """Whether a rung stops a trial only if it is worse by more than the noise between neighbouring evaluations."""
    min_samples: int | None = Field(default=None, ge=1)
    """Samples at the first rung, the first evaluation at or above them; None takes samples / reduction_factor**2."""
    reduction_factor: int = Field(default=3, ge=2, le=16)
    """One in this many trials passes a rung of halving; samples of its successive rungs grow by the same factor."""
    num_lanes: int | Literal["auto"] = Field(default="auto")
    """Trials that train at the same time; `auto` takes as many as fit on the cluster."""
    num_workers: int = Field(default=1, ge=1)
    """Processes that train one trial together."""
    cpus_per_worker: float = Field(default=1.0, ge=0)
    """CPU cores of a worker."""
    gpus_per_worker: float = Field(default=0.0, ge=0)
    """GPUs of a worker."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of the sampler; the seed of a trial is a knob of its configuration."""
    num_startup_trials: int | None = Field(default=None, ge=1)
    """Random trials before the sampler learns; None: a quarter, at most 5 (`gp_tpe`), 8 (`curves`) or 10."""
    keep_checkpoints: int = Field(default=3, ge=0)
    """Number of best trials whose checkpoints are kept: the newest ones and that of the best evaluation."""
    keep_last: int = Field(default=1, ge=1)
    """Number of newest checkpoints of a trial that are kept, besides that of its best evaluation."""
    max_retries: int = Field(default=2, ge=0)
    """How often a trial is retried after its lane or search died; the count restarts once the trial gets further."""
    max_silence_s: float | None = Field(default=600.0, gt=0)
    """Seconds without a new batch after which a lane's workers are ended and others continue its trial; None waits.

    If a lane was once silent for longer and then went on, the limit is ten times its longest silence, if that is more.
    """
    max_hours: float | None = Field(default=None, gt=0)
    """Hours in which trials have been running, over all sessions, after which none begins; those that run go on."""
    max_lane_hours: float | None = Field(default=None, gt=0)
    """Hours of all trials together after which none begins."""
    max_total_samples: int | None = Field(default=None, ge=1)
    """Training samples of all trials together after which none begins."""
    min_improvement: float | None = Field(default=None, gt=0)
    """No trial begins if the next `lookahead` are expected to improve the best value by less, in the metric's unit."""
    lookahead: int = Field(default=10, ge=1)
    """Trials whose expected improvement is shown while the search runs, and compared with `min_improvement`."""
    matters: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Smallest difference of the objective that matters, for verdicts; None takes the spread over seeds."""
    priors: dict[str, Prior] = Field(default_factory=dict)
    """Best guesses by parameter. The first trial is them, and ever fewer of the next ones are drawn around them."""
    learn_from: tuple[str, ...] = ()
    """Earlier studies of the same family, metric and data, whose best trials the search begins with, ever fewer."""
    lessons: tuple[Lesson, ...] = ()
    """What they taught, filled in when the study first names them."""
    first_trials: tuple[dict[str, Any], ...] = ()
    """Parameter sets that are tried first; a parameter that a set leaves out is sampled."""
    grid: InstanceOf[Grid] | None = Field(default=None, exclude=True, repr=False)
    """Grid whose cells are the trials, in its order; none is stopped early.

    It gives `first_trials` and `num_trials`, and takes the sampler `random` and no scheduler unless others are named.
    """

    @model_validator(mode="wrap")
    @classmethod
    def _implied(cls, settings: Any, made: Callable[[Any], Self]) -> Self:
        """Takes trials, sampler and scheduler from a grid; else what is not named stays unset, as a default."""
        if not isinstance(settings, dict):
            return made(settings)
        settings = _with_population(settings)
        if not isinstance(settings.get("grid"), Grid):
            study = made(_paired(settings))
            study.model_fields_set.difference_update({"sampler", "scheduler"} - settings.keys())
            return study
        for name in ("first_trials", "num_trials"):
            if name in settings:
                raise ValueError(f"{name} must be left out if grid gives it, got {settings[name]}")
        cells = settings["grid"].cells
        own = {"first_trials": cells, "num_trials": len(cells)}
        return made({"sampler": "random", "scheduler": "none", **settings} | own)

    @field_validator("first_trials", mode="before")
    @classmethod
    def _without_numpy(cls, trials: Any) -> Any:
        """Converts numpy numbers, which JSON cannot hold, to Python numbers."""
        return plain(trials)

    @model_validator(mode="after")
    def _laws(self) -> Self:
        if isinstance(self.num_lanes, int) and self.num_lanes < 1:
            raise ValueError(f"num_lanes must be at least 1 or 'auto', got {self.num_lanes}")
        if not self.cpus_per_worker and not self.gpus_per_worker:
            raise ValueError(
                "a worker must book CPU cores or GPUs, got cpus_per_worker=0 and gpus_per_worker=0"
            )
        if self.num_evaluations > self.samples:
            most = f"num_evaluations must be at most samples = {self.samples}"
            raise ValueError(f"{most}, got {self.num_evaluations}")
        if self.min_samples is not None and self.min_samples > self.samples:
            raise ValueError(f"min_samples must be at most samples = {self.samples}, got {self.min_samples}")
        if self.soft_ranking and self.scheduler in ("expected_improvement", "population", "none"):
            raise ValueError(f"soft_ranking must go with a scheduler of ranks, got {self.scheduler!r}")
        _check_objectives(self)
        _check_population(self)
        return self

    @property
    def objectives(self) -> dict[str, Mode]:
        """The metric and the further objectives, with their modes."""
        return {self.metric: self.mode, **self.also}

    @property
    def evaluations(self) -> tuple[int, ...]:
        """Samples seen at each evaluation, ascending; the last one is the budget."""
        count = self.num_evaluations
        return tuple(-(-self.samples * index // count) for index in range(1, count + 1))

    @property
    def rungs(self) -> tuple[int, ...]:
        """Samples seen at the evaluations that may stop a trial, ascending; the end of the budget is not one."""
        if self.scheduler in ("none", "population"):
            return ()
        first = self.min_samples or math.ceil(self.samples / self.reduction_factor**2)
        if self.scheduler == "expected_improvement":
            return tuple(point for point in self.evaluations if first <= point < self.samples)
        rungs: list[int] = []
        while first < self.samples:
            point = next(point for point in self.evaluations if point >= first)
            if point < self.samples and point not in rungs:
                rungs.append(point)
            first *= self.reduction_factor
        return tuple(rungs)

    @property
    def marks(self) -> tuple[int, ...]:
        """Samples seen at the evaluations at which a population is compared, ascending; none without one."""
        if self.population is None:
            return ()
        points, every = self.evaluations, self.population.every
        if every is not None:
            wanted = range(every, self.samples, every)
            points = tuple(next(point for point in points if point >= each) for each in wanted)
        later = (point for point in points if self.population.burn_in <= point < self.samples)
        return tuple(dict.fromkeys(later))

    @property
    def promotes(self) -> bool:
        """Whether trials that were stopped at a rung may go on later."""
        return self.scheduler in ("promotion", "guarded_promotion")

    @property
    def waits(self) -> bool:
        """Whether what comes of running trials decides which others go on."""
        return self.promotes or self.population is not None

    @property
    def startup_trials(self) -> int:
        """Random trials before the sampler learns."""
        most = {"gp_tpe": 5, "curves": 8}.get(self.sampler, 10)
        return self.num_startup_trials or min(most, max(1, self.num_trials // 4))


def _paired(settings: dict[str, Any]) -> dict[str, Any]:
    """Names a sampler or a scheduler that goes with the other; curves are for one objective without bounds."""
    others = any(settings.get(name) for name in ("also", "at_most", "at_least", "soft_ranking"))
    pair = {"sampler": "curves", "scheduler": "expected_improvement"}
    if others or any(settings.get(name, value) != value for name, value in pair.items()):
        pair = {"sampler": "gp_tpe", "scheduler": "none" if settings.get("also") else "guarded_halving"}
    return pair | settings


def _with_population(settings: dict[str, Any]) -> dict[str, Any]:
    """Takes scheduler, sampler and number of trials from a population."""
    population = settings.get("population")
    if population is None and settings.get("scheduler") == "population":
        population = Population()
    if population is None:
        return settings
    size = dict(population if isinstance(population, dict) else vars(population)).get("size", 8)
    implied = {"scheduler": "population", "sampler": "random", "num_trials": size}
    return {**implied, **settings, "population": population}


def _check_population(study: Study) -> None:
    """Refuses settings that do not go with a population.

    Raises:
        ValueError: The message names the field.
    """
    population = study.population
    if population is None:
        return
    size, more = population.size, math.ceil(study.num_trials / population.size) * population.size
    others: dict[str, str | None] = {"scheduler": "population", "sampler": "random"}
    others |= dict.fromkeys(("grid", "min_improvement", "max_lane_hours"))
    for name, only in others.items():
        if (got := getattr(study, name)) != only:
            raise ValueError(
                f"{name} must be {only!r} with a population, whose members rest, learn from one another and change "
                f"their values, got {got!r}; leave {name} or population out"
            )
    if study.num_trials % size:
        raise ValueError(
            f"num_trials must be a multiple of the population's size {size}, got {study.num_trials}; try {more}"
        )
    if not all(0 < factor < math.inf for factor in population.factors):
        raise ValueError(f"factors must be positive, got {population.factors}; try (0.8, 1.2)")
    if not study.marks:
        raise ValueError(
            f"a population must be compared before the end of its {study.samples} samples, got every="
            f"{population.every} and burn_in={population.burn_in} at {study.num_evaluations} evaluations; lower them, "
            "or raise num_evaluations"
        )


def _check_objectives(study: Study) -> None:
    """Refuses further objectives and constraints that say nothing, or that the sampler cannot follow.

    Raises:
        ValueError: The message names the field.
    """
    asked = {field: getattr(study, field) for field in ("also", "at_most", "at_least")}
    for field, named in asked.items():
        for name in named:
            _check_name(field, name, study.metric)
        if named and study.sampler == "cmaes":
            raise ValueError(
                f"sampler='cmaes' follows one objective without constraints, got {field} beside it; try 'gp_tpe'"
            )
    if dear := [name for name, mode in study.also.items() if name in COSTS and mode != "min"]:
        raise ValueError(f"a cost is better small, got also={{{dear[0]!r}: 'max'}}; try 'min'")
    for name, most in study.at_most.items():
        if name in COSTS and most <= 0:
            raise ValueError(f"at_most must be positive for a cost, got {most:g} for {name!r}")
        if most < (least := study.at_least.get(name, most)):
            raise ValueError(
                f"at_most must not be less than at_least, got {most:g} and {least:g} for {name!r}"
            )


def _check_name(field: str, name: str, metric: str) -> None:
    if name == metric:
        raise ValueError(
            f"{field} must name others than the metric, which is optimised anyway, got {name!r}; leave it out"
        )
    if name.startswith(COST) and name not in COSTS:
        hint = meant(name, COSTS) or f"; a trial has {', '.join(COSTS)}"
        raise ValueError(f"{field} must name a cost that is measured, got {name!r}{hint}")
