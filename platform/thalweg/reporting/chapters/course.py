"""The course of a study: learning curves, whether early stopping was safe, and the pictures of the best trial."""

from __future__ import annotations

from collections.abc import Iterator

from thalweg.console.formatting import score
from thalweg.reporting.blocks import Block, Chapter, Prose, ReportTable, Row, words
from thalweg.reporting.drawing.best_pictures import best_pictures, drawn_trial
from thalweg.reporting.drawing.figures import picture
from thalweg.reporting.material import Material
from thalweg.wording import counted


def course(material: Material) -> Chapter:
    """Returns the learning curves of all trials, and the best value trial by trial."""
    from thalweg.reporting.drawing.course_picture import figure  # matplotlib

    if not any(trial.curve for trial in material.record.trials):
        return Chapter("curves", "Learning curves", [Prose("No trial was evaluated.")])
    best = material.board.comparison.best(material.objective)
    dashed = "" if best is None else f" Dashed: the best baseline, {best.name}, {score(best.value)}."
    caption = (
        f"Left: {material.objective} on the validation split after so many training samples; green: complete trials, "
        "dark: the best one, grey: stopped early. Right: a dot for each complete trial in the order in "
        f"which they began, and the best so far.{dashed} Values far beyond the others are cut off."
    )
    return Chapter("curves", "Learning curves", [picture("curves", figure(material.record, best), caption)])


def early_stopping(material: Material) -> Chapter:
    """Returns how well the rungs at which trials were stopped rank trials as the end does."""
    return Chapter("rungs", "Early stopping", [*_rungs(material)])


def _rungs(material: Material) -> Iterator[Block]:
    trials, found = material.record.trials, material.board.rung_correlations()
    stopped: dict[int, int] = {}
    for trial in trials:
        if trial.status == "pruned" and trial.curve:
            stopped[trial.curve[-1][0]] = stopped.get(trial.curve[-1][0], 0) + 1
    if not stopped:
        yield Prose("No trial was stopped early.")
        return
    saved = material.board.saved()
    if saved is not None:
        yield Prose(f"Early stopping saved {saved:.0%} of the samples that all trials would have seen.")
    ends = [dict(trial.curve) for trial in trials if trial.status == "complete"]
    rows = [
        Row(
            words(
                [
                    f"{rung:,}",
                    f"{count:,}",
                    f"{sum(rung in curve for curve in ends):,}",
                    f"{found[rung]:.2f}" if rung in found else "-",
                ]
            )
        )
        for rung, count in sorted(stopped.items())
    ]
    yield ReportTable(
        heads=["rung [samples]", "trials stopped there", "complete trials", "rank correlation with the end"],
        rows=rows,
        caption=(
            "Spearman's rank correlation of the values at a rung with those at the end, of the trials that ran to the "
            "end: near 1, the rung ranks trials as the end does; below 0, it may have stopped good ones. Fewer than "
            "three trials give none. Stopped trials are not in it, which makes it smaller than it is among all."
        ),
        num_words=0,
    )


def pictures_chapter(material: Material) -> Chapter:
    """Returns the pictures that the family drew of the best trial that has some."""
    found = drawn_trial(material.record, material.folder)
    if found is None:
        way = f"`thalweg best {material.name} --pictures` draws them if its checkpoint is kept and the family draws"
        return Chapter("pictures", "Pictures", [Prose(f"No trial has pictures; {way}.")])
    trial, files = found
    shown = list(best_pictures(trial, files))
    best = material.record.best()
    which = (
        "the best trial"
        if best is not None and best.number == trial.number
        else "the best trial that has some"
    )
    blocks: list[Block] = [Prose(f"Pictures of trial {trial.number}, {which}.")]
    if left := len(files) - len(shown):
        verb = "is" if left == 1 else "are"
        blocks.append(Prose(f"{counted(left, 'more picture')} of it {verb} in the study's folder.", "note"))
    return Chapter("pictures", "Pictures", [*blocks, *shown])
