"""The descriptions that people read in MLflow, in Markdown: what to look at, and the leaderboard."""

from __future__ import annotations

from thalweg.tracking import naming, views
from thalweg.tracking.spool import State


def experiment_note(state: State) -> str:
    """Describes the experiment: what the study asks, what the columns mean, where to look first."""
    started = state.started
    better = "larger" if started["mode"] == "max" else "smaller"
    return "\n".join(
        [
            f"Study **{started['study']}**: {started['num_trials']} trials of `{started['family']}` from the "
            f"space `{started['space']}`, each trained on {started['samples']:,} samples.",
            "",
            f"Look at: [the trials, best first]({views.link(state.experiment_id, views.TABLE)}) - "
            f"[what good trials share]({views.link(state.experiment_id, views.CHARTS)}) (also in the menu "
            "Views).",
            "",
            f"`objective` is **{started['metric']}** ({better} is better), the same measurement in "
            "every trial; the training loss is not, because its weights are searched.",
            "",
            "| name | meaning |",
            "|---|---|",
            "| a bare name such as `lr` | what the space asked for, rounded for reading |",
            "| `with/...` | the exact configuration; the artifact `config.json` holds it whole |",
            "| `loss/...` | training loss by part, unweighted; `weight/...` the weights in use |",
            "| `time/..._s` | seconds, added up over the trial |",
            "| status | complete = FINISHED, pruned early = KILLED, failed = FAILED; why: the tag `reason` |",
            "",
            "The x axis of every curve is the number of samples seen.",
            "",
            leaderboard(state),
        ]
    )


def leaderboard(state: State) -> str:
    """Returns the best complete trials and the baselines, best first, as a table."""
    rows = [(row.value, naming.trial(row.number), row.searched, row.run_id) for row in state.leaders]
    rows += [(value, naming.baseline(name), "", "") for name, value in state.baselines.items()]
    rows.sort(key=lambda row: row[0], reverse=state.started["mode"] == "max")
    if not rows:
        return "No trial is complete yet."
    lines = [f"| {state.started['metric']} | run | searched |", "|---|---|---|"]
    for value, name, searched, run_id in rows:
        link = f"[{name}](#/experiments/{state.experiment_id}/runs/{run_id})" if run_id else name
        lines.append(f"| {value:.5g} | {link} | {searched} |")
    return "\n".join(lines)
