"""Finds searched parameters that change nothing, and the branch of the space in which they do not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from thalweg.search.checks.covering import branch_of
from thalweg.search.checks.examined import Examined
from thalweg.search.checks.judgement import Deadline, Judgement
from thalweg.search.checks.knob_trials import Finding, KnobTrials, Observed, Place
from thalweg.search.replay import written
from thalweg.wording import counted, some

_CLAUSES: Mapping[Finding, str] = {
    "dead": "changes nothing",
    "loss": "changes the loss that is recorded and no gradient",
    "rounding": "changes no more than rounding does",
}
_WEAK: tuple[Finding, ...] = ("rounding", "loss", "dead")
_WAYS_OUT = {
    "everywhere": "leave it out of the space",
    "branch": "ask for it only where it acts",
    "region": "narrow the ranges, or leave it as it is if such configurations are few",
}
_EVERYWHERE = Place(" in any configuration that was tried", "everywhere")


def judge_dead_knobs(examined: Examined, deadline: Deadline) -> Judgement:
    """Changes each searched parameter alone, in each branch that there is time for, and names those that do nothing."""
    trials = KnobTrials(examined, deadline)
    trials.compare_configurations()
    trials.compare_briefly()
    trials.compare_footprints()
    names = list(dict.fromkeys(name for draw in trials.bases for name in draw.params))
    alive = [name for name in names if name in trials.observed and trials.observed[name].of("alive")]
    untried = [name for name in names if name not in trials.observed]
    return Judgement(
        check="dead knobs",
        faults=(*_sentences(trials, names, faults=True), *_broken(trials)),
        warnings=tuple(_sentences(trials, names, faults=False)),
        told=f"{len(alive)} of {counted(len(names), 'parameter')} change something, in "
        f"{counted(trials.num_bases, 'configuration')}",
        skipped=tuple(_skipped(trials, names, untried)),
        numbers={"alive": alive, "configurations": trials.num_bases, "pairs_left": len(trials.left)},
    )


def _sentences(trials: KnobTrials, names: list[str], *, faults: bool) -> Iterator[str]:
    """Yields a sentence on all parameters of which the same is to be said.

    Args:
        trials: What was tried.
        names: All parameters.
        faults: Whether to tell faults; rounding in a branch, and what numbers alone set apart, are warnings.
    """
    alike: dict[tuple[Finding, str, Place], list[str]] = {}
    for name in names:
        if name not in trials.reaching:
            continue  # validity tells of it
        seen = trials.observed.get(name, Observed())
        for finding, where in _places(trials, name, seen):
            is_fault = where.kind == "everywhere" or (where.kind == "branch" and finding != "rounding")
            if faults == is_fault:
                alike.setdefault((finding, _branch(trials, name), where), []).append(name)
    for (finding, branch, where), members in alike.items():
        yield (
            f"a searched parameter must change something, got {some(members, most=20)}{branch}, which "
            f"{_CLAUSES[finding]}{where.text}; {_WAYS_OUT[where.kind]}"
        )


def _places(trials: KnobTrials, name: str, seen: Observed) -> Iterator[tuple[Finding, Place]]:
    """Yields what a parameter does where it is not alive, and where that is."""
    if not seen.of("alive"):
        yield from [(finding, _EVERYWHERE) for finding in _WEAK if seen.of(finding)][:1]
        return
    for finding in _WEAK:
        for where in trials.branches(name, seen.of(finding), seen.of("alive")):
            yield finding, where


def _branch(trials: KnobTrials, name: str) -> str:
    """Says in which branch a parameter is asked for."""
    having = [draw for draw in trials.bases if name in draw.params]
    lacking = [draw for draw in trials.bases if name not in draw.params]
    return branch_of(name, having, lacking)


def _broken(trials: KnobTrials) -> Iterator[str]:
    for error in list(trials.broken)[:3]:
        params = written(trials.broken[error].params)
        yield f"every configuration must train, got one that does not with {params}: {error}"


def _skipped(trials: KnobTrials, names: list[str], untried: list[str]) -> Iterator[str]:
    if untried:
        yield f"{counted(len(untried), 'parameter')} of {len(names)}, not tried in time: {some(untried)}"
    elif trials.left:
        yield f"for time: {counted(len(trials.left), 'pair')} of a parameter and an option of another"
