"""The description of a family."""

from collections.abc import Callable
from io import StringIO
from typing import Literal

import pytest
from pydantic import Field
from rich.console import Console

from thalweg import discovery
from thalweg.config import Knobs, flat
from thalweg.console import describe
from thalweg.errors import DiscoveryError

Page = Callable[..., tuple[Console, StringIO]]


class Inner(Knobs):
    """Knobs below others."""

    share: float = Field(0.5, gt=0, le=1)
    """Share of it."""
    width: int = Field(64, ge=8, le=4096, multiple_of=8)
    """Width of tokens, which
    spans two lines."""
    most: int | None = Field(None, ge=1)
    """Most of them."""


class Outer(Knobs):
    """Knobs of every kind."""

    kind: Literal["mean", "concat"] = "mean"
    """How."""
    gauge: float = Field(1.5, ge=0, json_schema_extra={"unit": "m"})
    """Depth of water."""
    on: bool = False
    """Whether."""
    steps: tuple[Literal["up", "down"], ...] = ("up", "down")
    """Which."""
    inner: Inner = Inner()
    """What is below."""


def test_every_knob_is_described_with_its_law() -> None:
    found = [(knob.name, knob.kind, knob.bounds, knob.unit, knob.value) for knob in describe.knobs(Outer())]
    assert found == [
        ("kind", "mean | concat", "", "", "mean"),
        ("gauge", "number", ">= 0", "m", 1.5),
        ("on", "true or false", "", "", False),
        ("steps", "list of up | down", "", "", ("up", "down")),
        ("inner.share", "number", "in (0, 1]", "", 0.5),
        ("inner.width", "whole number", "in [8, 4,096], multiple of 8", "", 64),
        ("inner.most", "whole number or none", ">= 1", "", None),
    ]


def test_a_sentence_of_two_lines_becomes_one() -> None:
    sentences = {knob.name: knob.sentence for knob in describe.knobs(Outer())}
    assert sentences["inner.width"] == "Width of tokens, which spans two lines."


def test_long_values_are_shown_to_their_end(page: Page) -> None:
    console, text = page()
    describe.show_family(discovery.load_family("sentinel_supcon"), "tiny", console)
    shown = "".join(line[25:55].strip() for line in text.getvalue().splitlines())
    assert "RefineriesAndTerminals, WWTreatment" in shown and "\u2026" not in text.getvalue()


@pytest.mark.parametrize("name", discovery.names("trainables"))
def test_every_family_describes_every_knob_of_every_preset(name: str) -> None:
    for config in discovery.load_family(name).presets.values():
        found = list(describe.knobs(config))
        assert {knob.name for knob in found if knob.value not in (None, ())} == set(flat(config))
        assert [knob.name for knob in found if not knob.sentence] == []


def test_a_description_names_knobs_metrics_and_totals(page: Page) -> None:
    console, text = page()
    describe.show_family(discovery.load_family("families.toy"), "wide", console)
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    page_text = " ".join(text.getvalue().split())
    for words in (
        "in a search space: from families.toy.config import PRESETS, Toy",
        "width 32 whole number, >= 1",
        "starts_from none list of text",
        "Hidden units.",
        "mse min 1 Mean squared error",
        "total 226",
    ):
        assert words in page_text
    assert "loss min 1 Depends on searched knobs: no objective." in page_text


def test_a_preset_that_does_not_exist_is_refused(page: Page) -> None:
    with pytest.raises(DiscoveryError, match="default"):
        describe.show_family(discovery.load_family("families.toy"), "huge", page()[0])
