"""What a family's model is made of and what it is measured by, in numbers and words."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from thalweg.config import FamilyConfig
from thalweg.contract import Metric, metrics_of
from thalweg.discovery import Family
from thalweg.disk.remembered import remembered


class Outline(BaseModel):
    """A configuration of a family.

    Attributes:
        parts: Number of parameters of each part of its model.
        metrics: What it is measured by.
    """

    model_config = ConfigDict(frozen=True)

    parts: dict[str, int]
    metrics: tuple[Metric, ...]


def outline(family: Family, config: FamilyConfig) -> Outline:
    """Returns the outline of a configuration; only the first call after a change of code imports torch."""

    def find() -> Outline:
        return Outline(parts=parts(family, config), metrics=metrics_of(family.task(config)))

    return remembered(Outline, family.package, repr(config), find)


def parts(family: Family, config: FamilyConfig) -> dict[str, int]:
    """Counts the parameters of each direct child of the model at the family's reference geometry.

    Nothing is allocated. Parameters that belong to the model
    itself are counted under ``(own)``; what two children share is counted once, with the first.
    """
    from thalweg.nn.unallocated import unallocated  # torch

    with unallocated():
        model = family.task(config).build(None)
    seen: set[int] = set()
    counts: dict[str, int] = {}
    children = {"(own)": dict(model.named_parameters(recurse=False))}
    children |= {name: dict(child.named_parameters()) for name, child in model.named_children()}
    for name, parameters in children.items():
        fresh = {id(weight): weight.numel() for weight in parameters.values() if id(weight) not in seen}
        seen |= set(fresh)
        if fresh:
            counts[name] = sum(fresh.values())
    return counts
