"""Preflight: checks objective, space, data, protocol and batch before anything is booked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from thalweg import discovery
from thalweg.config import FamilyConfig
from thalweg.contract import Data, Metric, SplitName, Task, metrics_of, not_measured, unmeasured
from thalweg.datasets.catalogue import check_moved, data_root
from thalweg.datasets.making import make_world
from thalweg.disk import store_place
from thalweg.errors import ConfigError, StudyError, ThalwegError
from thalweg.hashing import digest
from thalweg.nn.unallocated import unallocated
from thalweg.search.inherited import replaced, without_effect
from thalweg.search.objective import check_measured, check_objective, check_others, check_protocol
from thalweg.search.replay import RecordedTrial, written
from thalweg.search.source_code import SourceCode, source_code
from thalweg.search.space import Space, extremes, probe, refused
from thalweg.search.store.multi_objective.admission import unknown
from thalweg.search.store.population.perturbable import check_population
from thalweg.search.store.warm_start import StartingPoints, inherit
from thalweg.study import NUM_PARAMETERS, Study
from thalweg.testing.samples import check_data
from thalweg.testing.steps import check_fit
from thalweg.training.guards.family_code import blaming
from thalweg.training.protocol import protocol_of
from thalweg.training.sampling import Layout
from thalweg.training.schedule import Plan
from thalweg.wording import some

NUM_SAMPLED = 32
"""Random configurations that the preflight tries, beside the ends of all ranges."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A study that has passed the preflight.

    Attributes:
        space: Search space with the study's settings.
        family: Package of the family.
        metric: The objective.
        metrics: All metrics of its configurations.
        middle: The space's trial with all defaults, which holds what it asked.
        config: Configuration of that trial, with what it inherits from other studies.
        data_root: Folder of the family's data sets.
        tags: Data fingerprint, protocol hash and sizes, for the records.
        protocol: The evaluation protocol, of which that is the hash.
        code: The modules of family and space.
    """

    space: Space
    family: str
    metric: Metric
    metrics: tuple[Metric, ...]
    middle: RecordedTrial
    config: FamilyConfig
    data_root: Path
    tags: Mapping[str, str]
    protocol: Mapping[str, Any]
    code: SourceCode


def prepare(
    space: Space,
    root: Path | None = None,
    tell: Callable[[str], None] = lambda text: None,
    starting_points: StartingPoints | None = None,
) -> Prepared:
    """Preflight: checks all that can be checked on one machine without workers.

    Args:
        space: The space to search.
        root: Folder of all data; None takes ``THALWEG_DATA`` or ``data/``.
        tell: Called with a sentence for people about what takes a while.
        starting_points: Finds the studies that configurations start from; None refuses such configurations.

    Raises:
        ThalwegError: A check fails; subclass and message say which.
    """
    middle = probe(space)
    family = discovery.load_family(space.config_type)
    with blaming(family.package):
        return _prepare(space, family, middle, root, tell, starting_points)


def costs_of(prepared: Prepared) -> Callable[[FamilyConfig], Mapping[str, float]]:
    """Returns what tells the costs of a configuration before it is trained, as far as its study has bounds of them.

    The model is built from the data without memory for its weights.
    """
    study = prepared.space.study
    if NUM_PARAMETERS not in {*study.at_most, *study.at_least}:
        return unknown
    from thalweg.training.session import DataCache  # DeepSpeed

    family, cache = discovery.load_family(prepared.space.config_type), DataCache(max_open=4)

    def costs(config: FamilyConfig) -> Mapping[str, float]:
        task = family.task(config)
        facts = task.facts(cache.open(task, prepared.data_root, torch.device("cpu")))
        with blaming(family.package), unallocated():
            model = task.build(facts)
        return {NUM_PARAMETERS: float(sum(weight.numel() for weight in model.parameters()))}

    return costs


def refusals(space: Space) -> Iterator[str]:
    """Yields a sentence if a search would propose combinations that the space or its configuration refuses."""
    if len(space.study.first_trials) >= space.study.num_trials:
        return
    found = refused(space, NUM_SAMPLED)
    if found:
        params, error = found[0]
        yield (
            f"{len(found)} of {NUM_SAMPLED} random configurations of the space are refused, and such trials fail, the "
            f"first with {written(params)}: {error}"
        )


def searched_seeds(space: Space) -> Iterator[str]:
    """Yields a sentence if a search would choose among seeds as if one were better than another."""
    middle, trial = space.replay({})
    if len(space.study.first_trials) >= space.study.num_trials:
        return  # a grid repeats its settings over seeds
    for name, domain in trial.asked.items():
        others = [_replayed(space, {name: corner}) for corner in domain.corners()]
        if any(other is not None and _is_another_seed(other, middle) for other in others):
            yield (
                f"the space searches {name}, which is a seed: the best trial would be the luckiest one; repeat each "
                "setting over seeds instead, grid(..., seeds=3), and compare means by `thalweg show STUDY --by NAME`"
            )


def stopped_by_metric(study: Study) -> Iterator[str]:
    """Yields a sentence if trials of a study with several objectives are stopped early, by one of them alone."""
    if study.also and study.scheduler != "none":
        yield (
            f"the scheduler {study.scheduler} stops trials by {study.metric} alone: one that is good in "
            f"{some(study.also)} and not in it is stopped too; without a scheduler none is"
        )


def _replayed(space: Space, params: Mapping[str, Any]) -> FamilyConfig | None:
    try:
        return space.replay(params)[0]
    except ThalwegError:  # refused, as a search would refuse it
        return None


def _is_another_seed(one: FamilyConfig, other: FamilyConfig) -> bool:
    return one.seed != other.seed and one == other.model_copy(update={"seed": one.seed})


def _prepare(
    space: Space,
    family: discovery.Family,
    middle: RecordedTrial,
    root: Path | None,
    tell: Callable[[str], None],
    starting_points: StartingPoints | None,
) -> Prepared:
    config = _inherited(space, starting_points, tell)
    task = family.task(config)
    metric = check_objective(space.study, metrics_of(task), family.name)
    check_others(space.study, metrics_of(task), family.name)
    check_protocol(space, family)
    check_population(space)
    folder = data_root(family, root)
    check_moved(family, root, config.dataset)
    make_world(family, folder, config.dataset, tell)
    with unallocated():
        model = task.build(None)  # refuses what only the model can know, such as the name of a fusion
    check_fit(task, model)
    _check_batch({}, config, space.study.num_workers)
    Plan.lay(task.stages(), space.study.samples).check_steps(config.optimization.batch_size)
    for params, other in extremes(space):
        _check_batch(params, other, space.study.num_workers)
    began = time.perf_counter()
    data = task.open(folder)
    check_data(data)
    seconds = time.perf_counter() - began
    if seconds > 2.0:
        tell(f"prepared data set {config.dataset} in {seconds:.0f} s; later starts reuse it")
    task.facts(data)  # refuses what the data do not hold
    check_measured(space.study, unmeasured(task, data, "val"))
    for note in (*data.notes, store_place.elsewhere(folder / config.dataset), *_not_measured(task, data)):
        if note:
            tell(note)
    protocol = protocol_of(family.package, task, data)
    tags = {
        "data_set": config.dataset,
        "data_fingerprint": data.fingerprint,
        "protocol_hash": digest(protocol),
        "num_train_samples": str(data.num_samples("train")),
        "num_val_samples": str(data.num_samples("val")),
        "code_hash": (code := source_code(space, family)).hash,
    }
    return Prepared(
        space=space,
        family=family.package,
        metric=metric,
        metrics=metrics_of(task),
        middle=middle,
        config=config,
        data_root=folder,
        tags=tags,
        protocol=protocol,
        code=code,
    )


def _not_measured(task: Task[Any, Any], data: Data) -> Iterator[str]:
    """Yields sentences on metrics that the data cannot give, before a search and not first in its hold-out."""
    splits: tuple[SplitName, ...] = ("val", "test")
    for split in splits:
        if data.num_samples(split):
            yield from not_measured(split, unmeasured(task, data, split))


def _check_batch(params: Mapping[str, Any], config: FamilyConfig, num_workers: int) -> None:
    """Refuses a batch that cannot be spread over the workers of a lane.

    Raises:
        ConfigError: A worker or one of its micro-batches would have no sample.
    """
    knobs = config.optimization
    try:
        Layout.of(knobs.batch_size, knobs.micro_batch_size, num_workers)
    except ConfigError as error:
        asked = f"; the space asks for {written(params)}" if params else ""
        raise ConfigError(f"{error}{asked}") from None


def _inherited(
    space: Space, starting_points: StartingPoints | None, tell: Callable[[str], None]
) -> FamilyConfig:
    """Returns the default configuration with what it inherits; tells which knobs and parameters that overrules."""
    own, _ = space.replay({})
    if not own.starts_from:
        return own
    if starting_points is None:
        raise StudyError(
            f"a configuration that starts from other studies needs their folder, got none for {own.starts_from}"
        )
    points = starting_points.points(own)
    config = inherit(own, points)
    if (sentence := replaced(own, config)) is not None:
        tell(sentence)
    if dead := without_effect(space, points):
        tell(
            f"searching {', '.join(dead)} changes nothing: the knobs come with the weights of "
            f"{', '.join(own.starts_from)}; leave them out of the space"
        )
    return config
