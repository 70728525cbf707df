"""Imports public data sets into the formats of their families."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from thalweg.datasets.catalogue import check_options, family_of_source, folder_of, new_folder
from thalweg.errors import ConfigError, OutputError


def import_source(
    source: str, folder: Path, *, name: str | None = None, options: Mapping[str, str] | None = None,
    root: Path | None = None, family_name: str | None = None,
) -> tuple[Path, str]:  # fmt: skip
    """Imports a public data set into the format of its family, or updates an imported one if its reader can.

    Args:
        source: Name of the public data set, by which its family is found.
        folder: Folder with the downloaded files, or a file if the reader takes files.
        name: Name of the imported data set; None takes that of the public one.
        options: Options of its reader.
        root: Folder of all data.
        family_name: Name of the family; None finds it by the source.

    Returns:
        The data set's folder and the reader's report.

    Raises:
        DiscoveryError: No family has such a source.
        ConfigError: The reader has no such option, or the folder does not exist.
        OutputError: A data set of this name exists and the reader cannot update it, or the data folder cannot be
            written.
    """
    family = family_of_source(source, family_name)
    reader = family.sources[source]
    check_options(source, reader.options, options or {})
    if not (folder.is_dir() or (reader.takes_files and folder.is_file())):
        kind = "file or folder" if reader.takes_files else "folder"
        raise ConfigError(
            f"the {kind} of the source must exist, got {folder}; name the one that holds its files"
        )
    target = (folder_of if reader.updates else new_folder)(family, root, name or source)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the data folder must be writable, got {error}; choose another with --data"
        ) from None
    return target, reader.read(folder, target, **(options or {}))
