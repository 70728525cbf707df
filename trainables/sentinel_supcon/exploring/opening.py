"""Opens a data set to look at it, with all bands and classes that it holds."""

from pathlib import Path

from trainables.sentinel_supcon.data.scenes import PatchData, find_contents, open_patches
from trainables.sentinel_supcon.knobs import BANDS, DataKnobs


def open_all(folder: Path) -> PatchData:
    """Opens a data set with all bands that a model can see of it, and no class ignored.

    Raises:
        DataError: Files are missing or broken.
        ConfigError: It lacks red, green, blue or near infrared.
    """
    stored = set(find_contents(folder).bands)
    widest = next((name for name in ("l1c", "l2a", "rgbn") if set(BANDS[name]) <= stored), "rgbn")
    return open_patches(folder.parent, folder.name, DataKnobs.model_validate({"optical": widest}))
