"""Spaces of a family with planted faults, as checks see them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from thalweg.search.checks.examined import Examined
from thalweg.search.space import load_space
from thalweg.study import Trial


@pytest.fixture
def examine(tmp_path: Path) -> Callable[..., Examined]:
    """Returns the space ``spaces.knots`` as checks see it, with another function or other settings."""

    def examine(function: Callable[[Trial], Any] | None = None, **settings: Any) -> Examined:
        space = load_space("spaces.knots").with_settings(**settings)
        if function is not None:
            space = replace(space, function=function, file=Path(function.__code__.co_filename))
        return Examined(space, tmp_path / "runs", tmp_path / "data")

    return examine
