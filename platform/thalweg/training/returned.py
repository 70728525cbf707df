"""Checks what the methods of a family return: an error where it is used would name no line of the family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from thalweg.errors import FamilyError


def tensors(found: Any, method: str) -> dict[str, Tensor]:
    """Returns what must be tensors by name.

    Args:
        found: What the method returned.
        method: Its name, for the message.

    Raises:
        FamilyError: It is something else.
    """
    if not isinstance(found, Mapping):
        raise FamilyError(f"{method} must return tensors by name, got {_kind(found)}; return a dict of them")
    if odd := [f"{name} ({_kind(value)})" for name, value in found.items() if not isinstance(value, Tensor)]:
        raise FamilyError(f"{method} must return tensors by name, got {', '.join(odd)}; return tensors")
    return dict(found)


def scalars(found: Any) -> dict[str, Tensor]:
    """Returns the parts of a loss.

    Raises:
        FamilyError: One is no scalar.
    """
    parts = tensors(found, "parts of a loss")
    if odd := [f"{name} of shape {tuple(part.shape)}" for name, part in parts.items() if part.shape]:
        raise FamilyError(
            f"each part of a loss must be a scalar, got {', '.join(odd)}; sum it over the batch"
        )
    return parts


def _kind(value: Any) -> str:
    return type(value).__name__
