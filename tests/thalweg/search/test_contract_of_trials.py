"""What a space may ask is the same whoever answers: the probe, a recorded parameter set, or Optuna through a journal.

The probe and the recorded set are one class; they differ in what they were given.
"""

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from thalweg.errors import ConfigError, SpaceError, ThalwegError
from thalweg.search.replay import AskedTrial, RecordedTrial
from thalweg.search.space import Space, load_space, probe
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.store.proposals import Proposal, ProposedTrial, Rejection
from thalweg.search.store.storage import open_storage
from thalweg.training import baselines

Write = Callable[[str, str], Path]
Question = Callable[[Any], Any]
HEAD = """
import numpy as np
from lab.config import Toy
from thalweg.study import Study, Trial
study = Study(metric="loss", mode="min", samples=800, first_trials={first})


def space(trial: Trial) -> Toy:
"""


class Colour(Enum):
    """A choice that JSON does not know."""

    RED = "red"


def the_probe(folder: Path, given: dict[str, Any]) -> AskedTrial:
    return RecordedTrial({})


def a_recorded_set(folder: Path, given: dict[str, Any]) -> AskedTrial:
    return RecordedTrial(given)


def optunas(folder: Path, given: dict[str, Any]) -> AskedTrial:
    study = optuna.create_study(
        storage=open_storage(folder, None), sampler=optuna.samplers.RandomSampler(seed=0)
    )
    return ProposedTrial(study.ask())


TRIALS = pytest.mark.parametrize("trial_of", [the_probe, a_recorded_set, optunas])
CHOICES: dict[str, list[Any]] = {
    "tuples": [(0.9, 0.95), (0.9, 0.999)],
    "lists": [[16, 32], [64]],
    "dicts": [{"depth": 2, "widths": (8, 16)}, {"depth": 4, "widths": (8,)}],
    "numpy": [np.int64(8), np.float32(0.5), np.bool_(True), np.str_("a")],
    "scalars": [None, False, 2, 0.25, "a"],
    "mixed": ["none", (1, None)],
}


@TRIALS
@pytest.mark.parametrize("kind", CHOICES)
def test_a_choice_comes_back_by_value(tmp_path: Path, trial_of: Callable[..., AskedTrial], kind: str) -> None:
    choices = CHOICES[kind]
    trial = trial_of(tmp_path, {"c": choices[-1]})
    value = trial.suggest_categorical("c", choices)
    chosen = next(choice for choice in choices if np.array_equal(choice, value))
    assert type(value) is type(chosen) or type(value) is type(chosen.item())
    assert isinstance(trial.params["c"], bool | int | float | str | None)
    assert trial.suggest_categorical("c", choices) == value
    again = RecordedTrial(trial.params).suggest_categorical("c", choices)
    assert (again, type(again)) == (value, type(value))


@TRIALS
def test_bounds_may_be_numpys(tmp_path: Path, trial_of: Callable[..., AskedTrial]) -> None:
    trial = trial_of(tmp_path, {})
    number = trial.suggest_int("n", np.int64(2), np.array(8), step=np.int32(3))
    assert type(number) is int
    assert number in (2, 5, 8)
    value = trial.suggest_float("x", np.float32(0.5), np.float64(1.0))
    assert type(value) is float
    assert 0.5 <= value <= 1.0


@TRIALS
def test_the_end_of_a_range_lies_on_its_grid(
    tmp_path: Path, trial_of: Callable[..., AskedTrial], recwarn: pytest.WarningsRecorder
) -> None:
    trial = trial_of(tmp_path, {})
    assert trial.suggest_int("n", 1, 10, step=4) in (1, 5, 9)
    assert trial.suggest_float("x", 0.0, 0.3, step=0.1) == pytest.approx(round(trial.params["x"], 1))
    assert [str(asked) for asked in trial.asked.values()] == ["in [1, 9] step 4", "in [0, 0.3] step 0.1"]
    assert not recwarn.list


