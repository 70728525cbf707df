import numpy as np
import pytest
import torch

from thalweg.nn.contrastive.retrieval import recall_at_1
from trainables.rgb_lidar.data.lidar import MAX_RANGE
from trainables.rgb_lidar.data.samples import sample
from trainables.rgb_lidar.data.scenes import RGBLidarData
from trainables.rgb_lidar.evaluation.baselines import CoarseLikeness, Same, nearness
from trainables.rgb_lidar.evaluation.retrieval import POOL, ROWS
from trainables.rgb_lidar.knobs import DataKnobs, LidarNorm, LidarRepr


@pytest.mark.parametrize("lidar_norm", ["raw", "masked", "scaled"])
@pytest.mark.parametrize("lidar_repr", ["depth", "xyza"])
def test_nearness_is_read_from_scans_of_every_convention(
    data: RGBLidarData, lidar_repr: LidarRepr, lidar_norm: LidarNorm
) -> None:
    inputs = DataKnobs(lidar_repr=lidar_repr, lidar_norm=lidar_norm)
    found = nearness(sample(data, "val", np.arange(12), inputs)["lidar"], inputs)
    depth = np.asarray(data.depth[data.rows["val"]])
    expected = np.where(depth < MAX_RANGE, 1 - depth / MAX_RANGE, 0)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_embeddings_are_the_same_for_every_batch(data: RGBLidarData) -> None:
    inputs = DataKnobs()
    likeness = CoarseLikeness(inputs, sample(data, "train", np.arange(40), inputs), Same({}))
    whole = likeness(sample(data, "val", np.arange(12), inputs))
    alone = likeness(sample(data, "val", np.array([3]), inputs))
    for name in ROWS:
        torch.testing.assert_close(whole[name][3:4], alone[name])
        torch.testing.assert_close(whole[name].norm(dim=1), torch.ones(12))


def test_pictures_of_the_same_thing_find_each_other() -> None:
    inputs = DataKnobs(rgb_channels=3, lidar_repr="depth")
    near = torch.rand(60, 1, 16, 16)
    batch = {"rgb": (0.4 * near).repeat(1, 3, 1, 1), "lidar": 1 - near}
    likeness = CoarseLikeness(inputs, {name: part[:30] for name, part in batch.items()}, Same({}))
    found = likeness({name: part[30:] for name, part in batch.items()})
    assert recall_at_1(found[ROWS[0]], found[ROWS[1]], POOL) == 1.0
    strangers = likeness({"rgb": batch["rgb"][30:], "lidar": batch["lidar"][:30]})
    assert recall_at_1(strangers[ROWS[0]], strangers[ROWS[1]], POOL) < 0.3


def test_outputs_that_are_the_same_keep_their_names() -> None:
    one = torch.ones(1)
    found = Same({"first": one, "second": one, "odds": torch.tensor(0.5)})({"rgb": torch.zeros(3, 4, 2, 2)})
    assert {name: tuple(value.shape) for name, value in found.items()} == {
        "first": (3, 1),
        "second": (3, 1),
        "odds": (3,),
    }
