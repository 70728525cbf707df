"""A search space grows between two launches: its study goes on with its history, or is refused by name."""

import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from kept import evaluated

from thalweg.errors import StudyError
from thalweg.search.space import Space, load_space
from thalweg.search.store import private_optuna
from thalweg.search.store.definition import IDENTITY
from thalweg.search.store.growing import rebuilding
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.store.proposals import Proposal
from thalweg.search.store.records import read_study
from thalweg.study import SamplerName

Write = Callable[[str, str], Path]
Open = Callable[..., Ledger]
Grow = Callable[..., Space]

SPACE = """
from lab.config import Toy
from thalweg.study import Study, Trial

study = Study(
    metric="loss", mode="min", samples=800, num_trials=60, num_startup_trials=4, scheduler="none", **{settings}
)


def space(trial: Trial) -> Toy:
    x = trial.suggest_float("x", {low}, 1)
    width = trial.suggest_int("width", 1, {width}, log=True)
    kind = trial.suggest_categorical("kind", {kinds})
    bend = trial.suggest_float("bend", 0.1, 10.0, log=True) if kind == "bent" else {plain}
    {more}
    return Toy(dataset="none", x=x, width={factor} * width, kind={named}, bend=bend)
"""
USUAL: dict[str, Any] = {
    "settings": {"sampler": "random"},
    "low": -1,
    "width": 64,
    "kinds": ("plain", "bent"),
    "plain": 0.0,
    "more": "pass",
    "factor": 1,
    "named": "kind",
}
WIDER: dict[str, Any] = {"low": -4, "width": 128, "kinds": ("plain", "bent", "round")}


@pytest.fixture
def grow(lab: Write, monkeypatch: pytest.MonkeyPatch) -> Grow:
    """Writes the space anew, and loads it."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # it would hide a change of the same second

    def written(**changes: Any) -> Space:
        lab("growing", SPACE.format(**USUAL | changes))
        sys.modules.pop("lab.growing", None)
        return load_space("lab.growing")

    return written


def ask(ledger: Ledger) -> Proposal:
    proposal = ledger.ask()
    assert isinstance(proposal, Proposal)
    return proposal


def search(ledger: Ledger, count: int) -> list[Proposal]:
    """Trains some trials; the loss falls with x, and with `round`."""
    found = []
    for _ in range(count):
        proposal = ask(ledger)
        value = float(proposal.params["x"]) - 2.0 * (proposal.params["kind"] == "round")
        for samples in (400, 800):
            ledger.report(proposal.number, evaluated(samples=samples, value=value, metrics={"loss": value}))
        ledger.complete(proposal.number)
        found.append(proposal)
    return found


@pytest.mark.parametrize("storage", ["journal", pytest.param("database", marks=pytest.mark.slow)])
def test_options_and_bounds_may_grow_and_the_history_stays(
    grow: Grow, open_ledger: Open, tmp_path: Path, storage: str
) -> None:
    url = f"sqlite:///{tmp_path / 'team.db'}" if storage == "database" else None
    ledger = open_ledger(grow(), storage=url)
    search(ledger, 6)
    ask(ledger)  # is interrupted, and goes on
    ledger.interrupt_all()
    ledger.close()
    before = read_study(tmp_path / "study", "s", url)
    identity = ledger.identity

    ledger = open_ledger(grow(**WIDER), storage=url)
    (note,) = ledger.notes
    assert note.startswith(
        "the search space has grown: 'x' lies in [-4, 1], not only in [-1, 1]; 'width' lies in "
    )
    assert "'kind' may be round too; 8 trials of 's' keep their meaning" in note
    assert ledger.identity == identity
    after = read_study(tmp_path / "study", "s", url)
    assert after.trials == before.trials
    assert ask(ledger).continues == 6
    found = search(ledger, 12)
    assert {proposal.params["kind"] for proposal in found} >= {"round"}
    assert min(proposal.params["x"] for proposal in found) < -1
    assert [trial.number for trial in ledger.trials()] == list(range(8 + 12))
    assert ledger.read().definition["fingerprint"] != before.definition["fingerprint"]
    ledger.close()
    assert open_ledger(grow(**WIDER), storage=url).notes == ()


def test_a_space_grows_with_further_objectives(grow: Grow, open_ledger: Open) -> None:
    settings = {"sampler": "tpe", "also": {"cost/epoch_s": "min"}, "at_least": {"skill": 0.1}}
    ledger = open_ledger(grow(settings=settings))
    for _ in range(5):
        proposal = ask(ledger)
        measured: dict[str, Any] = {"metrics": {"skill": 0.5}, "costs": {"epoch_s": 2.0}}
        ledger.report(
            proposal.number, evaluated(samples=800, value=abs(proposal.params["x"]), **measured, final=True)
        )
        ledger.complete(proposal.number)
    ledger.close()
    wider = open_ledger(grow(settings={**settings, "at_least": {"skill": 0.2}}, **WIDER))
    assert [trial.metrics["cost/epoch_s"] for trial in wider.trials()] == [2.0] * 5
    assert wider.read().also == settings["also"] and str(wider.read().constraints) == "skill at least 0.2"
    assert ask(wider).number == 5


SAMPLERS = ["tpe", pytest.param("gp", marks=pytest.mark.slow), "cmaes", "random", "nsga2"]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samplers_learn_from_what_was_before(
    grow: Grow, open_ledger: Open, sampler: SamplerName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the growth joint models have all old trials, and reach where they could not; CMA-ES begins anew."""
    ledger = open_ledger(grow(settings={"sampler": sampler}))
    search(ledger, 10)
    ledger.close()
    ledger = open_ledger(grow(settings={"sampler": sampler}, low=-4))
    seen: list[dict[str, Any]] = []
    kind = type(ledger._study.sampler)
    sample = kind.sample_relative

    def watched(self: Any, study: optuna.Study, trial: Any, space: dict[str, Any]) -> dict[str, Any]:
        seen.append(space)
        return dict(sample(self, study, trial, space))

    monkeypatch.setattr(kind, "sample_relative", watched)
    assert not any("cma:" in key for trial in ledger._study.trials for key in trial.system_attrs)
    found = search(ledger, 14)
    if sampler != "nsga2":  # whose children lie near their parents
        assert min(proposal.params["x"] for proposal in found) < -1
    assert {trial.distributions["x"].low for trial in ledger._study.get_trials()} == {-4}  # type: ignore[attr-defined]
    if sampler in ("tpe", "gp", "cmaes"):
        assert seen[0]["x"].low == -4


