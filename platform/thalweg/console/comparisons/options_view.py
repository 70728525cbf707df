"""Options of a parameter side by side on the terminal: their budgets, their sizes, and what is fair to say of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rich.console import Console, RenderableType
from rich.text import Text

from thalweg.analysis.side_by_side.equal_parameters import ERROR, AtEqualParameters, between
from thalweg.analysis.side_by_side.options_compared import Branch, OptionsCompared
from thalweg.console.comparisons.cells import fitted
from thalweg.console.comparisons.trials_view import signed, verdict_sentence
from thalweg.console.formatting import clock, score
from thalweg.wording import counted


def show_options(compared: OptionsCompared, console: Console) -> None:
    """Prints the options of a parameter, at equal budget and at equal numbers of parameters."""
    record = compared.record
    title = Text(f"{record.name}  ", style="bold")
    title.append(f"{record.definition['metric']} ({record.mode}) by {compared.parameter}", "not bold")
    console.print("", title, "", _table(compared, console.width), "", sep="\n")
    for sentence, style in sentences(compared):
        console.print(Text(sentence, style=style), soft_wrap=True)


def sentences(compared: OptionsCompared) -> Iterator[tuple[str, str]]:
    """Yields what a comparison of options is worth, as sentences with their styles."""
    if len(compared.judged) < 2:
        yield (
            f"only {compared.judged[0].option} has a complete trial: nothing can be told of the others",
            "yellow",
        )
        return
    yield _budget(compared)
    yield from _sizes(compared)
    if any("seed" in trial.params for branch in compared.judged for trial in branch.tried):
        yield (
            f"seeds were searched too: `thalweg show {compared.record.name} --by {compared.parameter}` compares means "
            "over them, in pairs",
            "dim",
        )
    for verdict in compared.verdicts:
        yield verdict_sentence(verdict), "bold"
    single = "values of single trials: a difference between them is no finding"
    if compared.is_settled:
        yield f"{single}; the numbers above are those of the search", "dim"
    elif compared.settled_by:
        yield f"{single}; this settles it, with the best trial of each option:", "bold"
        yield f"  {compared.settled_by}", "bold cyan"
    else:
        yield single, "bold"


def _table(compared: OptionsCompared, width: int) -> RenderableType:
    columns = _columns(compared)
    lines = [[branch.option, *(cell(branch) for cell in columns.values())] for branch in compared.branches]
    return fitted([compared.parameter], list(columns), lines, width, justify="right")


def _columns(compared: OptionsCompared) -> dict[str, Callable[[Branch], str]]:
    """Returns columns by their heads, those at equal budget only if budgets differ."""
    n, samples = compared.num_trials, compared.samples
    columns: dict[str, Callable[[Branch], str]] = {
        "trials": lambda branch: str(len(branch.tried)),
        "stopped": lambda branch: str(len(branch.tried) - len(branch.values)),
        "samples": lambda branch: f"{branch.samples:,}",
        "lane time": lambda branch: clock(branch.seconds),
        "parameters": _range,
        "best": lambda branch: score(branch.best),
        "median": lambda branch: score(branch.median),
    }
    if not compared.are_equally_many:
        columns[f"expected\nbest of {n}"] = lambda branch: score(branch.expected_best(n))
        columns[f"best of\nfirst {n}"] = lambda branch: score(branch.best_of_first(n))
    elif not compared.have_equal_samples:
        columns[f"best in\n{samples:,}"] = lambda branch: score(branch.best_within(samples))
    if all(len(branch.tried) == len(branch.values) for branch in compared.branches):
        del columns["stopped"]
    return columns


def _range(branch: Branch) -> str:
    return between((branch.sizes[0], branch.sizes[-1])) if branch.sizes else "-"


def _budget(compared: OptionsCompared) -> tuple[str, str]:
    """Says whether the options had equal budgets, and what is fair to compare if not."""
    each = f"{counted(compared.num_trials, 'trial')} and about {compared.samples:,} samples in each branch"
    if compared.are_equally_many and compared.have_equal_samples:
        return f"equal budget: {each}", "green"
    most, fewest = (
        pick(compared.judged, key=lambda branch: (len(branch.tried), branch.samples)) for pick in (max, min)
    )
    told = " and ".join(
        f"{counted(len(branch.tried), 'trial')} of {counted(branch.samples, 'sample')} for {branch.option}"
        for branch in (most, fewest)
    )
    if compared.are_equally_many:
        return (
            f"unequal budgets, {told}, for trials were stopped: `best in {compared.samples:,}` samples is fair, "
            "`best` is not",
            "yellow",
        )
    return (
        f"unequal budgets, {told}: `best` is unfair, for the best of more trials is luckier; `best of first "
        f"{compared.num_trials}` is what a shorter search would have found; `expected best of {compared.num_trials}` "
        "is the mean over all subsets, if trials are exchangeable, which those of a sampler that learns are not quite",
        "yellow",
    )


def _sizes(compared: OptionsCompared) -> Iterator[tuple[str, str]]:
    """Says whether the options have equal numbers of parameters, and what remains of their difference if not."""
    if not any(branch.sizes for branch in compared.branches):
        yield "numbers of parameters are not recorded: whether a larger model wins cannot be told", "dim"
    elif compared.have_equal_sizes:
        yield "equal numbers of parameters", "green"
    else:
        beside = f"at equal ones, over all complete trials, beside {compared.reference}:"
        yield f"unequal numbers of parameters; {beside}", "yellow"
        for each in compared.at_equal_parameters:
            yield f"  {_at_equal(each)}", ""
        yield (
            f"  intervals of {1 - ERROR:.0%} for all options together, by least squares on log parameters",
            "dim",
        )


def _at_equal(each: AtEqualParameters) -> str:
    if each.better_by is None or each.interval is None or each.sizes is None:
        return f"{each.option}: cannot be told, {each.why_not}"
    among = f"{counted(each.num_trials, 'trial')} of {between(each.sizes)} parameters"
    word = ("better" if each.better_by > 0 else "worse") if each.is_shown else "cannot be told"
    interval = f"[{signed(each.interval[0])}, {signed(each.interval[1])}]"
    return f"{each.option}: {word}, better by {signed(each.better_by)} {interval}, {among}"