LAWS: dict[str, tuple[Question, str]] = {
    "log and step": (lambda t: t.suggest_int("n", 1, 64, step=2, log=True), "a step or log=True.*leave one"),
    "log and step of floats": (
        lambda t: t.suggest_float("x", 1, 2, step=0.1, log=True),
        "a step or log=True",
    ),
    "step 0": (lambda t: t.suggest_int("n", 1, 64, step=0), "step must be positive for 'n', got 0"),
    "negative step": (lambda t: t.suggest_float("x", 0, 1, step=-0.1), "step must be positive"),
    "nan step": (lambda t: t.suggest_float("x", 0, 1, step=float("nan")), "step must be finite"),
    "infinite": (lambda t: t.suggest_float("x", 0, float("inf")), "high must be finite for 'x', got inf"),
    "nan": (lambda t: t.suggest_float("x", float("nan"), 1), "low must be finite"),
    "wider than any number": (lambda t: t.suggest_float("x", -1.7e308, 1.7e308), "high - low must be finite"),
    "text": (lambda t: t.suggest_float("x", "1e-5", 1), "low must be a number for 'x', got '1e-5'"),
    "bool": (lambda t: t.suggest_int("n", False, 1), "low must be a number"),
    "fraction": (
        lambda t: t.suggest_int("n", 0.5, 2),
        "low must be whole for 'n', got 0.5; ask with suggest_f",
    ),
    "upside down": (lambda t: t.suggest_int("n", 2, 1), "low <= high must hold"),
    "log of 0": (lambda t: t.suggest_float("x", 0, 1, log=True), "low must be positive"),
    "no choice": (lambda t: t.suggest_categorical("c", []), "at least one choice"),
    "text as choices": (lambda t: t.suggest_categorical("c", "ab"), r"a tuple of choices, got 'ab'; try"),
    "set": (lambda t: t.suggest_categorical("c", {"a", "b"}), "must have an order, got a set; use a tuple"),
    "no name": (lambda t: t.suggest_float(3, 0, 1), "name must be text, got 3; try '3'"),
    "equal": (
        lambda t: t.suggest_categorical("c", [1, True]),
        "must differ, got 1 and True, which are equal",
    ),
    "one text": (lambda t: t.suggest_categorical("c", [(1,), "(1,)"]), "must differ"),
    "nan as choice": (lambda t: t.suggest_categorical("c", [float("nan")]), "must equal itself, got nan"),
    "function": (lambda t: t.suggest_categorical("c", [len]), "ask for a name and look it up in a dict"),
    "array": (lambda t: t.suggest_categorical("c", [np.zeros(2)]), r"\(ndarray\); ask for a name"),
    "member": (lambda t: t.suggest_categorical("c", [Colour.RED]), "use its value"),
    "keys": (lambda t: t.suggest_categorical("c", [{1: 2}]), "a tuple, list or dict of these"),
    "twice": (
        lambda t: (t.suggest_categorical("c", ["a", "b"]), t.suggest_categorical("c", ["b"])),
        "ask 'c' with one range",
    ),
}


@TRIALS
@pytest.mark.parametrize("law", LAWS)
def test_what_cannot_be_answered_is_refused_by_all_alike(
    tmp_path: Path, trial_of: Callable[..., AskedTrial], law: str
) -> None:
    question, message = LAWS[law]
    trial = trial_of(tmp_path, {})
    with pytest.raises(SpaceError, match=message) as caught:
        question(trial)
    assert trial.refusal is caught.value


def _space(lab: Write, name: str, body: str, first: str = "()") -> Space:
    lab(name, HEAD.replace("{first}", first) + "".join(f"    {line}\n" for line in body.splitlines()))
    return load_space(f"lab.{name}")


