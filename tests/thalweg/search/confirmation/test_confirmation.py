"""The plan of a confirmation: seeds that are fresh, the file that holds it, and its space."""

from collections.abc import Callable
from pathlib import Path

import pytest

from families.toy.config import Toy
from thalweg.errors import StudyError
from thalweg.events import EndedAs
from thalweg.search.confirmation.confirmation import Confirmation, fresh_seeds, read_plan, write_plan
from thalweg.search.confirmation.contenders import Contender
from thalweg.search.store.records import StudyRecord, TrialRecord
from thalweg.study_folder import StudyFolder


def _plan() -> Confirmation:
    config = Toy(width=5).model_dump(mode="json")
    contenders = (
        Contender(name="trial 1", role="champion", config=config, value=0.5, seconds=2.0),
        Contender(name="preset tiny", role="baseline", config=config),
    )
    return Confirmation(study="rivers", contenders=contenders, seeds=(5, 6, 7), stopped=2)


def test_seeds_are_the_same_ones_for_a_name_and_none_of_the_search(
    make_trial: Callable[..., TrialRecord], make_record: Callable[..., StudyRecord]
) -> None:
    seeds = fresh_seeds(make_record(), 12)
    assert len(set(seeds)) == 12 and seeds[:8] == fresh_seeds(make_record(), 8)
    assert not set(seeds) & set(fresh_seeds(make_record(), 12, "again"))
    taken = make_record(make_trial(0, config={"seed": seeds[1]}))
    others = fresh_seeds(taken, 11)
    assert others == (seeds[0], *seeds[2:])


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_plan(tmp_path) is None
    write_plan(_plan(), tmp_path)
    assert read_plan(tmp_path) == _plan()
    StudyFolder(tmp_path).confirmation.write_text('{"format": 1}')
    with pytest.raises(StudyError, match="the plan of a confirmation must be whole"):
        read_plan(tmp_path)


def test_runs_that_ended_for_good_are_found_by_configuration_and_seed(
    make_trial: Callable[..., TrialRecord], make_record: Callable[..., StudyRecord]
) -> None:
    plan = _plan()
    params = plan.params([("trial 1", 0), ("trial 1", 1), ("preset tiny", 0), ("trial 1", 2)])
    record = make_record(
        make_trial(0, params=params[0]),
        make_trial(1, params=params[1], status="failed", interrupted=True),
        make_trial(2, params=params[2], status="failed"),
        make_trial(3, params=params[3], status="running"),
    )
    found = {run: trial.number for run, trial in plan.runs(record)}
    assert found == {("trial 1", 0): 0, ("preset tiny", 0): 2}


@pytest.mark.parametrize("word", ["infrastructure", "preempted", "stopped_by_user", "data"])
def test_runs_that_were_lost_are_none_that_ended_by_themselves(
    make_trial: Callable[..., TrialRecord], make_record: Callable[..., StudyRecord], word: EndedAs
) -> None:
    plan = _plan()
    lost, again, failed = plan.params([("trial 1", 0), ("trial 1", 0), ("trial 1", 1)])
    record = make_record(
        make_trial(0, None, params=lost, status="failed", ended_as=word),
        make_trial(1, None, params=again, status="failed", ended_as=word),
        make_trial(2, None, params=failed, status="failed", ended_as="diverged"),
        make_trial(3, None, params=failed, status="failed", ended_as=word, interrupted=True),
    )
    assert [run for run, _ in plan.runs(record)] == [("trial 1", 1)]
    assert [(run, trial.number) for run, trial in plan.lost(record)] == [
        (("trial 1", 0), 0),
        (("trial 1", 0), 1),
    ]
