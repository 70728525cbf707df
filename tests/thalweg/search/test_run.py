"""What a search refuses before anything is booked, and what it deletes."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from kept import keep

from thalweg.errors import StudyError
from thalweg.events import TrialEnded
from thalweg.search.ledger import Evaluation, Ledger, Proposal
from thalweg.search.prepare import prepare
from thalweg.search.records import CHECKPOINT
from thalweg.search.run import Broadcast, Options, search
from thalweg.search.space import load_space


def test_a_study_on_data_that_have_changed_does_not_start(tmp_path: Path) -> None:
    prepared = prepare(load_space("spaces.toys"), tmp_path / "data")
    options = Options(name="toys", output=tmp_path)
    ledger = Ledger.open(options.directory, options.name, prepared.space)
    trial = ledger.ask()
    assert isinstance(trial, Proposal)
    ledger.report(trial.number, Evaluation(samples=16, value=1.0, protocol=prepared.facts["protocol_hash"]))
    ledger.fail(trial.number, "why")
    ledger.close()
    changed = replace(prepared, facts={**prepared.facts, "protocol_hash": "other"})
    with pytest.raises(StudyError, match=r"keeps its evaluation protocol: 'toys' has .*, got other"):
        search(changed, options, [])


def _complete(directory: Path, value: float, *, earlier_version: bool = False) -> Path:
    """Adds a complete trial with a checkpoint to the study that lies in a folder, as a search does."""
    ledger = Ledger.open(directory, "toys", load_space("spaces.toys").with_settings(keep_checkpoints=1))
    trial = ledger.ask()
    assert isinstance(trial, Proposal)
    place = keep(directory, trial.number, 256, trial.config.model_dump(mode="json"), study=ledger.identity)
    ledger.report(trial.number, Evaluation(samples=256, value=value, checkpoint=place, final=True))
    if earlier_version:  # which recorded where the checkpoint lay on the machine
        storage, number = ledger._study._storage, ledger._frozen(trial.number)._trial_id
        storage.set_trial_user_attr(number, CHECKPOINT, place)
    ledger.complete(trial.number)
    ended = TrialEnded(number=trial.number, status="complete", value=value, samples=256, seconds=1.0)
    Broadcast(ledger, [], directory)(ended)
    ledger.close()
    return Path(place)


@pytest.mark.parametrize("earlier_version", [False, True])
def test_the_original_of_a_copied_study_is_left_alone(tmp_path: Path, earlier_version: bool) -> None:
    best = _complete(tmp_path / "toys", 0.5, earlier_version=earlier_version)
    shutil.copytree(tmp_path / "toys", tmp_path / "copy")
    better = _complete(tmp_path / "copy", 0.25)
    assert best.is_dir()
    assert list((tmp_path / "copy").glob("checkpoints/*/samples-*")) == [better]


def test_nothing_is_deleted_through_a_link_out_of_the_study(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "toys").mkdir()
    (tmp_path / "toys" / "checkpoints").symlink_to(tmp_path / "scratch")
    _complete(tmp_path / "toys", 0.5)
    _complete(tmp_path / "toys", 0.25)
    assert len(list((tmp_path / "scratch").glob("*/samples-*"))) == 2


def test_a_folder_that_nobody_reported_goes_with_its_trial(tmp_path: Path) -> None:
    unheard = tmp_path / "toys" / "checkpoints" / "trial-00000" / ".samples-000000000064.partial"
    unheard.mkdir(parents=True)
    ledger = Ledger.open(tmp_path / "toys", "toys", load_space("spaces.toys"))
    ledger.ask()
    ledger.fail(0, "the disk was full")
    Broadcast(ledger, [], tmp_path / "toys")(
        TrialEnded(number=0, status="failed", value=None, samples=0, seconds=1.0)
    )
    ledger.close()
    assert not unheard.parent.exists()
