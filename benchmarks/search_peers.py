"""Peers of the default search, each as its documentation starts it, behind one interface: suggest, report, end.

None trains anything: `search_quality` runs them in simulated time. Thalweg's entries are its own code, a sampler and a
pruner over an Optuna study in memory, with the settings of a `Study`. Ray's is what OptunaSearch and ASHAScheduler do
to Optuna and to trials (ray 2.60, ``tune/search/optuna`` and ``tune/schedulers/async_hyperband.py``), without Ray.
SMAC3 and Syne Tune are skipped if they are not installed.
"""

import functools
import importlib.util
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import optuna
from optuna.pruners import HyperbandPruner, NopPruner
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from benchmarks.search_problems import NUM_EVALUATIONS, Problem
from thalweg.search.store.continuations import continuation
from thalweg.search.store.early_stopping import SuccessiveHalving, make_pruner
from thalweg.search.store.learning.promotion import promotable
from thalweg.search.store.private_optuna import take_up
from thalweg.search.store.samplers import make_sampler
from thalweg.study import Study

Decision = Literal["go", "stop", "pause"]
SAMPLES = 100  # of a trial between two evaluations


@dataclass
class Job:
    """A configuration in training.

    Attributes:
        params: The configuration.
        handle: What the peer knows it by.
        reached: Evaluations that it has had; a paused one goes on from there.
        seen: Their values.
        number: Its place among the jobs of a run; None until it has begun.
        curve: What its evaluations will be.
    """

    params: Mapping[str, Any]
    handle: Any
    reached: int = 0
    seen: list[float] = field(default_factory=list)
    number: int | None = None
    curve: Sequence[float] = ()


class Peer(Protocol):
    """Proposes configurations and decides which to stop."""

    def suggest(self) -> Job:
        """Returns a new configuration, or a paused one that goes on."""

    def report(self, job: Job, value: float) -> Decision:
        """Takes an evaluation before the last, and decides what becomes of the trial."""

    def end(self, job: Job, *, stopped: bool) -> None:
        """Takes the end of a trial: its last value is the last one reported or, at the end of its budget, given."""


MakePeer = Callable[[Problem, int], Peer]
"""Makes a peer for a problem and a seed."""


class OptunaPeer:
    """A sampler and a pruner of Optuna.

    Args:
        problem: The problem.
        sampler: The sampler.
        pruner: The pruner.
        step: Steps between two evaluations.
    """

    def __init__(
        self, problem: Problem, sampler: BaseSampler, pruner: optuna.pruners.BasePruner, step: int = 1
    ) -> None:
        self._problem = problem
        self._step = step
        self.study = optuna.create_study(sampler=sampler, pruner=pruner)

    def suggest(self) -> Job:
        """Asks Optuna."""
        trial = self.study.ask()
        return Job(self._problem.ask(trial), trial)

    def report(self, job: Job, value: float) -> Decision:
        """Reports to Optuna."""
        job.handle.report(value, job.reached * self._step)
        return "stop" if job.handle.should_prune() else "go"

    def end(self, job: Job, *, stopped: bool) -> None:
        """Tells Optuna a stopped trial as pruned."""
        if stopped:
            self.study.tell(job.handle, state=TrialState.PRUNED)
            return
        job.handle.report(job.seen[-1], job.reached * self._step)
        self.study.tell(job.handle, job.seen[-1])


class PromotingPeer(OptunaPeer):
    """A search that promotes trials which its halving stopped, as Thalweg's ledger does."""

    def __init__(self, problem: Problem, sampler: BaseSampler, pruner: SuccessiveHalving) -> None:
        super().__init__(problem, sampler, pruner, SAMPLES)
        self._pruner = pruner
        self._stopped: dict[int, Job] = {}

    def suggest(self) -> Job:
        """Goes on with a trial that was stopped, or begins a configuration."""
        trials = self.study.get_trials(deepcopy=False)
        for trial in promotable(trials, self._pruner, self.study.direction):
            job = self._stopped.pop(trial.number)
            self.study.add_trial(continuation(trial, 0, f"checkpoints/{trial.number}/samples-1"))
            job.handle = take_up(self.study, self.study.get_trials(deepcopy=False)[-1])
            return job
        return super().suggest()

    def end(self, job: Job, *, stopped: bool) -> None:
        """Keeps a job that may go on."""
        if stopped:
            self._stopped[job.handle.number] = job
        super().end(job, stopped=stopped)


