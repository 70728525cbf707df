"""The live view and the plain one, drawn on consoles of known size."""

import os
import re
import time
from collections.abc import Callable, Iterable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from thalweg.analysis.progress import Standing
from thalweg.console.frame import Frame
from thalweg.console.live import QUIET_S, LiveView, PlainView, make_view
from thalweg.console.notices import whereabouts
from thalweg.events import (
    BaselineEvaluated,
    Event,
    Notice,
    StudyEnded,
    StudyStarted,
    TrialEnded,
    TrialProgress,
    TrialStarted,
)
from thalweg.lanes import stages
from thalweg.study_folder import StudyFolder

Page = Callable[..., tuple[Console, StringIO]]
Started = Callable[..., StudyStarted]

PARAMS = {"image_mask_ratio": 0.75, "lr": 0.00125, "fusion": "attention"}


def course(started: StudyStarted, num_running: int = 1) -> list[Event]:
    """A study in which trial 0 is complete, 1 pruned, 2 failed, and others run."""
    events: list[Event] = [started, BaselineEvaluated(name="climatology", metrics={"skill": 0.25})]
    for number, status, reason in ((0, "complete", ""), (1, "pruned", ""), (2, "failed", "[loss] is nan")):
        events.append(TrialStarted(number=number, params=PARAMS, config={}))
        events.append(
            TrialProgress(number=number, samples=100, value=0.5, metrics={}, timings={"train_s": 1.0})
        )
        events.append(
            TrialEnded(number=number, status=status, value=0.75, samples=800, seconds=61, reason=reason)  # type: ignore[arg-type]
        )
    for number in range(3, 3 + num_running):
        events.append(TrialStarted(number=number, params=PARAMS, config={}))
        for samples in (100, 200):
            events.append(
                TrialProgress(
                    number=number, samples=samples, value=samples / 1e3, metrics={}, timings={"train_s": 1.0}
                )
            )
    return events


def drawn(events: Iterable[Event], console: Console, text: StringIO) -> list[str]:
    standing = Standing()
    for event in events:
        standing.observe(event)
    lines = [(1.0, Text("trial 0 complete: skill 0.7500"))]
    console.print(Frame(standing, lines).render(console.options))
    return text.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_frame_fits_its_terminal(page: Page, started: Started, width: int) -> None:
    console, text = page(width)
    lines = drawn(course(started(), num_running=2), console, text)
    assert max(map(len, lines)) == width
    assert len(lines) < 30


def test_a_frame_shows_counts_best_trial_and_baseline(page: Page, started: Started) -> None:
    picture = "\n".join(drawn(course(started()), *page()))
    assert "1 running   1 complete   1 pruned   1 failed   6 to come" in picture
    assert "best  0.7500  trial 0  (+ better than climatology 0.2500)" in picture
    assert "lr=0.00125" in picture
    assert "climatology 0.2500" in picture
    assert "32%" in picture  # three trials, and a quarter of the fourth, of ten


def test_a_frame_counts_what_was_interrupted_among_what_is_to_come(page: Page, started: Started) -> None:
    stopped = TrialEnded(
        number=3,
        status="failed",
        value=0.1,
        samples=200,
        seconds=9,
        reason="interrupted: the search was stopped",
    )
    picture = "\n".join(drawn([*course(started()), stopped], *page()))
    assert "0 running   1 complete   1 pruned   1 failed   1 interrupted   7 to come" in picture


def test_a_frame_shows_what_the_next_trials_are_expected_to_bring(page: Page, started: Started) -> None:
    ends = [
        TrialEnded(number=number, status="complete", value=number / 7, samples=800, seconds=9)
        for number in range(8)
    ]
    begun = [TrialStarted(number=number, params=PARAMS, config={}) for number in range(8)]
    events: list[Event] = [started(definition={"lookahead": 3}), *begun, *ends]
    picture = "\n".join(drawn(events, *page()))
    assert "next 3 trials: expected improvement 0." in picture
    standing = Standing()
    for event in events:
        standing.observe(event)
    assert "; next 3 trials: expected improvement 0." in whereabouts(standing)


