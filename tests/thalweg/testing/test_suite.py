"""The suite as a family from elsewhere uses it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from families.toy.config import PRESETS
from families.toy.task import ToyTask
from thalweg.testing.suite import CHECKS, Subject


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_family_from_elsewhere_keeps_the_contract(check: Callable[[Subject], None], tmp_path: Path) -> None:
    subject = Subject.open(ToyTask(PRESETS["default"]), tmp_path)
    assert subject.family.name == "families.toy"
    check(subject)
