"""Transfer: what a search takes from earlier studies, how it fades, and what is refused."""

import math
import statistics
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import optuna
import pytest
from kept import evaluated

from thalweg.errors import StudyError
from thalweg.search.domains import ChoiceSet, Domain, NumberRange
from thalweg.search.space import Space
from thalweg.search.store.learning.earlier_studies import _is_of, drawn_guess, guesses, taught
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.store.proposals import Proposal
from thalweg.search.store.records import read_study
from thalweg.search.store.samplers import make_sampler
from thalweg.study import Lesson, Study

Make = Callable[..., Space]
PROTOCOL = "0123456789abcdef"


def run(space: Space, folder: Path, name: str, **report: Any) -> None:
    """Trains all trials of a study; the nearer x is to 0.3, the smaller is the loss."""
    ledger = Ledger.open(folder, name, space)
    while ledger.num_open():
        proposal = ledger.ask()
        assert isinstance(proposal, Proposal)
        value = (proposal.params["x"] - 0.3) ** 2
        last = evaluated(
            samples=800, value=value, final=True, **{"provenance": {"protocol_hash": PROTOCOL}} | report
        )
        ledger.report(proposal.number, last)
        ledger.complete(proposal.number)
    ledger.close()


@pytest.fixture
def earlier(make_space: Make, tmp_path: Path) -> Path:
    """A study of 12 trials beside which others may lie."""
    run(make_space(num_trials=12, sampler="random", scheduler="none"), tmp_path / "earlier", "earlier")
    return tmp_path / "earlier"


def test_the_first_trial_is_the_best_of_the_earlier_study(make_space: Make, earlier: Path) -> None:
    best = read_study(earlier, "earlier").ranking()
    space = make_space(learn_from=("earlier",), scheduler="none")
    space = taught(space, earlier.parent / "later", "later", PROTOCOL)
    (lesson,) = space.study.lessons
    assert lesson.trials == tuple(trial.number for trial in best[:3])  # a quarter of them
    assert lesson.params == tuple(trial.params for trial in best[:3])
    assert (lesson.num_complete, lesson.value, lesson.metric) == (12, best[0].value, "loss")
    ledger = Ledger.open(earlier.parent / "later", "later", space)
    proposal = ledger.ask()
    ledger.close()
    assert isinstance(proposal, Proposal)
    assert proposal.params == best[0].params


def test_it_stays_what_it_was_when_the_earlier_study_goes_on_or_goes(make_space: Make, earlier: Path) -> None:
    later, space = earlier.parent / "later", make_space(learn_from=("earlier",), scheduler="none")
    first = taught(space, later, "later", PROTOCOL)
    Ledger.open(later, "later", first).close()
    run(make_space(num_trials=40, sampler="random", scheduler="none"), earlier, "earlier")
    assert taught(space, later, "later", PROTOCOL).study.lessons == first.study.lessons
    (earlier / "optuna.journal").unlink(missing_ok=True)
    for file in earlier.glob("*"):
        if file.is_file():
            file.unlink()
    again = taught(space, later, "later", PROTOCOL)
    assert again.study.lessons == first.study.lessons
    ledger = Ledger.open(later, "later", make_space(scheduler="none"))  # without naming it again
    assert ledger.space.study.lessons == first.study.lessons
    ledger.close()


@pytest.mark.parametrize(
    ("changes", "protocol", "law"),
    [
        ({"learn_from": ("later",)}, PROTOCOL, "must learn from other studies, got its own name 'later'"),
        ({"learn_from": ("erlier",)}, PROTOCOL, "must lie beside its own, got no 'erlier'"),
        ({"learn_from": ("../earlier",)}, PROTOCOL, "must lie beside its own"),
        (
            {"learn_from": ("earlier",), "mode": "max"},
            PROTOCOL,
            "the same mode, which is max: 'earlier' has min",
        ),
        ({"learn_from": ("earlier",), "metric": "other"}, PROTOCOL, "the same metric, which is other"),
        ({"learn_from": ("earlier",)}, "f" * 16, f"protocol and data, which is f+: 'earlier' has {PROTOCOL}"),
    ],
)
def test_what_is_no_evidence_is_refused(
    make_space: Make, earlier: Path, changes: dict[str, Any], protocol: str, law: str
) -> None:
    with pytest.raises(StudyError, match=law):
        taught(make_space(**changes), earlier.parent / "later", "later", protocol)


