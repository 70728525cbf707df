"""Presets that JSON changes and knobs without a sentence are refused."""

from dataclasses import replace

import pytest

from families.toy.config import Toy
from thalweg import discovery
from thalweg.config import Knobs
from thalweg.errors import FamilyError
from thalweg.testing.configs import check_presets, check_sentences


class Silent(Knobs):
    """Knobs of which one is not explained."""

    depth: int = 3


class Deep(Toy):
    """A configuration with such knobs."""

    body: Silent | None = None
    """Knobs of the body."""


class Fraction(float):
    """A number that is not equal to what JSON makes of it."""

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = float.__hash__


@pytest.fixture
def family() -> discovery.Family:
    """The toy family."""
    return discovery.load_family("families.toy")


def test_the_toy_passes(family: discovery.Family) -> None:
    check_presets(family)
    check_sentences(family)


def test_a_family_without_presets_is_refused(family: discovery.Family) -> None:
    with pytest.raises(FamilyError, match=r"must have presets, got none in families\.toy"):
        check_presets(replace(family, presets={}))


def test_a_preset_that_json_changes_is_refused(family: discovery.Family) -> None:
    odd = Toy().model_copy(update={"dropout": Fraction(0.5)})
    with pytest.raises(FamilyError, match="got another for preset 'odd'"):
        check_presets(replace(family, presets={"plain": Toy(), "odd": odd}))


def test_a_knob_without_a_sentence_is_named(family: discovery.Family) -> None:
    with pytest.raises(FamilyError, match=r"got none for body\.depth"):
        check_sentences(replace(family, config_type=Deep))
