"""Verdicts on the sealed split ``test``: over its own places and years, each run read once."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from families.toy.task import ToyTask
from thalweg.analysis.declared import family_of
from thalweg.analysis.verdict import kept_units
from thalweg.analysis.verdict.confirmed import judge
from thalweg.analysis.verdict.reading_log import readings
from thalweg.analysis.verdict.sealed_split import (
    judged_before,
    on_test,
)
from thalweg.contract import Batch, Measure, Metric, Outputs, State
from thalweg.errors import DataError
from thalweg.per_unit import PerUnit
from thalweg.search.confirmation.confirmation import Confirmation
from thalweg.search.confirmation.contenders import Contender
from thalweg.search.store.records import StudyRecord, TrialRecord
from thalweg.study_folder import StudyFolder, baseline_name, trial_name
from thalweg.training import unit_sums


class MeanSkill(Measure):
    """Mean skill of all values, kept by place."""

    metrics = (Metric(name="skill", mode="max", unit="1", search_invariant=True, meaning="mean"),)
    units = ("place",)

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Is not called here."""
        raise AssertionError

    def summarize(self, state: State) -> dict[str, float]:
        """Divides the sum by the count."""
        total, count = state["sums"].total().tolist()
        return {"skill": total / count}


@pytest.mark.slow
def test_a_verdict_on_test_is_over_its_own_places_and_years_too(
    make_trial: Callable[..., TrialRecord],
    make_record: Callable[..., StudyRecord],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On validation the champion is better everywhere; on test it is at one place alone."""
    monkeypatch.setattr(ToyTask, "measures", lambda task: (MeanSkill(),))
    folder, names = StudyFolder(tmp_path), ("trial 1", "trial 2")
    contenders = [
        Contender(name=n, role="rival" if p else "champion", config={}) for p, n in enumerate(names)
    ]
    plan = Confirmation(study="rivers", contenders=tuple(contenders), seeds=(0, 1, 2))

    def write(file: Path, values: list[float]) -> None:
        table = PerUnit.of(
            torch.arange(len(values)), torch.stack([torch.tensor(values), torch.ones(len(values))], 1)
        )
        unit_sums.keep(file, [MeanSkill()], [{"sums": table}], samples=800, protocol="aaa")

    trials, at_test = [], {}
    for number, (name, seed) in enumerate((name, seed) for name in names for seed in range(3)):
        better = name == "trial 1"
        noise = 0.001 * (seed if better else 2 - seed)
        places = [0.5 + noise + (2.0 if better and place == 0 else 0.0) for place in range(8)]
        write(folder.unit_sums(trial_name(number)), [0.5 + 0.1 * better + noise + 0.01 * p for p in range(8)])
        write(folder.test_unit_sums(trial_name(number)), places)
        params = {"configuration": name, "seed": seed}
        trials.append(make_trial(number, 0.5 + 0.1 * better + noise, params=params))
        at_test[str(number)] = {"skill": sum(places) / 8}
    write(folder.test_unit_sums(baseline_name("zero")), [0.0] * 8)
    folder.test_scores.write_text(json.dumps({"runs": at_test, "baselines": {"zero": {"skill": 0.0}}}))
    record, search = make_record(*trials), make_record()
    on_val = kept_units.compare_over_units(judge(plan, record, search), tmp_path, family_of(search))
    assert [(one.unit, one.word) for one in on_val.findings[0].over_units] == [("place", "beats")]
    found = judged_before(on_val, record, search, tmp_path)
    assert found is not None and [one.rival for one in found.findings] == ["trial 2", "zero"]
    rival, zero = found.findings
    assert rival.word.startswith("beats")  # over seeds
    assert [(one.unit, one.num_blocks, one.word) for one in rival.over_units] == [("place", 8, "cannot tell")]
    assert rival.over_units[0].difference == pytest.approx(0.25)
    assert [one.word for one in zero.over_units] == ["beats"]


@pytest.mark.slow
def test_a_run_is_read_once_and_each_reading_is_logged_before_it(
    make_trial: Callable[..., TrialRecord],
    make_record: Callable[..., StudyRecord],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from thalweg.training import hold_out

    confirmation, searched = tmp_path / "rivers.confirm", tmp_path / "rivers"
    confirmation.mkdir()
    names, read = ("trial 1", "trial 2"), list[str]()

    def evaluate(folder: Path, root: Path, *, name: str, **kept: object) -> hold_out.HeldOut:
        assert len(readings(search, searched, tmp_path)) == 1 + (len(read) > 3)
        if len(read) == 3:
            read.append("killed")
            raise KeyboardInterrupt
        read.append(name)
        test = {} if name == trial_name(4) else {"skill": 0.1 * len(read)}
        baselines = {"zero": {"skill": 0.0}}
        return hold_out.HeldOut(samples=800, val={}, test=test, baselines=baselines)

    monkeypatch.setattr(hold_out, "evaluate", evaluate)
    lacking = hold_out.HeldOut(samples=800, val={}, test={}, baselines={})
    contenders = [
        Contender(name=n, role="rival" if p else "champion", config={}) for p, n in enumerate(names)
    ]
    plan = Confirmation(study="rivers", contenders=tuple(contenders), seeds=(0, 1, 2))
    runs = [(name, seed) for name in names for seed in range(3)]
    trials = [
        make_trial(number, 0.5, params={"configuration": name, "seed": seed})
        for number, (name, seed) in enumerate(runs)
    ]
    record, search = make_record(*trials), make_record()
    found = judge(plan, record, search)

    def once() -> list[str]:
        at_test = on_test(
            found, record, search, (confirmation, searched), tmp_path, "thalweg", lambda _: None
        )
        return [one.word for one in at_test.findings]

    with pytest.raises(KeyboardInterrupt):
        once()
    assert once()[0] == "unstable"  # the split gives one run no value: no mean leaves it out
    assert once()[0] == "unstable" and len(readings(search, searched, tmp_path)) == 2
    monkeypatch.setattr(
        hold_out, "evaluate", lambda *_, **__: replace(lacking, unmeasured={"skill": "no floods"})
    )
    StudyFolder(confirmation).test_scores.unlink()
    with pytest.raises(
        DataError, match="must be one by skill, which it cannot give: no floods; confirm without"
    ):
        once()
    assert read == [*(trial_name(n) for n in range(3)), "killed", *(trial_name(n) for n in range(3, 6))]
    assert not StudyFolder(confirmation).test_readings.exists()