def test_a_study_without_complete_trials_teaches_nothing(make_space: Make, tmp_path: Path) -> None:
    Ledger.open(tmp_path / "earlier", "earlier", make_space()).close()
    with pytest.raises(StudyError, match="must have a complete trial, 'earlier' has none among 0 trials"):
        taught(make_space(learn_from=("earlier",)), tmp_path / "later", "later", PROTOCOL)


@pytest.mark.parametrize(
    ("domain", "value", "is_a_guess"),
    [
        (NumberRange(0.0, 1.0, None, False, False), 7.5, True),  # moves to the end of the range
        (NumberRange(1, 8, None, False, True), "deep", False),
        (NumberRange(0.0, 1.0, None, False, False), True, False),
        (ChoiceSet(("a", "b"), ("a", "b")), "b", True),
        (ChoiceSet(("a", "b"), ("a", "b")), 0.5, False),
        (None, 0.5, False),
    ],
)
def test_a_parameter_that_was_something_else_is_no_guess(
    domain: Domain | None, value: Any, is_a_guess: bool
) -> None:
    assert _is_of(domain, value) == is_a_guess


def lesson(*params: dict[str, Any], study: str = "earlier") -> Lesson:
    return Lesson(
        study=study,
        metric="loss",
        value=0.1,
        trials=tuple(range(len(params))),
        params=params,
        num_complete=20,
        protocol=PROTOCOL,
    )


def test_several_studies_take_turns_and_better_trials_come_more_often() -> None:
    lessons = (lesson({"x": 1}, {"x": 2}, {"x": 3}), lesson({"x": 10}, study="other"))
    assert guesses(lessons) == [{"x": 1}, {"x": 10}, {"x": 2}, {"x": 3}]
    random = Random(0)
    found = [drawn_guess(lessons, random, best=False)["x"].value for _ in range(4000)]
    total = 1 + 1 / 2 + 1 / 3 + 1 / 4
    for rank, value in enumerate((1, 10, 2, 3)):
        assert found.count(value) / 4000 == pytest.approx(1 / (rank + 1) / total, abs=0.03)
    assert drawn_guess(lessons, random, best=True)["x"].value == 1


def searched(
    num_trials: int, seed: int, shift: float, *lessons: Lesson, sampler: str = "gp_tpe"
) -> optuna.Study:
    """Searches a valley, whose bottom is at a rate of 10**-(2.6 + shift), a share of 0.3 + 0.3 * shift, and kind c."""

    def valley(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
        share = trial.suggest_float("share", 0, 1)
        kind = trial.suggest_categorical("kind", ("a", "b", "c", "d"))
        far = (math.log10(rate) + 2.6 + shift) ** 2 + (share - 0.3 - 0.3 * shift) ** 2
        return far + (0.0 if kind == "c" else 1.0)

    settings = {
        "metric": "loss",
        "mode": "min",
        "samples": 100,
        "scheduler": "none",
        "num_trials": num_trials,
    }
    study = optuna.create_study(
        sampler=make_sampler(Study(**settings, sampler=sampler, seed=seed, lessons=lessons))
    )
    study.optimize(valley, n_trials=num_trials)
    return study


@pytest.mark.slow
def test_a_like_problem_helps_a_short_search_and_an_unlike_one_is_overcome() -> None:
    def best(num_trials: int, shift: float, *, knows: bool) -> float:
        found = []
        for seed in range(5):
            trials = searched(24, 100 + seed, 0.0, sampler="random").trials
            good = sorted(trials, key=lambda trial: trial.value or 0.0)[:6]
            learnt = (lesson(*(trial.params for trial in good)),) if knows else ()
            found.append(searched(num_trials, seed, shift, *learnt).best_value)
        return statistics.median(found)

    assert best(6, 0.3, knows=True) < 0.5 * best(6, 0.3, knows=False)
    assert best(25, 2.0, knows=True) < 0.1 < best(3, 2.0, knows=True)
