"""What the chain is for: images that are told apart by what scans taught, on easy scenes and real DeepSpeed."""

import math
from dataclasses import replace

import pytest

from thalweg.config import check
from thalweg.training.messages import Report, TrialOrder
from thalweg.training.process_group import ProcessGroup
from thalweg.training.session import DataCache, Session
from trainables.rgb_lidar.chain.knobs import ShareKnobs
from trainables.rgb_lidar.config import PRESETS, RGBLidar
from trainables.rgb_lidar.worlds.synthetic import Difficulty, make, small_recipe

SAMPLES = 20_000
ENDS = (0.4, 0.5, 0.9, 1.0)  # of contrastive pre-training, classifier, projector, fine-tuning


def _chain() -> RGBLidar:
    base = PRESETS["tiny_chain"]
    shares = ShareKnobs(cilp=4, classifier=1, projector=4, finetune=1)
    model = base.model.model_copy(update={"shares": shares})
    optimization = base.optimization.model_copy(update={"batch_size": 32})
    return check(base.model_copy(update={"dataset": "easy", "model": model, "optimization": optimization}))


@pytest.fixture(scope="module")
def reports(world: ProcessGroup, tmp_path_factory: pytest.TempPathFactory) -> list[Report]:
    """What was measured at the end of each stage."""
    folder = tmp_path_factory.mktemp("learning")
    (folder / "easy").mkdir()
    make(folder / "easy", replace(small_recipe(600, side=32), difficulty=Difficulty().scaled(0.2)))
    order = TrialOrder(
        trial="trial",
        family="trainables.rgb_lidar",
        config=_chain().model_dump(mode="json"),
        metric="cross_entropy",
        evaluations=tuple(round(SAMPLES * end) for end in ENDS),
        data_root=str(folder),
        directory=str(folder / "run"),
    )
    session = Session(order, world, DataCache())
    found = [session.advance()]
    while not found[-1].done:
        found.append(session.advance(found[-1].samples))
    session.close()
    return found


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_images_are_told_apart_before_fine_tuning_and_better_after_it(reports: list[Report]) -> None:
    aligned, taught, projected, tuned = (report.metrics for report in reports)
    assert aligned["retrieval_r1"] > 0.1  # ten times chance
    assert taught["lidar_accuracy"] > 0.9
    assert projected["projection_error"] < 1
    assert projected["cross_entropy"] < math.log(2)
    assert projected["accuracy"] > 0.7  # the published mark before fine-tuning; after it, 0.95
    assert tuned["cross_entropy"] < projected["cross_entropy"]
    assert tuned["accuracy"] > max(projected["accuracy"], 0.95)
