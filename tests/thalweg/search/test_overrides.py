"""Another data set or budget for a space, by options of a command."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from thalweg.errors import ConfigError, DiscoveryError, StudyError
from thalweg.search.overrides import options_of, overridden
from thalweg.search.space import Space, load_space
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.store.records import DEFINITION
from thalweg.training.messages import Report

Write = Callable[[str, str], Path]
CHOOSES = """
from lab.config import Toy
from thalweg.study import Study, Trial
study = Study(metric="loss", mode="min", samples=800)
def space(trial: Trial) -> Toy:
    return Toy(dataset=trial.suggest_categorical("data", ["reefs", "bays"]))
"""


@pytest.fixture
def data(lab: Write, tmp_path: Path) -> Path:
    """A data folder in which the family ``lab`` has the data set ``reefs``."""
    lab("datasets", "WORLDS = {}\nSOURCES = {}\n")
    (tmp_path / "data" / "lab" / "reefs").mkdir(parents=True)
    return tmp_path / "data"


def test_every_trial_gets_the_data_set_of_the_command(make_space: Callable[..., Space], data: Path) -> None:
    told: list[str] = []
    space = overridden(make_space(), dataset="reefs", root=data, tell=told.append)
    assert {space.replay(params)[0].dataset for params in ({}, {"kind": "bent"}, {"width": 3})} == {"reefs"}
    assert told == ["data set reefs in place of the space's none"]
    assert space.overrides == {"dataset": "reefs"}


def test_the_space_s_own_data_set_and_budget_replace_nothing(
    make_space: Callable[..., Space], data: Path
) -> None:
    (data / "lab" / "none").mkdir()
    told: list[str] = []
    space = make_space()
    assert overridden(space, dataset="none", samples=800, root=data, tell=told.append) == space
    assert told == []


def test_an_unknown_data_set_is_answered_with_the_one_that_was_meant(
    make_space: Callable[..., Space], data: Path
) -> None:
    with pytest.raises(
        DiscoveryError, match=r"no data set 'reef' in lab; did you mean 'reefs'\? .*data list"
    ):
        overridden(make_space(), dataset="reef", root=data)
    with pytest.raises(DiscoveryError, match=r"no data set '\.\./lab/reefs'"):
        overridden(make_space(), dataset="../lab/reefs", root=data)


def test_a_space_that_chooses_among_data_sets_is_not_given_one(lab: Write, data: Path) -> None:
    lab("chooses", CHOOSES)
    law = r"got 'reefs' for a space whose trials choose among reefs, bays; leave it out"
    with pytest.raises(ConfigError, match=law):
        overridden(load_space("lab.chooses"), dataset="reefs", root=data)


@pytest.mark.parametrize("samples", [16, 40, 100, 333, 800, 3200])
@pytest.mark.parametrize("scheduler", ["none", "successive_halving", "hyperband"])
@pytest.mark.parametrize("min_samples", [None, 300])
def test_evaluations_and_rungs_stay_sound(
    make_space: Callable[..., Space], samples: int, scheduler: str, min_samples: int | None
) -> None:
    settings: dict[str, Any] = {"scheduler": scheduler, "min_samples": min_samples, "num_evaluations": 8}
    before = make_space(**settings).study
    study = overridden(make_space(**settings), samples=samples).study
    assert type(study).model_validate(study.model_dump()) == study  # no law of a study is broken
    points = (0, *study.evaluations)
    assert study.evaluations[-1] == samples
    assert min(after - point for point, after in itertools.pairwise(points)) >= 16  # a batch
    assert set(study.rungs) < set(study.evaluations)
    if samples >= 8 * 16:
        assert study.num_evaluations == 8
        assert [rung / samples for rung in study.rungs] == pytest.approx(
            [rung / 800 for rung in before.rungs], abs=1 / 8
        )


def test_a_budget_below_a_batch_is_refused(make_space: Callable[..., Space]) -> None:
    with pytest.raises(ConfigError, match=r"must hold a batch, up to 16 samples here, got --samples 15"):
        overridden(make_space(), samples=15)


def test_rungs_and_evaluations_of_another_budget_are_told(make_space: Callable[..., Space]) -> None:
    told: list[str] = []
    overridden(make_space(), samples=80, tell=told.append)
    assert told == [
        "80 samples for each trial in place of the space's 800: 5 evaluations, rungs at 16, 32, 48, 64"
    ]
    told.clear()
    overridden(make_space(num_evaluations=40), samples=640, tell=told.append)
    assert told[0].endswith(": 40 evaluations, rungs at 80, 96, 112, 128, 144 and 30 more")


def test_a_study_keeps_its_data_set_and_its_budget(
    make_space: Callable[..., Space], open_ledger: Callable[..., Ledger], data: Path
) -> None:
    space = overridden(make_space(), dataset="reefs", samples=80, root=data)
    ledger = open_ledger(space)
    trial = ledger.ask()
    ledger.report(trial.number, Report(samples=16, samples_seen=16, value=1.0, metrics={"loss": 1.0}))
    assert ledger.read().overrides == {"dataset": "reefs", "samples": 80}
    ledger.close()
    open_ledger(overridden(make_space(), dataset="reefs", samples=80, root=data)).close()
    began = r"\(it began with --dataset reefs --samples 80\); give the new study another name"
    with pytest.raises(StudyError, match=rf"keeps its data set: 's' has reefs, got the space's own {began}"):
        open_ledger(overridden(make_space(), samples=80))
    with pytest.raises(StudyError, match=rf"keeps its budget in samples: 's' has 80, got 800 {began}"):
        open_ledger(overridden(make_space(), dataset="reefs", root=data))


def test_a_study_of_an_earlier_version_goes_on_and_is_given_no_other_data_set(
    make_space: Callable[..., Space], open_ledger: Callable[..., Ledger], data: Path
) -> None:
    ledger = open_ledger(make_space())
    trial = ledger.ask()
    ledger.report(trial.number, Report(samples=100, samples_seen=100, value=1.0, metrics={"loss": 1.0}))
    definition = {name: value for name, value in ledger.read().definition.items() if name != "overrides"}
    ledger._study.set_user_attr(DEFINITION, definition)
    ledger.close()
    again = open_ledger(make_space())
    assert again.read().overrides == {}
    again.close()
    with pytest.raises(StudyError, match=r"has the space's own, got reefs \(it began without --dataset"):
        open_ledger(overridden(make_space(), dataset="reefs", root=data))


def test_overrides_are_written_as_the_options_that_make_them() -> None:
    assert options_of({"dataset": "my reefs", "samples": 512}) == "--dataset 'my reefs' --samples 512"
    assert options_of({}) == ""
