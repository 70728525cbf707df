"""The first chapter: what was found, in a few sentences, and what to keep in mind."""

from __future__ import annotations

from collections.abc import Iterator

from thalweg.analysis.comparison import LOSS, TIE, WIN
from thalweg.analysis.verdict.confirmed import Confirmed
from thalweg.console.analyses.importance_view import verdict
from thalweg.console.formatting import score
from thalweg.console.verdicts.confirm_view import sentences
from thalweg.reporting.blocks import Block, Bullets, Chapter, Prose, Tone
from thalweg.reporting.chapters.caveats import caveats
from thalweg.reporting.material import Material
from thalweg.wording import counted


def findings(material: Material) -> Chapter:
    """Returns the best trial beside the baselines, the verdicts, what matters, and the caveats."""
    blocks: list[Block] = [*_best(material), *_verdicts(material)]
    if material.importance is not None:
        blocks.append(Prose(f"Parameters: {verdict(material.importance)}."))
    notes = list(caveats(material))
    if notes:
        blocks += [Prose("Keep in mind:"), Bullets(notes)]
    return Chapter("findings", "What was found", blocks)


def better(material: Material) -> str:
    """Returns ``larger is better`` or ``smaller is better``."""
    return f"{'larger' if material.record.mode == 'max' else 'smaller'} is better"


def _best(material: Material) -> Iterator[Block]:
    best, name = material.record.best(), material.objective
    if best is None:
        counts = ", ".join(f"{count} {status}" for status, count in material.summary.counts.items())
        yield Prose(f"No trial is complete, so that there is no best one ({counts}).", "bad")
        return
    among = counted(len(material.ranking), "complete trial")
    if broken := material.record.broken(best):
        yield Prose(f"No complete trial keeps the constraints: trial {best.number} breaks {broken}.", "bad")
    told = f"Trial {best.number} is the best of {among}: {name} {score(best.value)} ({better(material)})."
    baseline = material.board.comparison.best(name)
    if baseline is None:
        yield Prose(f"{told} No baseline is recorded to compare it with.")
        return
    beside = f"{baseline.name}, {score(baseline.value)}"
    words: dict[str, tuple[str, Tone]] = {
        WIN: (f"Its value is better than that of the best baseline, {beside}.", _tone_of_win(material)),
        LOSS: (f"The baseline {baseline.name} is better: {score(baseline.value)}.", "bad"),
        TIE: (f"Its value equals that of the best baseline, {beside}.", "bad"),
    }
    said, tone = words[baseline.mark(best.value) or LOSS]
    yield Prose(f"{told} {said}", tone)


def _tone_of_win(material: Material) -> Tone:
    """Returns that a win is good news, unless a confirmation cannot tell or says otherwise."""
    judged = [one for found in material.judged.values() for one in found.findings if one.kind == "constant"]
    return "good" if all(one.word.startswith("beats") for one in judged if one.seeds) else "plain"


def _verdicts(material: Material) -> Iterator[Block]:
    for name, found in material.judged.items():
        told, so_far = found.recommendation, " so far" if found.wanted else ""
        used = f"use {told.name}: {told.reason}" if told.name else f"nothing to recommend: {told.reason}"
        yield Prose(f"Confirmed with fresh seeds{so_far} (`{name}`): {used}.", tone_of(found))
        yield Bullets(sentences(found))


def tone_of(found: Confirmed) -> Tone:
    """Returns whether a verdict is good news: the champion beats all its rivals, or loses to one."""
    said = [one.word for one in found.findings if one.seeds]
    if found.recommendation.name is None or any(word in ("loses", "unstable") for word in said):
        return "bad"
    return "good" if said and all(word.startswith("beats") for word in said) else "plain"
