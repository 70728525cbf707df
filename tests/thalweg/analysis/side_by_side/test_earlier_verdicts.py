"""Verdicts of earlier confirmations beside the trials that they are of."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from thalweg.analysis.side_by_side.earlier_verdicts import EarlierVerdict, earlier_verdicts
from thalweg.console.comparisons.trials_view import verdict_sentence
from thalweg.errors import StudyError
from thalweg.search.confirmation.confirmation import Confirmation, write_plan
from thalweg.search.confirmation.contenders import Contender
from thalweg.search.store.records import TrialRecord
from thalweg.study_folder import StudyFolder

Confirm = Callable[..., Path]


@pytest.fixture
def trials(make_trial: Callable[..., TrialRecord]) -> list[TrialRecord]:
    """Three trials of different configurations."""
    return [make_trial(number, 0.5, config={"depth": number}) for number in range(3)]


@pytest.fixture
def confirmed(trials: list[TrialRecord], tmp_path: Path) -> StudyFolder:
    """A confirmation of the first two, in which nothing has been judged yet."""
    contenders = (
        Contender(name="trial 0", role="champion", config=trials[0].config, label="fusion=add"),
        Contender(name="trial 1", role="rival", config=trials[1].config),
    )
    folder = StudyFolder(tmp_path / "rivers.confirm")
    write_plan(Confirmation(study="rivers", contenders=contenders, seeds=(5, 6, 7)), folder.path)
    folder.journal.touch()
    folder.verdict.mkdir()
    return folder


def _write(folder: StudyFolder, **changes: Any) -> None:
    verdict = {"rival": "trial 1", "word": "beats", "seeds": 3, "difference": 0.2, "low": 0.1, "high": 0.3}
    verdict |= {"over_units": [{"unit": "place", "word": "cannot tell", "num_blocks": 13}], **changes}
    told = {"metric": "skill", "champion": "trial 0", "open": False, "verdicts": [verdict]}
    (folder.verdict / "verdict.json").write_text(json.dumps(told))


def test_a_verdict_is_found_for_both_of_its_trials(confirmed: StudyFolder, trials: list[TrialRecord]) -> None:
    output = confirmed.path.parent
    assert earlier_verdicts(output, "rivers", trials) == []  # before its first look
    _write(confirmed)
    [found] = earlier_verdicts(output, "rivers", trials)
    assert (found.champion, found.rival, found.word) == ("trial 0 (fusion=add)", "trial 1", "beats")
    assert verdict_sentence(found) == (
        "rivers.confirm: trial 0 (fusion=add) beats trial 1, over 3 seeds, skill better by +0.2000 [+0.1000, +0.3000]; "
        "over places cannot tell (13 places)"
    )
    labels = {"trial 1": "fusion=concat", "trial 0": "fusion=add"}
    assert earlier_verdicts(output, "rivers", trials, labels)[0].rival == "trial 1 (fusion=concat)"
    for others in (trials[:1], trials[1:], [trials[0], trials[2]]):
        assert earlier_verdicts(output, "rivers", others) == []
    assert earlier_verdicts(output, "lakes", trials) == []


def test_trials_of_a_new_study_with_the_name_are_not_meant(
    confirmed: StudyFolder, trials: list[TrialRecord], make_trial: Callable[..., TrialRecord]
) -> None:
    _write(confirmed)
    other = [trials[0], make_trial(1, 0.5, config={"depth": 9})]
    assert earlier_verdicts(confirmed.path.parent, "rivers", other) == []


def test_one_without_a_seed_says_nothing_and_a_damaged_one_is_refused(
    confirmed: StudyFolder, trials: list[TrialRecord]
) -> None:
    _write(confirmed, seeds=0)
    assert earlier_verdicts(confirmed.path.parent, "rivers", trials) == []
    (confirmed.verdict / "verdict.json").write_text("{")
    with pytest.raises(StudyError, match="a verdict must be whole to be read"):
        earlier_verdicts(confirmed.path.parent, "rivers", trials)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("same", "trial 0 is the same as trial 1, over 5 seeds"),
        ("loses", "trial 0 loses to trial 1, over 5 seeds"),
        ("beats, size open", "trial 0 beats trial 1, by how much is open, over 5 seeds"),
        ("cannot tell", "trial 0 against trial 1: cannot tell, over 5 seeds"),
        ("unstable", "trial 0 against trial 1: unstable, over 5 seeds"),
    ],
)
def test_words_are_those_of_the_confirmation(word: str, told: str) -> None:
    verdict = EarlierVerdict(
        confirmation="c",
        names=("trial 0", "trial 1"),
        metric="skill",
        champion="trial 0",
        rival="trial 1",
        word=word,
        seeds=5,
        difference=0.1,
        low=None,
        high=None,
        over_units=(),
        still_open=True,
    )
    assert verdict_sentence(verdict) == f"c: {told} (not finished)"
