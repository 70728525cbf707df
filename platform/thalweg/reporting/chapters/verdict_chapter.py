"""The verdicts of a study's confirmations, or that there are none."""

from __future__ import annotations

from collections.abc import Iterator

from thalweg.analysis.comparison import LOSS, WIN
from thalweg.analysis.verdict.confirmed import Confirmed, Finding
from thalweg.console.formatting import clock, score
from thalweg.console.verdicts.confirm_view import footnotes, interval, lost_runs, role, sentences, signed
from thalweg.reporting.blocks import Block, Bullets, Chapter, Prose, ReportTable, Row, TableCell, words
from thalweg.reporting.chapters.caveats import unconfirmed
from thalweg.reporting.chapters.findings import tone_of
from thalweg.reporting.drawing.figures import picture
from thalweg.reporting.material import Material


def verdict_chapter(material: Material) -> Chapter:
    """Returns the verdict of each confirmation; if there is none, what the ranking stands on."""
    blocks: list[Block] = []
    for name, found in material.confirmed.items():
        blocks += [*_confirmed(name, found), *_on_test(material.on_test.get(name))]
    if material.unconfirmed:
        blocks = [Prose(f"The verdict cannot be read here: {material.unconfirmed}.", "bad")]
    elif not material.ranking:
        blocks = [Prose("No trial is complete, so that there is nothing to confirm.")]
    elif not material.judged:
        blocks = [Prose(unconfirmed(material), "bad"), *blocks]
    return Chapter("verdicts", "Verdicts", blocks)


def _confirmed(name: str, found: Confirmed) -> Iterator[Block]:
    yield Prose(
        f"`{name}` trained {len(found.repeated)} configurations again with fresh seeds, the same for each, at full "
        "budget; the values of the search are shown and never used."
    )
    if found.wanted:
        yield Prose(f"It has not ended; `thalweg confirm {found.plan.study}` goes on with it.")
        if lost := lost_runs(found):
            yield Bullets(lost)
    yield from _judged(found)
    from thalweg.analysis.verdict.verdict_picture import figure  # matplotlib

    yield picture(
        f"verdict-{name}",
        figure(found),
        f"Left: a dot for each run, a stroke at the mean, grey lines join equal seeds. Right: by how much "
        f"{found.champion.contender.name} is better, with its interval; grey: less than matters.",
    )
    yield from (Prose(f"{sentence[0].upper()}{sentence[1:]}.", "note") for sentence in footnotes(found))


def _on_test(found: Confirmed | None) -> Iterator[Block]:
    if found is not None:
        yield Prose("The same runs on the split test, by which nothing was chosen:")
        yield from _judged(found)


def _judged(found: Confirmed) -> Iterator[Block]:
    """Yields what to use, the verdict on each rival, and the runs; before a first look, the runs alone."""
    told, judged = found.recommendation, [one for one in found.findings if one.seeds]
    if judged:
        text = f"Use {told.name}: {told.reason}." if told.name else f"Nothing to recommend: {told.reason}."
        yield Prose(text, tone_of(found))
        yield Bullets(sentences(found))
    yield _runs(found)
    if judged:
        yield _findings(found, judged)


def _runs(found: Confirmed) -> ReportTable:
    rows = []
    for one in found.repeated:
        failed = one.failed if one.num_failed else score(one.mean)
        time = "-" if one.seconds is None else clock(one.seconds)
        told = role(one.contender.role, one.contender.label)
        cells = [
            one.contender.name,
            told,
            f"{len(one.trials)}",
            failed,
            score(one.spread),
            time,
            score(one.contender.value),
        ]
        rows.append(Row(words(cells)))
    for name, value in found.constants.items():
        cells = [name, "constant", "-", score(value), "-", "-", "-"]
        rows.append(Row(words(cells), "baseline"))
    return ReportTable(
        heads=[
            "configuration",
            "role",
            "seeds",
            f"mean {found.metric}",
            "spread over seeds",
            "time",
            "in the search",
        ],
        rows=rows,
        caption="Means and standard deviations over fresh seeds; time of a run in minutes and seconds.",
        num_words=2,
    )


def _findings(found: Confirmed, judged: list[Finding]) -> ReportTable:
    marks = {"beats": WIN, "loses": LOSS}
    rows = [
        Row(
            [
                TableCell(one.rival),
                TableCell(one.word, marks.get(one.word.partition(",")[0], "")),
                *words([signed(one.difference), interval(one), f"{one.seeds}"]),
            ]
        )
        for one in judged
    ]
    return ReportTable(
        heads=[
            f"{found.champion.contender.name} against",
            "verdict",
            f"better by [{found.unit or found.metric}]",
            "interval",
            "seeds",
        ],
        rows=rows,
        caption="The verdict on each rival; intervals hold for all of them together.",
        num_words=2,
    )
