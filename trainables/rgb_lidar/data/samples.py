"""Samples batches of scenes, as tensors."""

import torch

from thalweg.contract import Batch, Indices, SplitName
from trainables.rgb_lidar.data.lidar import scan
from trainables.rgb_lidar.data.scenes import RGBLidarData
from trainables.rgb_lidar.knobs import DataKnobs


def sample(data: RGBLidarData, split: SplitName, indices: Indices, inputs: DataKnobs) -> Batch:
    """Returns scenes of a split as a batch; nothing about it is random.

    Returns:
        ``rgb`` (batch, channel, side, side) within 0 and 1, ``lidar`` (batch, channel, side, side), and ``label``
        (batch,), 0 for a cube and 1 for a sphere; all fp32.
    """
    rows = data.rows[split][indices]
    lidar = scan(
        data.depth[rows],
        data.azimuth,
        data.zenith,
        lidar_repr=inputs.lidar_repr,
        lidar_norm=inputs.lidar_norm,
    )
    return {
        "rgb": torch.from_numpy(data.rgb[rows, : inputs.rgb_channels]).float() / 255,
        "lidar": torch.from_numpy(lidar),
        "label": torch.from_numpy(data.labels[rows]).float(),
    }
