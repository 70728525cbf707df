"""The space of a study that an earlier version finished; see tests/fixtures/earlier."""

from thalweg.study import Study, Trial
from trainables.rgb_lidar.config import PRESETS, RGBLidar
from trainables.rgb_lidar.knobs import FusionKnobs

study = Study(metric="accuracy", mode="max", samples=32, num_trials=2, num_evaluations=2, num_lanes=1, seed=5)


def space(trial: Trial) -> RGBLidar:
    """Which width tells spheres from cubes best?"""
    channels = trial.suggest_categorical("channels", [2, 4])
    model = FusionKnobs(
        channels=channels, max_channels=4, depth=2, hidden_dim=4, neck_dim=4, embedding_dim=4, head_dim=4
    )
    return PRESETS["tiny"].model_copy(update={"dataset": "mini", "model": model})
