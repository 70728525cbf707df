"""A reproduction in the terminal: what differs here, each evaluation beside its record, and what came of it."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from thalweg.search.reproduction.circumstances import DATA, DEVICE, MICRO_BATCH, WORKERS
from thalweg.search.reproduction.differences import Circumstances
from thalweg.search.reproduction.original import Original
from thalweg.search.reproduction.retraining import EvaluationPair, Reproduction
from thalweg.wording import counted, some

_DIGITS = 22  # of a float as Python writes it, with sign and exponent


def show_begin(original: Original, found: Circumstances, console: Console) -> None:
    """Prints which trial it is, what differs from its record, and what is to be expected."""
    seed = original.config.get("seed")
    console.print(
        Text.assemble((original.title, "bold"), f", {original.metric} ({original.mode}), seed {seed}")
    )
    _say(console, _recorded(original))
    for one in found.differences:
        _say(console, one.sentence(), "yellow")
    if found.unknown:
        _say(console, f"not recorded, so that it may differ: {', '.join(found.unknown)}", "dim")
    if not found.on_cpu:
        _say(console, "a GPU may add in another order each time: only a CPU promises equal bits", "yellow")
    elif not found.differences:
        equal = "" if found.unknown else ": expect equal bits"
        _say(console, f"nothing that is recorded differs here{equal}")
    _say(console, f"{'samples':>11}  {'recorded':<{_DIGITS}}  here", "dim")


def show_pair(pair: EvaluationPair, console: Console) -> None:
    """Prints an evaluation beside its record, to the last digit."""
    line = f"{pair.samples:>11,}  {pair.recorded!r:<{_DIGITS}}  {pair.here!r:<{_DIGITS}}"
    style = "green" if pair.is_equal else "red"
    console.print(
        Text.assemble(line, "  ", ("=" if pair.is_equal else f"{pair.here - pair.recorded:+.2g}", style))
    )


def show_end(original: Original, found: Circumstances, result: Reproduction, console: Console) -> None:
    """Prints whether all is equal bit for bit, else where the trainings part and what differed before."""
    if result.is_equal:
        _say(console, _equal(original, result), "bold green")
        return
    for sentence in _apart(original, result):
        _say(console, sentence, "bold red")
    known = [f"{one.name} ({one.effect})" for one in found.differences]
    if known:
        _say(console, f"differs from the record: {', '.join(known)}")
    elif found.unknown:
        _say(console, f"the record does not hold what may have differed: {some(found.unknown, 20)}")
    elif found.on_cpu:
        _say(
            console,
            "nothing that is recorded differs: the family may draw from a generator that has no seed, or read what "
            "its data's fingerprint does not cover",
        )


def _recorded(original: Original) -> str:
    first = original.trained[0] if original.trained else {}
    told = [str(first[DEVICE])] if DEVICE in first else []
    told += [f"data {str(first[DATA])[:12]}"] if DATA in first else []
    told.append(counted(int(first.get(WORKERS, original.num_workers)), "worker"))
    sizes = dict.fromkeys(str(one[MICRO_BATCH]) for one in original.trained if MICRO_BATCH in one)
    if len(sizes) > 1:
        told.append(f"micro-batches of {', then of '.join(sizes)}")
    ends = f"{counted(len(original.curve), 'evaluation')} of {len(original.evaluations)}"
    return f"recorded: {', '.join(told)}, {ends}, ended as {original.ended_as or 'failed'}"


def _equal(original: Original, result: Reproduction) -> str:
    parts = [counted(len(result.points), "evaluation")] if result.points else []
    if result.num_metrics:
        parts.append(f"{counted(result.num_metrics, 'metric')} of the last one")
    told = f"equal bit for bit: {' and '.join(parts)}" if parts else "as recorded"
    if result.should_fail:
        return f"{told}; it fails again as {original.ended_as}: {result.failure}"
    left = len(original.curve) - len(result.points)
    return f"{told}; {counted(left, 'later one')} not compared" if left else told


def _apart(original: Original, result: Reproduction) -> list[str]:
    found = []
    if (first := result.first_apart) is not None:
        found.append(f"not equal: they part at the evaluation at {first.samples:,} samples")
    elif result.apart:
        found.append(f"not equal: metrics of the last evaluation differ: {some(result.apart)}")
    if result.failure and not result.fails_alike:
        found.append(f"it fails here: {result.failure}")
    if result.should_fail and not result.failure:
        found.append(f"it does not fail here, where it ended as {original.ended_as}: {original.reason}")
    return found


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style=style), soft_wrap=True)
