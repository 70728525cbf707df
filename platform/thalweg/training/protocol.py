"""The evaluation protocol: results are compared only if they were measured under the same one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thalweg.contract import Data, Task
from thalweg.hashing import digest


def protocol_of(family: str, task: Task[Any, Any], data: Data) -> Mapping[str, Any]:
    """Returns the evaluation protocol of a task on opened data: family, data and the settings that the family names."""
    return {
        "family": family,
        "data": data.fingerprint,
        "num_val_samples": data.num_samples("val"),
        **task.protocol(),
    }


def protocol_hash(family: str, task: Task[Any, Any], data: Data) -> str:
    """Returns the hash of the evaluation protocol, which is recorded with every result."""
    return digest(protocol_of(family, task, data))
