"""One truth: every trial ends once, and nothing is lost when its process is."""

import math
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from kept import evaluated, keep

from thalweg.errors import NonFiniteError, SpaceError, StudyError
from thalweg.search.space import Space, load_space
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.store.proposals import Proposal, Rejection
from thalweg.search.store.records import expendable, read_study
from thalweg.search.store.storage import close_storage, open_storage

JOURNAL = "journal.log"

Make = Callable[..., Space]
Open = Callable[..., Ledger]
Write = Callable[[str, str], Path]

DRIVER = """
import sys, time
from pathlib import Path
from kept import evaluated, keep
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.space import load_space
ledger = Ledger.open(Path(sys.argv[1]), "s", load_space("lab.toy"))
done = ledger.ask()
for samples in ledger.space.study.evaluations:
    ledger.report(done.number, evaluated(samples=samples, value=1.0))
ledger.complete(done.number)
kept, bare = ledger.ask(), ledger.ask()
for samples in (100, 200):
    folder = keep(Path(sys.argv[1]), 1, samples, kept.config.model_dump(mode="json"), study=ledger.identity)
    ledger.report(kept.number, evaluated(samples=samples, value=1 / samples, checkpoint=folder))
ledger.report(bare.number, evaluated(samples=100, value=0.5))
print(kept.config.model_dump_json(), flush=True)
time.sleep(60)
"""


def run_trial(ledger: Ledger, *, value: float = 0.5, until: int = 8) -> Proposal:
    proposal = ledger.ask()
    assert isinstance(proposal, Proposal)
    for samples in ledger.space.study.evaluations[:until]:
        ledger.report(proposal.number, evaluated(samples=samples, value=value, metrics={"loss": value}))
    return proposal


def ask(ledger: Ledger) -> Proposal:
    proposal = ledger.ask()
    assert isinstance(proposal, Proposal)
    return proposal


def begin(ledger: Ledger) -> None:
    """Leaves a study in which something was trained."""
    ledger.fail(run_trial(ledger, until=1).number, "why", "infeasible")
    ledger.close()


@pytest.fixture
def ledger(make_space: Make, open_ledger: Open) -> Ledger:
    return open_ledger(make_space())


def test_a_trial_that_finishes_is_complete_with_its_last_value(ledger: Ledger) -> None:
    proposal = run_trial(ledger, value=0.25)
    ledger.complete(proposal.number)
    (trial,) = ledger.trials()
    assert (trial.status, trial.value, trial.samples) == ("complete", 0.25, 800)
    assert trial.metrics == {"loss": 0.25}
    assert trial.seconds > 0
    assert trial.config == proposal.config.model_dump(mode="json")
    assert trial.params == proposal.params
    assert ledger.read().best() == trial


def test_a_pruned_trial_keeps_its_curve(ledger: Ledger) -> None:
    proposal = run_trial(ledger, value=0.75, until=3)
    ledger.prune(proposal.number)
    (trial,) = ledger.trials()
    assert (trial.status, trial.value) == ("pruned", 0.75)
    assert trial.curve == ((100, 0.75), (200, 0.75), (300, 0.75))
    assert ledger.read().best() is None


