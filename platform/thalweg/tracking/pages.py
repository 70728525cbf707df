"""Pages that people read in MLflow: descriptions in Markdown, and two saved views of an experiment."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from thalweg.events import EndedAs
from thalweg.study_folder import trial_title
from thalweg.tracking import naming
from thalweg.tracking.metrics.curated import MAX_METRICS
from thalweg.tracking.metrics.metric_table import TABLE_FILE
from thalweg.tracking.spool import DeliveryState

TABLE = "thalweg-table"
CHARTS = "thalweg-charts"
TRAINING = "workflowType=machine_learning"
"""Part of an address: opens MLflow's pages for training instead of those for language models."""

_TAG = "mlflow.sharedViewState."
_RUN_NAME = "attributes.`Run Name`"  # MLflow's name of this column in a view; in filters it has another one
_MIN_WIDTH, _MAX_WIDTH, _WIDTH_PER_LETTER, _RUN_WIDTH, _WORD_WIDTH, _REASON_WIDTH = 90, 350, 8, 250, 130, 400
_NUMBER_LETTERS = 12  # of a metric; MLflow writes sixteen digits
_LOADED = 100  # runs that MLflow loads at a time


def experiment_tags(searched: Mapping[str, int], mode: str, time_ms: int) -> dict[str, str]:
    """Returns the tags of an experiment that set up its pages: the kind, the main metric, the two views.

    Args:
        searched: Letters of the longest value of each searched parameter so far: columns show values whole.
        mode: ``"min"`` or ``"max"`` of the objective.
        time_ms: When the study began, in milliseconds since 1970.
    """
    params = {naming.searched_key(name): letters for name, letters in searched.items()}
    while True:
        found = _tags(params, mode, time_ms)
        if not params or max(map(len, found.values())) <= naming.MAX_EXPERIMENT_TAG_LENGTH:
            return found
        params.popitem()  # the view must fit; every parameter can still be chosen as a column


def _tags(params: Mapping[str, int], mode: str, time_ms: int) -> dict[str, str]:
    best_first = {"orderByKey": "metrics.`objective`", "orderByAsc": mode == "min"}
    table = {"searchFilter": "tags.`thalweg.kind` != 'study'"} | best_first | _table(params)
    charts = {"searchFilter": "tags.`thalweg.kind` = 'trial'"} | best_first | _charts(list(params))
    return {
        "mlflow.experimentKind": "custom_model_development",
        "mlflow.experiment.primaryMetric.name": "objective",
        f"{_TAG}{TABLE}": _view("Trials, best first", table, time_ms),
        f"{_TAG}{CHARTS}": _view("What good trials share", charts, time_ms),
    }


def link(experiment_id: str, view: str | None) -> str:
    """Returns the address of a view, or of all runs, relative to MLflow's, such as ``#/experiments/1/runs?...``."""
    if view is None:
        return f"#/experiments/{experiment_id}/runs?{TRAINING}"
    mode = "&compareRunsMode=CHART" if view == CHARTS else ""
    return f"#/experiments/{experiment_id}/runs?{TRAINING}&viewStateShareKey={view}{mode}"


def _view(name: str, state: dict[str, Any], time_ms: int) -> str:
    return json.dumps({"name": name, "createdAt": time_ms, "updatedAt": time_ms, "state": json.dumps(state)})


def _table(params: Mapping[str, int]) -> dict[str, Any]:
    columns = {"metrics.`objective`": "objective", "tags.`ended_as`": "ended_as"}
    columns |= {f"params.`{name}`": name for name in params}
    columns |= {"metrics.`samples`": "samples", "metrics.`time/trial_s`": "time/trial_s"}
    letters = {column: max(len(name), params.get(name, 0)) for column, name in columns.items()}
    widths = {column: _width(count) for column, count in letters.items()}
    widths["metrics.`objective`"] = _width(_NUMBER_LETTERS)
    widths["tags.`ended_as`"] = _WORD_WIDTH
    widths["tags.`reason`"] = _REASON_WIDTH
    return {
        "selectedColumns": list(widths),
        "columnOrder": [_RUN_NAME, *widths],
        "columnWidths": {_RUN_NAME: _RUN_WIDTH, **widths},
    }


def _width(letters: int) -> int:
    return min(_MAX_WIDTH, max(_MIN_WIDTH, 30 + _WIDTH_PER_LETTER * letters))