def test_a_wide_frame_shows_what_the_running_trials_try(page: Page, started: Started) -> None:
    narrow = "\n".join(drawn(course(started()), *page(80)))
    wide = "\n".join(drawn(course(started()), *page(130)))
    assert ("parameters" in narrow, "parameters" in wide) == (False, True)


def test_a_hundred_lanes_leave_room_for_the_rest(page: Page, started: Started) -> None:
    lines = drawn(course(started(num_trials=200, num_lanes=100), num_running=100), *page())
    assert len(lines) <= 40
    assert any("and 82 more" in line for line in lines)


def test_a_terminal_without_unicode_gets_ascii(page: Page, started: Started) -> None:
    text = StringIO()
    console = Console(file=text, width=80)
    standing = Standing()
    for event in course(started()):
        standing.observe(event)
    options = console.options.copy()
    options.encoding = "ascii"
    segments = console.render(Frame(standing, []).render(options), options)
    assert "".join(segment.text for segment in segments).isascii()


def test_before_the_first_evaluation_a_frame_says_what_is_being_waited_for(
    page: Page, started: Started
) -> None:
    assert "starting Ray" in "\n".join(drawn([], *page()))
    events: list[Event] = [started(), TrialStarted(number=0, params=PARAMS, config={})]
    assert "starting 2 lanes" in "\n".join(drawn(events, *page()))


def test_a_frame_says_second_by_second_what_the_lanes_that_start_are_doing(
    page: Page, started: Started, tmp_path: Path
) -> None:
    standing = Standing(clock=iter((0.0, *[100.0] * 50)).__next__)
    standing.observe(started(directory=str(tmp_path)))
    for name, stage, seconds in (
        ("a", "importing torch", 12),
        ("b", "starting its workers", 3),
        ("c", "late", 990),
    ):
        file = stages.stage_file(StudyFolder(tmp_path).lanes, name)
        stages.begin(file, stage)
        os.utime(file, (time.time() - seconds, time.time() - seconds))
    console, text = page(width=200)
    console.print(Frame(standing, []).render(console.options))
    found = re.search(
        r"starting 2 lanes.*: 1 importing torch (1\d) s, 1 starting its workers (\d) s", text.getvalue()
    )
    assert found, text.getvalue()
    assert "late" not in text.getvalue()  # of a lane of an earlier session
    stages.end(stages.stage_file(StudyFolder(tmp_path).lanes, "a"))
    console.print(Frame(standing, []).render(console.options))
    assert re.search(r": starting its workers \d s", text.getvalue())


def test_plain_lines_carry_no_control_characters(page: Page, started: Started) -> None:
    console, text = page(force_terminal=True)
    view = PlainView(console)
    for event in course(started()):
        view.handle(event)
    assert "\x1b" not in text.getvalue()
    assert "\r" not in text.getvalue()


def test_plain_tells_ends_best_and_notices_but_no_progress(page: Page, started: Started) -> None:
    console, text = page()
    view = PlainView(console)
    for event in [*course(started()), Notice(text="trial 3 is tried again"), StudyEnded(end="finished")]:
        view.handle(event)
    said = [line.partition("] ")[2] for line in text.getvalue().splitlines()]
    assert said == [
        "study rivers: 10 trials of at most 800 samples, skill (max)",
        "starting 2 lanes of 1 worker, once for all trials: a minute or, on a busy machine, a few",
        "baseline climatology: skill 0.2500",
        "trial 0 complete: skill 0.7500 after 800 samples, 1:01  new best (+ better than climatology 0.2500)",
        "trial 1 pruned: skill 0.7500 after 800 samples, 1:01",
        "trial 2 failed after 800 samples: [loss] is nan",
        "trial 3 is tried again",
        "finished",
    ]


