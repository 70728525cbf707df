"""The question that a study asks, and what it searched."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from thalweg.analysis.studies import space_name
from thalweg.console.formatting import number
from thalweg.reporting.blocks import Block, Chapter, Prose, ReportTable, Row, words
from thalweg.reporting.material import Material
from thalweg.search.domains import ChoiceSet, Domain
from thalweg.wording import some, told_apart

MAX_CHOICES = 6


def question(material: Material) -> Chapter:
    """Returns the docstring of the search space."""
    return Chapter("question", "Question", [*_docstring(material)])


def searched(material: Material) -> Chapter:
    """Returns the parameters of the search space, with what was tried of them."""
    return Chapter("searched", "Search space", [*_parameters(material)])


def _docstring(material: Material) -> Iterator[Block]:
    space, name = material.space, space_name(material.record)
    if space is None:
        yield Prose(
            f"The search space `{name}` cannot be loaded from here, so that its question is not shown.",
            "note",
        )
        return
    family = str(material.record.definition["family"]).removeprefix("trainables.")
    for paragraph in re.split(r"\n\s*\n", space.question.strip()):
        yield Prose(paragraph)
    yield Prose(f"Search space `{name}`, of the family `{family}`.", "note")


def _parameters(material: Material) -> Iterator[Block]:
    best = material.record.best()
    rows = []
    for name in material.parameters:
        tried = [trial.params[name] for trial in material.record.trials if name in trial.params]
        domain = material.domains.get(name)
        own = "-" if best is None or name not in best.params else number(best.params[name])
        rows.append(
            Row(
                words(
                    [
                        name,
                        _asked(domain),
                        _tried(tried),
                        f"{len(tried):,}",
                        own,
                    ]
                )
            )
        )
    if rows:
        yield ReportTable(
            heads=["parameter", "searched", "tried", "trials", "best trial"],
            rows=rows,
            caption=" ".join(
                [
                    "What the space asked, and the values that its trials had, in brackets how many.",
                    *_began(material),
                ]
            ),
            num_words=3,
        )


def _began(material: Material) -> Iterator[str]:
    """Yields sentences on what the search knew before its first trial."""
    if material.study is None:
        return
    if material.study.priors:
        yield f"Expert priors, best guesses that it began from: {some(material.study.priors)}."
    for lesson in material.study.lessons:
        yield f"It began from trials {some(map(str, lesson.trials))} of `{lesson.study}`."


def _asked(domain: Domain | None) -> str:
    if isinstance(domain, ChoiceSet):
        return f"one of {', '.join(told_apart(domain.records))}"
    return "not known here" if domain is None else str(domain)


def _tried(values: Sequence[object]) -> str:
    """Writes the values of a parameter that were tried: a range of numbers, or how often each choice was."""
    numbers = [each for each in values if isinstance(each, int | float) and not isinstance(each, bool)]
    counts = Counter(map(number, values))
    if len(numbers) == len(values) and (
        len(counts) > MAX_CHOICES or any(isinstance(each, float) for each in values)
    ):
        return f"{number(min(numbers))} to {number(max(numbers))}" if numbers else "-"
    if len(numbers) == len(values):
        counts = Counter({number(each): values.count(each) for each in sorted(set(numbers))})
    return some((f"{name} ({count})" for name, count in counts.items()), MAX_CHOICES)
