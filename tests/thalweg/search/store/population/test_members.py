"""Members of populations, read from trials: who follows whom, and what all have reached."""

from optuna.trial import FrozenTrial, TrialState

from tests.thalweg.search.store.population.test_exploitation import trial
from thalweg.search.store.population.members import (
    completed,
    mark_behind,
    members_of,
    populations,
    reached,
)
from thalweg.search.store.records import CONTINUES, OUTCOME, PARENT, PARENT_SAMPLES, REPLACES

MARKS = (100, 200)
CUT = {OUTCOME: {"interrupted": True}}
FAIL, WAITING, PRUNED = TrialState.FAIL, TrialState.WAITING, TrialState.PRUNED


def places(trials: list[FrozenTrial]) -> list[list[int]]:
    return [[each.number for each in member.trials] for member in members_of(trials)]


def test_trials_that_follow_one_another_are_one_member() -> None:
    heir = {PARENT: 0, PARENT_SAMPLES: 100, REPLACES: 1}
    trials = [
        trial(0, {100: 0.1}),
        trial(1, {100: 0.9}, PRUNED),
        trial(2, {}, WAITING, heir),
        trial(3, {100: 0.1, 200: 0.1}, FAIL, CUT),
        trial(4, {100: 0.1, 200: 0.1}, WAITING, {CONTINUES: 3}),
        trial(5, {200: 0.3}, FAIL, heir | CUT),
    ]
    assert places(trials) == [[0], [1, 2, 5], [3, 4]]
    assert [reached(member.current) for member in members_of(trials)] == [100, 200, 200]
    assert [member.value_at(100) for member in members_of(trials)] == [0.1, 0.9, 0.1]


def test_trials_that_wait_to_begin_and_those_of_a_study_that_was_defined_anew_are_no_members() -> None:
    trials = [trial(0, {}, FAIL, CUT), trial(1, {}, WAITING), trial(2, {}), trial(3, {}, FAIL)]
    assert places(trials) == [[2], [3]]
    assert [len(each) for each in populations(trials, 1)] == [1, 1]


def test_a_mark_is_complete_once_all_have_arrived_or_failed_on_their_way_there() -> None:
    def at(*trials: FrozenTrial, size: int = 2) -> int:
        return completed(members_of(trials), size, MARKS)

    assert at(trial(0, {100: 1.0})) == 0
    assert at(trial(0, {100: 1.0}), trial(1, {})) == 0
    assert at(trial(0, {100: 1.0}), trial(1, {100: 2.0})) == 100
    assert at(trial(0, {100: 1.0, 200: 1.0}), trial(1, {100: 2.0})) == 100
    assert at(trial(0, {100: 1.0}), trial(1, {50: 2.0}, FAIL)) == 100
    assert at(trial(0, {100: 1.0, 200: 1.0}), trial(1, {50: 2.0}, FAIL)) == 100
    assert at(trial(0, {100: 1.0, 200: 1.0}), trial(1, {100: 2.0}, FAIL)) == 200
    assert (
        at(
            trial(0, {100: 1.0}),
            trial(1, {50: 2.0}, FAIL, CUT),
            trial(2, {50: 2.0}, WAITING, {CONTINUES: 1}),
        )
        == 0
    )


def test_an_heir_that_fails_at_once_has_failed_on_its_way_to_the_next_mark() -> None:
    heir = {PARENT: 0, PARENT_SAMPLES: 100, REPLACES: 1}
    trials = [trial(0, {100: 1.0, 200: 1.0}), trial(1, {100: 2.0}, PRUNED), trial(2, {}, FAIL, heir)]
    assert completed(members_of(trials), 2, MARKS) == 200
    assert members_of(trials)[1].value_at(200) is None
    assert members_of(trials)[1].is_dead


def test_the_mark_behind_some_samples() -> None:
    assert [mark_behind(samples, MARKS) for samples in (0, 99, 100, 199, 200, 999)] == [
        0,
        0,
        100,
        100,
        200,
        200,
    ]
