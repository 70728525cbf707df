"""Caveats of a study, computed from its record: what its numbers do not say."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from thalweg.analysis.verdict.reading_log import told
from thalweg.console.board import failure_words
from thalweg.reporting.material import Material
from thalweg.search.domains import Domain, NumberRange
from thalweg.search.store.laws import fingerprint, is_same
from thalweg.wording import counted, some

FEW_TRIALS = 10
"""Of fewer complete trials the best one says little of the next search."""
EDGE = 0.02
"""Share of a range that counts as its edge."""


def caveats(material: Material) -> Iterator[str]:
    """Yields one sentence for each thing that a reader could take for more than it is."""
    yield from _of_seeds(material)
    yield from _of_trials(material)
    yield from _of_constraints(material)
    yield from _of_baselines(material)
    yield from _of_rungs(material)
    yield from _of_populations(material)
    yield from _of_ranges(material)
    yield from _of_the_split(material)
    yield from _of_the_end(material)
    yield from _of_sessions(material)


def unconfirmed(material: Material) -> str:
    """Returns what a ranking without a confirmation stands on, and the command that settles it."""
    seeds = {trial.config.get("seed") for trial in material.ranking}
    if material.confirmed:
        begun, command = ", ".join(material.confirmed), f"thalweg confirm {material.name}"
        way = f"`{begun}` has begun and has come to no look; `{command}` goes on with it"
    else:
        way = f"`thalweg confirm {material.name}` trains the best again with fresh seeds and settles it"
    stands = (
        "one seed each"
        if "seed" not in material.parameters
        else f"{counted(len(seeds), 'seed')} of the search"
    )
    return f"Not confirmed: the ranking stands on {stands}, and another seed may change it; {way}."


def _of_seeds(material: Material) -> Iterator[str]:
    if material.unconfirmed:
        yield f"There is a confirmation, whose verdict cannot be read here: {material.unconfirmed}."
    elif not material.judged and material.ranking:
        yield unconfirmed(material)


def _of_trials(material: Material) -> Iterator[str]:
    ended, complete = material.board.ended(), len(material.ranking)
    counts = Counter(trial.status for trial in ended)
    if 0 < complete < FEW_TRIALS:
        yield (
            f"Only {counted(complete, 'trial')} {'is' if complete == 1 else 'are'} complete: another search of this "
            "size may well find another best one."
        )
    if stopped := counts["pruned"]:
        verb = "was" if stopped == 1 else "were"
        yield (
            f"{counted(stopped, 'trial')} {verb} stopped early and could not be judged: not found worse, only stopped."
        )
    if failed := counts["failed"]:
        verb = "is" if failed == 1 else "are"
        yield f"{counted(failed, 'trial')} failed{failure_words(ended)} and {verb} not ranked."
    if waiting := len(material.board.interrupted()):
        yield f"{counted(waiting, 'trial')} {'was' if waiting == 1 else 'were'} interrupted and can go on."


def _of_constraints(material: Material) -> Iterator[str]:
    if breaking := len(material.board.breaking()):
        among = counted(len(material.ranking), "complete trial")
        yield f"{breaking} of {among} break {material.record.constraints}, and rank behind the others."


def _of_baselines(material: Material) -> Iterator[str]:
    if unbeaten := material.board.unbeaten():
        yield f"No trial beats {some(unbeaten)} by {material.objective}."


def _of_rungs(material: Material) -> Iterator[str]:
    if material.board.is_misled():
        yield "Early stopping may have ended good trials: a rung ranks trials against the end."


def _of_populations(material: Material) -> Iterator[str]:
    if replaced := material.board.num_replaced():
        yield (
            f"The trials are members of a population, of which {counted(replaced, 'more')} ended on the way: values "
            "changed while they trained, and those shown are of the last segment. "
            f"`thalweg lineage {material.name}` shows the schedules."
        )


def _of_ranges(material: Material) -> Iterator[str]:
    best = material.record.best()
    params = {} if best is None else best.params
    names = [name for name, domain in material.domains.items() if _is_at_edge(domain, params.get(name))]
    if names:
        yield (
            f"The best trial lies at the edge of the range of {some(f'`{name}`' for name in names)}: better ones "
            "may lie beyond."
        )


def _is_at_edge(domain: Domain, value: object) -> bool:
    if not isinstance(domain, NumberRange) or not isinstance(value, int | float) or domain.whole:
        return False
    if domain.low == domain.high:
        return False
    low, high, at = (math.log(x) if domain.log else float(x) for x in (domain.low, domain.high, value))
    place = (at - low) / (high - low)
    return min(place, 1 - place) <= EDGE


def _of_the_split(material: Material) -> Iterator[str]:
    chosen = (
        "All values are of the validation split, by which the best trial was chosen, so that its value is rather too "
        "good"
    )
    read = told(material.readings, material.folder.name)
    ask = "" if material.readings else f"; `thalweg best {material.name} --test` reads it"
    yield f"{chosen}; {read}{ask}."


def _of_the_end(material: Material) -> Iterator[str]:
    summary, record = material.summary, material.record
    if summary.state == "running":
        yield f"The search is running: {summary.num_ended} of {summary.num_trials} trials have ended."
    elif ":" in record.ended:
        yield f"The last session {record.ended}."
    elif summary.state == "stopped":
        yield f"The search was stopped after {summary.num_ended} of {summary.num_trials} trials."


def _of_sessions(material: Material) -> Iterator[str]:
    for name, what in (("code_hash", "the code of the family"), ("hardware", "the hardware")):
        if len({found for each in material.sessions if (found := each.tags.get(name))}) > 1:
            yield f"Between its {len(material.sessions)} sessions {what} changed."
    if not material.sessions:
        yield "No session is recorded in the study's folder: versions, hardware and fingerprints are not known."
    if "-dirty" in material.tags.get("code_version", ""):
        yield "The code had changes that were not committed."
    stored = material.record.definition.get("fingerprint")
    if material.space is not None and stored and not is_same(stored, fingerprint(material.space.file)):
        yield "The file of the search space has changed since the study."
