"""What is refused before anything is booked, by the door that a search and `thalweg train` take."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from families.toy.config import Toy
from families.toy.task import ToyTask, Waves
from thalweg.config import Optimization
from thalweg.errors import ConfigError, ObjectiveError, TrialError
from thalweg.search.preflight import prepare, refusals, searched_seeds
from thalweg.search.space import load_space
from thalweg.search.train_one import choose
from thalweg.stage_contract import ParameterGroup
from thalweg.study import Trial

Change = Callable[..., None]


@pytest.fixture
def change(monkeypatch: pytest.MonkeyPatch) -> Change:
    """Changes all stages of the toy."""
    stages = ToyTask.stages

    def patch(**changes: Any) -> None:
        monkeypatch.setattr(
            ToyTask, "stages", lambda task: tuple(replace(stage, **changes) for stage in stages(task))
        )

    return patch


@pytest.mark.parametrize(
    ("changes", "law"),
    [
        ({"frozen": ("tail",)}, r"frozen modules of a stage must exist, got 'tail' in stage 'train'"),
        (
            {"frozen": ("head",)},
            r"must not train, got 'head' in stage 'train', where a group trains head\.weight",
        ),
        (
            {"groups": (ParameterGroup(), ParameterGroup(prefix="tail"))},
            r"group of a stage must train something, got 'tail' in stage 'train'",
        ),
        ({"share": 0.5}, r"shares of a task's stages must be positive and add up to 1, got \[0\.5\]"),
    ],
)
def test_stages_that_do_not_fit_the_model_are_refused(
    changes: dict[str, Any], law: str, change: Change, tmp_path: Path
) -> None:
    change(**changes)
    space = load_space("spaces.toys")
    with pytest.raises(ConfigError, match=law):
        prepare(space, tmp_path)
    with pytest.raises(ConfigError, match=law):
        choose(space, {}, output=tmp_path, root=tmp_path)


def test_a_batch_smaller_than_the_workers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"at least the lane's number of workers, 16, got 8; try 16"):
        prepare(load_space("spaces.toys").with_settings(num_workers=16), tmp_path)


def test_what_the_data_do_not_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(task: ToyTask, data: Waves) -> None:
        raise ConfigError(f"window must be at most {data.num_samples('train')}, got 99; lower it")

    monkeypatch.setattr(ToyTask, "facts", refuse)
    with pytest.raises(ConfigError, match=r"window must be at most \d+, got 99"):
        prepare(load_space("spaces.toys"), tmp_path)


def test_metrics_that_the_data_cannot_give_are_no_objective_and_are_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = {"val": {}, "test": {"mse": "no day is long enough", "steps": "no day is long enough"}}
    monkeypatch.setattr(ToyTask, "unmeasured", lambda task, data, split: lacking[split])
    told: list[str] = []
    prepare(load_space("spaces.toys"), tmp_path, told.append)
    assert [text for text in told if "measured" in text] == [
        "not measured on test, for no day is long enough: mse, steps"
    ]
    lacking["val"] = {"mse": "no day of val is long enough"}
    with pytest.raises(
        ObjectiveError,
        match=r"must be measured on val, got 'mse': no day of val is long enough; choose another",
    ):
        prepare(load_space("spaces.toys"), tmp_path)


def test_a_batch_smaller_than_the_workers_in_some_trials_is_refused(tmp_path: Path) -> None:
    law = r"number of workers, 8, got 7; try 8, or fewer workers; the space asks for trouble='batch'$"
    with pytest.raises(ConfigError, match=law):
        prepare(load_space("spaces.toys").with_settings(num_workers=8), tmp_path)


def test_combinations_that_would_be_refused_are_counted() -> None:
    space = load_space("spaces.toys").with_settings(first_trials=())

    def function(trial: Trial) -> Toy:
        width = trial.suggest_int("width", 1, 16)
        return Toy(width=width, optimization=Optimization(lr=width * trial.suggest_float("rate", 0.01, 0.1)))

    (sentence,) = refusals(replace(space, function=function))
    found = re.match(r"(\d+) of 32 random configurations .* width=(\d+), rate=(.*?): .* lr: input", sentence)
    assert found is not None
    assert 1 <= int(found[1]) <= 16
    assert int(found[2]) * float(found[3]) > 1
    cells = tuple({"width": width, "rate": 0.05} for width in (1, 2))
    whole = space.with_settings(first_trials=cells, num_trials=2)
    assert not list(refusals(replace(whole, function=function)))  # no trial is random
    assert not list(refusals(space))


@pytest.mark.parametrize("where", ["build", "open"])
def test_an_error_of_the_family_is_told_with_its_place(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(task: ToyTask, *terms: Any) -> None:
        task._trouble._config = task.config.vary(fails_in=where)
        task._trouble.may_fail(where)

    monkeypatch.setattr(ToyTask, where, broken)
    with pytest.raises(
        TrialError, match=r"the code of families\.toy must run, got KeyError: .* may_fail; mend"
    ):
        prepare(load_space("spaces.toys"), tmp_path)


def test_what_may_start_is_described(tmp_path: Path) -> None:
    prepared = prepare(load_space("spaces.toys"), tmp_path)
    assert (prepared.family, prepared.metric.name) == ("families.toy", "mse")
    assert {"mse", "loss", "steps"} <= {metric.name for metric in prepared.metrics}
    assert set(prepared.middle.params) == {"trouble", "width", "lr"}
    tags = prepared.tags
    assert (tags["data_set"], tags["data_fingerprint"]) == ("waves", "waves-1")
    assert (tags["num_train_samples"], tags["num_val_samples"]) == ("96", "21")


def test_a_searched_seed_is_told_to_be_repeated_over() -> None:
    space = load_space("spaces.toys")
    assert list(searched_seeds(space)) == []

    def lucky(trial: Trial) -> Toy:
        return Toy(seed=trial.suggest_int("luck", 0, 9), width=trial.suggest_int("width", 1, 9))

    told = list(searched_seeds(replace(space, function=lucky, config_type=Toy)))
    assert len(told) == 1 and told[0].startswith("the space searches luck, which is a seed: ")