def _charts(params: Sequence[str]) -> dict[str, Any]:
    parallel = {
        "type": "PARALLEL",
        "selectedParams": list(params),
        "selectedMetrics": ["objective"],
        "showAllRuns": True,
    }
    scatters = [
        {
            "type": "SCATTER",
            "xaxis": {"key": name, "type": "PARAM"},
            "yaxis": {"key": "objective", "type": "METRIC"},
        }
        for name in params
    ]
    sections = [
        _section(
            f"The best trials, coloured by their objective: {_LOADED}, and those of Load more",
            columns=1,
            height=400,
        ),
        _section("The objective over samples seen", columns=1, height=400),
        _section("The objective by what was searched", columns=3, height=300),
    ]
    rows = [[parallel], [_line("objective")], scatters]
    charts = [
        chart | {"uuid": f"{section['uuid']}, {index}", "metricSectionId": section["uuid"]} | _BY_HAND
        for section, row in zip(sections, rows, strict=True)
        for index, chart in enumerate(row)
    ]
    return {
        "compareRunCharts": charts,
        "compareRunSections": sections,
        "runsHiddenMode": "SHOW_ALL",
        "isAccordionReordered": True,
    }


_BY_HAND = {"isGenerated": False, "deleted": False, "runsCountToCompare": 100}


def _section(name: str, *, columns: int, height: int) -> dict[str, Any]:
    section = {"uuid": name, "name": name, "columns": columns, "cardHeight": height}
    return section | {"display": True, "isReordered": False, "isGenerated": False, "deleted": False}


def _line(metric: str) -> dict[str, Any]:
    axes = {
        "xAxisKey": "step",
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "range": {},
        "yAxisKey": "metric",
    }
    return {
        "type": "LINE",
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "selectedXAxisMetricKey": "",
        "yAxisExpressions": [],
        "lineSmoothness": 0,
        "ignoreOutliers": False,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
        **axes,
    }


def experiment_note(state: DeliveryState) -> str:
    """Describes the experiment. The links are on the first line, the only one that MLflow shows folded.

    It begins with plain words, for MLflow's list of experiments shows the first few letters as they are.
    """
    started = state.started
    table, charts = (link(state.experiment_id, view) for view in (TABLE, CHARTS))
    better = "larger" if started["mode"] == "max" else "smaller"
    data_set = f" of the data set `{name}`" if (name := started.get("tags", {}).get("data_set")) else ""
    return "\n".join(
        [
            f"{started['metric']} ({started['mode']}) of {started['family']}: [trials, best first]({table}) - "
            f"[what good trials share]({charts})",
            "",
            f"**{started['study']}**: {started['num_trials']} trials of `{started['family']}` from the space "
            f"`{started['space']}`, each trained on at most {started['samples']:,} samples{data_set}.",
            "",
            f"- `objective` is **{started['metric']}** ({better} is better), the same measurement in every "
            "trial. The training loss is not: its weights may be searched.",
            "- A parameter with a bare name is what the space asked for, rounded for reading. `with/...` is "
            "the exact configuration; the artifact `config.json` holds it whole.",
            f"- At most {MAX_METRICS} metrics of a run are shown. Its artifact `{TABLE_FILE}` holds all of them, with "
            "every part of the training loss (`loss/...`, unweighted) and the weights in use (`weight/...`).",
            "- `loss/weighted` is what was minimized. `time/..._s` are seconds, added up over the trial. Every curve "
            "runs over samples seen.",
            "- The tag `status` says how a trial ended: complete, pruned (stopped early), interrupted or failed; "
            "`reason` says why. MLflow's own status is FINISHED for the first two, KILLED and FAILED for the others.",
            "- A trial with the tag `promoted_after` goes on from the rung where early stopping had stopped the trial "
            "of its tag `continues`: both count as one.",
            f"- The tag `ended_as` says why as one word, to filter by (``tags.ended_as = 'diverged'``): "
            f"{', '.join(get_args(EndedAs))}.",
            f"- MLflow loads {_LOADED} runs at a time; the views begin with the best ones, and Load more below them "
            "adds the next. ``tags.ended_as = 'complete'`` in the search box leaves out trials that were stopped early "
            "or failed.",
            "- Knobs that change nothing in a trial, such as those of a stage that it lacks, are in `config.json` "
            "alone.",
            "",
            leaderboard(state),
        ]
    )


def leaderboard(state: DeliveryState) -> str:
    """Returns the best complete trials and the baselines, best first, as a list."""
    rows = [(row.value, trial_title(row.number), row.searched, row.run_id) for row in state.leaders]
    rows += [(value, naming.baseline(name), "", "") for name, value in state.baselines.items()]
    rows.sort(key=lambda row: row[0], reverse=state.started["mode"] == "max")
    if not rows:
        return "No trial is complete yet."
    lines = [f"Best first, by **{state.started['metric']}**:", ""]
    for value, name, searched, run_id in rows:
        address = f"#/experiments/{state.experiment_id}/runs/{run_id}?{TRAINING}"
        line = f"1. **{value:.5g}** {f'[{name}]({address})' if run_id else name}"
        lines.append(f"{line}: {searched}" if searched else line)
    return "\n".join(lines)
