"""What every family and every search space must keep: found by convention, tested alike."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from tests import tasks
from thalweg import discovery
from thalweg.config import FamilyConfig, active, flat, idle_knobs, parse
from thalweg.contract import KnowsOrigins, SplitName, Task, metrics_of
from thalweg.datasets.making import make_world
from thalweg.errors import ConfigError
from thalweg.search.objective import check_objective
from thalweg.search.space import load_space, probe
from thalweg.testing.steps import check_fit
from thalweg.testing.suite import (
    CHECKS,
    Subject,
    every_declared_metric_is_given,
    listing_imports_nothing_heavy,
    losses_are_the_same_however_a_batch_is_cut,
    measures_are_the_same_however_a_split_is_cut,
    splits_have_nothing_in_common,
    stages_train_what_the_model_has,
)
from thalweg.training import unit_sums
from thalweg.training.engine.engine import TaskModule
from thalweg.training.evaluation import evaluate_split
from thalweg.training.process_group import ProcessGroup

FAMILIES = discovery.names("trainables")
SPACES = discovery.names("search_spaces")
TINY = [
    (name, preset)
    for name in FAMILIES
    for preset in discovery.load_family(name).presets
    if preset.startswith("tiny")
]
ALONE = ProcessGroup(rank=0, size=1, device=torch.device("cpu"))
MAX_SAMPLES = 75
"""Samples of a split that are evaluated: two batches of 64, eleven of 7."""

Opened = tuple[Task[Any, Any], Any]


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> discovery.Family:
    """Each family in turn."""
    return discovery.load_family(request.param)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the synthetic worlds of all families lie."""
    return tmp_path_factory.mktemp("worlds")


@pytest.fixture(scope="module")
def subject_of(root: Path) -> Callable[[tuple[str, str]], Subject]:
    """Opens a tiny preset of a family on its synthetic world, once: a fixture with parameters ends with each test."""

    @cache
    def opened(preset: tuple[str, str]) -> Subject:
        family = discovery.load_family(preset[0])
        config = family.preset(preset[1])
        make_world(family, root / family.name, config.dataset)
        return Subject.open(family.task(config), root / family.name)

    return opened


@pytest.fixture(params=TINY, ids="-".join)
def subject(request: pytest.FixtureRequest, subject_of: Callable[[tuple[str, str]], Subject]) -> Subject:
    """Each tiny preset of a family on its synthetic world."""
    return subject_of(request.param)


@pytest.fixture
def opened(subject: Subject) -> Opened:
    """The task of each tiny preset, and its data."""
    return subject.task, subject.data


@pytest.mark.slow
def test_splits_share_no_day_or_place(opened: Opened) -> None:
    task, data = opened
    if isinstance(task, KnowsOrigins):
        seen: dict[str, set[Any]] = {}
        splits: tuple[SplitName, ...] = ("train", "val", "test")
        for split in splits:
            told = task.origins(data, split)
            assert any(told.values())
            for kind, found in told.items():
                assert not seen.setdefault(kind, set()) & set(found)
                seen[kind] |= set(found)


def _model(task: Task[Any, Any], data: Any) -> torch.nn.Module:
    torch.manual_seed(task.config.seed)
    return task.build(task.facts(data)).eval()


def _training(
    task: Task[Any, Any], data: Any, indices: list[int], keys: list[int]
) -> dict[str, torch.Tensor]:
    return task.training_batch(data, np.array(indices), np.array(keys, dtype=np.uint64))


LONG_CHECKS = (
    splits_have_nothing_in_common,
    stages_train_what_the_model_has,
    losses_are_the_same_however_a_batch_is_cut,
    measures_are_the_same_however_a_split_is_cut,
    every_declared_metric_is_given,
    listing_imports_nothing_heavy,
)
"""Those that draw all samples of a data set, train, or start a process; together they take seconds for each preset."""


def _checked(preset: tuple[str, str], check: Callable[[Subject], None]) -> Any:
    """Returns a check of a preset; long ones are slow for all presets of a family but its first, ``tiny``."""
    is_slow = check in LONG_CHECKS and preset[1] != "tiny"
    return pytest.param(
        preset,
        check,
        id="-".join((*preset, check.__name__)),
        marks=[pytest.mark.slow] if is_slow else [],
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("subject", "check"),
    [_checked(preset, check) for preset in TINY for check in CHECKS],
    indirect=["subject"],
)
def test_it_passes_the_checks_of_every_family(subject: Subject, check: Callable[[Subject], None]) -> None:
    check(subject)


@pytest.mark.slow
def test_a_model_is_built_without_data_and_without_memory(family: discovery.Family) -> None:
    for preset in family.presets.values():
        with torch.device("meta"):
            model = family.task(preset).build(None)
        check_fit(family.task(preset), model)
        assert dict(model.named_children())
        assert all(parameter.is_meta for parameter in model.parameters())


