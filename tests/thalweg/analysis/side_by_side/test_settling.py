"""The command that settles which trial is better."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from thalweg.analysis.side_by_side.settling import settled_by_trials
from thalweg.search.confirmation.confirmation import Confirmation, write_plan
from thalweg.search.confirmation.contenders import Contender
from thalweg.search.store.records import StudyRecord, TrialRecord

Settled = Callable[..., str]


@pytest.fixture
def settled(
    make_trial: Callable[..., TrialRecord], make_record: Callable[..., StudyRecord], tmp_path: Path
) -> Settled:
    """Returns the command for trials of ``rivers``; trial 3 was stopped, the larger number is better."""
    trials = [make_trial(number, 0.1 * number) for number in range(3)]
    record = make_record(*trials, make_trial(3, 0.9, status="pruned"))

    def settled(*numbers: int, name: str = "rivers", confirms: str | None = None, **more: str) -> str:
        study = replace(record, name=name, definition={**record.definition, "confirms": confirms})
        command = settled_by_trials(
            [(study, record.trials[n]) for n in numbers], tmp_path, more.get("storage")
        )
        return command.replace(f" --output {tmp_path}", "")

    return settled


def _plan(folder: Path, *names: str) -> None:
    contenders = tuple(Contender(name=name, role="rival", config={}) for name in names)
    write_plan(Confirmation(study="rivers", contenders=contenders, seeds=(5, 6, 7)), folder)


def test_the_best_one_is_named_first_and_a_stopped_one_not_at_all(settled: Settled) -> None:
    assert settled(0, 2) == "thalweg confirm rivers --trials 2,0"
    assert settled(0, 3, 1) == "thalweg confirm rivers --trials 1,0"
    assert settled(0, 3) == ""
    url = "postgresql://host/db?a=b c"
    assert settled(0, 1, storage=url) == f"thalweg confirm rivers --trials 1,0 --storage '{url}'"


def test_a_confirmation_that_began_with_them_goes_on(settled: Settled, tmp_path: Path) -> None:
    _plan(tmp_path / "rivers.confirm", "trial 2", "trial 0", "preset tiny")
    assert settled(0, 2) == "thalweg confirm rivers"


def test_one_that_began_with_others_stays_as_it_is(settled: Settled, tmp_path: Path) -> None:
    _plan(tmp_path / "rivers.confirm", "trial 2", "trial 0", "trial 1")
    assert (
        settled(0, 1) == "thalweg confirm rivers --trials 1,0 --as rivers.confirm-2"
    )  # neither is the champion
    (tmp_path / "rivers.confirm-2").mkdir()
    assert settled(0, 1).endswith("--as rivers.confirm-3")


def test_runs_of_a_confirmation_have_its_verdict(settled: Settled) -> None:
    assert settled(0, 1, name="rivers.confirm", confirms="rivers") == "thalweg confirm rivers"
    assert settled(0, 1, name="second", confirms="rivers") == "thalweg confirm rivers --as second"


def test_trials_of_several_studies_are_settled_by_no_command(
    make_trial: Callable[..., TrialRecord], make_record: Callable[..., StudyRecord], tmp_path: Path
) -> None:
    record = make_record(make_trial(0, 0.5))
    other = replace(record, name="lakes")
    assert settled_by_trials([(record, record.trials[0]), (other, other.trials[0])], tmp_path, None) == ""
