"""Reads arrays of NumPy that others wrote: whatever is damaged is refused by name."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from thalweg.errors import DataError


def read_npy(path: Path) -> Shaped[np.ndarray, "..."]:
    """Reads an array; objects, which could run code, are refused.

    Raises:
        DataError: The file is missing or broken.
    """
    try:
        with path.open("rb") as file:
            values: np.ndarray[Any, Any] = np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:  # NumPy parses the header as Python code, which may raise any kind
        raise DataError(
            f"{path} must be a complete npy file, got {type(error).__name__}: {error}; copy it again"
        ) from None
    return values
