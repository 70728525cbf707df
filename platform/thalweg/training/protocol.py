"""What a result was measured with: results are compared only where this is equal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thalweg.contract import Data, Task
from thalweg.hashing import digest


def protocol_of(family: str, task: Task[Any, Any], data: Data) -> Mapping[str, Any]:
    """Returns the evaluation protocol of a task on opened data: family, data and what the family fixes."""
    return {
        "family": family,
        "data": data.fingerprint,
        "num_val_samples": data.num_samples("val"),
        **task.protocol(),
    }


def protocol_hash(family: str, task: Task[Any, Any], data: Data) -> str:
    """Returns the name of the evaluation protocol that travels with every result."""
    return digest(protocol_of(family, task, data))
