import json
from typing import Any

from thalweg.tracking import pages
from thalweg.tracking.spool import DeliveryState, Leader, plain


def state(make: Any, **changes: Any) -> DeliveryState:
    return DeliveryState(experiment_id="7", started=plain(make.started(**changes)))


def test_the_leaderboard_puts_trials_and_baselines_in_one_order(make: Any) -> None:
    study = state(make)
    study.leaders = [Leader(4, 0.5, "run4", "lr=1"), Leader(2, -0.5, "run2", "lr=2")]
    study.baselines = {"climatology": 0.0}
    lines = pages.leaderboard(study).splitlines()[2:]
    assert ["trial 004" in lines[0], "climatology" in lines[1], "trial 002" in lines[2]] == [True] * 3


def test_the_leaderboard_begins_with_the_smallest_where_smaller_is_better(make: Any) -> None:
    study = state(make, mode="min")
    study.leaders = [Leader(4, 0.1, "run4", ""), Leader(2, 0.2, "run2", "")]
    study.baselines = {"climatology": 0.3}
    assert "climatology" in pages.leaderboard(study).splitlines()[-1]


def test_the_first_line_of_a_description_links_to_the_views(make: Any) -> None:
    first = pages.experiment_note(state(make)).splitlines()[0]
    assert pages.link("7", pages.TABLE) in first
    assert pages.link("7", pages.CHARTS) in first


def test_a_description_begins_with_plain_words(make: Any) -> None:
    first = pages.experiment_note(state(make)).splitlines()[0]
    assert first.startswith("skill (max) of water_mae: [")


def saved(view: str, mode: str) -> dict[str, Any]:
    tag = pages.experiment_tags({"lr": 6, "batch_size": 2}, mode, 5)[f"mlflow.sharedViewState.{view}"]
    content: dict[str, Any] = json.loads(json.loads(tag)["state"])
    return content


def test_the_table_begins_with_the_best_trial() -> None:
    assert saved(pages.TABLE, "max")["orderByAsc"] is False
    assert saved(pages.TABLE, "min")["orderByAsc"] is True


def test_the_table_shows_what_was_searched_and_why_a_trial_ended() -> None:
    columns = saved(pages.TABLE, "max")["selectedColumns"]
    shown = {"params.`lr`", "params.`batch_size`", "tags.`ended_as`", "tags.`reason`"}
    assert columns[0] == "metrics.`objective`" and shown <= set(columns)


def test_columns_are_as_wide_as_names_of_runs_and_values_are_long() -> None:
    values = {"loss": len("cross-entropy + SupCon"), "sensors": len("s1"), "notes": 4000}
    tag = pages.experiment_tags(values, "max", 5)[f"mlflow.sharedViewState.{pages.TABLE}"]
    table = json.loads(json.loads(tag)["state"])
    widths = table["columnWidths"]
    assert widths["params.`loss`"] >= 8 * len("cross-entropy + SupCon")
    assert widths["params.`sensors`"] < widths["params.`loss`"] < widths["params.`notes`"] < 400
    assert widths["attributes.`Run Name`"] >= 8 * len("baseline: band_statistics_s2")
    assert set(widths) == set(table["columnOrder"])


def test_the_parallel_coordinates_join_what_was_searched_with_the_objective() -> None:
    parallel = saved(pages.CHARTS, "max")["compareRunCharts"][0]
    assert parallel["selectedParams"] == ["lr", "batch_size"]
    assert parallel["selectedMetrics"] == ["objective"]


def test_every_chart_stands_in_a_section() -> None:
    content = saved(pages.CHARTS, "max")
    sections = {section["uuid"] for section in content["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in content["compareRunCharts"]} == sections


def test_a_saved_view_of_many_settings_fits_into_a_tag() -> None:
    names = {f"a_rather_long_name_of_a_setting_{number}": 9 for number in range(30)}
    assert max(map(len, pages.experiment_tags(names, "max", 0).values())) < 20_000
