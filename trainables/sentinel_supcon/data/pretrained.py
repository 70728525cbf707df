"""Files of published weights, in the folder `weights` beside the data sets."""

import re
from dataclasses import dataclass
from pathlib import Path

from thalweg.data.store import content_hashes
from thalweg.dataset_contract import WEIGHTS
from thalweg.errors import DataError, OutputError

_DIGITS = re.compile(r"-(?=\d*[a-f])([0-9a-f]{8,64})\.[^.]+$")  # of torch.hub: a hash, no date


@dataclass(frozen=True)
class PretrainedFile:
    """A file of weights with one content.

    Attributes:
        path: Where it lies.
        sha256: Hash of its content.
    """

    path: Path
    sha256: str

    @property
    def title(self) -> str:
        """Name and first digits of the hash."""
        return f"{self.path.name} (sha256 {self.sha256[:8]})"

    def require_same(self) -> None:
        """Checks that the content is still the same.

        Raises:
            DataError: The file is gone, or another one has its name.
        """
        if (found := _hash(self.path)) != self.sha256:
            raise DataError(
                f"a file of weights must not change while trials start from it, got {self.path} with sha256 "
                f"{found[:8]} instead of {self.sha256[:8]}; give each file a name of its own"
            )


def find_pretrained(root: Path, name: str) -> PretrainedFile:
    """Finds a file of weights.

    Args:
        root: The family's data folder.
        name: Name of the file.

    Raises:
        DataError: There is none, or its hash is not what its name says.
    """
    path = root / WEIGHTS / name
    found = PretrainedFile(path, _hash(path))
    told = _DIGITS.search(name)
    if told and not found.sha256.startswith(told[1]):
        raise DataError(
            f"a file of weights must have the sha256 that its name ends in, got {found.sha256[:8]} of {path}; "
            "download it again, or rename it"
        )
    return found


def _hash(path: Path) -> str:
    if not path.is_file():
        raise DataError(
            f"model.pretrained must name a file in the folder {path.parent}, got no {path.name}; copy it there"
        )
    try:
        return content_hashes({path.name: path}, path.parent / ".hashes")[path.name]
    except OutputError:
        raise
    except OSError as error:
        raise DataError(f"a file of weights must be readable, got {error}; copy it again") from None