def test_a_space_that_is_written_otherwise_goes_on(grow: Grow, open_ledger: Open) -> None:
    ledger = open_ledger(grow())
    search(ledger, 2)
    ledger.close()
    ledger = open_ledger(grow(more="half = width / 2"))
    assert ledger.notes == ("the search space is written otherwise: 2 trials of 's' keep their meaning",)
    assert len(ledger.trials()) == 2


@pytest.mark.parametrize(
    ("changes", "law"),
    [
        (
            {"factor": 2},
            r"trial \d of 's' was trained at width=\d+, got \d+ with width=\d+; a space may grow by options",
        ),
        ({"plain": 0.5}, r"trial \d of 's' was trained at bend=0\.0, got 0\.5 with kind='plain'"),
        ({"named": "'plain'"}, r"was trained at kind='bent', got 'plain' whatever its parameters"),
        (
            {"kinds": ("plain", "curved")},
            r"trained with x=.*, which the search space refuses now .*kind must be one",
        ),
        (
            {"width": 63},
            r"'s' asks 'width' in \[1, 64\] on a log scale, got in \[1, 63\] on a log scale; a space",
        ),
        ({"more": "trial.suggest_float('tilt', 0, 1)"}, r"asks tilt, which trial 0 of 's' was not asked"),
    ],
)
def test_another_meaning_is_refused_by_name(
    grow: Grow, open_ledger: Open, changes: dict[str, Any], law: str
) -> None:
    ledger = open_ledger(grow())
    kinds = {proposal.params["kind"] for proposal in search(ledger, 6)}
    assert kinds == {"plain", "bent"}
    ledger.close()
    with pytest.raises(StudyError, match=law):
        open_ledger(grow(**changes))
    assert len(open_ledger(grow()).trials()) == 6  # untouched


def test_another_budget_is_refused_though_the_space_has_grown(grow: Grow, open_ledger: Open) -> None:
    ledger = open_ledger(grow())
    search(ledger, 1)
    ledger.close()
    with pytest.raises(StudyError, match="a study keeps its budget in samples: 's' has 800, got 1600"):
        open_ledger(grow(low=-4).with_settings(samples=1600))