BRANCHES = {
    "choices": "trial.suggest_categorical('c', ['a', 'b']) if bent else trial.suggest_categorical('c', ['a'])",
    "kinds": "trial.suggest_float('c', 0, 1) if bent else trial.suggest_int('c', 0, 1)",
    "logarithms": "trial.suggest_float('c', 1, 2, log=bent)",
    "a law in one alone": "trial.suggest_int('n', 1, 8, step=0) if bent else 0",
}


@pytest.mark.parametrize("branch", BRANCHES)
def test_a_branch_that_no_trial_has_taken_is_looked_into(lab: Write, branch: str) -> None:
    deep = "depth = trial.suggest_int('depth', 1, 4)\n"
    body = f"{deep}bent = depth > 2 and trial.suggest_categorical('kind', ['plain', 'bent']) == 'bent'\n"
    space = _space(lab, "branchy", f"{body}{BRANCHES[branch]}\nreturn Toy(dataset='d')")
    with pytest.raises(SpaceError, match=r"in every branch, got|step must be positive"):
        probe(space)


def test_other_bounds_in_another_branch_are_fine(lab: Write, open_ledger: Callable[..., Ledger]) -> None:
    body = "bent = trial.suggest_categorical('kind', ['plain', 'bent']) == 'bent'\n"
    space = _space(
        lab, "wide", body + "x = trial.suggest_float('x', 0, 2 if bent else 1)\nreturn Toy(dataset='d', x=x)"
    )
    probe(space)
    ledger = open_ledger(space)
    proposals = [ledger.ask() for _ in range(12)]
    assert {proposal.params["kind"] for proposal in proposals} == {"plain", "bent"}
    assert all(isinstance(proposal, Proposal) for proposal in proposals)


FIRST = """x = trial.suggest_float("x", 0, 1)
width = trial.suggest_categorical("width", [(1, 2), (3, 4)])
n = trial.suggest_int("n", 1, 8)
assert type(x) is float and type(width) is tuple and type(n) is int
return Toy(dataset="d", x=x, width=sum(width) + n)"""


def test_first_trials_are_tried_as_the_values_that_they_spell(
    lab: Write, open_ledger: Callable[..., Ledger]
) -> None:
    first = '({"x": "0.25", "n": np.int64(3)}, {"x": np.float32(0.5), "width": (np.int64(3), 4)}, {"width": [3, 4]})'
    space = _space(lab, "first", FIRST, first)
    probe(space)
    ledger = open_ledger(space)
    told = [ledger.ask() for _ in range(3)]
    assert all(isinstance(proposal, Proposal) for proposal in told)
    assert (told[0].params["x"], told[0].params["n"]) == (0.25, 3)
    assert (told[1].params["x"], told[1].params["width"]) == (0.5, "(3, 4)")
    assert told[2].params["width"] == "(3, 4)"
    ledger.close()
    ledger = open_ledger(space)  # what was interrupted comes back with the same values
    again = [ledger.ask() for _ in range(3)]
    assert [proposal.params for proposal in again] == [proposal.params for proposal in told]


@pytest.mark.parametrize(
    "params", ['{"x": "many"}', '{"x": 2}', '{"n": 2.5}', '{"width": (1, 3)}', '{"y": 1}', '{"x": None}']
)
def test_a_first_trial_that_cannot_be_tried_is_refused_at_once(lab: Write, params: str) -> None:
    with pytest.raises(ConfigError, match="must be"):
        probe(_space(lab, "first", FIRST, f"({params},)"))


