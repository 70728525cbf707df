"""Which trials words of a command name."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from thalweg.analysis.side_by_side.chosen_trials import Side, address_of, chosen
from thalweg.errors import StudyError
from thalweg.search.store.records import StudyRecord, TrialRecord
from thalweg.study_folder import StudyFolder

Choose = Callable[..., list[Side]]


@pytest.fixture
def choose(
    make_trial: Callable[..., TrialRecord], make_record: Callable[..., StudyRecord], tmp_path: Path
) -> Choose:
    """Chooses among the trials of ``rivers``: two complete ones, one without a configuration, ten more."""
    known = {"config": {"seed": 0}}
    trials = [make_trial(0, 0.5, **known), make_trial(1, 0.9, **known)]
    trials.append(make_trial(2, None, status="failed", reason="width must be even"))
    record = make_record(*trials, *(make_trial(number, 0.1, **known) for number in range(3, 13)))

    def choose(*words: str, numbers: Sequence[int] = ()) -> list[Side]:
        return chosen(words, numbers, tmp_path, lambda name: record)

    return choose


def test_a_number_names_a_trial_and_a_study_alone_its_best(choose: Choose) -> None:
    assert [side.trial.number for side in choose("rivers:0", "rivers")] == [0, 1]
    assert [side.label for side in choose("rivers", numbers=(3, 0))] == ["trial 3", "trial 0"]


def test_a_colon_in_the_name_of_a_study_names_no_trial(tmp_path: Path) -> None:
    assert address_of("rivers:3", tmp_path) == ("rivers", 3)
    assert address_of("rivers:last", tmp_path) == ("rivers:last", None)
    journal = StudyFolder(tmp_path / "rivers:3").journal
    journal.parent.mkdir()
    journal.touch()
    assert address_of("rivers:3", tmp_path) == ("rivers:3", None)


def test_a_trial_that_is_named_twice_counts_once(choose: Choose) -> None:
    with pytest.raises(
        StudyError, match=r"got only rivers:1; name another as rivers:NUMBER \(complete: 0, 3"
    ):
        choose("rivers", "rivers:1", "rivers")


def test_trials_that_do_not_exist_have_no_configuration_or_are_too_many_are_refused(choose: Choose) -> None:
    with pytest.raises(StudyError, match="no trial 99 in 'rivers'"):
        choose("rivers:0", "rivers:99")
    with pytest.raises(StudyError, match=r"got trial 2 of 'rivers' .*, which is failed: width must be even"):
        choose("rivers:0", "rivers:2")
    with pytest.raises(StudyError, match="at most 8 trials are compared, got 9"):
        choose("rivers", numbers=(0, 1, *range(3, 10)))
    with pytest.raises(StudyError, match="--trials names trials of one study, got rivers, rivers:1"):
        choose("rivers", "rivers:1", numbers=(0,))
