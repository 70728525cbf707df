"""Descriptions in MLflow, in Markdown: what to look at first, and the leaderboard."""

from __future__ import annotations

from thalweg.study_folder import trial_title
from thalweg.tracking import naming, views
from thalweg.tracking.spool import State


def experiment_note(state: State) -> str:
    """Describes the experiment. The links are on the first line, the only one that MLflow shows folded."""
    started = state.started
    table, charts = (views.link(state.experiment_id, view) for view in (views.TABLE, views.CHARTS))
    better = "larger" if started["mode"] == "max" else "smaller"
    return "\n".join(
        [
            f"**{started['study']}**: [trials, best first]({table}) - [what good trials share]({charts})",
            "",
            f"{started['num_trials']} trials of `{started['family']}` from the space `{started['space']}`, "
            f"each trained on at most {started['samples']:,} samples.",
            "",
            f"- `objective` is **{started['metric']}** ({better} is better), the same measurement in every "
            "trial. The training loss is not: its weights may be searched.",
            "- A parameter with a bare name is what the space asked for, rounded for reading. `with/...` is "
            "the exact configuration; the artifact `config.json` holds it whole.",
            "- `loss/...` is the training loss by part, unweighted; `weight/...` are the weights in use.",
            "- `time/..._s` are seconds, added up over the trial. Every curve runs over samples seen.",
            "- The tag `status` says how a trial ended: complete, pruned (stopped early), interrupted or failed; "
            "`reason` says why. MLflow's own status is FINISHED for the first two, KILLED and FAILED for the others.",
            "- Knobs that change nothing in a trial, such as those of a stage that it lacks, are in `config.json` "
            "alone.",
            "",
            leaderboard(state),
        ]
    )


def leaderboard(state: State) -> str:
    """Returns the best complete trials and the baselines, best first, as a list."""
    rows = [(row.value, trial_title(row.number), row.searched, row.run_id) for row in state.leaders]
    rows += [(value, naming.baseline(name), "", "") for name, value in state.baselines.items()]
    rows.sort(key=lambda row: row[0], reverse=state.started["mode"] == "max")
    if not rows:
        return "No trial is complete yet."
    lines = [f"Best first, by **{state.started['metric']}**:", ""]
    for value, name, searched, run_id in rows:
        address = f"#/experiments/{state.experiment_id}/runs/{run_id}?{views.TRAINING}"
        line = f"1. **{value:.5g}** {f'[{name}]({address})' if run_id else name}"
        lines.append(f"{line}: {searched}" if searched else line)
    return "\n".join(lines)