def test_optuna_has_the_same_states(ledger: Ledger, tmp_path: Path) -> None:
    ledger.complete(run_trial(ledger).number)
    ledger.prune(run_trial(ledger, until=2).number)
    ledger.fail(run_trial(ledger, until=1).number, "why", "infeasible")
    states = [trial.state.name for trial in ledger._study.get_trials()]
    assert states == ["COMPLETE", "PRUNED", "FAIL"]
    assert [trial.status for trial in ledger.trials()] == ["complete", "pruned", "failed"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_an_error_at_the_first_report(ledger: Ledger, value: float) -> None:
    proposal = ask(ledger)
    with pytest.raises(NonFiniteError, match=r"loss must be finite, got .* after 100 samples"):
        ledger.report(proposal.number, evaluated(samples=100, value=value))
    assert ledger.trials()[0].curve == ()


def test_a_batch_that_overshoots_an_evaluation_is_recorded_at_its_point(ledger: Ledger) -> None:
    proposal = ask(ledger)
    ledger.report(proposal.number, evaluated(samples=112, value=1.0))
    ledger.report(proposal.number, evaluated(samples=208, value=1.0))
    ledger.report(proposal.number, evaluated(samples=792, value=1.0, final=True))
    ledger.complete(proposal.number)
    (trial,) = ledger.trials()
    assert [samples for samples, _ in trial.curve] == [100, 200, 800]
    assert trial.samples == 792


def test_a_point_that_is_known_is_not_recorded_again(ledger: Ledger) -> None:
    proposal = ask(ledger)
    assert ledger.report(proposal.number, evaluated(samples=100, value=1.0))
    assert not ledger.report(proposal.number, evaluated(samples=100, value=2.0))
    assert ledger.trials()[0].curve == ((100, 1.0),)


def test_metrics_that_are_not_finite_are_left_out_of_the_record(ledger: Ledger) -> None:
    proposal = ask(ledger)
    metrics = {"loss": 1.0, "skill": math.nan}
    ledger.report(proposal.number, evaluated(samples=100, value=1.0, metrics=metrics))
    ledger.prune(proposal.number)
    assert ledger.trials()[0].metrics == {"loss": 1.0}


def test_first_trials_come_first_and_only_once(make_space: Make, open_ledger: Open) -> None:
    space = make_space(first_trials=({"x": 0.5, "kind": "plain"}, {"x": -0.5}))
    ledger = open_ledger(space)
    assert [ask(ledger).params["x"] for _ in range(2)] == [0.5, -0.5]
    ledger.close()
    ledger = open_ledger(space)
    assert [trial.status for trial in ledger.trials()].count("waiting") == 2  # the interrupted two
    assert sorted(ask(ledger).params["x"] for _ in range(2)) == [-0.5, 0.5]
    assert ask(ledger).params["x"] not in (0.5, -0.5)


def test_first_trials_that_are_nearly_equal_all_begin(make_space: Make, open_ledger: Open) -> None:
    near = (0.5, 0.5 + 1e-7, 0.5 + 2e-7)
    space = make_space(first_trials=tuple({"x": x, "kind": "plain"} for x in (*near, 0.5)))
    ledger = open_ledger(space)
    assert [ask(ledger).params["x"] for _ in range(3)] == list(near)
    assert ask(ledger).params["x"] not in near


@pytest.mark.slow
def test_a_conditional_parameter_is_asked_only_where_it_counts(ledger: Ledger) -> None:
    for _ in range(20):
        ledger.complete(run_trial(ledger).number)
    kinds = {trial.params["kind"]: "bend" in trial.params for trial in ledger.trials()}
    assert kinds == {"plain": False, "bent": True}


def test_a_parameter_set_that_the_space_refuses_is_a_failed_trial(
    lab: Write, open_ledger: Open, tmp_path: Path
) -> None:
    lab("half", (tmp_path / "code/lab/toy.py").read_text().replace("return Toy(", "return 1 / 0 or Toy("))
    ledger = open_ledger(load_space("lab.half"))
    refused = ledger.ask()
    assert isinstance(refused, Rejection)
    assert isinstance(refused.error, SpaceError)
    (trial,) = ledger.trials()
    assert (trial.status, trial.ended_as, trial.interrupted) == ("failed", "infeasible", False)
    assert "ZeroDivisionError" in trial.reason


def test_a_trial_of_a_killed_process_is_failed_and_taken_up_again(
    make_space: Make, open_ledger: Open, tmp_path: Path
) -> None:
    space, folder = make_space(), tmp_path / "study"
    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'code')!r})\n{DRIVER}"
    driver = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    config = driver.stdout.readline().strip()
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    with (folder / JOURNAL).open("ab") as journal:
        journal.write(b'{"op_code": 6, "tri')  # it was writing when it died

    ledger = open_ledger(space)
    assert ledger.num_recovered == 2
    done, kept, bare, *waiting = ledger.trials()
    assert done.status == "complete"
    for trial in (kept, bare):
        assert (trial.status, trial.interrupted) == ("failed", True)
        assert trial.reason == "interrupted: its process died"
        assert trial.ended_as == "infrastructure"
    assert [(trial.status, trial.continues) for trial in waiting] == [("waiting", 1), ("waiting", 2)]

    resumed, anew = ask(ledger), ask(ledger)
    assert (resumed.number, resumed.continues) == (3, 1)
    assert resumed.checkpoint == str(folder / "checkpoints" / "trial-00001" / "samples-000000000200")
    assert resumed.config.model_dump_json() == config
    assert resumed.params == kept.params
    assert resumed.curve == ((100, 0.01), (200, 0.005))
    assert (anew.continues, anew.checkpoint, anew.curve) == (2, None, ())
    assert ask(ledger).continues is None


