"""An interrupted trial goes on from what is left of its checkpoints, wherever its study lies."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from kept import evaluated, keep

from thalweg.search.space import Space
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.store.proposals import Proposal
from thalweg.training.checkpoints.state import STATE, TrainingState

Make = Callable[..., Space]
Open = Callable[..., Ledger]


def ask(ledger: Ledger) -> Proposal:
    proposal = ledger.ask()
    assert isinstance(proposal, Proposal)
    return proposal


def _interrupted(ledger: Ledger, *samples: int) -> Path:
    """Interrupts a trial after evaluations with a checkpoint each; returns the folder of these."""
    proposal = ask(ledger)
    config = proposal.config.model_dump(mode="json")
    for point in samples:
        place = keep(ledger.directory, proposal.number, point, config, study=ledger.identity)
        ledger.report(proposal.number, evaluated(samples=point, value=1 / point, checkpoint=place))
    ledger.interrupt_all()
    return Path(place).parent


def _name_as_earlier_versions(ledger: Ledger, trial: Path) -> None:
    """Replaces what is recorded of the newest trial's checkpoint by its absolute path."""
    study = ledger._study
    newest = str(sorted(trial.glob("samples-*"))[-1])
    study._storage.set_trial_user_attr(study.get_trials()[-1]._trial_id, "resumes", newest)


@pytest.mark.parametrize("earlier_version", [False, True])
def test_an_interrupted_trial_goes_on_in_a_moved_folder(
    make_space: Make, open_ledger: Open, tmp_path: Path, earlier_version: bool
) -> None:
    ledger = open_ledger(make_space())
    trial = _interrupted(ledger, 100, 200)
    if earlier_version:
        _name_as_earlier_versions(ledger, trial)
    ledger.close()
    (tmp_path / "study").rename(tmp_path / "moved")
    moved = ask(open_ledger(make_space(), "moved"))
    place = tmp_path / "moved" / "checkpoints" / "trial-00000" / "samples-000000000200"
    assert moved.checkpoint == str(place)
    assert moved.curve == ((100, 0.01), (200, 0.005))
    assert moved.notes == ()


@pytest.mark.parametrize("loss", ["all", "newest", "damaged"])
def test_a_curve_ends_where_the_checkpoint_is_that_a_trial_goes_on_from(
    make_space: Make, open_ledger: Open, loss: str
) -> None:
    ledger = open_ledger(make_space())
    trial = _interrupted(ledger, 100, 200, 300)
    newest = trial / "samples-000000000300"
    if loss == "damaged":
        (newest / "weights" / "all.pt").write_text("trial 0 after 299 samples")
    else:
        shutil.rmtree(newest if loss == "newest" else trial)
    resumed = ask(ledger)
    known = ((100, 0.01), (200, 0.005))
    assert (resumed.params, resumed.curve) == (ledger.trials()[0].params, () if loss == "all" else known)
    assert resumed.checkpoint == (None if loss == "all" else str(trial / "samples-000000000200"))
    (note,) = resumed.notes
    where = "from the start" if loss == "all" else "after 200 samples"
    assert note.startswith(f"trial 0 is continued {where}: the checkpoint ")
    assert ("all.pt has changed since it was written" if loss == "damaged" else " is gone") in note
    for samples in (300, 400):
        assert ledger.report(resumed.number, evaluated(samples=samples, value=1.0))
    assert [trial.interrupted for trial in ledger.trials()] == [True, True, False]
    assert ledger.num_open() == ledger.space.study.num_trials - 1


def test_what_another_study_left_under_the_name_is_not_gone_on_from(
    make_space: Make, open_ledger: Open
) -> None:
    ledger = open_ledger(make_space())
    trial = _interrupted(ledger, 100)
    state = trial / "samples-000000000100" / STATE
    foreign = replace(TrainingState.read(state.parent), study="another")
    foreign.write(state.parent, state.parent)
    resumed = ask(ledger)
    assert (resumed.checkpoint, resumed.curve) == (None, ())
    assert "is of another study with this name" in resumed.notes[0]


def test_a_trial_that_begins_earlier_continues_the_one_that_was_trained(
    make_space: Make, open_ledger: Open
) -> None:
    ledger = open_ledger(make_space())
    trial = _interrupted(ledger, 100, 200, 300)
    heard = []
    for samples in (300, 200):  # the second one is lost after the study was stopped once more
        shutil.rmtree(trial / f"samples-{samples:012d}")
        resumed = ask(ledger)
        ledger.interrupt_all()
        heard.append((resumed.number, resumed.continues))
    assert heard == [(2, 0), (4, 2)]
    assert resumed.notes[0].startswith("trial 2 is continued after 100 samples: ")


def test_a_checkpoint_of_another_configuration_is_not_said_to_be_gone(
    make_space: Make, open_ledger: Open
) -> None:
    ledger = open_ledger(make_space())
    place = _interrupted(ledger, 100) / "samples-000000000100"
    state = TrainingState.read(place)
    replace(state, config={**state.config, "knob": 1}).write(place, place)
    resumed = ask(ledger)
    assert (resumed.checkpoint, resumed.curve) == (None, ())
    assert resumed.notes[0].endswith(
        f"the checkpoint checkpoints/trial-00000/{place.name} is of another configuration"
    )


def test_a_damaged_checkpoint_that_nobody_had_heard_of_is_told_of(
    make_space: Make, open_ledger: Open
) -> None:
    ledger = open_ledger(make_space())
    trial = _interrupted(ledger, 100)
    config = TrainingState.read(trial / "samples-000000000100").config
    unheard = Path(keep(ledger.directory, 0, 200, config, study=ledger.identity))
    (unheard / "weights" / "all.pt").write_text("")
    resumed = ask(ledger)
    assert (resumed.number, resumed.curve) == (1, ((100, 0.01),))
    (note,) = resumed.notes
    assert note.startswith(
        "trial 0 is continued after 100 samples: the checkpoint trial-00000/samples-000000000200 "
    )


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_trial_that_gets_further_each_time_is_never_given_up(
    make_space: Make, open_ledger: Open, is_kept: bool
) -> None:
    space = make_space(max_retries=1)

    def die_at(samples: int) -> None:
        ledger = open_ledger(space)
        proposal = ask(ledger)
        config = proposal.config.model_dump(mode="json")
        done = max((point for point, _ in proposal.curve), default=0)
        assert bool(done) == (is_kept and samples > 100)
        for point in range(done + 100, samples + 1, 100):
            place = keep(ledger.directory, proposal.number, point, config, study=ledger.identity)
            ledger.report(proposal.number, evaluated(samples=point, value=1.0, checkpoint=place))
        ledger.close()
        if not is_kept:  # so that the next one begins earlier, and must come further than this one
            shutil.rmtree(ledger.directory / "checkpoints")

    for samples in (100, 200, 300, 400):
        die_at(samples)
    ledger = open_ledger(space)
    assert ledger.trials()[-1].status == "waiting"
    assert [samples for samples, _ in ledger.trials()[-1].curve] == [100, 200, 300, 400]
    ledger.close()
    die_at(400)  # for the second time in a row
    ledger = open_ledger(space)
    assert not ledger.trials()[-1].interrupted
    assert ledger.trials()[-1].reason == "interrupted: its process died 2 times"