def test_a_trial_that_the_space_refused_stays_what_it_was(grow: Grow, open_ledger: Open) -> None:
    refusing = {"more": "assert width < 8"}
    ledger = open_ledger(grow(**refusing))
    asked = [ledger.ask() for _ in range(6)]
    for proposal in asked:
        if isinstance(proposal, Proposal):
            ledger.report(proposal.number, evaluated(samples=800, value=0.5))
            ledger.complete(proposal.number)
    before = ledger.trials()
    assert {trial.status for trial in before} == {"complete", "failed"}
    ledger.close()
    ledger = open_ledger(grow(**WIDER, **refusing))
    assert ledger.trials() == before


def test_options_that_a_refused_trial_had_may_not_vanish(grow: Grow, open_ledger: Open) -> None:
    refusing = "assert kind == 'plain'"
    ledger = open_ledger(grow(more=refusing))
    for proposal in [ledger.ask() for _ in range(6)]:
        if isinstance(proposal, Proposal):
            ledger.report(proposal.number, evaluated(samples=800, value=0.5))
            ledger.complete(proposal.number)
    ledger.close()
    with pytest.raises(
        StudyError, match=r"'s' asks 'kind' one of plain, bent, got one of plain, round; a space"
    ):
        open_ledger(grow(kinds=("plain", "round"), more=refusing))


@pytest.mark.parametrize("storage", ["journal", pytest.param("database", marks=pytest.mark.slow)])
@pytest.mark.parametrize("place", ["draft", "deleted", "half", "whole"])
def test_a_process_that_dies_while_it_grows_loses_nothing(
    grow: Grow, open_ledger: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str, storage: str
) -> None:
    url = f"sqlite:///{tmp_path / 'team.db'}" if storage == "database" else None
    ledger = open_ledger(grow(), storage=url)
    search(ledger, 5)
    ledger.close()
    before = read_study(tmp_path / "study", "s", url).trials
    write, forget = rebuilding._write, rebuilding._forget
    calls: list[str] = []

    def dying_write(storage: Any, name: str, direction: Any, trials: Any, attributes: Any) -> optuna.Study:
        calls.append(name)
        if place == "draft" or (place == "half" and len(calls) == 2):
            write(storage, name, direction, trials[:2], attributes)
            raise KeyboardInterrupt
        return write(storage, name, direction, trials, attributes)

    def dying_forget(storage: Any, name: str) -> None:
        if place == "whole" and len(calls) == 2:
            raise KeyboardInterrupt
        forget(storage, name)
        if place == "deleted" and len(calls) == 1 and name == "s":
            raise KeyboardInterrupt

    monkeypatch.setattr(rebuilding, "_write", dying_write)
    monkeypatch.setattr(rebuilding, "_forget", dying_forget)
    with pytest.raises(KeyboardInterrupt):
        open_ledger(grow(**WIDER), storage=url)
    monkeypatch.undo()
    if url is not None:  # the process that died is this one, which lives
        study = optuna.load_study(study_name="s (being rewritten)", storage=url)
        study.set_user_attr("driver", {"host": socket.gethostname(), "pid": 2**22 + 1, "began": 0.0})
    ledger = open_ledger(grow(**WIDER), storage=url)
    assert tuple(ledger.trials()) == before
    names = optuna.get_all_study_names(private_optuna.storage_of(ledger._study))
    assert names == ["s"]
    assert IDENTITY in ledger._study.user_attrs


@pytest.mark.slow
def test_a_study_that_another_process_rewrites_is_left_to_it(
    grow: Grow, open_ledger: Open, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'team.db'}"
    ledger = open_ledger(grow(), storage=url)
    search(ledger, 2)
    draft = rebuilding._write(
        private_optuna.storage_of(ledger._study),
        "s (being rewritten)",
        ledger._study.direction,
        ledger._study.trials,
        {**ledger._study.user_attrs, "driver": {"host": "elsewhere", "pid": 1, "began": 0.0}},
    )
    ledger.close()
    with pytest.raises(StudyError, match=r"one process at a time .*being rewritten.* process 1 on elsewhere"):
        open_ledger(grow(), storage=url)
    assert len(draft.trials) == 2
    again = open_ledger(grow(), storage=url, take_over=True)
    assert len(again.trials()) == 2
    assert optuna.get_all_study_names(private_optuna.storage_of(again._study)) == ["s"]
