"""The leaderboard at the end of a search."""

from collections.abc import Callable
from io import StringIO

import pytest
from rich.console import Console

from thalweg.analysis.leaderboard import Leaderboard
from thalweg.console.board import guide, reasons, show
from thalweg.contract import Metric
from thalweg.search.store.records import StudyRecord, TrialRecord

Page = Callable[..., tuple[Console, StringIO]]
Record = Callable[..., StudyRecord]
Make = Callable[..., TrialRecord]

METRICS = tuple(
    Metric(name=name, mode=mode, unit="1", search_invariant=invariant, meaning="")  # type: ignore[arg-type]
    for name, mode, invariant in [
        ("skill", "max", True),
        ("skill_rain", "max", True),
        ("mse", "min", True),
        ("loss", "max", False),
    ]
)
BASELINES = {
    "untrained": {"skill": -0.3, "skill_rain": -0.4},
    "climatology": {"skill": 0.2, "skill_rain": 0.1},
}


def rows(board: Leaderboard, console: Console, text: StringIO) -> dict[str, list[str]]:
    show(board, console)
    cells = [line.split() for line in text.getvalue().splitlines() if line.strip()]
    return {line[0]: line[1:] for line in cells}


def test_the_best_baseline_of_each_metric_stands_beside_the_trials(
    page: Page, make_record: Record, make_trial: Make
) -> None:
    baselines = BASELINES | {"ridge": {"skill": 0.1, "skill_rain": 0.3, "mse": 0.4}}
    trials = [
        make_trial(0, 0.5, metrics={"skill": 0.5, "skill_rain": 0.25, "mse": 0.3}),
        make_trial(1, 0.2, metrics={"skill": 0.2, "skill_rain": 0.35, "mse": 0.5}),
    ]
    board = Leaderboard(record=make_record(*trials), baselines=baselines, metrics=METRICS)
    console, text = page()
    found = rows(board, console, text)
    assert found["trial"] == ["0", "trial", "1", "best", "baseline"]
    assert found["skill"] == ["0.5000", "+", "0.2000", "=", "0.2000", "climatology"]
    assert found["skill_rain"] == ["0.2500", "-", "0.3500", "+", "0.3000", "ridge"]
    assert found["mse"] == ["0.3000", "+", "0.5000", "-", "0.4000", "ridge"]  # smaller is better
    assert "+ better and - worse than the best baseline by that metric" in text.getvalue()
    assert "baselines by skill: climatology 0.2000, ridge 0.1000, untrained -0.3000" in text.getvalue()


def test_names_and_values_in_brackets_stand_as_they_are(
    page: Page, make_record: Record, make_trial: Make
) -> None:
    """Rich takes ``[max]`` for a style and leaves it out."""
    params = {"lr [max]": 0.5, "lr (max)": 0.25, "[bold]width[/]": "[dim]"}
    board = Leaderboard(
        record=make_record(make_trial(0, params=params)),
        baselines={"ridge [l2]": {"skill": 0.1}},
        metrics=METRICS,
    )
    console, text = page()
    show(board, console)
    assert all(name in text.getvalue() for name in (*params, "[dim]", "ridge [l2]"))


def test_the_best_baseline_follows_the_direction_of_the_objective(
    page: Page, make_record: Record, make_trial: Make
) -> None:
    record = make_record(make_trial(0, 0.1), make_trial(1, 0.9), mode="min")
    found = rows(Leaderboard(record=record, baselines=BASELINES, metrics=()), *page())
    assert found["skill"] == ["0.1000", "-", "0.9000", "-", "-0.3000", "untrained"]


@pytest.mark.parametrize("width", [80, 120])
def test_marks_stand_in_columns_without_colour(
    page: Page, make_record: Record, make_trial: Make, width: int
) -> None:
    console, text = page(width)
    baselines = {"interpolation": {"skill": 0.45, "skill_rain": 0.9}}
    record = make_record(*(make_trial(number, number / 10) for number in range(9)))
    show(Leaderboard(record=record, baselines=baselines, metrics=METRICS), console)
    skill, rain = (line for line in text.getvalue().splitlines() if line.rstrip().endswith("interpolation"))
    assert [place for place, letter in enumerate(skill) if letter in "+-"] == [
        place for place, letter in enumerate(rain) if letter in "+-"
    ]
    assert "\x1b" not in text.getvalue()
    (head,) = (line for line in text.getvalue().splitlines() if "best baseline" in line and "trial" in line)
    assert rain.count("-") == head.count("trial ") >= 3
    assert max(map(len, text.getvalue().splitlines())) <= width


