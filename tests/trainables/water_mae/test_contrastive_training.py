"""A contrastive trial trains through the platform, and its negatives are those of the whole batch."""

from pathlib import Path

import pytest

from thalweg.training.messages import Report, TrialOrder
from thalweg.training.process_group import join
from thalweg.training.session import DataCache, Session
from trainables.water_mae.config import PRESETS, LossKnobs
from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.knobs import PUBLISHED_SET

BATCH_SIZE, NUM_STEPS = 6, 3


def train(root: Path, folder: Path, micro_batch_size: int, weight: float) -> Report:
    base = PRESETS["tiny"].vary(data={"evaluation_stride": 4})
    knobs = {"batch_size": BATCH_SIZE, "micro_batch_size": micro_batch_size, "lr": 1e-3}
    config = base.model_copy(
        update={
            "loss": LossKnobs(contrastive_weight=weight, norm_target=True),
            "optimization": base.optimization.model_copy(update=knobs),
        }
    )
    samples = BATCH_SIZE * NUM_STEPS
    order = TrialOrder(
        trial=f"micro-{micro_batch_size}-{weight:g}",
        family="trainables.water_mae",
        config=config.model_dump(mode="json"),
        metric="skill",
        evaluations=(samples,),
        data_root=str(root),
        directory=str(folder),
        checkpoints=False,
        num_curve_points=NUM_STEPS,
    )
    session = Session(order, join(), DataCache())
    report = session.advance()
    session.close()
    return report


@pytest.mark.integration
def test_micro_batches_contrast_as_the_whole_batch_does(
    tiny_root: Path, tiny: WaterData, tmp_path: Path
) -> None:
    whole, split = (train(tiny_root, tmp_path, size, 0.1) for size in (BATCH_SIZE, 2))
    for (samples, point), (same, other) in zip(whole.curve, split.curve, strict=True):
        assert samples == same
        assert set(point) >= {f"loss/{name}" for name in (*PUBLISHED_SET.names, "contrastive")}
        assert other == pytest.approx(point, rel=2e-3)
    assert split.metrics["skill"] == pytest.approx(whole.metrics["skill"], abs=1e-3)


@pytest.mark.integration
def test_contrast_changes_the_training(tiny_root: Path, tiny: WaterData, tmp_path: Path) -> None:
    without, strong = (train(tiny_root, tmp_path, BATCH_SIZE, weight) for weight in (0.0, 10.0))
    assert "loss/contrastive" not in without.curve[-1][1]
    first, *_, last = [point["loss/contrastive"] for _, point in strong.curve]
    assert last < first
    assert strong.metrics["skill"] != without.metrics["skill"]
