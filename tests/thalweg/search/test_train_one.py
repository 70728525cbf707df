"""One configuration, chosen and trained without a search."""

from pathlib import Path
from typing import Any

import pytest

from families.toy.config import PRESETS
from families.toy.task import Errors, Waves
from thalweg.contract import Metric
from thalweg.errors import ConfigError, DiscoveryError, ObjectiveError
from thalweg.search.presets import preset_space
from thalweg.search.space import load_space
from thalweg.search.train_one import Single, choose, train
from thalweg.training import baselines
from thalweg.training.messages import Report


def chosen(output: Path, params: dict[str, Any], **options: Any) -> Single:
    return choose(load_space("spaces.toys"), params, output=output, root=output / "data", **options)


def test_parameters_given_as_text_reach_the_configuration(tmp_path: Path) -> None:
    single = chosen(tmp_path, {"lr": "0.01", "width": "8"})
    assert single.order.config["width"] == 8
    assert single.order.config["optimization"]["lr"] == 0.01
    assert single.order.evaluations == (64, 128, 192, 256)


def test_a_parameter_that_is_left_out_takes_the_middle(tmp_path: Path) -> None:
    assert chosen(tmp_path, {}).params["trouble"] == "none"


@pytest.mark.parametrize(("params", "law"), [({"lr": "9"}, "lr must be in"), ({"depth": "3"}, "got 'depth'")])
def test_a_wrong_parameter_is_refused(tmp_path: Path, params: dict[str, str], law: str) -> None:
    with pytest.raises(ConfigError, match=law):
        chosen(tmp_path, params)


def test_another_budget_moves_the_evaluations(tmp_path: Path) -> None:
    assert chosen(tmp_path, {}, samples=80).order.evaluations == (20, 40, 60, 80)


def test_a_budget_of_few_batches_has_no_evaluation_without_a_new_one(tmp_path: Path) -> None:
    assert chosen(tmp_path, {}, samples=20).order.evaluations == (10, 20)


def test_a_budget_below_a_batch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must hold a batch, up to 8 samples here, got --samples 2"):
        chosen(tmp_path, {}, samples=2)
    with pytest.raises(ConfigError, match=r"got --samples 2"):
        from_preset(tmp_path, samples=2)


def test_knobs_of_a_preset_can_be_changed(tmp_path: Path) -> None:
    knobs = {"optimization.lr": "3e-3", "width": "12"}
    single = from_preset(tmp_path, knobs=knobs)
    assert single.config == PRESETS["wide"].vary(width=12, optimization={"lr": 3e-3})
    assert single.order.directory != from_preset(tmp_path).order.directory
    told = preset_space("families.toy", "wide", 64, knobs=knobs).doc
    assert told.startswith("preset wide of families.toy, optimization.lr=3e-3, width=12, data set waves, mse")


def test_every_configuration_and_budget_has_a_folder_of_its_own(tmp_path: Path) -> None:
    folders = {
        chosen(tmp_path, params, samples=samples).order.directory
        for params, samples in (({}, None), ({"lr": 0.01}, None), ({}, 80), ({}, None))
    }
    assert len(folders) == 3


def test_the_study_says_how_many_checkpoints_are_kept(tmp_path: Path) -> None:
    space = load_space("spaces.toys").with_settings(keep_last=3)
    assert choose(space, {}, output=tmp_path, root=tmp_path).order.keep_last == 3


def test_other_data_have_a_folder_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = chosen(tmp_path, {}).order.directory
    monkeypatch.setattr(Waves, "fingerprint", "waves-2")
    assert chosen(tmp_path, {}).order.directory != first


@pytest.mark.slow
def test_a_configuration_trains_to_its_end_and_is_not_trained_again(tmp_path: Path) -> None:
    single = chosen(tmp_path, {"lr": 0.01}, samples=64)
    told: list[Report] = []
    last = train(single, told.append)
    assert [report.samples for report in told] == [16, 32, 48, 64]
    assert last.checkpoint is not None and Path(last.checkpoint).is_dir()
    assert set(baselines.read(Path(single.order.directory)) or {}) == {"untrained", "zero"}
    again: list[Report] = []
    assert train(single, again.append).metrics == last.metrics
    assert [report.samples for report in again] == [64]


def from_preset(output: Path, preset: str = "wide", samples: int | None = 64, **options: Any) -> Single:
    space = preset_space("families.toy", preset, samples, root=output / "data", **options)
    return choose(space, {}, output=output, root=output / "data")


def test_a_preset_is_trained_as_it_is(tmp_path: Path) -> None:
    single = from_preset(tmp_path)
    assert single.config == PRESETS["wide"]
    assert (single.params, single.order.metric) == ({}, "mse")
    assert single.order.evaluations == (8, 16, 24, 32, 40, 48, 56, 64)
    assert from_preset(tmp_path, "default").order.directory != single.order.directory


def test_a_preset_is_measured_by_the_first_metric_that_is_fit_and_that_it_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def metric(name: str, fit: bool = True) -> Metric:
        return Metric(name=name, mode="min", unit="1", search_invariant=fit, meaning="A number.")

    metrics = (metric("loss", fit=False), metric("mse_first"), metric("mse"))
    monkeypatch.setattr(Errors, "metrics", metrics)
    assert from_preset(tmp_path).order.metric == "mse_first"
    assert from_preset(tmp_path, metric="mse").order.metric == "mse"
    with pytest.raises(
        ObjectiveError, match=r"must be search-invariant and measured, got 'loss'; .*mse_first, mse"
    ):
        from_preset(tmp_path, metric="loss")


def test_a_preset_takes_another_data_set_that_exists(tmp_path: Path) -> None:
    with pytest.raises(DiscoveryError, match=r"no data set 'seas' in families.toy \(found: none\)"):
        from_preset(tmp_path, dataset="seas")
    (tmp_path / "data" / "families.toy" / "seas").mkdir(parents=True)
    assert from_preset(tmp_path, dataset="seas").config.dataset == "seas"


def test_a_preset_without_a_budget_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"needs a budget in training samples.*--samples"):
        from_preset(tmp_path, samples=None)


@pytest.mark.slow
def test_a_preset_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(report: Report) -> None:
        if report.samples == 32:
            raise Stop

    with pytest.raises(Stop):
        train(from_preset(tmp_path / "cut"), stop)
    told: list[Report] = []
    last = train(from_preset(tmp_path / "cut"), told.append)
    assert [report.samples for report in told] == [32, 40, 48, 56, 64]
    assert last.metrics == train(from_preset(tmp_path / "whole"), lambda report: None).metrics