def test_interrupted_trials_do_not_use_up_the_study(make_space: Make, open_ledger: Open) -> None:
    ledger = open_ledger(make_space(num_trials=3))
    ledger.complete(run_trial(ledger).number)
    ask(ledger)
    assert ledger.num_open() == 1
    assert ledger.interrupt_all() == [1]
    assert ledger.num_open() == 2
    for _ in range(2):
        ledger.complete(run_trial(ledger).number)
    assert ledger.num_open() == 0
    assert [trial.status for trial in ledger.trials()] == ["complete", "failed", "complete", "complete"]


def test_a_trial_that_is_interrupted_again_continues_the_last_checkpoint(ledger: Ledger) -> None:
    first = ask(ledger)
    folder = keep(ledger.directory, 0, 100, first.config.model_dump(mode="json"), study=ledger.identity)
    ledger.report(first.number, evaluated(samples=100, value=1.0, checkpoint=folder))
    ledger.interrupt_all()
    ask(ledger)
    ledger.interrupt_all()
    third = ask(ledger)
    assert (third.number, third.continues, third.checkpoint) == (2, 1, folder)
    assert third.curve == ((100, 1.0),)


@pytest.mark.parametrize("kept", [True, False])
def test_a_continued_trial_has_taken_the_time_of_both_unless_it_begins_anew(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    now = 1000.0
    monkeypatch.setattr("thalweg.search.store.optuna_study.time.monotonic", lambda: now)
    for number in range(3):
        proposal = ask(ledger)
        assert proposal.number == number
        if number == 0:
            config = proposal.config.model_dump(mode="json")
            folder = keep(ledger.directory, 0, 100, config, study=ledger.identity) if kept else None
            ledger.report(0, evaluated(samples=100, value=1.0, checkpoint=folder))
        now += 90.0
        ledger.took_up(number, 60.0)
        if number < 2:
            ledger.interrupt_all()
    total = 180.0 if kept else 60.0
    assert ledger.seconds(2) == pytest.approx(total)
    ledger.report(2, evaluated(samples=800, value=1.0, final=True))
    ledger.complete(2)
    assert [trial.seconds for trial in ledger.trials()] == pytest.approx(
        [60.0, total * 2 / 3 if kept else 60.0, total]
    )


def test_nothing_runs_and_nothing_is_queued_twice_after_two_interruptions(ledger: Ledger) -> None:
    ask(ledger)
    ledger.interrupt_all()
    ledger.interrupt_all()
    assert [trial.status for trial in ledger.trials()] == ["failed", "waiting"]


def test_a_trial_that_always_kills_its_process_is_given_up(make_space: Make, open_ledger: Open) -> None:
    space = make_space(max_retries=1)
    for _ in range(2):
        ledger = open_ledger(space)
        ask(ledger)
        ledger.close()
    ledger = open_ledger(space)
    last = ledger.trials()[-1]
    assert last.reason == "interrupted: its process died 2 times"
    assert not last.interrupted
    assert ask(ledger).continues is None


def test_a_continued_study_proposes_something_new(make_space: Make, open_ledger: Open) -> None:
    space = make_space(sampler="random")
    ledger = open_ledger(space)
    before = {run_trial(ledger).params["x"] for _ in range(4)}
    for number in range(4):
        ledger.prune(number)
    ledger.close()
    ledger = open_ledger(space)
    assert before.isdisjoint(ask(ledger).params["x"] for _ in range(4))


def test_two_studies_with_one_seed_propose_the_same(make_space: Make, open_ledger: Open) -> None:
    first, second = (open_ledger(make_space(), name) for name in ("a", "b"))
    assert [ask(first).params for _ in range(5)] == [ask(second).params for _ in range(5)]


@pytest.mark.parametrize(
    ("changes", "law"),
    [
        ({"metric": "skill"}, "keeps its metric: 's' has loss, got skill"),
        ({"mode": "max"}, "keeps its mode: 's' has min, got max"),
        ({"samples": 1600}, "keeps its budget in samples: 's' has 800, got 1600"),
        ({"num_evaluations": 4}, "keeps its number of evaluations: 's' has 8, got 4"),
    ],
)
def test_a_name_in_use_for_another_objective_is_refused(
    make_space: Make, open_ledger: Open, changes: dict[str, Any], law: str
) -> None:
    begin(open_ledger(make_space()))
    with pytest.raises(StudyError, match=rf"{law}; give the new study another name"):
        open_ledger(make_space(**changes))
    open_ledger(make_space()).close()  # the refusal left no claim behind


def test_a_name_in_use_for_another_space_is_refused(make_space: Make, open_ledger: Open) -> None:
    begin(open_ledger(make_space()))
    with pytest.raises(StudyError, match=r"keeps its search space: 's' has lab\.toy, got lab\.other"):
        open_ledger(replace(make_space(), module_name="lab.other"))


def test_a_space_that_was_changed_is_refused(make_space: Make, open_ledger: Open) -> None:
    space = make_space()
    begin(open_ledger(space))
    space.file.write_text(space.file.read_text().replace("x=x", "x=2 * x"))
    del sys.modules["lab.toy"]
    with pytest.raises(StudyError, match="keeps what its parameters mean: trial 0 of 's' was trained at x="):
        open_ledger(make_space())


def test_more_trials_and_another_sampler_are_no_other_study(make_space: Make, open_ledger: Open) -> None:
    open_ledger(make_space(num_trials=3)).close()
    ledger = open_ledger(make_space(num_trials=9, sampler="random", num_lanes=4))
    assert ledger.num_open() == 9
    assert ledger.read().definition["study"]["num_trials"] == 9


def test_a_study_of_somebody_else_is_refused(make_space: Make, open_ledger: Open, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/team.db"
    optuna.create_study(study_name="s", storage=url).ask()
    with pytest.raises(StudyError, match="study 's' was not made by thalweg"):
        open_ledger(make_space(), storage=url)


@pytest.mark.slow
def test_a_database_holds_a_study_as_well_as_a_journal(
    make_space: Make, open_ledger: Open, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/team.db"
    ledger = open_ledger(make_space(), storage=url)
    ledger.complete(run_trial(ledger, value=0.5).number)
    cut = ask(ledger)
    folder = keep(ledger.directory, 1, 100, cut.config.model_dump(mode="json"), study=ledger.identity)
    ledger.report(cut.number, evaluated(samples=100, value=1.0, checkpoint=folder))
    ledger.close()
    ledger = open_ledger(make_space(), storage=url)
    assert [trial.status for trial in ledger.trials()] == ["complete", "failed", "waiting"]
    assert ask(ledger).curve == ((100, 1.0),)


def test_a_running_study_can_be_read_by_others(ledger: Ledger, tmp_path: Path) -> None:
    ledger.complete(run_trial(ledger, value=0.5).number)
    ask(ledger)
    study = read_study(tmp_path / "study", "s")
    assert [trial.status for trial in study.trials] == ["complete", "running"]
    assert study.best() == study.trials[0]
    assert study.definition["space"] == "lab.toy"
    assert study.definition["family"] == "lab"


def test_reading_a_study_that_is_not_there_names_those_that_are(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"no study 'other' in .* \(found: s\)"):
        read_study(tmp_path / "study", "other")
    with pytest.raises(StudyError, match=r"must hold journal\.log"):
        read_study(tmp_path / "nowhere", "s")


def test_the_best_is_the_smallest_or_the_largest(make_space: Make, open_ledger: Open) -> None:
    for mode, expected in (("min", 0), ("max", 1)):
        ledger = open_ledger(make_space(mode=mode, scheduler="none"), mode)
        for value in (0.25, 0.75, 0.5):
            ledger.complete(run_trial(ledger, value=value).number)
        best = ledger.read().best()
        assert best is not None
        assert best.number == expected
        assert [t.number for t in ledger.read().ranking()] == ([0, 2, 1] if mode == "min" else [1, 2, 0])


def test_checkpoints_of_the_best_and_of_the_unfinished_are_kept(ledger: Ledger) -> None:
    for value in (0.3, 0.1, 0.2):
        number = ask(ledger).number
        point = evaluated(samples=800, value=value, checkpoint=f"/kept/{number}/samples-1", final=True)
        ledger.report(number, point)
        ledger.complete(number)
    cut = ask(ledger)
    folder = keep(ledger.directory, 3, 100, cut.config.model_dump(mode="json"), study=ledger.identity)
    ledger.report(cut.number, evaluated(samples=100, value=0.9, checkpoint=folder))
    ledger.interrupt_all()
    assert [trial.checkpoint for trial in expendable(ledger.read(), 2)] == ["/kept/0/samples-1"]
    again = ask(ledger)
    assert [trial.number for trial in expendable(ledger.read(), 2)] == [0]
    ledger.fail(again.number, "why", "infeasible")
    assert [trial.number for trial in expendable(ledger.read(), 2)] == [0, 3, 4]


def test_a_trials_folder_is_kept_while_its_successor_lives_on_a_newer_checkpoint(ledger: Ledger) -> None:
    ledger.report(ask(ledger).number, evaluated(samples=100, value=0.9, checkpoint="/kept/0/samples-1"))
    ledger.interrupt_all()
    again = ask(ledger)
    ledger.report(again.number, evaluated(samples=200, value=0.8, checkpoint="/kept/0/samples-2"))
    assert expendable(ledger.read(), 1) == []


@pytest.mark.slow
def test_a_database_study_that_is_driven_elsewhere_is_refused(
    make_space: Make, open_ledger: Open, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/team.db"
    first = open_ledger(make_space(), "one", storage=url)
    running = ask(first)
    with pytest.raises(StudyError, match=r"'s', which process .* drives; stop that one first"):
        open_ledger(make_space(), "two", storage=url)
    first.report(running.number, evaluated(samples=100, value=1.0))
    assert [trial.status for trial in first.trials()] == ["running"]
    first.close()
    assert open_ledger(make_space(), "two", storage=url).num_recovered == 1


def test_a_database_study_of_a_host_that_is_gone_can_be_taken_over(
    make_space: Make, open_ledger: Open, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/team.db"
    open_ledger(make_space(), storage=url).close()
    storage = open_storage(tmp_path, url)
    driver = {"host": "elsewhere", "pid": 1, "began": "7"}
    optuna.load_study(study_name="s", storage=storage).set_user_attr("driver", driver)
    close_storage(storage)
    with pytest.raises(StudyError, match="which process 1 on elsewhere drives"):
        open_ledger(make_space(), storage=url)
    open_ledger(make_space(), storage=url, take_over=True)


@pytest.mark.slow
def test_a_database_study_whose_process_died_here_is_continued(
    make_space: Make, open_ledger: Open, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/team.db"
    space = make_space()
    code = (
        f"import os, sys; sys.path.insert(0, {str(tmp_path / 'code')!r}); from pathlib import Path;"
        "from thalweg.search.store.optuna_study import Ledger; from thalweg.search.space import load_space;"
        "ledger = Ledger.open(Path(sys.argv[1]), 's', load_space('lab.toy'), storage=sys.argv[2]);"
        "ledger.ask(); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "one"), url])
    assert done.returncode == -signal.SIGKILL
    assert open_ledger(space, "two", storage=url).num_recovered == 1


def test_a_first_trial_whose_process_died_while_it_was_asked_is_not_lost(
    make_space: Make, open_ledger: Open
) -> None:
    ledger = open_ledger(make_space(first_trials=({"x": 0.5},)))
    ledger._study.ask()  # the process dies before the space is asked
    ledger.interrupt_all(crashed=True)
    assert ask(ledger).params["x"] == 0.5
