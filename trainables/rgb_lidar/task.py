"""The tasks of the RGB and LiDAR family, one for each kind of model."""

from trainables.rgb_lidar.chain.knobs import ChainKnobs
from trainables.rgb_lidar.chain.task import ChainTask
from trainables.rgb_lidar.config import RGBLidar
from trainables.rgb_lidar.fusion.task import FusionTask
from trainables.rgb_lidar.scene_task import SceneTask


def task_for(config: RGBLidar) -> SceneTask:
    """Returns the task of a configuration."""
    return ChainTask(config) if isinstance(config.model, ChainKnobs) else FusionTask(config)
