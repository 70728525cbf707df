"""Options of a parameter: budgets, sizes, and values at equal ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from thalweg.analysis.side_by_side.compared_json import options_as_json
from thalweg.analysis.side_by_side.options_compared import OptionsCompared, compare_options
from thalweg.console.comparisons.options_view import sentences, show_options
from thalweg.errors import StudyError
from thalweg.search.store.records import StudyRecord, TrialRecord

Make = Callable[..., OptionsCompared]


@pytest.fixture
def options(
    make_trial: Callable[..., TrialRecord], make_record: Callable[..., StudyRecord], tmp_path: Path
) -> Make:
    """Compares fusions by their values, in the order of their trials; None is one that was stopped at 100 samples."""

    def options(*trials: tuple[str, float | None, float], mode: str = "max") -> OptionsCompared:
        made = []
        for number, (fusion, value, size) in enumerate(trials):
            more: dict[str, Any] = {"params": {"fusion": fusion}, "config": {"model": {"fusion": fusion}}}
            more["metrics"] = {"cost/num_parameters": size}
            if value is None:
                more |= {"status": "pruned", "samples": 100}
            made.append(make_trial(number, 0.99 if value is None else value, **more))
        return compare_options(make_record(*made, mode=mode), "fusion", tmp_path, None)

    return options


def _said(compared: OptionsCompared) -> str:
    return "\n".join(text for text, _ in sentences(compared))


def test_equal_budgets_and_sizes_are_said_to_be_equal(options: Make) -> None:
    found = options(("add", 0.5, 100), ("concat", 0.7, 100), ("add", 0.6, 100), ("concat", 0.4, 100))
    assert found.are_equally_many and found.have_equal_samples and found.have_equal_sizes
    assert [branch.option for branch in found.branches] == ["concat", "add"]
    assert found.at_equal_parameters == ()
    told = _said(found)
    assert "equal budget: 2 trials and about 1,600 samples in each branch" in told
    assert "equal numbers of parameters" in told and "unequal" not in told
    assert told.endswith(f"  {found.settled_by}") and "thalweg confirm rivers --by fusion" in told


def test_the_best_of_more_trials_is_not_called_better(options: Make) -> None:
    rare = [("concat", 0.65, 100.0), ("concat", 0.6, 100.0)]
    often = [("add", value, 100.0) for value in (0.5, 0.4, 0.7, 0.3, 0.5, 0.6)]
    found = options(*often, *rare)
    add = next(branch for branch in found.branches if branch.option == "add")
    assert found.branches[0].option == "concat" and add.best == 0.7 > 0.65
    assert found.num_trials == 2 and add.best_of_first(2) == 0.5
    assert add.expected_best(2) == pytest.approx((5 * 0.7 + 4 * 0.6 + 3 * 0.5 + 2 * 0.5 + 0.4) / 15)
    assert add.best_within(found.samples) == 0.5 and found.samples == 1600
    told = _said(found)
    assert "6 trials of 4,800 samples for add and 2 trials of 1,600 samples for concat" in told
    assert "`best` is unfair" in told


def test_stopped_trials_took_their_turn_and_are_never_the_best(options: Make) -> None:
    found = options(*[("add", value, 100.0) for value in (None, 0.5, None)], *[("b", 0.4, 100.0)] * 3)
    assert found.are_equally_many and not found.have_equal_samples
    add = next(branch for branch in found.branches if branch.option == "add")
    assert (add.samples, add.best, add.expected_best(3), add.best_of_first(1)) == (1000, 0.5, 0.5, None)
    assert "for trials were stopped: `best in 1,000` samples is fair" in _said(found)


def test_an_option_without_a_complete_trial_sets_no_budget(options: Make, page: Callable[..., Any]) -> None:
    found = options(("bad", None, 10), ("add", 0.5, 100), ("add", 0.6, 100), ("b", 0.4, 100), ("b", 0.3, 100))
    assert [branch.option for branch in found.branches] == ["add", "b", "bad"]
    assert found.num_trials == 2 and found.samples == 1600 and found.branches[-1].expected_best(2) is None
    console, text = page(100)
    show_options(found, console)
    assert "stopped" in text.getvalue() and "equal budget: 2 trials" in text.getvalue()


def test_unequal_sizes_are_told_with_what_is_left_at_equal_ones(options: Make) -> None:
    sizes = (100.0, 200.0, 300.0, 400.0, 500.0)
    trials = [
        (name, 0.1 + size / 1e4 + gain, size) for name, gain in (("a", 0.0), ("b", 0.2)) for size in sizes
    ]
    found = options(*trials, ("c", 0.9, 5000.0), ("c", 0.8, 5000.0))
    assert not found.have_equal_sizes and found.branches[0].option == "c"
    told = _said(found)
    assert "unequal numbers of parameters" in told
    assert found.reference == "b" and "beside b:" in told  # c is best, and shares its size with none
    assert "c: cannot be told, no number of parameters is that of both" in told
    assert "a: worse, better by -0.2000" in told
    two = options(*trials)
    assert two.branches[0].option == "b"
    [beside] = two.at_equal_parameters
    assert beside.is_shown and beside.better_by == pytest.approx(-0.2)
    assert "a: worse, better by -0.2000" in _said(two)
    assert options(*trials, mode="min").branches[0].option == "a"


def test_it_is_written_for_programs(options: Make) -> None:
    found = options(("add", 0.5, 100), ("add", 0.8, 200), ("concat", 0.7, 100))
    written = options_as_json(found)
    assert written["equal_budget"]["num_trials"] == 1
    by_name = {each["option"]: each for each in written["options"]}
    assert by_name["add"]["expected_best"] == pytest.approx(0.65) and by_name["add"]["best"] == 0.8
    assert written["settled_by"].startswith("thalweg confirm rivers --by fusion")


def test_one_option_or_too_many_are_refused(options: Make) -> None:
    with pytest.raises(StudyError, match="two options or more are compared, got only add of fusion"):
        options(("add", 0.5, 1), ("add", 0.6, 1))
    with pytest.raises(StudyError, match=r"at most 12 options are compared, got 13 .* --importance"):
        options(*[(f"f{number}", 0.5, 1.0) for number in range(13)])