def test_metrics_are_declared_once_and_one_of_them_can_be_searched(family: discovery.Family) -> None:
    for preset in family.presets.values():
        metrics = metrics_of(family.task(preset))
        names = [metric.name for metric in metrics]
        assert len(names) == len(set(names))
        assert any(metric.search_invariant for metric in metrics)


LACKING: list[tuple[str, str, dict[str, Any], set[str]]] = [
    ("rgb_lidar", "tiny_chain", {"model.stages": ["cilp"]}, {"classifier", "projector", "shares.cilp"}),
    ("rgb_lidar", "tiny_chain", {"model.stages": ["classifier"]}, {"embedder", "similarity", "projector"}),
    ("rgb_lidar", "tiny_chain", {"model.stages": ["cilp", "classifier", "projector"]}, {"finetune_frozen"}),
    ("rgb_lidar", "tiny", {"model.fusion_stage": "intermediate"}, {"embedding_dim", "head_dim"}),
    ("water_mae", "tiny", {"forecast.share": 1.0}, {"masking", "loss"}),
    (
        "geo_contrastive",
        "tiny_forecast",
        {"downstream.horizon": 1},
        {f"downstream.{name}" for name in ("heads", "first_teaching", "last_teaching", "dropout")},
    ),
    (
        "geo_contrastive",
        "tiny",
        {"objective.kind": "barlow"},
        {"pairs.decay", "pairs.hard_negatives", "objective.temperature"},
    ),
    ("geo_contrastive", "tiny", {"objective.kind": "autoencoder"}, {"pairs", "stages", "objective.cycle"}),
    (
        "sentinel_supcon",
        "tiny",
        {"model.scenario": "s1"},
        {"data.optical", "fusion", "views.paired_geometry"},
    ),
    (
        "sentinel_supcon",
        "tiny",
        {"views.augment": False},
        {"views.flip", "views.min_crop", "tuning.contrast"},
    ),
    (
        "sentinel_supcon",
        "tiny",
        {"pretraining.share": 0.5, "tuning.sup_delta": 0.0},
        {"pretraining.loss", "pretraining.ot_weight", "tuning.temperature", "num_prototypes"},
    ),
]
"""A preset, what is changed in it, and some of the knobs that change nothing then."""


def _changed(config: FamilyConfig, changes: Mapping[str, Any]) -> FamilyConfig:
    """Returns a configuration with knobs changed by their dotted names."""
    values = config.model_dump(mode="json")
    for name, value in changes.items():
        *groups, knob = name.split(".")
        group = values
        for part in groups:
            group = group[part]
        group[knob] = value
    return parse(type(config), values)


