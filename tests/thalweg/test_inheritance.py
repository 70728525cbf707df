"""Parts of a model in two halves and a head, each of which a study may have trained."""

from typing import Any

import pytest

from thalweg.config import FamilyConfig, Knobs
from thalweg.errors import ConfigError
from thalweg.inheritance import Givers, named, taken


class Head(Knobs):
    """Knobs of a head."""

    width: int = 8
    """Width."""
    depth: int = 1
    """Depth."""


class Staged(FamilyConfig):
    """A model in parts."""

    trained: tuple[str, ...] = ()
    """Parts that a study trained."""
    encoder: str = "small"
    """Kind of the encoder."""
    head: Head = Head()
    """The head."""


def study(*parts: str, **knobs: Any) -> Staged:
    return Staged(dataset="mini", trained=parts, **knobs)


def givers(**starting_points: Staged) -> Givers[str, Staged]:
    return Givers(
        starting_points,
        lambda name, config: config.trained,
        lambda name, config: f"a study must have trained a part, got {name!r}; name another",
    )


def stages(parts: frozenset[str]) -> str:
    return " and ".join(f"make_{part}" for part in sorted(parts))


def test_each_part_comes_from_the_last_study_that_has_it() -> None:
    first, second = study("encoder", "head"), study("encoder", encoder="large")
    found = givers(first=first, second=second)
    assert found.studies == {"encoder": "second", "head": "first"}
    assert found.config_of("encoder") is second and found.config_of("head") is first
    assert givers(second=second, first=first).studies == {"encoder": "first", "head": "first"}


def test_the_knobs_of_a_part_come_with_it() -> None:
    found = givers(a=study("encoder", encoder="large"), b=study("head", head=Head(width=3)))

    def knobs(part: str, config: Staged) -> dict[str, Any]:
        return {part: getattr(config, part)}

    assert found.knobs(knobs) == {"encoder": "large", "head": Head(width=3)}
    assert givers().knobs(knobs) == {}


def test_knobs_are_taken_by_name() -> None:
    own = taken(Head(width=1, depth=2), Head(width=5, depth=6), ["depth"])
    assert own == Head(width=1, depth=6)


def test_a_study_that_gives_nothing_is_refused_in_the_family_s_words() -> None:
    with pytest.raises(ConfigError, match="must have trained a part, got 'b'; name another"):
        givers(a=study("head"), b=study())


def test_a_part_that_no_study_gives_is_named_with_the_stages_that_make_it() -> None:
    found = givers(a=study("encoder"), b=study("encoder"))
    found.require(["encoder"], "the stages", stages)
    message = (
        "studies in starts_from must have trained what the stages need, got none of a, b with head, neck; "
        "add the stage make_head and make_neck or a study that has it"
    )
    with pytest.raises(ConfigError) as raised:
        found.require(["neck", "encoder", "head"], "the stages", stages)
    assert str(raised.value) == message


def test_a_part_comes_with_what_it_was_trained_for() -> None:
    found = givers(a=study("encoder", "neck", "head"), b=study("encoder"))
    found.require_partners("head", ["neck"], [], "make_head")
    for made, strangers in (((), "encoder from 'b'"), (("neck",), "encoder from 'b' and neck made here")):
        with pytest.raises(ConfigError) as raised:
            found.require_partners("head", ["encoder", "neck"], made, "make_head")
        assert str(raised.value) == (
            f"a head must come with the networks that it was trained for, got head from 'a' and {strangers}; "
            "name that study last in starts_from and leave out stages that make these, "
            "or train the head anew with the stage make_head"
        )


def shared(found: Givers[str, Staged], differ_in: str | None = None) -> str | None:
    return found.shared(
        ("head", "encoder"),
        lambda config: config.encoder,
        law="parts must be alike",
        way_out="take one",
        differ_in=differ_in,
    )


def test_what_studies_share_is_returned() -> None:
    large = study("encoder", encoder="large")
    assert shared(givers(a=large, b=study("head", encoder="large"))) == "large"
    assert shared(givers(a=study("neck"))) is None


def test_a_study_whose_parts_are_not_asked_for_may_differ() -> None:
    assert shared(givers(a=study("head", encoder="large"), b=study("neck"))) == "large"
    assert shared(givers(a=study("head"), b=study("head", encoder="large"))) == "large"


def test_studies_that_differ_are_refused_with_values_or_names() -> None:
    found = givers(a=study("encoder"), b=study("head", encoder="large"))
    with pytest.raises(ConfigError) as shown:
        shared(found)
    assert str(shown.value) == "parts must be alike, got {'b': 'large', 'a': 'small'}; take one"
    with pytest.raises(ConfigError) as told:
        shared(found, "encoder")
    assert str(told.value) == (
        "parts must be alike, got head from 'b' and encoder from 'a', which differ in encoder; take one"
    )


def test_parts_are_named_in_one_order() -> None:
    assert named({"neck", "head"}) == "head, neck"
    assert named([]) == "nothing"
