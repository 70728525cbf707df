"""Configurations that are measured, and those that are reckoned beside what was measured."""

from collections.abc import Callable
from typing import Any

import pytest

from families.knots.config import PRESETS, Knots
from families.knots.task import KnotsTask, Parts
from thalweg.search.checks.costs import probing
from thalweg.search.checks.costs.cost_probe import judge_cost
from thalweg.search.checks.costs.probing import Probe, Prober
from thalweg.search.checks.costs.reckoning import UnreckonableError
from thalweg.search.checks.draws import Draw
from thalweg.search.checks.examined import Examined
from thalweg.search.checks.judgement import Deadline
from thalweg.search.checks.stopper import StoppedError
from thalweg.stage_contract import Progress
from thalweg.study import Trial

Examine = Callable[..., Examined]
IN_TIME = 600.0
pytestmark = pytest.mark.slow


def widths(trial: Trial) -> Knots:
    """A space of two sizes."""
    return PRESETS["tiny"].vary(width=trial.suggest_categorical("width", [8, 16]))


def operations(width: int) -> int:
    """Of a training sample: encoders and head forward and backward, a backbone that does not train."""
    return 2 * (2 * 2 * 7 * width) + 3 * 2 * width + 2 * 4 * 4


@pytest.fixture
def examined(examine: Examine) -> Examined:
    """A space of two sizes."""
    return examine(widths)


@pytest.fixture
def by_width(examined: Examined) -> dict[int, Draw]:
    """Its configurations."""
    return {draw.config.width: draw for draw in examined.draws.whole if isinstance(draw.config, Knots)}


def slow(examined: Examined) -> Examined:
    """The space with a model that takes a million seconds for a thousand operations."""
    vars(examined).update(seconds_of_sample=1e6, _first_sample=(1e6, 1000))
    return examined


def without_time(probe: Probe) -> dict[str, Any]:
    """What does not hang on the machine, nor on how it was found."""
    given = vars(probe)
    return {name: given[name] for name in ("num_parameters", "memory_mib", "num_val", "not_finite")}


@pytest.mark.parametrize("width", [8, 16])
def test_memory_is_reckoned_to_the_byte_and_time_at_the_pace_of_the_defaults(
    width: int, examined: Examined, by_width: dict[int, Draw]
) -> None:
    measured = Prober(examined).probe(by_width[width], Deadline(IN_TIME))
    reckoned = Prober(slow(examined)).probe(by_width[width], Deadline(IN_TIME))
    assert without_time(reckoned) == without_time(measured)
    assert reckoned.num_operations == operations(width)
    assert reckoned.train_s == pytest.approx(operations(width) * 1e6 / 1000)
    assert reckoned.evaluate_s == pytest.approx(1e6 * operations(width) / operations(8))
    assert reckoned.reckoned_from == "the evaluation of a sample by a model with all defaults"
    assert not measured.reckoned_from


def test_what_was_measured_before_gives_the_pace(examined: Examined, by_width: dict[int, Draw]) -> None:
    prober = Prober(examined)
    smaller = prober.probe(by_width[8], Deadline(IN_TIME))
    larger = prober.probe(by_width[16], Deadline(0))
    ratio = operations(16) / operations(8)
    assert larger.train_s == pytest.approx(ratio * smaller.train_s)
    assert larger.evaluate_s == pytest.approx(ratio * smaller.evaluate_s)
    assert larger.reckoned_from == f"a configuration of {smaller.num_parameters} parameters that was trained"


def test_a_step_that_is_stopped_is_reckoned(
    examined: Examined, by_width: dict[int, Draw], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: Any) -> Any:
        raise StoppedError("no time")

    monkeypatch.setattr(probing, "Stopper", stopped)
    assert Prober(examined).probe(by_width[16], Deadline(IN_TIME)).reckoned_from


def test_a_step_for_which_there_is_no_memory_is_not_taken(
    examined: Examined, by_width: dict[int, Draw], monkeypatch: pytest.MonkeyPatch
) -> None:
    vars(examined).update(seconds_of_sample=1.0, _first_sample=(1.0, 10**12))
    assert not Prober(examined).probe(by_width[8], Deadline(100)).reckoned_from
    monkeypatch.setattr(probing, "own_mib", lambda: 1e12)
    assert Prober(examined).probe(by_width[8], Deadline(100)).reckoned_from


def test_the_table_says_what_is_reckoned_and_from_what(examined: Examined) -> None:
    found = judge_cost(slow(examined), Deadline(IN_TIME))
    (note,) = [note for note in found.notes if note.startswith("reckoned, not measured: ")]
    assert "the smallest and the largest, a step of which takes too long here" in note
    assert (
        f"{operations(8):.1e} to {operations(16):.1e} floating-point operations of a training sample" in note
    )
    assert "at the pace of the evaluation of a sample by a model with all defaults" in note
    assert "years" in found.notes[0]
    assert "samples/s" in found.told


def test_what_is_neither_measured_nor_reckoned_is_skipped(
    examined: Examined, by_width: dict[int, Draw], monkeypatch: pytest.MonkeyPatch
) -> None:
    true = Parts.parts

    def asking(loss: Parts, *given: Any) -> Any:
        found = true(loss, *given)
        return found if float(found["error"].detach()) > 0 else {}

    monkeypatch.setattr(Parts, "parts", asking)
    with pytest.raises(UnreckonableError):
        Prober(slow(examined)).probe(by_width[8], Deadline(0))
    (skipped,) = judge_cost(examined, Deadline(0)).skipped
    assert skipped.startswith("for time: a step must be reckoned from shapes, got ")


def test_the_first_step_of_a_stage_is_its_own(
    examined: Examined, by_width: dict[int, Draw], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    stages = KnotsTask.stages

    def two(task: KnotsTask) -> Any:
        (stage,) = stages(task)
        return tuple(
            stage.__class__(name=name, share=0.5, loss=stage.loss, groups=stage.groups)
            for name in ("one", "two")
        )

    true = Parts.weights

    def noted(loss: Parts, progress: Progress) -> Any:
        asked.append(progress.stage)
        return true(loss, progress)

    monkeypatch.setattr(KnotsTask, "stages", two)
    monkeypatch.setattr(Parts, "weights", noted)
    Prober(examined).probe(by_width[8], Deadline(IN_TIME))
    assert list(dict.fromkeys(asked)) == ["one", "two"]
