"""`thalweg compare`: trials, studies and options side by side, and what it refuses to compare."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from recorded import PROTOCOL, RUNS, RecordedStudy
from typer.testing import Result

from thalweg.contract import Metric
from thalweg.search.confirmation.confirmation import Confirmation, write_plan
from thalweg.search.confirmation.contenders import Contender
from thalweg.search.store.records import read_study
from thalweg.study_folder import StudyFolder

Run = Callable[..., Result]
WIDE, NARROW, QUICK = ({"width": 16, "lr": 1e-2}, {"width": 4, "lr": 1e-2}, {"width": 16, "lr": 2e-2})
TRIALS = ((WIDE, (0.9, 0.6, 0.5, 0.4)), (NARROW, (0.9, 0.8, 0.7, 0.6)), (QUICK, (0.7, None)))


@pytest.fixture
def toys(run: Run) -> None:
    """A study of three trials, of which the last was stopped early."""
    RecordedStudy(trials=TRIALS).write("toys")


def _text(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_two_trials_are_shown_by_what_differs(run: Run, toys: None) -> None:
    text = _text(run("compare", "toys", "--trials", "0,1"))
    assert "what differs trial 0 trial 1 width 16 4 metrics" in text  # the learning rate is the same
    assert "mse 1 0.4000 0.6000 +0.2000 worse" in text and "train_mse" not in text
    assert "parameters 160 40 x 0.25" in text
    assert "128 0.6000 0.8000" in text and "256 0.4000 0.6000" in text
    assert "one seed each: a difference between single trials is no finding; this settles it:" in text
    assert "thalweg confirm toys --trials 0,1" in text
    assert _text(run("compare", "toys:1", "toys:0")).endswith(
        "thalweg confirm toys --trials 0,1"
    )  # best first


def test_a_trial_that_was_stopped_is_not_called_worse(run: Run, toys: None) -> None:
    text = _text(run("compare", "toys:0", "toys:2"))
    assert "trial 2 was stopped early, after 64 samples: not found worse, only stopped" in text
    assert "mse 1 0.4000 0.7000 +0.3000 cost" in text
    assert "unequal numbers of samples, 64 and 256" in text
    assert "only two or more complete trials" in text and "thalweg confirm toys" not in text
    text = _text(run("compare", "toys", "--trials", "2,1,0"))
    for words in (("toys", "--trials", "2", "1", "0"), ("--trials", "2,1", "0", "toys")):
        assert _text(run("compare", *words)) == text
    assert text.endswith("this settles it for those that are complete: thalweg confirm toys --trials 0,1")


def test_studies_are_compared_by_their_settings_and_best_trials(run: Run, toys: None) -> None:
    RecordedStudy(trials=TRIALS[1:2], settings={"seed": 7}).write("other")
    text = _text(run("compare", "toys", "other"))
    assert "data fingerprint waves-1 waves-1 protocol aaa aaa" in text and "seed 0 7" in text
    assert "trials 3 1 complete 2 1 pruned 1 0" in text and "samples in all 576 256" in text
    assert "expected best of 1 trial 0.5000 0.6000" in text and "unequal numbers of trials" in text
    assert "what differs toys:0 other:0 width 16 4" in text
    assert "`thalweg confirm` compares trials of one study" in text


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"protocol": "bbb", "parts": {**PROTOCOL, "data": "waves-2", "num_val_samples": 9}},
            "got aaa (toys) and bbb (other), which differ in the data's fingerprint (waves-1 and waves-2), "
            "num_val_samples (21 and 9);",
        ),
        (
            {"protocol": "bbb", "parts": {**PROTOCOL, "reference": {"split": "val", "crop": None}}},
            "which differ in reference.crop (absent and none);",
        ),
        ({"protocol": "bbb", "parts": {}}, "what an earlier version of Thalweg did not record"),
    ],
)
def test_numbers_that_were_measured_differently_are_refused(
    run: Run, toys: None, changes: Mapping[str, Any], told: str
) -> None:
    RecordedStudy(trials=TRIALS[1:2], **changes).write("other")
    result = run("compare", "toys", "other:0")
    assert result.exit_code == 2 and told in result.stderr and "--configuration-only" in result.stderr
    text = _text(run("compare", "toys", "other", "--configuration-only"))
    assert "what differs toys:0 other:0 width 16 4" in text and "protocol aaa bbb" in text
    assert "0.4000" not in text and "expected best" not in text


def test_other_objectives_and_other_meanings_are_refused(run: Run, toys: None) -> None:
    RecordedStudy(trials=TRIALS[:1], settings={"metric": "mse_first"}).write("first")
    result = run("compare", "toys", "first")
    assert result.exit_code == 2
    assert "one objective to be compared, got mse (min) in toys, mse_first (min) in first" in result.stderr
    assert "mse_first 1 0.2000 0.2000 equal" in _text(
        run("compare", "toys", "first", "--metric", "mse_first")
    )
    common = {"search_invariant": True, "meaning": "an error"}
    millimetres = Metric(name="mse", mode="min", unit="mm2", **common)  # type: ignore[arg-type]
    RecordedStudy(trials=TRIALS[:1], metrics=(millimetres,)).write("scaled")
    result = run("compare", "toys", "scaled")
    assert result.exit_code == 2 and "got mse in 1 (min) and, in scaled, in mm2 (min)" in result.stderr


def test_trials_that_differ_in_nothing_are_said_to(run: Run, toys: None) -> None:
    RecordedStudy(trials=((WIDE, (0.5,)),)).write("same")
    text = _text(run("compare", "toys:0", "same:0"))
    assert (
        "the configurations are the same" in text and "the same configuration and seed: what differs" in text
    )
    assert "thalweg confirm" not in text


def test_what_a_confirmation_judged_is_told_and_the_rest_has_a_command(run: Run, toys: None) -> None:
    RecordedStudy(trials=(*TRIALS[:2], ({"width": 8, "lr": 1e-2}, (0.9, 0.5)))).write("three")
    trials = read_study(RUNS / "three", "three").trials
    contenders = tuple(
        Contender(name=f"trial {trial.number}", role="rival", config=trial.config) for trial in trials[:2]
    )
    folder = StudyFolder(RUNS / "three.confirm")
    write_plan(Confirmation(study="three", contenders=contenders, seeds=(5, 6, 7)), folder.path)
    folder.journal.touch()
    assert _text(run("compare", "three", "--trials", "0,1")).endswith("thalweg confirm three")
    verdict = {"rival": "trial 1", "word": "beats", "seeds": 3, "difference": 0.2, "low": 0.1, "high": 0.3}
    told = {
        "metric": "mse",
        "champion": "trial 0",
        "open": False,
        "verdicts": [{**verdict, "over_units": []}],
    }
    folder.verdict.mkdir()
    (folder.verdict / "verdict.json").write_text(json.dumps(told))
    text = _text(run("compare", "three", "--trials", "1,0"))
    assert "three.confirm: trial 0 beats trial 1, over 3 seeds, mse better by +0.2000" in text
    assert "this settles it" not in text
    for words, options in ((("--trials", "0,1,2"), "--trials 0,2,1"), (("--by", "width"), "--by width")):
        text = _text(run("compare", "three", *words))
        assert "three.confirm: trial 0" in text
        assert text.endswith(f"thalweg confirm three {options} --as three.confirm-2")


def test_options_are_compared_at_equal_budget(run: Run) -> None:
    trials = [
        ({"width": width, "lr": lr}, (value,))
        for width, lr, value in ((4, 1e-2, 0.5), (16, 1e-2, 0.3), (4, 2e-2, 0.2))
    ]
    RecordedStudy(trials=trials).write("widths")
    text = _text(run("compare", "widths", "--by", "width"))
    assert "2 trials of 128 samples for 4 and 1 trial of 64 samples for 16: `best` is unfair" in text
    assert text.endswith("thalweg confirm widths --by width")
    for more in (["other"], ["--trials", "1,2"], ["--configuration-only"], ["--units"]):
        result = run("compare", "widths", "--by", "width", *more)
        assert (
            result.exit_code == 2 and "--by compares the options of a parameter in one study" in result.stderr
        )
    found = json.loads(run("compare", "widths", "--by", "width", "--json").stdout)
    assert {each["option"]: each["expected_best"] for each in found["options"]} == {"4": 0.35, "16": 0.3}


def test_programs_read_the_same(run: Run, toys: None) -> None:
    RecordedStudy(trials=TRIALS[1:2]).write("other")
    found = json.loads(run("compare", "toys:0", "other:0", "--json").stdout)
    assert found["configuration"]["width"] == {"toys:0": 16, "other:0": 4}
    assert found["metrics"][0]["values"] == {"toys:0": 0.4, "other:0": 0.6}
    assert found["metrics"][0]["judgements"]["other:0"] == "worse"
    assert found["curves"]["values"]["toys:0"] == [0.9, 0.6, 0.5, 0.4]
    assert found["costs"]["cost/num_parameters"] == {"toys:0": 160.0, "other:0": 40.0}
    assert found["studies"]["settings"]["data fingerprint"] == {"toys": "waves-1", "other": "waves-1"}
    assert found["settled_by"] is None and found["verdicts"] == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of SQLAlchemy, by MLflow
def test_pictures_are_kept_with_the_study(run: Run, toys: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from thalweg.tracking import additions, address

    monkeypatch.setattr(additions, "add_study_pictures", lambda *words: "run")
    monkeypatch.setattr(address, "check_tracking", lambda uri: None)
    for words in (("--trials", "0,2"), ("--by", "width")):
        text = _text(run("compare", "toys", *words, "--pictures"))
        assert "and in MLflow" in text
    drawn = sorted(path.name for path in (RUNS / "toys/pictures/comparisons").rglob("*.png"))
    assert drawn == ["by-width.png", "trial-0-trial-2.png"]
    RecordedStudy(trials=TRIALS[1:2]).write("other")
    assert "other/pictures" in _text(run("compare", "toys:0", "other:0", "--pictures"))
    both = [[path.name for path in (RUNS / name).rglob("toys-0*.png")] for name in ("toys", "other")]
    assert both == [["toys-0-other-0.png"]] * 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("toys",), "got only toys:0; name another as toys:NUMBER (complete: 1)"),
        (("toys:0", "toys"), "got only toys:0"),
        (("toys:0", "toys:9"), "no trial 9 in 'toys'"),
        (("toys", "--trials", "0,x"), "--trials must be numbers of trials"),
        (("toys:0", "--trials", "0,1"), "--trials names trials of one study, got toys:0"),
        (("toys", "nothing"), "no study 'nothing'"),
        (("toys:0", "toys:1", "--configuration-only", "--metric", "mse"), "got --metric beside it"),
        (("toys:0", "toys:1", "--units"), "sums by unit must have been kept"),
        (("toys", "--by", "trouble"), "two options or more are compared, got only none of trouble"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_way_out(
    run: Run, toys: None, words: tuple[str, ...], told: str
) -> None:
    result = run("compare", *words)
    assert result.exit_code == 2 and told in result.stderr, result.output
