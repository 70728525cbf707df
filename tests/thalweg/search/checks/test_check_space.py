"""The verdicts of a space as a whole: their order, what is not reached, and what is wrong with data and objective."""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from families.knots.config import PRESETS, Knots
from families.knots.task import Error, Forgiving, KnotsTask
from thalweg.contract import Batch
from thalweg.errors import SpaceError
from thalweg.search.checks import check_space, comparability
from thalweg.search.checks.baseline_values import judge_baselines
from thalweg.search.checks.check_space import Checked, check_before_search, check_beside, judgements
from thalweg.search.checks.comparability import FrozenScorer, judge_comparability
from thalweg.search.checks.draws import Draw
from thalweg.search.checks.examined import Examined
from thalweg.search.checks.judgement import Deadline, Judgement
from thalweg.study import Trial

Examine = Callable[..., Examined]


def only_lr(trial: Trial) -> Knots:
    """A space of one knob."""
    return PRESETS["tiny"].vary(optimization={"lr": trial.suggest_float("lr", 1e-3, 1e-2)})


def found(examined: Examined) -> dict[str, Judgement]:
    return {judgement.check: judgement for judgement in judgements(examined)}


@pytest.mark.slow
def test_a_sound_space_passes_every_check(examine: Examine) -> None:
    verdicts = found(examine(only_lr))
    assert {name: each.mark for name, each in verdicts.items()} == dict.fromkeys(
        ("valid", "start", "data", "baselines", "dead knobs", "comparable", "splits", "cost"), "passed"
    )
    assert verdicts["data"].told == "rope, 96 train, 24 val, 10 test samples, fingerprint rope-1"
    assert all(each.as_json()["verdict"] == "passed" for each in verdicts.values())


def test_what_a_search_would_refuse_fails_and_the_rest_is_not_reached(examine: Examine) -> None:
    verdicts = found(examine(only_lr, metric="rmse"))
    assert "a study's metric must be measured" in verdicts["start"].faults[0]
    marks = [each.mark for each in verdicts.values()]
    assert marks == ["passed", "failed", *["not reached"] * 6]


