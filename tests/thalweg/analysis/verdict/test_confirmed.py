"""The verdict of a confirmation: words beside runs, failures, and what is recommended."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from thalweg.analysis.comparison import BestBaseline
from thalweg.analysis.verdict.confirmed import Confirmed, judge
from thalweg.analysis.verdict.verdict_files import as_json
from thalweg.analysis.verdict.verdict_picture import figure
from thalweg.console.formatting import score
from thalweg.console.verdicts.confirm_view import footnotes, lost_runs
from thalweg.contract import Metric
from thalweg.events import EndedAs
from thalweg.search.confirmation.confirmation import Confirmation
from thalweg.search.confirmation.contenders import Contender
from thalweg.search.store.records import StudyRecord, TrialRecord

Scores = Mapping[str, Sequence[float | None]]
Judge = Callable[..., Confirmed]
NOISE = (0.0, 0.02, -0.01, 0.01, -0.02, 0.015, -0.015, 0.005)


@pytest.fixture
def judged(make_trial: Callable[..., TrialRecord], make_record: Callable[..., StudyRecord]) -> Judge:
    """Judges scores by configuration, the champion first; None is a run that failed."""

    def judged(
        scores: Scores, *, matters: float | None = 0.1, mode: str = "max", **more: object
    ) -> Confirmed:
        seconds = dict(zip(scores, more.pop("seconds", [60.0] * len(scores)), strict=True))  # type: ignore[call-overload]
        contenders = tuple(
            Contender(name=name, role="rival" if place else "champion", config={})
            for place, name in enumerate(scores)
        )
        plan = Confirmation(study="rivers", contenders=contenders, seeds=tuple(range(8)), matters=matters)
        runs = [(name, seed, value) for name, values in scores.items() for seed, value in enumerate(values)]
        trials = [
            make_trial(
                number,
                value,
                status="failed" if value is None else "complete",
                params={"configuration": name, "seed": seed},
                seconds=seconds[name],
            )
            for number, (name, seed, value) in enumerate(runs)
        ]
        return judge(plan, make_record(*trials), make_record(mode=mode), **more)  # type: ignore[arg-type]

    return judged


def _words(confirmed: Confirmed) -> dict[str, str]:
    return {one.rival: one.word for one in confirmed.findings}


def test_a_champion_that_is_better_beats_and_is_used(judged: Judge) -> None:
    better, worse = [1 + n for n in NOISE[:3]], [n / 2 for n in NOISE[:3]]
    found = judged({"a": better, "b": worse, "c": [2 * n for n in worse]})
    assert _words(found) == {"b": "beats", "c": "beats"} and not found.wanted
    assert (
        found.recommendation.name == "a"
        and found.recommendation.reason == "it beats all other configurations"
    )
    low, high = found.findings[0].low, found.findings[0].high
    assert low is not None and high is not None and low < 1.0 < high
    as_loss = judged({"a": worse, "b": better, "c": better[::-1]}, mode="min")
    assert _words(as_loss) == {"b": "beats", "c": "beats"} and as_loss.findings[0].difference > 0.9  # type: ignore[operator]


def test_a_champion_that_loses_is_not_used(judged: Judge) -> None:
    found = judged({"a": [n / 2 for n in NOISE[:3]], "b": [1 + n for n in NOISE[:3]]}, matters=0.01)
    assert _words(found) == {"b": "loses"}
    assert (found.recommendation.name, found.recommendation.reason) == ("b", "a loses to it")


def test_of_the_same_the_cheaper_is_used(judged: Judge) -> None:
    same = {"a": NOISE[:3], "b": NOISE[:3]}
    found = judged(same, seconds=[60.0, 30.0])
    assert _words(found) == {"b": "same"}
    assert (found.recommendation.name, found.recommendation.reason) == (
        "b",
        "the same as a, in 50% of its time",
    )
    assert judged(same, seconds=[60.0, 58.0]).recommendation.name == "a"


def test_what_cannot_be_told_says_what_it_would_take(judged: Judge) -> None:
    found = judged({"a": NOISE, "b": [n + 0.005 for n in NOISE[::-1]]}, matters=0.004)
    one = found.findings[0]
    assert one.word == "cannot tell" and one.seeds == 8
    assert one.needed is not None and one.needed > 8
    assert one.needed_s == (one.needed - 8) * 120.0
    assert found.recommendation.reason == "nothing is shown to be better"


def test_failures_are_never_dropped_from_a_mean(judged: Judge) -> None:
    found = judged({"a": [1.0, 1.1, 0.9], "b": [3.0, None, 3.1]})
    assert _words(found) == {"b": "unstable"}
    assert found.repeated[1].mean is None and found.repeated[1].num_failed == 1
    assert found.recommendation.name == "a"
    champion = judged({"a": [3.0, None, 3.1], "b": [1.0, 1.1, 0.9]})
    assert _words(champion) == {"b": "unstable"}
    assert champion.recommendation.name == "b"
    assert "of the runs of a 1 of 3 failed, none of this one" in champion.recommendation.reason
    assert judged({"a": [3.0, None, 3.1], "b": [None, 1.1, 0.9]}).recommendation.name is None


def test_runs_that_ran_out_of_memory_are_told_from_those_that_diverged(
    judged: Judge, make_trial: Callable[..., TrialRecord]
) -> None:
    def failed(word: str | None) -> TrialRecord:
        return make_trial(0, None, status="failed", ended_as=word)

    one = judged({"a": [1.0, 1.1, 0.9], "b": [3.0, 3.1, 3.1]}).repeated[1]
    assert (one.failed, one.failures) == ("", {})
    trials = dict(enumerate(map(failed, ("diverged", "out_of_memory", "diverged", None))))
    several = replace(one, trials=trials)
    assert several.failed == "2 of 4 diverged, 1 ran out of memory, 1 failed"
    assert several.failures == {"diverged": 2, "out_of_memory": 1, "failed": 1}
    assert replace(one, trials={0: failed("out_of_memory")}).failed == "1 of 1 ran out of memory"
    valueless = make_trial(0, None, ended_as="complete")  # its metric has no value on the split
    assert replace(one, trials={0: valueless}).failures == {"failed": 1}


@pytest.mark.parametrize("word", ["diverged", "out_of_memory", "infeasible", None])
def test_a_failure_improves_no_verdict_however_it_came(judged: Judge, word: EndedAs | None) -> None:
    whole = judged({"a": [1.0, 1.1, 0.9], "b": [3.0, 3.1, 3.05]})
    assert _words(whole)["b"] == "loses"
    trials = [trial for one in whole.repeated for trial in one.trials.values()]
    for spoilt in range(3):  # a run of the champion is lost, the worst one too
        lost = [
            replace(trial, status="failed", value=None, ended_as=word) if number == spoilt else trial
            for number, trial in enumerate(trials)
        ]
        record = StudyRecord(name="rivers", definition={"metric": "skill", "mode": "max"}, trials=tuple(lost))
        found = judge(whole.plan, record, record)
        assert _words(found) == {"b": "unstable"} and found.recommendation.name == "b"


@pytest.mark.parametrize("word", ["data", "infrastructure", "preempted", "stopped_by_user"])
def test_a_run_that_was_lost_is_wanted_again_and_is_no_failure(judged: Judge, word: EndedAs) -> None:
    whole = judged({"a": [1.0, 1.1, 0.9], "b": [3.0, 3.1, 3.05]})
    trials = [trial for one in whole.repeated for trial in one.trials.values()]
    lost = replace(trials[0], status="failed", value=None, ended_as=word, reason="its machine is gone")

    def of(*found: TrialRecord) -> Confirmed:
        record = StudyRecord(name="rivers", definition={"metric": "skill", "mode": "max"}, trials=found)
        return judge(whole.plan, record, record)

    once, twice = of(lost, *trials[1:]), of(lost, lost, *trials[1:])
    assert once.wanted == (("a", 0),) and once.champion.num_failed == 0
    assert _words(once) == {"b": "cannot tell"} and once.findings[0].seeds == 0
    (said,) = lost_runs(once)
    assert f"1 run of a was lost, as {word} (its machine is gone)" in said and "runs it again" in said
    assert "lost 2 times by now" in lost_runs(twice)[0] and "--as NAME" in lost_runs(twice)[0]
    assert as_json(twice)["configurations"][0]["lost"] == {"0": 2} and as_json(twice)["open"]
    again = of(lost, *trials)
    assert not lost_runs(again) and as_json(again) == as_json(whole)


@pytest.mark.parametrize("mode", ["min", "max"])
def test_in_place_of_an_unstable_champion_the_best_of_the_stable_is_used(judged: Judge, mode: str) -> None:
    sign = 1 if mode == "max" else -1
    scores: Scores = {
        "a": [sign * 9.0, None, sign * 9.0],
        "b": [sign * value for value in (0.3, 0.5, 0.4)],
        "c": [sign * value for value in (1.0, 0.8, 0.9)],
        "d": [sign * value for value in (9.0, 9.0)] + [None],
    }
    found = judged(scores, mode=mode).recommendation
    assert found.name == "c" and "the best mean of 2 over 3 seeds" in found.reason
    more = {**scores, "b": [*scores["b"], *[sign * 99.0] * 5]}  # which no other one had
    assert judged(more, mode=mode).recommendation.name == "c"


def test_differences_are_in_the_unit_of_the_objective(judged: Judge) -> None:
    found = judged({"a": [1.0, 1.1, 0.9], "b": [3.0, 3.1, 3.1]})
    assert found.unit == ""
    metrics = (Metric(name="skill", mode="max", unit="mm/day", search_invariant=True, meaning="rain"),)
    definition = {"metric": "skill", "mode": "max"}
    record = StudyRecord(name="rivers", definition=definition, trials=(), metrics=metrics)
    in_mm = judge(found.plan, None, record)
    assert in_mm.unit == "mm/day"
    shown = replace(found, unit="mm/day")
    assert any(
        sentence.startswith(f"what matters: differences of {score(0.1)} mm/day")
        for sentence in footnotes(shown)
    )
    assert as_json(shown)["unit"] == "mm/day"


def test_a_baseline_enters_as_a_constant(judged: Judge) -> None:
    climatology = BestBaseline("climatology", 0.2, "max")
    found = judged(
        {"a": [1 + n for n in NOISE[:3]], "b": [1 + n for n in NOISE[2::-1]]}, baseline=climatology
    )
    one = found.findings[-1]
    assert (one.rival, one.kind, one.word) == ("climatology", "constant", "beats")
    several = replace(climatology, others=(("persistence", 0.1),))
    both = judged({"a": [1 + n for n in NOISE[:3]], "b": NOISE[:3]}, baseline=several)
    assert as_json(both)["constants"] == {"climatology": 0.2, "persistence": 0.1}
    assert _words(both) == {"b": "cannot tell", "climatology": "beats", "persistence": "beats"}
    assert any("the constants count as one rival" in sentence for sentence in footnotes(both))
    assert not any("count as one rival" in sentence for sentence in footnotes(found))
    near = replace(climatology, value=1.0, others=(("persistence", 0.1),))
    between = judged(
        {"a": [1 + n for n in NOISE], "b": [1 + n for n in NOISE[::-1]]}, baseline=near, matters=0.001
    )
    assert _words(between) == {"b": "cannot tell", "climatology": "cannot tell", "persistence": "beats"}
    assert between.findings[2].seeds == 3
    ridge = judged({"a": [1 + n for n in NOISE], "b": NOISE}, baseline=BestBaseline("ridge", 1.6, "max"))
    assert ridge.findings[-1].word == "loses" and ridge.recommendation.name == "a"
    assert "ridge, a baseline, is better still" in ridge.recommendation.reason
    lstm = BestBaseline("lstm", 1.7, "max", (("ridge", 1.6), ("climatology", 0.2)))
    told = judged({"a": [1 + n for n in NOISE], "b": NOISE}, baseline=lstm).recommendation.reason
    assert "lstm, ridge, baselines, are better still" in told
    assert len(figure(judged({"a": NOISE, "b": NOISE}, baseline=lstm)).axes[0].get_yticks()) == 5


def test_the_next_look_wants_what_is_missing_in_the_order_of_seeds(judged: Judge) -> None:
    found = judged({"a": [1.0, 1.1], "b": [0.9]})
    assert found.wanted == (("b", 1), ("a", 2), ("b", 2))
    assert found.findings[0].seeds == 0
    assert "no seeds are judged yet" in found.recommendation.reason