class RayPeer(OptunaPeer):
    """OptunaSearch and ASHAScheduler with their defaults: a stopped trial is told as complete with its last value."""

    def __init__(self, problem: Problem, seed: int) -> None:
        super().__init__(problem, TPESampler(seed=seed), NopPruner())
        rungs = [rung for rung in (16, 4, 1) if rung < NUM_EVALUATIONS]  # grace_period=1, reduction_factor=4
        self._rungs: dict[int, dict[int, float]] = {rung: {} for rung in rungs}

    def report(self, job: Job, value: float) -> Decision:
        """Stops a trial that is worse than the best quarter of those that reached the rung before."""
        job.handle.report(value, job.reached)
        recorded = self._rungs.get(job.reached)
        if recorded is None:
            return "go"
        stops = bool(recorded) and value > np.percentile(list(recorded.values()), 25)
        recorded[job.handle.number] = value
        return "stop" if stops else "go"

    def end(self, job: Job, *, stopped: bool) -> None:
        """Tells a trial as complete, as ``on_trial_complete`` does."""
        self.study.tell(job.handle, job.seen[-1])


class TopK(OptunaPeer):
    """Random configurations to the first rung in rounds of eight; the best two of a round go on to the end."""

    SIZE, KEPT = 8, 2

    def __init__(self, problem: Problem, seed: int) -> None:
        super().__init__(problem, RandomSampler(seed=seed), NopPruner())
        self._paused: list[Job] = []
        self._waiting: list[Job] = []

    def suggest(self) -> Job:
        """Goes on with the best of a round, or begins a configuration."""
        return self._waiting.pop(0) if self._waiting else super().suggest()

    def report(self, job: Job, value: float) -> Decision:
        """Pauses at the first rung."""
        if job.reached > 1:
            return "go"
        self._paused.append(job)
        if len(self._paused) == self.SIZE:
            self._waiting += sorted(self._paused, key=lambda paused: paused.seen[-1])[: self.KEPT]
            self._paused = []
        return "pause"


def thalweg(problem: Problem, seed: int, **settings: Any) -> Peer:
    """Returns Thalweg's search with settings of a `Study`: its default, if there are none."""
    study = Study(
        metric="loss", mode="min", samples=NUM_EVALUATIONS * SAMPLES, num_trials=1000, seed=seed, **settings
    )
    assert study.num_evaluations == NUM_EVALUATIONS
    pruner = make_pruner(study)
    if isinstance(pruner, SuccessiveHalving) and pruner.promotes:
        return PromotingPeer(problem, make_sampler(study), pruner)
    return OptunaPeer(problem, make_sampler(study), pruner, SAMPLES)


class SyneTunePeer:
    """Syne Tune's ASHA, with its searcher by conformalized quantile regression or at random."""

    def __init__(self, problem: Problem, seed: int, kind: str) -> None:
        from syne_tune.config_space import choice, lograndint, loguniform, randint, uniform
        from syne_tune.optimizer import baselines

        space: dict[str, Any] = {}
        for name, knob in problem.space.items():
            if knob.choices:
                space[name] = choice(list(knob.choices))
            elif knob.whole:
                space[name] = (lograndint if knob.log else randint)(int(knob.low), int(knob.high))
            else:
                space[name] = (loguniform if knob.log else uniform)(knob.low, knob.high)
        self._problem = problem
        self._number = 0
        self._scheduler = getattr(baselines, kind)(
            space, metric="loss", time_attr="epoch", max_t=NUM_EVALUATIONS, random_seed=seed
        )

    def suggest(self) -> Job:
        """Asks the scheduler; parameters of other branches are left out."""
        from datetime import UTC, datetime

        from syne_tune.backend.trial_status import Trial

        config = self._scheduler.suggest().config
        trial = Trial(trial_id=self._number, config=config, creation_time=datetime.now(UTC))
        self._number += 1
        self._scheduler.on_trial_add(trial)
        return Job(_active(self._problem, config), trial)

    def report(self, job: Job, value: float) -> Decision:
        """Reports to the scheduler."""
        decision = self._scheduler.on_trial_result(job.handle, {"loss": value, "epoch": job.reached})
        return "go" if decision == "CONTINUE" else "stop"

    def end(self, job: Job, *, stopped: bool) -> None:
        """Tells the end of a trial."""
        result = {"loss": job.seen[-1], "epoch": job.reached}
        if stopped:
            self._scheduler.on_trial_remove(job.handle)
        else:
            self._scheduler.on_trial_complete(job.handle, result)