def test_groups_stand_above_the_baselines(page: Page, make_record: Record, make_trial: Make) -> None:
    console, text = page()
    board = Leaderboard(record=make_record(make_trial(0, 0.1)), baselines=BASELINES, metrics=METRICS)
    show(board, console, by=("fusion",))
    assert "no trial beats climatology" in text.getvalue()


def test_metrics_without_a_value_or_a_fixed_meaning_are_left_out(
    page: Page, make_record: Record, make_trial: Make
) -> None:
    board = Leaderboard(record=make_record(make_trial(0)), baselines={}, metrics=METRICS)
    assert not {"mse", "loss"} & set(rows(board, *page()))


def test_metrics_of_the_other_direction_come_last(page: Page, make_record: Record, make_trial: Make) -> None:
    trial = make_trial(0, 0.5, metrics={"mse": 0.75, "skill": 0.5, "skill_rain": 0.25})
    board = Leaderboard(record=make_record(trial), baselines={}, metrics=METRICS[::-1])
    assert [name for name in rows(board, *page()) if name in ("skill", "skill_rain", "mse")] == [
        "skill",
        "skill_rain",
        "mse",
    ]


def test_what_a_trial_takes_is_shown(page: Page, make_record: Record, make_trial: Make) -> None:
    costs = {"cost/num_parameters": 12345.0, "cost/epoch_s": 1.234, "cost/peak_memory_mib": 56.7}
    found = rows(Leaderboard(record=make_record(make_trial(0, metrics=costs)), baselines={}), *page())
    assert (found["parameters"], found["s/epoch"], found["MiB"]) == (["12,345"], ["1.23"], ["57"])


def test_a_parameter_that_only_some_trials_have_is_shown_for_those(
    page: Page, make_record: Record, make_trial: Make
) -> None:
    record = make_record(
        make_trial(0, 0.9, params={"lr": 0.1}), make_trial(1, 0.8, params={"lr": 0.2, "bend": 2})
    )
    found = rows(Leaderboard(record=record, baselines={}), *page())
    assert (found["lr"], found["bend"]) == (["0.1", "0.2"], ["-", "2"])


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_board_fits_its_terminal(page: Page, make_record: Record, make_trial: Make, width: int) -> None:
    record = make_record(*(make_trial(number, number / 100) for number in range(30)))
    console, text = page(width)
    show(Leaderboard(record=record, baselines=BASELINES, metrics=METRICS), console)
    assert max(map(len, text.getvalue().splitlines())) <= width
    assert "..." not in text.getvalue() and "\u2026" not in text.getvalue()


@pytest.mark.parametrize(
    ("count", "width", "told"),
    [
        (3, 200, ""),
        (5, 60, "of 5 complete trials; a wider terminal or `thalweg ui` shows more"),
        (9, 400, "the best 8 of 9 complete trials; `thalweg ui` shows more"),
    ],
)
def test_complete_trials_without_a_column_are_counted(
    count: int, width: int, told: str, page: Page, make_record: Record, make_trial: Make
) -> None:
    console, text = page(width)
    record = make_record(*(make_trial(number, number / 10) for number in range(count)))
    show(Leaderboard(record=record, baselines=BASELINES, metrics=METRICS), console)
    found = " ".join(text.getvalue().split())
    assert told in found and ("complete trials; " in found) == bool(told)


def test_many_baselines_take_no_room_from_trials(page: Page, make_record: Record, make_trial: Make) -> None:
    record = make_record(*(make_trial(number, 0.5 - number / 10) for number in range(4)))
    baselines = {f"baseline-{number}": {"skill": number / 10} for number in range(8)}
    board = Leaderboard(record=record, baselines=baselines, metrics=METRICS)
    console, text = page(80)
    show(board, console)
    words = " ".join(text.getvalue().split())
    assert "trial 0 trial 1 trial 2 trial 3 best baseline" in words
    ordered = ", ".join(f"baseline-{number} {number / 10:.4f}" for number in range(7, -1, -1))
    assert (
        f"baselines by skill: {ordered} no trial beats baseline-7, baseline-6, baseline-5 4 trials" in words
    )


def test_the_sum_counts_ends_and_what_early_stopping_saved(
    page: Page, make_record: Record, make_trial: Make
) -> None:
    trials = [
        make_trial(0),
        make_trial(1, status="pruned", samples=200),
        make_trial(2, status="failed", samples=0, reason="broken", ended_as="infeasible"),
        make_trial(3, status="failed", interrupted=True),
    ]
    console, text = page(100)
    show(Leaderboard(record=make_record(*trials), baselines={}), console)
    # 1000 of the 1600 samples of the two trials that could have been trained whole
    sums = "3 trials: 1 complete, 1 pruned, 1 failed (1 infeasible); early stopping saved 38% of samples"
    assert sums in text.getvalue()


