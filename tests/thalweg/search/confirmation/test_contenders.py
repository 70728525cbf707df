"""Who is trained again: the champion, the next distinct ones, and the baseline configuration."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from families.toy.config import PRESETS, Toy
from thalweg.errors import StudyError
from thalweg.search.confirmation.contenders import contenders, num_stopped
from thalweg.search.store.records import StudyRecord, TrialRecord

Make = Callable[..., Any]


@pytest.fixture
def make(make_trial: Callable[..., TrialRecord], make_record: Callable[..., StudyRecord]) -> Make:
    """Makes a study of toys from widths with their values; None is a trial that was stopped."""

    def make(*trials: tuple[int, float | None], first: tuple[dict[str, Any], ...] = ()) -> StudyRecord:
        made = []
        for number, (width, value) in enumerate(trials):
            config = Toy(width=width, seed=number).model_dump(mode="json")
            status = "complete" if value is not None else "pruned"
            params = {"width": width, "fusion": "ab"[width % 2]}
            made.append(
                make_trial(number, value, params=params, config=config, status=status, seconds=10.0 + number)
            )
        record = make_record(*made)
        study = {"first_trials": list(first), "num_trials": len(made)}
        return replace(record, definition={**record.definition, "study": study})

    return make


def names(record: StudyRecord, **how: Any) -> list[tuple[str, str]]:
    return [(one.name, one.role) for one in contenders(record, **how)]


def test_the_best_distinct_trials_run_beside_what_the_study_began_from(make: Make) -> None:
    record = make((4, 0.1), (8, 0.9), (8, 0.8), (9, 0.7), (10, 0.6), (11, 0.5), first=({"width": 4},))
    assert names(record) == [
        ("trial 1", "champion"),
        ("trial 3", "rival"),  # trial 2 differs from the champion in the seed alone
        ("trial 4", "rival"),
        ("trial 0", "baseline"),
    ]
    assert [one.value for one in contenders(record)] == [0.9, 0.7, 0.6, 0.1]


def test_a_first_trial_that_was_stopped_is_the_baseline_configuration_without_a_value(make: Make) -> None:
    record = make((4, None), (8, 0.9), (9, 0.7), first=({"width": 4},))
    assert names(record)[-1] == ("trial 0", "baseline")
    assert contenders(record)[-1].value is None
    assert num_stopped(record) == 1


def test_a_first_trial_is_found_though_its_numbers_are_spelt_otherwise(make: Make) -> None:
    """A trial holds 4.0 of a parameter that is a number, where its space says 4, and a tuple as a list."""
    record = make((4, 0.1), (8, 0.9), (9, 0.7), (10, 0.6), first=({"width": 4},))
    trials = tuple(
        replace(trial, params={"width": float(trial.params["width"]), "bands": ("red", "blue")})
        for trial in record.trials
    )
    assert names(replace(record, trials=trials))[-1] == ("trial 0", "baseline")
    first = {"first_trials": [{"width": 4, "bands": ["red", "blue"]}]}
    both = replace(record, trials=trials, definition={**record.definition, "study": first})
    assert names(both)[-1] == ("trial 0", "baseline")
    as_text = {"first_trials": [{"width": "4e0", "bands": ["red", "blue"]}]}
    spelt = replace(both, definition={**record.definition, "study": as_text})
    assert names(spelt)[-1] == ("trial 0", "baseline")


def test_without_first_trials_the_closest_preset_is_the_baseline_configuration(make: Make) -> None:
    found = contenders(make((5, 0.1), (6, 0.9), (7, 0.7), (9, 0.8)))[-1]
    name = found.name.removeprefix("preset ")
    assert found.role == "baseline" and name in PRESETS
    assert found.config["width"] == PRESETS[name].width
    assert Toy.model_validate(found.config).dataset == "waves"


def test_a_baseline_configuration_that_is_among_the_best_is_not_run_twice(make: Make) -> None:
    record = make((4, 0.9), (8, 0.8), (9, 0.7), (10, 0.6), first=({"width": 4},))
    assert names(record) == [("trial 0", "champion"), ("trial 1", "rival"), ("trial 2", "rival")]


def test_others_are_named_by_number_the_champion_first(make: Make) -> None:
    record = make((4, 0.1), (8, 0.9), (9, None))
    assert names(record, numbers=(0, 1)) == [("trial 0", "champion"), ("trial 1", "rival")]
    with pytest.raises(StudyError, match="not found worse, only stopped"):
        contenders(record, numbers=(1, 2))


def test_options_of_a_parameter_run_as_their_best_trials(make: Make) -> None:
    record = make((4, 0.1), (8, 0.9), (9, 0.7), (11, 0.8))
    found = contenders(record, by="fusion")
    assert [(one.name, one.role, one.label) for one in found] == [
        ("trial 1", "champion", "fusion=a"),
        ("trial 3", "rival", "fusion=b"),
    ]


def test_options_that_are_numbers_are_named_with_as_few_digits_as_tell_them_apart(
    make_trial: Callable[..., TrialRecord], make_record: Callable[..., StudyRecord]
) -> None:
    config = Toy().model_dump(mode="json")
    lrs = (0.3 - 0.27, 0.01, 0.0100001)
    trials = [make_trial(n, n / 10, params={"lr": lr}, config=config) for n, lr in enumerate(lrs)]
    found = contenders(make_record(*trials, mode="min"), by="lr")
    assert [one.label for one in found] == ["lr=0.03", "lr=0.01", "lr=0.0100001"]


def test_what_has_no_rival_or_too_many_is_refused(make: Make) -> None:
    with pytest.raises(StudyError, match="got none in 'rivers'"):
        contenders(make((4, None)))
    with pytest.raises(StudyError, match="must have a rival, got only trial 1"):
        contenders(make((4, 0.1), (8, 0.9)), numbers=(1,))
    with pytest.raises(StudyError, match="at most 8 configurations are confirmed, got 9"):
        contenders(make(*((4 + n, n / 10) for n in range(9))), numbers=range(9))


def bounded(record: StudyRecord, least: float) -> StudyRecord:
    """The same study, with a smallest skill_rain, of which trial N has N / 10."""
    trials = [replace(trial, metrics={"skill_rain": trial.number / 10}) for trial in record.trials]
    study = {**record.definition["study"], "at_least": {"skill_rain": least}}
    return replace(record, trials=tuple(trials), definition={**record.definition, "study": study})


def test_the_champion_and_its_rivals_keep_the_constraints(make: Make) -> None:
    record = make((4, 0.9), (8, 0.8), (9, 0.7), (10, 0.6), (11, 0.5), first=({"width": 4},))
    assert names(bounded(record, 0.3)) == [
        ("trial 3", "champion"),
        ("trial 4", "rival"),
        ("trial 0", "baseline"),
    ]
    assert names(bounded(record, 0.3), by="width")[0] == ("trial 3", "champion")
    assert names(bounded(record, 0.3), numbers=(4, 0)) == [("trial 4", "champion"), ("trial 0", "rival")]
    with pytest.raises(
        StudyError, match=r"got trial 0, which breaks skill_rain 0 \(at least 0.3\); name one of 3, 4"
    ):
        contenders(bounded(record, 0.3), numbers=(0, 4))
    with pytest.raises(StudyError, match="none of the others does; search more trials"):
        contenders(bounded(record, 0.9))
