"""Early stopping compares a trial only once its stages train what the objective needs."""

import pytest

from thalweg.contract import metrics_of
from thalweg.search.store.early_stopping import judged_from
from thalweg.study import Study
from thalweg.training.schedule import Plan
from trainables.geo_contrastive.config import PRESETS
from trainables.geo_contrastive.task import task_for

SAMPLES = 9000
HEADS = {"tiny_forecast", "tiny_assimilation", "tiny_diffusion", "tiny_seasons"}


@pytest.mark.parametrize("mode", ["joint", "frozen", "joint_then_frozen"])
@pytest.mark.parametrize("preset", ["tiny", *sorted(HEADS)])
def test_no_trial_is_judged_by_a_part_that_has_not_trained(preset: str, mode: str) -> None:
    task = task_for(PRESETS[preset].vary(stages={"decoder_mode": mode}))
    stages = task.stages()
    ends = dict(zip([stage.name for stage in stages], Plan.lay(stages, SAMPLES).ends, strict=True))
    alone = {metric.name for metric in metrics_of(task_for(PRESETS["tiny"]))}
    for metric in metrics_of(task):
        if not metric.search_invariant:
            continue
        study = Study(metric=metric.name, mode=metric.mode, samples=SAMPLES)
        start, end = ends["contrastive"], ends["decoder" if mode == "frozen" else "joint"]
        if metric.name not in alone:
            start, end = SAMPLES * 3 // 4, SAMPLES
        expected = start + (end - start) * study.rungs[0] / SAMPLES
        assert judged_from(stages, study) == pytest.approx(expected, abs=2), metric.name


def test_an_autoencoder_is_judged_at_once() -> None:
    stages = task_for(PRESETS["tiny"].vary(objective={"kind": "autoencoder"})).stages()
    study = Study(metric="rrmse", mode="min", samples=SAMPLES)
    assert judged_from(stages, study) <= study.rungs[0]