def test_plain_says_how_far_the_search_is_once_it_was_silent_for_long(page: Page, started: Started) -> None:
    console, text = page(40)
    now = [0.0]
    view = PlainView(console, clock=lambda: now[0])
    for event in course(started(), num_running=5):
        view.handle(event)
    told = len(text.getvalue().splitlines())
    for now[0], samples in ((QUIET_S - 1, 300), (QUIET_S, 400), (2 * QUIET_S - 1, 500), (2 * QUIET_S, 600)):
        view.handle(TrialProgress(number=3, samples=samples, value=0.3, metrics={}, timings={"train_s": 1.0}))
    lines = text.getvalue().splitlines()[told:]
    others = "; ".join(f"trial {number} at 200 samples, skill 0.2000" for number in (4, 5, 6))
    assert [line.partition("left; ")[2] for line in lines] == [
        f"trial 3 at {samples} samples, skill 0.3000; {others}; 1 more run" for samples in (400, 600)
    ]
    assert lines[0].startswith("[   2:00] 45% done; about ")


def test_a_baseline_that_lacks_the_objective_has_a_dash(page: Page, started: Started) -> None:
    console, text = page()
    view = PlainView(console)
    for event in (started(), BaselineEvaluated(name="forecast_ridge", metrics={"forecast_skill": 0.25})):
        view.handle(event)
    assert text.getvalue().endswith("baseline forecast_ridge: skill -\n")


def test_plain_says_which_trial_goes_on(page: Page, started: Started) -> None:
    console, text = page()
    PlainView(console).handle(TrialStarted(number=4, params=PARAMS, config={}, tags={"continues": "1"}))
    assert text.getvalue().endswith("trial 4 continues trial 1, which was interrupted\n")


def test_a_long_plain_line_stays_one_line(page: Page) -> None:
    console, text = page(40)
    PlainView(console).handle(Notice(text="word " * 40))
    assert len(text.getvalue().splitlines()) == 1


def test_the_live_view_leaves_only_what_was_said_after_the_end(page: Page, started: Started) -> None:
    console, text = page(force_terminal=True)
    view = LiveView(console)
    try:
        for event in [*course(started()), StudyEnded(end="finished"), Notice(text="MLflow has not answered")]:
            view.handle(event)
    finally:
        view.close()
    left = text.getvalue().rpartition("\x1b[2K")[2]
    assert "MLflow has not answered" in left
    assert "trial" not in left
    assert "\x1b[?25h" in text.getvalue()  # the cursor is back


@pytest.mark.parametrize(
    ("terminal", "plain", "kind"),
    [(True, False, LiveView), (True, True, PlainView), (False, False, PlainView)],
)
def test_the_live_view_needs_a_terminal(page: Page, terminal: bool, plain: bool, kind: type) -> None:
    console, _ = page(force_terminal=terminal)
    view = make_view(console, plain=plain)
    view.close()
    assert isinstance(view, kind)


def test_runs_of_a_confirmation_are_named_by_configuration_and_none_is_the_best(
    started: Started, page: Page
) -> None:
    console, text = page(120)
    view, search = PlainView(console), Standing()
    view.handle(started(tags={"confirms": "rivers"}))
    search.observe(started())
    for number in range(12):
        params = {"configuration": "trial 2", "seed": 81 + number}
        events: list[Event] = [
            TrialStarted(number=number, params=params, config={}),
            TrialEnded(number=number, status="complete", value=0.5 + number, samples=800, seconds=61),
        ]
        for event in events:
            view.handle(event)
            search.observe(event)
    told = text.getvalue()
    assert "run 0 (trial 2, seed 81) complete: skill 0.5000" in told and "run 1 (trial 2, seed 82)" in told
    assert "new best" not in told and view.standing.best is None
    assert view.standing.outlook() is None and search.outlook() is not None
