"""What the tasks of fusion and chain share: data, batches, protocol."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from thalweg.contract import Batch, Indices, Keys, SplitName, Task
from thalweg.errors import ConfigError
from thalweg.stage_contract import Loss, Progress
from trainables.rgb_lidar.config import CLASSES, RGBLidar
from trainables.rgb_lidar.data.origins import origins
from trainables.rgb_lidar.data.samples import sample
from trainables.rgb_lidar.data.scenes import RGBLidarData, open_data
from trainables.rgb_lidar.data.splits import BLOCK, SHARES, SPLIT_SEED
from trainables.rgb_lidar.evaluation import retrieval

_REFERENCE_SIDE = 64


class SceneTask(Task[RGBLidar, RGBLidarData]):
    """Trains a classifier of scenes and evaluates it on all scenes of a split."""

    config_type = RGBLidar

    def data_key(self) -> str:
        """Returns the data set and the share of it that is trained on."""
        return f"{self.config.dataset}-{self.config.data.data_fraction!r}"

    def open(self, root: Path) -> RGBLidarData:
        """Opens the data set; `open_data` says what is refused."""
        return open_data(root, self.config.dataset, self.config.data.data_fraction)

    def training_batch(self, data: RGBLidarData, indices: Indices, keys: Keys) -> Batch:
        """Samples training scenes; nothing about them is random."""
        return sample(data, "train", indices, self.config.data)

    def evaluation_batch(self, data: RGBLidarData, split: SplitName, indices: Indices) -> Batch:
        """Samples scenes of a split."""
        return sample(data, split, indices, self.config.data)

    def origins(self, data: RGBLidarData, split: SplitName) -> Mapping[str, Sequence[str]]:
        """Returns scenes, scans and images, equal ones by one name; see `data.origins`."""
        return origins(data, split)

    def fitted_on(self, data: RGBLidarData) -> Mapping[str, Sequence[str]]:
        """Returns no scene, for no statistics are fitted: inputs are scaled by constants of the sensors."""
        return {"scene": ()}

    def facts(self, data: RGBLidarData) -> Mapping[str, Any]:
        """Returns the size of the images and the names of the classes.

        Raises:
            ConfigError: The model reads the opacity, which images do not have: it would tell them apart by their files.
        """
        if (
            data.opaque
            and self.config.data.rgb_channels == 4
            and "data.rgb_channels" not in self.config.idle()
        ):
            raise ConfigError(
                f"data.rgb_channels must be 3 for images without opacity, got 4 for {data.dataset}, of which "
                f"{data.opaque:,} of {len(data.labels):,} have none; set it to 3"
            )
        return {"side": data.side, "classes": list(CLASSES)}

    def protocol(self) -> Mapping[str, Any]:
        """Returns the classes, the rule of the splits and the pools; the inputs of the model are free."""
        return {
            "positive": CLASSES[1],
            "split": {"seed": SPLIT_SEED, "block": BLOCK, "shares": dict(SHARES)},
            "retrieval": {"pool": retrieval.POOL, "order": "consecutive scenes of the split"},
        }


class SceneLoss(Loss):
    """A loss with one part, a mean over scenes."""

    name: str

    def counts(self, batch: Batch, progress: Progress) -> Mapping[str, float]:
        """Counts the scenes."""
        return {self.name: float(len(batch["label"]))}

    def weights(self, progress: Progress) -> Mapping[str, float]:
        """Returns the weight 1."""
        return {self.name: 1.0}


def side_of(facts: Mapping[str, Any] | None) -> int:
    """Returns the height and width of images and scans, 64 without data."""
    return _REFERENCE_SIDE if facts is None else int(facts["side"])
