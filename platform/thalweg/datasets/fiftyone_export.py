"""Writes data sets of groups of slices into FiftyOne (https://docs.voxel51.com), an optional package."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from thalweg.errors import ConfigError

_BATCH = 200  # scenes whose samples are written at once


def fiftyone_for(name: str) -> Any:
    """Imports FiftyOne and checks that a data set of this name can be written.

    Raises:
        ConfigError: FiftyOne is not installed, has no database, or has a data set of this name.
    """
    try:
        fiftyone = importlib.import_module("fiftyone")
    except ImportError as error:
        raise ConfigError(
            f"FiftyOne must be installed for an export, got {error}; put `uv run --no-dev --extra fiftyone` before the "
            "command, or `pip install fiftyone`"
        ) from None
    try:
        exists = fiftyone.dataset_exists(name)
    except Exception as error:  # exceptions of FiftyOne, or of its database client
        raise ConfigError(
            f"FiftyOne must reach its MongoDB, got {type(error).__name__}: {str(error).strip()}; install MongoDB "
            "and set FIFTYONE_DATABASE_URI"
        ) from error
    if exists:
        raise ConfigError(
            f"a data set in FiftyOne must be new, got {name!r}, which exists; choose another name or delete it with "
            f"`fiftyone datasets delete {name}`"
        )
    return fiftyone


def write_groups(
    fiftyone: Any,
    name: str,
    *,
    shown_first: str,
    count: int,
    samples: Callable[[int], list[Any]],
    info: Mapping[str, Any],
) -> str:
    """Writes a grouped data set; if that fails, none of it stays.

    Args:
        fiftyone: What `fiftyone_for` returned.
        name: Name of the data set.
        shown_first: Slice that is shown first.
        count: Number of scenes.
        samples: Returns the samples of a scene, one for each slice, by its number.
        info: What the data set says of itself.

    Returns:
        A sentence on how to see it.
    """
    dataset = fiftyone.Dataset(name, persistent=True)
    try:
        dataset.add_group_field("group", default=shown_first)
        for start in range(0, count, _BATCH):
            numbers = range(start, min(start + _BATCH, count))
            dataset.add_samples([each for number in numbers for each in samples(number)], progress=False)
        dataset.info = dict(info)
        dataset.save()
    except BaseException:
        fiftyone.delete_dataset(name)
        raise
    return f"FiftyOne holds {count:,} scenes as {name}; see them with: fiftyone app launch {name}"