def test_the_sum_says_how_well_rungs_tell_the_end_and_warns_if_they_mislead(
    page: Page, make_record: Record, make_trial: Make
) -> None:
    pruned = make_trial(9, 0.1, status="pruned", samples=100, curve=((100, 0.1),))

    def shown(*early: float) -> str:
        trials = [
            make_trial(number, number / 10, curve=((100, value), (800, number / 10)))
            for number, value in enumerate(early)
        ]
        console, text = page(100)
        show(Leaderboard(record=make_record(*trials, pruned), baselines={}), console)
        return text.getvalue()

    assert "rank correlation of rungs with the end: 1.00 at 100 samples" in shown(0.1, 0.2, 0.3)
    assert "may have ended good trials" not in shown(0.1, 0.2, 0.3)
    assert "rank correlation of rungs with the end: -1.00 at 100 samples" in shown(0.3, 0.2, 0.1)
    assert 'early stopping may have ended good trials; try scheduler="none"' in shown(0.3, 0.2, 0.1)
    assert "rank correlation" not in shown(0.3, 0.2)


def test_reasons_that_differ_in_numbers_only_are_one(make_trial: Make) -> None:
    texts = ["loss must be finite, got nan after 128 samples", "out of memory"]
    trials = [
        make_trial(0, status="failed", reason=texts[1], ended_as="out_of_memory"),
        make_trial(1, status="failed", reason=texts[0]),
        make_trial(2, status="failed", reason=texts[0].replace("128", "4096")),
        make_trial(3),
    ]
    assert reasons(trials) == [
        f"2 trials failed (1, 2): {texts[0]}",
        f"1 trial failed (0) as out_of_memory: {texts[1]}",
    ]


def test_a_study_without_an_ended_trial_says_so(page: Page, make_record: Record) -> None:
    console, text = page()
    show(Leaderboard(record=make_record(), baselines={}), console)
    assert "no trial has ended yet" in text.getvalue()


def test_interrupted_trials_are_counted_and_named_until_they_go_on(
    page: Page, make_record: Record, make_trial: Make
) -> None:
    trials = [
        make_trial(0),
        make_trial(1, status="failed", interrupted=True, samples=512, reason="interrupted: Ctrl-C"),
        make_trial(2, None, status="failed", interrupted=True, samples=0, reason="interrupted: Ctrl-C"),
        make_trial(3, status="failed", interrupted=True, samples=256),  # goes on as trial 6
        make_trial(4, status="waiting", continues=1),
        make_trial(5, status="waiting", continues=2),
        make_trial(6, status="running", continues=3),
    ]
    console, text = page(160)
    show(Leaderboard(record=make_record(*trials), baselines={}), console)
    told = "2 trials interrupted (1 after 512 samples, 2 after 0 samples): the same `thalweg search` goes on with"
    assert "1 trial: 1 complete, 0 pruned, 0 failed" in text.getvalue()
    assert f"{told} them\n" in text.getvalue()

    console, text = page(160)
    show(Leaderboard(record=make_record(*trials[1:2], trials[4]), baselines={}), console)
    assert text.getvalue().endswith(
        "no trial has ended yet\n"
        "1 trial interrupted (1 after 512 samples): the same `thalweg search` goes on with it\n"
    )


def test_many_interrupted_trials_are_counted_and_the_first_named(
    page: Page, make_record: Record, make_trial: Make
) -> None:
    trials = [make_trial(number, status="failed", interrupted=True) for number in range(10)]
    waiting = [make_trial(10 + number, status="waiting", continues=number) for number in range(10)]
    console, text = page(400)
    show(Leaderboard(record=make_record(*trials, *waiting), baselines={}), console)
    assert "10 trials interrupted (0 after 800 samples, " in text.getvalue()
    assert ", 7 after 800 samples, ...): the same" in text.getvalue()


def test_a_study_of_failures_shows_why(page: Page, make_record: Record, make_trial: Make) -> None:
    console, text = page()
    record = make_record(make_trial(0, None, status="failed", reason="the lane died", samples=0))
    show(Leaderboard(record=record, baselines={}), console)
    assert "1 trial failed (0): the lane died" in text.getvalue()


def test_a_long_path_stays_on_one_line_to_be_copied(page: Page) -> None:
    console, text = page(40)
    path = "thalweg_runs/" + "a" * 80
    guide(
        {"study folder": path}, {"carry on": "thalweg search rivers --trials 20 --output elsewhere"}, console
    )
    lines = text.getvalue().splitlines()
    assert any(line.endswith(path) for line in lines)
    assert lines[-1].endswith("thalweg search rivers --trials 20 --output elsewhere")
