"""Pictures of schedules."""

import math
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from thalweg import discovery
from thalweg.console.describe import show_family
from thalweg.console.schedule_picture import picture
from thalweg.errors import ConfigError
from thalweg.knobs.scheduled import Schedule

Page = Callable[..., tuple[Console, StringIO]]


def heights(lines: list[str], left: int) -> list[int]:
    """The filled characters of each column."""
    return [sum(line[left:].ljust(48)[column] != " " for line in lines[:-1]) for column in range(48)]


def test_bars_fall_from_the_largest_to_the_smallest_value() -> None:
    lines = picture(Schedule(start=1, end=0.25, shape="linear").at)
    assert lines[0].startswith("   1 ") and lines[3].startswith("0.25 ") and len(lines) == 5
    found = heights(lines, 5)
    assert (found[0], found[-1]) == (4, 1) and found == sorted(found, reverse=True)
    assert lines[4] == f"     0{'1':>47}"


def test_a_step_is_seen_where_it_is() -> None:
    found = heights(picture(Schedule(start=0, end=2, shape="step", half_point=0.25).at), 2)
    assert found == [1] * 12 + [4] * 36


def test_what_does_not_change_is_one_row() -> None:
    assert picture(Schedule(start=0.3, end=0.3).at) == [f"0.3 {chr(0x2588) * 48}", f"    0{'1':>47}"]


def test_a_terminal_of_ascii_gets_ascii() -> None:
    lines = picture(Schedule(start=1, end=0, shape="cosine").at, ascii_only=True)
    assert "\n".join(lines).isascii() and "#" in lines[0]


def test_values_near_the_largest_float_are_drawn() -> None:
    assert heights(picture(lambda done: math.copysign(1.7e308, done - 0.5)), 10)[0] == 1


def test_a_family_is_described_with_its_schedules_as_they_would_be_changed(page: Page) -> None:
    family = discovery.load_family("geo_contrastive")
    changes = {
        "stages.alpha.shape": "cosine",
        "stages.alpha.cap": "0.25",
        "objective.temperature": '{"start": 0.5, "end": 0.1}',
    }
    console, text = page()
    show_family(family, "tiny", console, changes)
    told = " ".join(text.getvalue().split())
    assert "stages.alpha 1 to 0, cosine, half-way at 0.277, at least 0.25" in told
    assert "objective.temperature 0.5 to 0.1, exponential, half-way at 0.5" in told
    assert "objective.temperature 0.5 to 0.1 number or schedule in [0.01, 5] Divides the cosines" in told
    assert "optimization.lr cosine, after a rise of 0.05" in told
    assert max(map(len, text.getvalue().splitlines())) <= 80


def test_schedules_of_idle_knobs_are_not_drawn(page: Page) -> None:
    console, text = page()
    family = discovery.load_family("geo_contrastive")
    show_family(family, "tiny", console, {"objective.kind": "autoencoder"})
    drawn = text.getvalue().partition("schedules, over")[2].partition("parameters,")[0]
    assert "optimization.lr" in drawn and "alpha" not in drawn


@pytest.mark.parametrize("changes", [{"widht": "3"}, {"width": "wide"}])
def test_a_change_that_is_none_is_refused(page: Page, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"width"):
        show_family(discovery.load_family("families.toy"), None, page()[0], changes)
