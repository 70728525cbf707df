"""A check that passed is not repeated, unless something that it depends on has changed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from families.knots.config import PRESETS, Knots
from thalweg.disk import remembered as memory
from thalweg.search.checks.check_space import Checked, judgements
from thalweg.search.checks.examined import Examined
from thalweg.search.checks.judgement import Judgement
from thalweg.search.preflight import prepare
from thalweg.search.space import load_space
from thalweg.search.starting import checked_before
from thalweg.search.starting.checked_before import checked, remember
from thalweg.study import Trial

Examine = Callable[..., Examined]


def only_lr(trial: Trial) -> Knots:
    """A space of one knob."""
    return PRESETS["tiny"].vary(optimization={"lr": trial.suggest_float("lr", 1e-3, 1e-2)})


@pytest.fixture
def examine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Examine:
    """Returns a space as a search sees it, with other settings or data; what is remembered goes into `cache`."""
    monkeypatch.setenv("THALWEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(memory, "BEGAN_NS", 2**63)
    file = tmp_path / "space.py"
    file.write_text("# a space\n")

    def examine(fingerprint: str = "", **settings: Any) -> Examined:
        space = replace(load_space("spaces.knots").with_settings(**settings), function=only_lr, file=file)
        prepared = prepare(space, tmp_path / "data")
        if fingerprint:
            prepared = replace(prepared, tags={**prepared.tags, "data_fingerprint": fingerprint})
        return Examined(space, tmp_path / "runs", tmp_path / "data", known=prepared)

    return examine


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[Checked]:
    """Returns the checks that were asked for; they find nothing, at once."""
    made: list[Checked] = []

    def counted(examined: Examined, called_off: Event) -> Checked:
        made.append(Checked((), is_whole=True))
        return made[-1]

    monkeypatch.setattr(checked_before, "check_beside", counted)
    return made


def test_a_space_that_passed_is_not_checked_again(examine: Examine, checks: list[Checked]) -> None:
    assert checked(examine(), Event()) == ()
    (told,) = checked(examine(), Event())
    assert told.startswith("the space was checked on 20") and "nothing that the check depends on" in told
    assert checks == [Checked((), is_whole=True)]


def test_how_long_a_study_runs_changes_no_check(examine: Examine, checks: list[Checked]) -> None:
    checked(examine(), Event())
    checked(examine(num_trials=99, num_lanes=1, max_hours=2.0), Event())
    assert len(checks) == 1


@pytest.mark.parametrize(
    "changed", [{"samples": 96}, {"num_workers": 2}, {"seed": 9}, {"fingerprint": "rope-2"}]
)
def test_another_study_and_other_data_are_checked(
    changed: dict[str, Any], examine: Examine, checks: list[Checked]
) -> None:
    checked(examine(), Event())
    checked(examine(**changed), Event())
    assert len(checks) == 2


def test_another_text_of_the_space_is_checked(
    examine: Examine, checks: list[Checked], tmp_path: Path
) -> None:
    checked(examine(), Event())
    (tmp_path / "space.py").write_text("# another space\n")
    checked(examine(), Event())
    assert len(checks) == 2


def test_a_check_that_left_something_out_is_made_again(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def partial(examined: Examined, called_off: Event) -> Checked:
        made.append(1)
        return Checked(("a sentence",), is_whole=False)

    monkeypatch.setattr(checked_before, "check_beside", partial)
    assert [checked(examine(), Event()) for _ in range(2)] == [("a sentence",)] * 2
    assert len(made) == 2


def test_what_a_check_told_is_told_again(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Checked(("a knob is dead",), is_whole=True)
    monkeypatch.setattr(checked_before, "check_beside", lambda examined, called_off: found)
    checked(examine(), Event())
    assert checked(examine(), Event())[1:] == ("a knob is dead",)


@pytest.mark.slow
def test_a_real_check_is_whole_and_is_remembered(examine: Examine) -> None:
    assert checked(examine(), Event()) == ()
    assert len(checked(examine(), Event())) == 1


@pytest.mark.slow
def test_what_thalweg_check_passed_is_not_checked_again_by_a_search(
    examine: Examine, checks: list[Checked]
) -> None:
    remember(examine(), list(judgements(examine())))
    assert len(checked(examine(), Event())) == 1
    assert not checks


@pytest.mark.parametrize(
    "spoilt",
    [{"faults": ("dead",)}, {"warnings": ("mind",)}, {"skipped": ("for time",)}, {"is_reached": False}],
)
def test_what_did_not_pass_whole_is_checked_by_a_search(
    spoilt: dict[str, Any], examine: Examine, checks: list[Checked]
) -> None:
    names = ("valid", "comparable", "splits", "dead knobs")
    found = [Judgement(check=name, **(spoilt if name == "splits" else {})) for name in names]
    remember(examine(), found)
    assert checked(examine(), Event()) == ()
    assert len(checks) == 1


def test_names_that_a_check_ignored_are_not_ignored_by_a_search(
    examine: Examine, checks: list[Checked]
) -> None:
    passed = [Judgement(check=name) for name in ("valid", "comparable", "splits", "dead knobs")]
    remember(replace(examine(), ignore=frozenset({"mask"})), passed)
    assert checked(examine(), Event()) == ()
    assert len(checks) == 1
