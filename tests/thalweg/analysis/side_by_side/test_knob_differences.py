"""Differences of configurations, beside a slow twin that walks two documents at once."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some

from families.toy.config import Toy
from thalweg.analysis.side_by_side.knob_differences import ABSENT, is_same, knob_differences, knobs_of
from thalweg.config import nested_leaves
from thalweg.search.store.records import StudyRecord

SCALARS = some.none() | some.booleans() | some.integers(-2, 2) | some.sampled_from([0.5, 1.0, "a", ""])
NAMES = some.sampled_from(["a", "b", "c", "lr"])
DOCUMENTS = some.dictionaries(
    NAMES,
    some.recursive(
        SCALARS,
        lambda inside: (
            some.dictionaries(NAMES, inside, max_size=3)
            | some.lists(inside, max_size=3)
            | some.lists(some.dictionaries(NAMES, inside, min_size=1, max_size=2), min_size=1, max_size=2)
        ),
        max_leaves=12,
    ),
    max_size=4,
)


def _is_group(value: Any) -> bool:
    return (isinstance(value, dict) and bool(value)) or (
        isinstance(value, list) and any(isinstance(item, dict) for item in value)
    )


def _names(above: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yields what lies directly inside a group, with the names that it is told by."""
    if isinstance(value, dict):
        yield from ((f"{above}.{name}" if above else name, item) for name, item in value.items())
    else:
        yield from ((f"{above}[{place}]", item) for place, item in enumerate(value))


def _same(one: Any, other: Any) -> bool:
    """Compares the texts of two values, in which true is no 1 and 1.0 is written as 1."""

    def written(value: Any) -> str:
        if isinstance(value, dict):
            return "{" + ",".join(f"{name}:{written(value[name])}" for name in sorted(value)) + "}"
        if isinstance(value, list):
            return "[" + ",".join(map(written, value)) + "]"
        if isinstance(value, float) and value == int(value):
            return repr(int(value))
        return repr(value)

    return written(one) == written(other)


def _everything(name: str, value: Any, place: int) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Yields all that one document has and the other does not."""
    if _is_group(value):
        for below, item in _names(name, value):
            yield from _everything(below, item, place)
    else:
        yield name, (value, ABSENT) if place == 0 else (ABSENT, value)


def twin(name: str, one: Any, other: Any) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Yields the differences of two documents by walking both at once."""
    if _is_group(one) and _is_group(other):
        left, right = dict(_names(name, one)), dict(_names(name, other))
        for below in {**left, **right}:
            if below not in right:
                yield from _everything(below, left[below], 0)
            elif below not in left:
                yield from _everything(below, right[below], 1)
            else:
                yield from twin(below, left[below], right[below])
    elif _is_group(one) or _is_group(other):
        yield from _everything(name, one, 0)
        yield from _everything(name, other, 1)
    elif not _same(one, other):
        yield name, (one, other)


def _merged(pairs: Iterator[tuple[str, tuple[Any, Any]]]) -> dict[str, tuple[Any, Any]]:
    return dict(pairs)


@settings(max_examples=40)
@given(DOCUMENTS, DOCUMENTS)
def test_differences_are_those_of_a_walk_over_both_documents(
    one: Mapping[str, Any], other: Mapping[str, Any]
) -> None:
    rows = knob_differences([nested_leaves(each, keep_empty=True) for each in (one, other)])
    left, right = dict(_names("", one)), dict(_names("", other))
    expected: dict[str, tuple[Any, Any]] = {}
    for name in {**left, **right}:
        if name not in right:
            expected |= _merged(_everything(name, left[name], 0))
        elif name not in left:
            expected |= _merged(_everything(name, right[name], 1))
        else:
            expected |= _merged(twin(name, left[name], right[name]))
    assert {row.name: row.values for row in rows} == expected
    assert len(rows) == len({row.name for row in rows})


@settings(max_examples=40)
@given(DOCUMENTS)
def test_a_configuration_does_not_differ_from_itself(document: Mapping[str, Any]) -> None:
    leaves = nested_leaves(document, keep_empty=True)
    assert knob_differences([leaves, dict(reversed(leaves.items())), leaves]) == []


def test_true_is_no_1_and_none_is_no_absent_knob() -> None:
    assert is_same(1, 1.0) and is_same([1, {"a": 2}], [1.0, {"a": 2.0}])
    assert not is_same(1, True) and not is_same([0], [False]) and not is_same([], None)
    [row] = knob_differences([{"depth": None}, {}, {"depth": None}])
    assert (row.name, row.values) == ("depth", (None, ABSENT, None))


def test_knobs_without_effect_are_absent_and_those_without_value_are_not(
    make_record: Callable[..., StudyRecord],
) -> None:
    record = make_record()
    adam = Toy().model_dump(mode="json")
    sgd = Toy().vary(optimization={"optimizer": "sgd", "micro_batch_size": 4}).model_dump(mode="json")
    rows = {
        row.name: row.values for row in knob_differences([knobs_of(record, each) for each in (adam, sgd)])
    }
    assert rows["optimization.micro_batch_size"] == (None, 4)
    assert rows["optimization.beta1"] == (0.9, ABSENT) and rows["optimization.momentum"] == (ABSENT, 0.9)


def test_an_older_record_has_the_defaults_of_knobs_that_were_added_since(
    make_record: Callable[..., StudyRecord],
) -> None:
    now = Toy().model_dump(mode="json")
    old = {
        **now,
        "optimization": {name: now["optimization"][name] for name in ("lr", "batch_size", "warmup_ratio")},
    }
    record = make_record()
    assert knob_differences([knobs_of(record, old), knobs_of(record, now)]) == []
    strange = {**old, "gone": 3}  # a knob that the family no longer has
    names = {row.name for row in knob_differences([knobs_of(record, strange), knobs_of(record, now)])}
    assert "gone" in names
