"""A study says which modalities its objective counts, the same ones in all trials."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import tasks
from thalweg.errors import ObjectiveError
from thalweg.search.preflight import prepare
from thalweg.search.space import load_space
from trainables.water_mae.baselines.simple import Persistence
from trainables.water_mae.config import EvaluationKnobs, WaterMAE
from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.evaluation import protocol
from trainables.water_mae.knobs import PUBLISHED_SET
from trainables.water_mae.task import WaterMAETask

SPACE = """
from thalweg.study import Study
from trainables.water_mae.config import PRESETS, EvaluationKnobs, WaterMAE
from trainables.water_mae.knobs import DataKnobs

study = Study(metric="skill", mode="max", samples=64)


def space(trial) -> WaterMAE:
    base = PRESETS["tiny"]
    {body}
    return base.model_copy(update=dict({knobs}))
"""
OBJECTIVE = (
    'names = trial.suggest_categorical("objective", ["rain", "both"])',
    "evaluation=EvaluationKnobs("
    'modalities=("precipitation",) if names == "rain" else ("precipitation", "river_flow"))',
)
WINDOW = 'days = trial.suggest_int("days", 2, 4)', "data=DataKnobs(sequence_length=days, stride=2)"
PLACE = 'name = trial.suggest_categorical("name", ["tiny", "small"])', "dataset=name"


def leaving_out_evaporation(config: WaterMAE) -> WaterMAE:
    knobs = EvaluationKnobs(modalities=tuple(name for name in PUBLISHED_SET.names if name != "evaporation"))
    return config.model_copy(update={"evaluation": knobs})


def test_skill_is_the_mean_of_the_modalities_that_a_study_names(config: WaterMAE, data: WaterData) -> None:
    whole, part = WaterMAETask(config), WaterMAETask(leaving_out_evaporation(config))
    batch = whole.evaluation_batch(data, "val", np.arange(data.num_samples("val")))
    sums = tasks.evaluate(whole, Persistence(PUBLISHED_SET), batch)
    before, after = tasks.summarize(whole, sums), tasks.summarize(part, sums)
    for ending in ("", *(f"_{protocol.suffix(ratio)}" for ratio in protocol.OTHER_RATIOS)):
        kept = [after[f"skill_{name}{ending}"] for name in PUBLISHED_SET.names if name != "evaporation"]
        assert after[f"skill{ending}"] == pytest.approx(float(np.mean(kept)))
        assert after[f"skill{ending}"] != pytest.approx(before[f"skill{ending}"])
    different = {name for name in before if before[name] != after[name]}
    assert different == {"skill", "skill_at_30", "skill_at_60", "skill_at_75"}


def test_such_a_study_has_a_protocol_of_its_own_and_the_same_data(config: WaterMAE) -> None:
    whole, part = WaterMAETask(config), WaterMAETask(leaving_out_evaporation(config))
    assert whole.protocol() != part.protocol()
    assert whole.data_key() == part.data_key()


@pytest.mark.parametrize("names", [(), ("river_flow", "temperature"), ("temperature", "temperature")])
def test_modalities_are_named_once_and_in_their_order(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="modalities must be some of precipitation"):
        WaterMAE(evaluation=EvaluationKnobs(modalities=names))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (OBJECTIVE, r"objective='both' changes modalities from \['precipitation'\] to"),
        (WINDOW, "days=2 changes data from"),
        (PLACE, "name='small' changes dataset from tiny to small"),
    ],
)
def test_a_search_over_what_is_measured_is_refused_before_anything_is_opened(
    asked: tuple[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "odd_lab").mkdir()
    (tmp_path / "odd_lab" / "study.py").write_text(SPACE.format(body=asked[0], knobs=asked[1]))
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        with pytest.raises(ObjectiveError, match=f"must be measured alike, but {said}"):
            prepare(load_space("odd_lab.study"), tmp_path / "data")
    finally:
        for name in ("odd_lab", "odd_lab.study"):
            sys.modules.pop(name, None)
    assert not (tmp_path / "data").exists()


def test_a_modality_that_is_constant_leaves_the_mean_of_the_others(config: WaterMAE, data: WaterData) -> None:
    task = WaterMAETask(leaving_out_evaporation(config))
    images = data.images.copy()
    images[:, 0] = 0
    flat = replace(data, images=images)
    batch = task.evaluation_batch(flat, "val", np.arange(flat.num_samples("val")))
    found = tasks.metrics(task, Persistence(PUBLISHED_SET), batch)
    kept = [found[f"skill_{name}"] for name in ("soil_moisture", "temperature", "river_flow")]
    assert found["skill"] == pytest.approx(float(np.mean(kept)))
