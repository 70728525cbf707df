"""The configuration: every knob with its sentence, and the presets. Imports nothing heavy."""

from typing import Literal

from pydantic import Field

from thalweg.config import FamilyConfig, Optimization, Presets


class ExampleConfig(FamilyConfig):
    """Temperature of lakes, from an image and the weather of five days."""

    width: int = Field(16, ge=1, le=1024)
    """Features of each encoder."""
    fusion: Literal["concat", "sum"] = "concat"
    """How the features of image and weather are joined."""


PRESETS = Presets(tiny=ExampleConfig(dataset="tiny", optimization=Optimization(lr=3e-3)))