def test_data_that_cannot_be_read_fail(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(*_: Any) -> Batch:
        raise OSError("the disk has a hole")

    monkeypatch.setattr(KnotsTask, "evaluation_batch", unreadable)
    verdicts = found(examine(only_lr))
    assert "OSError: the disk has a hole" in verdicts["data"].faults[0]
    assert verdicts["cost"].mark == "not reached"


@pytest.mark.parametrize(("prepared_s", "left"), [(10.0, 44.0), (50.0, 20.0)])
def test_preparation_counts_as_time_and_leaves_a_third_of_it(
    prepared_s: float, left: float, examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    given = []

    def start(examined: Examined, deadline: Deadline) -> Judgement:
        nonlocal now
        now += prepared_s
        return Judgement(check="start")

    def after(examined: Examined, deadline: Deadline) -> Judgement:
        given.append(deadline.left)
        return Judgement(check="dead knobs")

    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr(
        check_space, "_CHECKS", {"start": (start, 1.0, ""), "dead knobs": (after, 1.0, "start")}
    )
    assert len(list(judgements(examine(only_lr), 60.0))) == 2
    assert given == [pytest.approx(left)]


@pytest.mark.slow
def test_a_metric_that_cannot_tell_models_apart_is_a_warning(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Error, "summarize", lambda measure, state: {"mse": 0.25})
    (warning,) = found(examine(only_lr))["baselines"].warnings
    assert warning.startswith("mse cannot tell trials apart: 3 models with other random weights score 0.25;")


@pytest.mark.slow
def test_models_that_all_begin_by_predicting_nothing_are_no_sign_of_it(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A diffusion begins so, whose last layer is 0 at first: with other weights its models differ."""
    build = KnotsTask.build

    def silent(task: KnotsTask, facts: Any) -> nn.Module:
        model = build(task, facts)
        for weight in model.parameters():
            nn.init.zeros_(weight)
        return model

    monkeypatch.setattr(KnotsTask, "build", silent)
    assert judge_baselines(examine(only_lr), Deadline(600)).warnings == ()


@pytest.mark.parametrize("check", [judge_baselines, judge_comparability])
def test_a_model_that_is_too_slow_is_not_scored(
    examine: Examine, check: Callable[[Examined, Deadline], Judgement]
) -> None:
    """A deadline is looked at between evaluations, each of which would take minutes."""
    slow = examine(only_lr)
    vars(slow).update(seconds_of_sample=5.0, seconds_of_another=4.0)
    (skipped,) = check(slow, Deadline(100)).skipped
    assert skipped.startswith("for time: a sample takes 5.0 s here, and ")
    vars(slow).update(seconds_of_another=0.1)
    assert slow.too_slow(32, 100) == ""


def test_a_sample_takes_time_and_a_quick_one_is_timed_once_it_is_warm(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict, now = KnotsTask.predict, [0.0]
    lasting = iter([0.5, 0.25, 0.125])

    def predicted(task: KnotsTask, *given: Any) -> Any:
        now[0] += next(lasting)
        return predict(task, *given)

    monkeypatch.setattr(KnotsTask, "predict", predicted)
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    assert examine(only_lr).seconds_of_sample == 0.125
    lasting = iter([3.0, 5.0])
    slow = examine(only_lr)
    assert (slow.seconds_of_sample, slow.seconds_of_another) == (3.0, 2.0)


class Oracle(nn.Module):
    """Reads the answer."""

    def forward(self, batch: Batch) -> Tensor:
        """The target."""
        return batch["target"]


@pytest.mark.slow
def test_a_baseline_that_is_perfect_is_a_warning(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    baselines: Mapping[str, nn.Module] = {"oracle": Oracle()}
    monkeypatch.setattr(KnotsTask, "baselines", lambda task, data: baselines)
    verdict = found(examine(only_lr))["baselines"]
    assert verdict.warnings[0].startswith("the baseline oracle scores 0 in mse, which leaves no room")
    assert verdict.told.endswith("oracle 0")


def test_a_study_to_start_from_that_is_not_there_is_a_warning_and_checks_go_on(examine: Examine) -> None:
    def space(trial: Trial) -> Knots:
        return only_lr(trial).vary(starts_from=("bogs",))

    verdicts = found(examine(space))
    assert {name for name, each in verdicts.items() if each.mark != "passed"} == {"start"}
    (warning,) = verdicts["start"].warnings
    assert warning.startswith("a search would not start: no study 'bogs' in ")
    assert "the checks below take configurations as they are" in warning


def margins(trial: Trial) -> Knots:
    """A space of two knobs, one of which does nothing with the squared loss."""
    return only_lr(trial).vary(margin=trial.suggest_float("margin", 0.0, 0.5))


@pytest.mark.slow
def test_a_search_tells_of_knobs_that_do_nothing_and_of_nothing_else(examine: Examine) -> None:
    assert check_before_search(examine(only_lr)) == Checked((), is_whole=True)
    (told,) = check_before_search(examine(margins)).told
    assert told.startswith(
        "a searched parameter must change something, got margin, which changes nothing in any"
    )


@pytest.mark.slow
def test_a_search_refuses_trials_that_are_not_measured_alike(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KnotsTask, "measures", lambda task: (Forgiving(task.config),))
    with pytest.raises(
        SpaceError, match=r"got margin: the same predictions .*; --no-check searches the space as"
    ):
        check_before_search(examine(margins))


@pytest.mark.slow
def test_what_a_check_itself_breaks_on_stops_no_search(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Judgement:
        raise RuntimeError("no memory left")

    _, ratio, needed = check_space._CHECKS["comparable"]
    checks = {**check_space._CHECKS, "comparable": (broken, ratio, needed)}
    monkeypatch.setattr(check_space, "_CHECKS", checks)
    monkeypatch.setattr(check_space, "_QUICKER", {})
    (told,) = check_before_search(examine(only_lr)).told
    assert "no memory left" in told


@pytest.mark.slow
def test_a_search_scores_a_model_on_fewer_samples(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def scored(examined: Examined, draw: Draw, most: int) -> FrozenScorer:
        asked.append(most)
        return FrozenScorer(examined, draw, most)

    monkeypatch.setattr(comparability, "FrozenScorer", scored)
    assert check_before_search(examine(only_lr)) == Checked((), is_whole=True)
    assert comparability.judge_comparability(examine(only_lr), Deadline(60.0)).mark == "passed"
    assert set(asked) == {comparability.FEW_SAMPLES, comparability.MAX_SAMPLES}
    assert comparability.FEW_SAMPLES < comparability.MAX_SAMPLES


def test_a_large_model_is_left_to_the_command(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_space, "MAX_SECONDS_OF_SAMPLE", 0.0)
    (told,) = check_before_search(examine(margins)).told
    assert told.startswith("a sample takes ") and told.endswith("is left to `thalweg check`")


def test_a_check_that_is_called_off_ends_early(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, called_off, left = threading.Event(), threading.Event(), []

    def endless(_: Examined, deadline: Deadline) -> Judgement:
        begun.set()
        while not deadline.has_passed:
            time.sleep(0.001)
        left.append(deadline._end - time.monotonic())
        return Judgement(check="comparable")

    checks = {name: (endless, ratio, needed) for name, (_, ratio, needed) in check_space._CHECKS.items()}
    monkeypatch.setattr(check_space, "_CHECKS", checks)
    with ThreadPoolExecutor(1) as thread:
        threads = torch.get_num_threads()
        found = thread.submit(check_beside, examine(only_lr), called_off)
        assert begun.wait(20.0)
        called_off.set()
        assert found.result() == Checked((), is_whole=False)
    assert left[0] > 0
    assert torch.get_num_threads() == threads