def _others(value: Any, field: Any) -> list[Any]:
    """Returns some other values that a knob may take."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1, 2 * value, value / 2]
    return [other for other in get_args(field.annotation) if other != value]


def _all_idle_changed(config: FamilyConfig) -> tuple[FamilyConfig, set[str]]:
    """Changes every idle knob that may be anything else; also returns their names."""
    changed = set()
    for name in sorted(set(flat(config)) - set(active(config))):
        *groups, knob = name.split(".")
        group: Any = config
        for part in groups:
            group = getattr(group, part)
        for other in _others(getattr(group, knob), type(group).model_fields[knob]):
            with suppress(ConfigError):
                config = _changed(config, {name: other})
                changed.add(name)
                break
    return config, changed


@pytest.mark.slow
@pytest.mark.parametrize(("family_name", "preset", "changes", "some"), LACKING)
def test_a_knob_that_no_record_shows_changes_nothing(
    root: Path, family_name: str, preset: str, changes: dict[str, Any], some: set[str]
) -> None:
    family = discovery.load_family(family_name)
    base = family.preset(preset)
    config = _changed(base, changes)
    assert some <= {name.removeprefix("model.") for name in idle_knobs(config)}
    other, changed = _all_idle_changed(config)
    assert changed
    make_world(family, root / family.name, config.dataset)
    pair = [family.task(each) for each in (config, other)]
    assert pair[0].stages() == pair[1].stages()
    data = pair[0].open(root / family.name)
    for number, stage in enumerate(pair[0].stages()):
        results = []
        for task in pair:
            model, batch = _model(task, data), _training(task, data, list(range(8)), list(range(8)))
            now = tasks.progress_in(stage)
            parts = tasks.losses(task, model, batch, now, tasks.prepare(task.stages()[number], data, model))
            torch.stack(list(parts.values())).sum().backward()  # type: ignore[no-untyped-call]
            gradients = [weight.grad for weight in model.parameters()]
            results.append((parts, gradients, tasks.weights(task, now), _metrics(task, data, model, 32)))
        (parts, gradients, weights, metrics), (parts_2, gradients_2, weights_2, metrics_2) = results
        assert all(torch.equal(part, parts_2[name]) for name, part in parts.items())
        assert parts.keys() == parts_2.keys()
        assert len(gradients) == len(gradients_2)
        for one, two in zip(gradients, gradients_2, strict=True):
            assert (one is None and two is None) or torch.equal(one, two)  # type: ignore[arg-type]
        assert (weights, metrics) == (weights_2, metrics_2)


def _metrics(
    task: Task[Any, Any], data: Any, model: torch.nn.Module, batch_size: int, **more: Any
) -> Mapping[str, float]:
    module = TaskModule(task, model)
    return evaluate_split(
        task,
        data,
        lambda batch: module(batch, None),
        ALONE,
        split="val",
        batch_size=batch_size,
        max_samples=MAX_SAMPLES,
        **more,
    )


@pytest.mark.slow
def test_an_evaluation_is_the_same_for_every_batch_size_and_its_sums_by_unit_tell_it_again(
    opened: Opened, tmp_path: Path
) -> None:
    task, data = opened
    model = _model(task, data)
    file = tmp_path / "units" / "trial-00000.npz"
    keep = partial(unit_sums.keep, file, samples=7, protocol="p")
    small, large = _metrics(task, data, model, 7, keep=keep), _metrics(task, data, model, 64)
    assert small == pytest.approx(large, rel=1e-4, abs=1e-6)
    assert set(tasks.names(task)) <= set(small)
    if not file.exists():
        return  # nothing is measured by unit
    kept = unit_sums.read(file)
    for measure in task.measures():
        if not kept.of(measure):
            continue
        again = measure.summarize(kept.of(measure))
        assert {name: again[name] for name in again if name in small} == {
            name: small[name] for name in again if name in small
        }


@pytest.mark.slow
def test_a_model_that_predicts_no_numbers_has_no_metrics(opened: Opened) -> None:
    task, data = opened
    module = TaskModule(task, _model(task, data))

    def predict(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {
            name: torch.full_like(values, torch.nan) if values.is_floating_point() else values
            for name, values in module(batch, None).items()
        }

    found = evaluate_split(task, data, predict, ALONE, split="val", batch_size=32, max_samples=MAX_SAMPLES)
    assert not found, "a number that NaN leaves behind would rank the model"


@pytest.mark.slow
def test_search_invariant_metrics_ignore_everything_but_the_predictions(opened: Opened) -> None:
    task, data = opened
    config, family = task.config, discovery.load_family(type(task.config))
    louder = config.optimization.model_copy(update={"lr": config.optimization.lr / 2, "batch_size": 4})
    other = family.task(config.model_copy(update={"optimization": louder, "seed": config.seed + 1}))
    model = _model(task, data)
    ours, theirs = _metrics(task, data, model, 32), _metrics(other, data, model, 32)
    for metric in metrics_of(task):
        if metric.search_invariant and metric.name in tasks.names(task):
            assert ours[metric.name] == theirs[metric.name], metric.name


@pytest.mark.slow
def test_baselines_are_evaluated_like_models(opened: Opened) -> None:
    task, data = opened
    baselines = task.baselines(data)
    known: set[str] = set()
    for name, baseline in baselines.items():
        found = set(_metrics(task, data, baseline, 32, is_baseline=True))
        known |= found
        for measure in task.measures():
            fit = {metric.name for metric in measure.metrics if metric.search_invariant}
            # It may do only one of several tasks, and does this wholly.
            assert fit <= found or not fit & found, name
        assert found, name
    assert {metric.name for metric in metrics_of(task) if metric.search_invariant} <= known


@pytest.mark.parametrize("name", SPACES)
def test_a_space_asks_something_and_returns_its_familys_configuration(name: str) -> None:
    space = load_space(name)
    assert space.doc.endswith("?"), "a space's docstring is the question that it answers"
    assert probe(space).params
    config, _ = space.replay({})
    assert isinstance(config, FamilyConfig)
    assert flat(config)


@pytest.mark.parametrize("name", SPACES)
def test_a_spaces_objective_means_the_same_in_every_trial(name: str) -> None:
    space = load_space(name)
    family = discovery.load_family(space.config_type)
    metrics = metrics_of(family.task(space.replay({})[0]))
    assert check_objective(space.study, metrics, family.name).search_invariant


def test_the_folders_hold_something(tmp_path: Path) -> None:
    assert {name for name, preset in TINY if preset == "tiny"} == set(FAMILIES) != set()
    assert "quickstart" in SPACES
