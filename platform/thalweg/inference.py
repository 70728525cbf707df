"""Loads exported models. This needs torch and the family, but neither the data nor Ray, DeepSpeed, MLflow or Optuna.

``load(Path("best.pt"))`` returns the model, ready for prediction, and what is needed to prepare its inputs. If the
family knows its quantities, `Exported.predict` takes and returns arrays in physical units. MLflow loads registered
models here too (``mlflow.pyfunc.load_model("models:/NAME/VERSION")``), by `_load_pyfunc`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import nn

from thalweg.config import parse
from thalweg.contract import Task
from thalweg.discovery import load_family
from thalweg.errors import ConfigError, DataError, FamilyError
from thalweg.serving.quantities import Arrays, PredictsQuantities, Quantity, checked


@dataclass(frozen=True, kw_only=True)
class Exported:
    """An exported model.

    Attributes:
        model: The model, or the part that was exported, in evaluation mode.
        task: The family's task for the configuration of the model.
        facts: What `Task.facts` returned for the data that it was trained on, with arrays as tensors.
        content: Everything that the file holds.
    """

    model: nn.Module
    task: Task[Any, Any]
    facts: Mapping[str, Any] = field(repr=False)
    content: Mapping[str, Any] = field(repr=False)

    @property
    def quantities(self) -> tuple[tuple[Quantity, ...], tuple[Quantity, ...]]:
        """What the model takes and gives, in physical units.

        Raises:
            FamilyError: The family does not say.
        """
        return self._predictor().quantities(self.facts)

    def predict(self, inputs: Mapping[str, Any]) -> Arrays:
        """Predicts in physical units.

        Args:
            inputs: An array for each quantity that the model takes, by name, with the sample as first axis; an
                ``xarray.Dataset`` with them will do.

        Returns:
            The quantities that it gives, by name, in the order of the samples.

        Raises:
            DataError: An input is missing or has another shape.
            FamilyError: The family does not say how to predict.
        """
        task = self._predictor()
        taken, _ = task.quantities(self.facts)
        with torch.inference_mode():
            return task.predict_quantities(self.model, checked(inputs, taken), self.facts)

    def _predictor(self) -> PredictsQuantities:
        if not isinstance(self.task, PredictsQuantities):
            raise FamilyError(
                "a model predicts in physical units if its family's task has quantities and predict_quantities, got "
                f"{type(self.task).__qualname__} without; write them (thalweg.serving.quantities), or use its model "
                "as it is"
            )
        if self.content["part"] is not None:
            raise FamilyError(
                f"a whole model predicts in physical units, got the part {self.content['part']!r}; export it without "
                "--part"
            )
        return self.task


def _load_pyfunc(path: str) -> _PyFunc:
    """Returns what MLflow calls to predict; ``path`` is an exported model."""
    return _PyFunc(load(Path(path)))


class _PyFunc:
    """An exported model as MLflow's pyfunc wants it."""

    def __init__(self, found: Exported) -> None:
        self._found = found

    def predict(self, inputs: Mapping[str, Any]) -> Arrays:
        """Predicts as `Exported.predict`."""
        return self._found.predict(inputs)


def load(file: Path) -> Exported:
    """Loads an exported model.

    For example, the encoders of `water_mae` (``thalweg best STUDY --export best.pt --part encoders``) encode the first
    window of the data set that they were trained on::

        found = load(Path("best.pt"))
        data = found.task.open(Path("data/water_mae"))
        batch = found.task.evaluation_batch(data, "val", np.array([0]))
        with torch.inference_mode():
            encoding = found.model.encode(batch)

    For other data, `facts` holds what is needed to normalise them, and the docstring of the model's method says what a
    batch holds.

    Raises:
        DataError: The file is not an exported model.
    """
    try:
        content: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        package, values, facts, part = (content[name] for name in ("family", "config", "data", "part"))
    except (OSError, UnpicklingError, RuntimeError, EOFError, KeyError, TypeError) as error:
        # What torch says of a file that is no model is how to run the code in it.
        told = "" if isinstance(error, UnpicklingError) else f": {str(error).partition(chr(10))[0]}"
        reason = f"{type(error).__name__}{told}"
        raise DataError(
            f"an exported model must be a file of thalweg best --export, got {file}: {reason}; export it again"
        ) from None
    family = load_family(package)
    task = family.task(parse(family.config_type, values))
    model = take_part(task, task.build(facts), part)
    model.load_state_dict(content["weights"])
    return Exported(model=model.eval(), task=task, facts=facts, content=content)


def take_part(task: Task[Any, Any], model: nn.Module, part: str | None) -> nn.Module:
    """Returns a part of a model, which may be taken apart for it; None returns the whole model.

    Raises:
        ConfigError: The family has no such part.
    """
    if part is None:
        return model
    parts = task.parts()
    if part not in parts:
        raise ConfigError(
            f"a part of a model must be one that its family names, got {part!r}; "
            + (f"try {', '.join(sorted(parts))}" if parts else "this model has none, leave --part out")
        )
    return parts[part](model)


def as_tensors(facts: Any) -> Any:
    """Returns facts with their arrays as tensors, which ``torch.load(weights_only=True)`` reads."""
    if isinstance(facts, np.ndarray):
        return torch.from_numpy(facts.copy())
    if isinstance(facts, Mapping):
        return {name: as_tensors(value) for name, value in facts.items()}
    return facts