def test_a_space_in_which_nothing_was_trained_may_be_mended(
    lab: Write, open_ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    bad = "trial.suggest_categorical('c', ['a', 'b'])\nreturn {}['x']"
    ledger = open_ledger(_space(lab, "mended", bad, '({"c": "b"},)'))
    assert isinstance(ledger.ask(), Rejection)
    num_open, identity = ledger.num_open(), ledger.identity
    assert ledger.record_identity == identity
    ledger.close()
    baselines.write_once(tmp_path / "study" / "checkpoints", {"untrained": {"loss": 1.0}})
    mended = "c = trial.suggest_categorical('c', ['a', 'z'])\nreturn Toy(dataset='d', kind=c)"
    ledger = open_ledger(_space(lab, "mended_2", mended))
    assert [note for note in ledger.notes if "nothing was trained in it" in note]
    assert ledger.identity != identity == ledger.record_identity  # no checkpoint of before, but the same runs
    assert baselines.read(tmp_path / "study" / "checkpoints") is None
    assert ledger.num_open() == num_open + 1  # the one that was refused counts no more
    proposals = [ledger.ask() for _ in range(4)]
    assert all(isinstance(proposal, Proposal) for proposal in proposals)
    assert [proposal.number for proposal in proposals] == [1, 2, 3, 4]
    assert {proposal.params["c"] for proposal in proposals} <= {"a", "z"}
    assert ledger.trials()[0].reason.startswith("a search space must return")


def test_a_study_that_was_being_defined_anew_when_its_process_died_is_opened(
    lab: Write, open_ledger: Callable[..., Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = """({"c": "b"}, {"c": "a"})"""
    bad = "trial.suggest_categorical('c', ['a', 'b'])\nreturn {}['x']"
    ledger = open_ledger(_space(lab, "mended", bad, first))
    assert isinstance(ledger.ask(), Rejection)
    ledger.close()

    def die(study: optuna.Study, space: Space) -> None:
        raise KeyboardInterrupt

    mended = _space(lab, "mended_2", "return Toy(dataset='d')")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("thalweg.search.store.optuna_study.write_definition", die)
        open_ledger(mended)
    ledger = open_ledger(mended)
    assert [trial.interrupted for trial in ledger.trials()] == [True]  # what was queued is no trial
    assert isinstance(ledger.ask(), Proposal)


def test_a_study_in_a_database_is_defined_anew_and_stays_claimed(
    lab: Write, open_ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/team.db"
    open_ledger(_space(lab, "one", "return Toy(dataset='d')"), storage=url).close()
    ledger = open_ledger(_space(lab, "two", "return Toy(dataset='d', width=2)"), storage=url)
    assert "nothing was trained in it" in ledger.notes[0]
    assert ledger._study.user_attrs["driver"]["pid"]
    ledger.close()
    assert ledger._study.user_attrs["driver"] is None


def test_a_refusal_of_a_proposal_is_worded_as_that_of_the_probe(
    lab: Write, open_ledger: Callable[..., Ledger]
) -> None:
    space = _space(lab, "late", "trial.suggest_int('n', 1, 8, step=0)\nreturn Toy(dataset='d')")
    with pytest.raises(ThalwegError) as caught:
        probe(space)
    rejection = open_ledger(space).ask()
    assert isinstance(rejection, Rejection)
    assert str(rejection.error) == str(caught.value)


def test_a_branch_behind_two_conditions_is_refused_when_a_trial_takes_it(
    lab: Write, open_ledger: Callable[..., Ledger]
) -> None:
    body = (
        "both = [trial.suggest_categorical(name, ['x', 'y']) for name in 'ab'] == ['y', 'y']\n"
        "trial.suggest_categorical('c', ['p', 'q'] if both else ['p'])\nreturn Toy(dataset='d')"
    )
    space = _space(lab, "hidden", body, '({"a": "x"}, {"a": "y", "b": "y"}, {"a": "x"})')
    ledger = open_ledger(space)
    assert isinstance(ledger.ask(), Proposal)
    rejection = ledger.ask()
    assert isinstance(rejection, Rejection)
    assert "must ask 'c' with the same choices" in str(rejection.error)
    assert "use two names" in str(rejection.error)
    assert isinstance(ledger.ask(), Proposal)
    ledger.close()
    assert [trial.status for trial in open_ledger(space).trials()][:3] == ["failed", "failed", "failed"]
    with pytest.raises(SpaceError, match="in every branch"):
        probe(space)
