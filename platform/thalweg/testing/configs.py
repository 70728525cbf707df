"""Checks a family's configurations."""

from __future__ import annotations

from typing import get_args

from pydantic import BaseModel

from thalweg.config import parse
from thalweg.discovery import Family
from thalweg.errors import FamilyError


def check_presets(family: Family) -> None:
    """Checks that there are presets, and that each survives a round trip through JSON.

    Raises:
        FamilyError: There are none, or one changes in JSON.
    """
    if not family.presets:
        raise FamilyError(
            f"a family must have presets, got none in {family.name}; name some in PRESETS of config.py"
        )
    for name, preset in family.presets.items():
        again = parse(family.config_type, preset.model_dump(mode="json"))
        if again != preset:
            raise FamilyError(
                f"a configuration must be the same after a journey through JSON, got another for preset {name!r}; "
                "hold plain values in its knobs"
            )


def check_sentences(family: Family) -> None:
    """Checks that every knob has a docstring.

    Raises:
        FamilyError: A knob has none.
    """
    _check_sentences(family.config_type, "")


def _check_sentences(knobs: type[BaseModel], where: str) -> None:
    for name, field in knobs.model_fields.items():
        if not field.description:
            raise FamilyError(
                f"every knob must have a docstring, got none for {where}{name}; write one below it"
            )
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                _check_sentences(kind, f"{where}{name}.")