class SmacPeer:
    """SMAC3's facade for hyperparameters: a random forest, log expected improvement, no early stopping."""

    def __init__(self, problem: Problem, seed: int) -> None:
        import ConfigSpace as cs
        from smac import HyperparameterOptimizationFacade as Facade
        from smac import Scenario

        space = cs.ConfigurationSpace(seed=seed)
        for name, knob in problem.space.items():
            if knob.choices:
                space.add(cs.CategoricalHyperparameter(name, knob.choices))
            elif knob.whole:
                space.add(cs.UniformIntegerHyperparameter(name, int(knob.low), int(knob.high), log=knob.log))
            else:
                space.add(cs.UniformFloatHyperparameter(name, knob.low, knob.high, log=knob.log))
        for name, knob in problem.space.items():
            if knob.under:
                space.add(cs.EqualsCondition(space[name], space[knob.under[0]], knob.under[1]))
        scenario = Scenario(space, deterministic=True, n_trials=60, seed=seed, output_directory=_scratch())
        self._smac = Facade(scenario, lambda config, seed=0: 0.0, overwrite=True, logging_level=logging.ERROR)
        self._problem = problem

    def suggest(self) -> Job:
        """Asks SMAC."""
        info = self._smac.ask()
        return Job(_active(self._problem, dict(info.config)), info)

    def report(self, job: Job, value: float) -> Decision:
        """Goes on."""
        return "go"

    def end(self, job: Job, *, stopped: bool) -> None:
        """Tells SMAC the end of a trial."""
        from smac.runhistory import TrialValue

        self._smac.tell(job.handle, TrialValue(cost=job.seen[-1]))


@functools.cache
def _scratch() -> Any:
    import tempfile
    from pathlib import Path

    return Path(tempfile.mkdtemp(prefix="smac"))


def _active(problem: Problem, config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parameters of a configuration that exist under its categories."""
    return {
        name: config[name]
        for name, knob in problem.space.items()
        if knob.under is None or config[knob.under[0]] == knob.under[1]
    }


def _optuna(make: Callable[[int], BaseSampler], pruner: Callable[[], Any] = NopPruner) -> MakePeer:
    return lambda problem, seed: OptunaPeer(problem, make(seed), pruner())


def _thalweg(**settings: Any) -> MakePeer:
    return lambda problem, seed: thalweg(problem, seed, **settings)


OURS = "thalweg"
RAY = "Ray's OptunaSearch + ASHA"
UNSTOPPED = "thalweg without stopping"
ENDS = "thalweg by ends"
BEFORE = {"sampler": "tpe", "scheduler": "successive_halving", "num_startup_trials": 8}
PEERS: dict[str, MakePeer] = {
    OURS: _thalweg(),
    UNSTOPPED: _thalweg(sampler="curves", scheduler="none"),
    ENDS: _thalweg(sampler="gp_tpe", scheduler="guarded_halving"),
    "thalweg's TPE + halving": _thalweg(**BEFORE),
    "random": _optuna(lambda seed: RandomSampler(seed=seed)),
    "random + halving": _thalweg(sampler="random", scheduler="successive_halving"),
    "random, top 2 of 8": TopK,
    RAY: RayPeer,
    "Optuna TPE": _optuna(lambda seed: TPESampler(seed=seed)),
    "Optuna TPE + Hyperband": _optuna(
        lambda seed: TPESampler(seed=seed), lambda: HyperbandPruner(1, NUM_EVALUATIONS)
    ),
    "Optuna GP": _optuna(lambda seed: GPSampler(seed=seed)),
    "Syne Tune ASHA": lambda problem, seed: SyneTunePeer(problem, seed, "ASHA"),
    "Syne Tune ASHA + CQR": lambda problem, seed: SyneTunePeer(problem, seed, "ASHACQR"),
    "SMAC3": SmacPeer,
}
"""All entries by name: Thalweg's own first."""
CANDIDATES: dict[str, MakePeer] = {
    "guarded promotion": _thalweg(scheduler="guarded_promotion"),
    "soft ranking": _thalweg(soft_ranking=True),
    "soft ranking, guarded promotion": _thalweg(soft_ranking=True, scheduler="guarded_promotion"),
    "promotion": _thalweg(scheduler="promotion"),
    "by ends, without stopping": _thalweg(sampler="gp_tpe", scheduler="none"),
    "random + expected improvement": _thalweg(sampler="random", scheduler="expected_improvement"),
}
"""Other schedulers, which run if they are named."""
OWN = (OURS, UNSTOPPED, ENDS)
"""Entries that are no peers of the default: itself, itself without stopping, and what is taken where it cannot be."""
_NEEDS = {"Syne Tune": "syne_tune", "SMAC3": "smac"}


def missing() -> dict[str, str]:
    """Returns the package that each peer lacks, by name of the peer."""
    return {
        name: package
        for name in PEERS
        for start, package in _NEEDS.items()
        if name.startswith(start) and importlib.util.find_spec(package) is None
    }


def quiet() -> None:
    """Silences what peers tell people."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("smac").setLevel(logging.ERROR)
    logging.getLogger("syne_tune").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
