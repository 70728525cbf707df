"""In the synthetic world a better model scores better, and a trained one beats what needs no training."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests import tasks
from thalweg.contract import Batch, Metric, metrics_of
from thalweg.training.evaluation import evaluate_split
from thalweg.training.messages import TrialOrder
from thalweg.training.process_group import ProcessGroup, join
from thalweg.training.session import DataCache, Session
from trainables.geo_contrastive.assimilation.measure import ANALYSIS
from trainables.geo_contrastive.config import PRESETS, GeoContrastive
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.data.splits import LEADS
from trainables.geo_contrastive.diffusion.scores import ENSEMBLE, NUM_MEMBERS
from trainables.geo_contrastive.evaluation.reconstruction import FIELD
from trainables.geo_contrastive.evaluation.subset import SCORED, rows_scored
from trainables.geo_contrastive.forecast.predict import FORECAST_FIELD
from trainables.geo_contrastive.representation.task import RepresentationTask
from trainables.geo_contrastive.seasons.baselines import LOGITS
from trainables.geo_contrastive.task import task_for
from trainables.geo_contrastive.worlds import synthetic as weather

DAYS = 150
"""Days that are compared; their seasons differ."""
NAMES = PRESETS["tiny"].data.variables


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tiny synthetic weather lies; fewer cells would show too little of it."""
    folder = tmp_path_factory.mktemp("weather")
    (folder / "tiny").mkdir()
    weather.make_tiny(folder / "tiny")
    return folder


@pytest.fixture(scope="module")
def data(root: Path) -> FieldData:
    """That weather."""
    return RepresentationTask(PRESETS["tiny"]).open(root)


def _invariant(task: Any) -> tuple[Metric, ...]:
    return tuple(metric for metric in metrics_of(task) if metric.search_invariant)


def _near_the_truth(batch: Batch, noise: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """Returns what all measures read: the truth, with noise."""
    rows = rows_scored(batch) if SCORED in batch else torch.arange(len(batch["day"]))
    found = {LOGITS: noise(4.0 * torch.nn.functional.one_hot(batch["season"], 4).float())}
    for name in NAMES:
        truth = batch[f"target/{name}"][:, 0]
        members = truth[rows, None].expand(-1, NUM_MEMBERS, -1, -1)
        found |= {
            f"{FIELD}{name}": noise(truth),
            f"{ANALYSIS}{name}": noise(truth[rows]),
            f"{ENSEMBLE}{name}": noise(members),
        }
        if f"ahead/{name}" in batch:
            found[f"{FORECAST_FIELD}{name}"] = noise(batch[f"ahead/{name}"])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["tiny_forecast", "tiny_assimilation", "tiny_diffusion", "tiny_seasons"])
def test_less_noise_scores_better_by_every_metric_that_trials_are_compared_by(
    preset: str, data: FieldData
) -> None:
    task = task_for(PRESETS[preset])
    batch = task.evaluation_batch(data, "val", np.arange(DAYS))
    scores: list[Mapping[str, float]] = []
    for size in (1.5, 0.5, 0.1):
        generator = torch.Generator().manual_seed(0)

        def noise(truth: Tensor, size: float = size, generator: torch.Generator = generator) -> Tensor:
            return truth + size * torch.randn(truth.shape, generator=generator)

        outputs = _near_the_truth(batch, noise)
        found: dict[str, float] = {}
        for measure in task.measures():
            if all(not metric.search_invariant for metric in measure.metrics):
                continue  # the geometry of latents
            found |= measure.summarize(dict(measure.add(outputs, batch)))
        scores.append(found)
    compared = _invariant(task)
    assert len(compared) >= 15
    for metric in compared:
        values = [found[metric.name] for found in scores]
        better = sorted(values, reverse=metric.mode == "min")
        assert values == better and values[0] != values[-1], f"{metric.name}: {values}"


@pytest.mark.slow
def test_more_patterns_reconstruct_better_by_every_metric_that_trials_are_compared_by(
    data: FieldData,
) -> None:
    scores = []
    for patterns in (2, 8, 64):
        task = RepresentationTask(PRESETS["tiny"].vary(encoder={"patterns": patterns}))
        torch.manual_seed(0)
        model = task.build(task.facts(data)).eval()
        scores.append(tasks.metrics(task, model, task.evaluation_batch(data, "val", np.arange(DAYS))))
    for metric in _invariant(task):
        values = [found[metric.name] for found in scores]
        assert values == sorted(values, reverse=metric.mode == "min"), f"{metric.name}: {values}"


@pytest.fixture(scope="module")
def world() -> ProcessGroup:
    """This process alone."""
    return join()


Train = Callable[..., Mapping[str, float]]


@pytest.fixture(scope="module")
def train(root: Path, world: ProcessGroup, tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Trains on the platform, and returns the metrics."""

    def trained(config: GeoContrastive, samples: int) -> Mapping[str, float]:
        order = TrialOrder(
            trial="trial",
            family="trainables.geo_contrastive",
            config=config.model_dump(mode="json"),
            metric=metrics_of(task_for(config))[0].name,
            evaluations=(samples,),
            data_root=str(root),
            directory=str(tmp_path_factory.mktemp("trial")),
            checkpoints=False,
        )
        session = Session(order, world, DataCache())
        report = session.advance()
        session.close()
        return dict(report.metrics)

    return trained


def _baselines(config: GeoContrastive, data: FieldData, world: ProcessGroup) -> dict[str, dict[str, float]]:
    task = task_for(config)
    found = {}
    for name, baseline in task.baselines(data).items():
        found[name] = evaluate_split(
            task,
            data,
            partial(task.predict, baseline),
            world,
            split="val",
            batch_size=64,
            is_baseline=True,
        )
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["autoencoder", "simclr"])
def test_a_trained_representation_beats_what_needs_no_training(
    kind: str, data: FieldData, train: Train, world: ProcessGroup
) -> None:
    config = PRESETS["tiny"].vary(objective={"kind": kind})
    found, baselines = train(config, 1024), _baselines(config, data, world)
    assert found["rrmse"] < 0.75 * min(baselines[name]["rrmse"] for name in ("climatology", "persistence"))
    assert found["skill_climatology"] > 0.3
    if kind == "autoencoder":
        assert found["rrmse"] < baselines["pattern_interpolation"]["rrmse"]


@pytest.mark.slow
def test_more_samples_teach_an_encoder_without_patterns_more(train: Train) -> None:
    config = PRESETS["tiny"].vary(
        objective={"kind": "autoencoder"},
        optimization={"lr": 3e-3},
        encoder={"patterns": 0, "linear": True},
    )
    few, many = (train(config, samples) for samples in (128, 2048))
    for metric in _invariant(RepresentationTask(config)):
        first, second = few[metric.name], many[metric.name]
        assert second < first if metric.mode == "min" else second > first, metric.name


@pytest.mark.slow
def test_a_trained_forecast_beats_persistence_and_ends_at_the_climatology(
    data: FieldData, train: Train, world: ProcessGroup
) -> None:
    config = PRESETS["tiny_forecast"].vary(objective={"kind": "autoencoder"}, downstream={"share": 0.5})
    found, baselines = train(config, 2048), _baselines(config, data, world)
    for name in ("climatology", "persistence"):
        assert found["forecast_rrmse"] < baselines[name]["forecast_rrmse"], name
        assert found["forecast_rrmse_3d"] < baselines[name]["forecast_rrmse_3d"], name
    ridge = baselines["forecast_ridge"]
    assert found["forecast_rrmse"] < 1.01 * ridge["forecast_rrmse"]
    for lead in (5, 10):
        assert found[f"forecast_rrmse_{lead}d"] < ridge[f"forecast_rrmse_{lead}d"], lead
    assert found["forecast_skill_climatology_10d"] > -0.02


Latent = Callable[[int, float], Mapping[str, float]]


@pytest.fixture(scope="module")
def train_latent(train: Train) -> Latent:
    """Trains forecasts of latents to a horizon, at a multiple of the learning rate."""

    def trained(horizon: int, scale: float) -> Mapping[str, float]:
        downstream = {"share": 0.8, "loss": "latent", "horizon": horizon, "lr_scale": scale}
        return train(
            PRESETS["tiny_forecast"].vary(objective={"kind": "autoencoder"}, downstream=downstream), 5120
        )

    return trained


@pytest.fixture(scope="module")
def still(train_latent: Latent) -> Mapping[str, float]:
    """Forecasts whose network learns nothing, and so the same to whichever horizon."""
    return train_latent(1, 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("horizon", [3, 10])
def test_fast_training_of_forecasts_does_no_harm_at_any_lead(
    horizon: int, train_latent: Latent, still: Mapping[str, float]
) -> None:
    found = train_latent(horizon, 20.0)
    for lead in LEADS:
        name = f"forecast_skill_climatology_{lead}d"
        assert found[name] > still[name] - 0.01, name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "metric", "baseline"),
    [
        ("tiny_assimilation", "assimilation_rrmse", "optimal_interpolation"),
        ("tiny_diffusion", "crps", "calendar_ensemble"),
    ],
)
def test_trained_heads_beat_their_baselines(
    preset: str, metric: str, baseline: str, data: FieldData, train: Train, world: ProcessGroup
) -> None:
    config = PRESETS[preset].vary(objective={"kind": "autoencoder"}, downstream={"share": 0.5})
    found, baselines = train(config, 512), _baselines(config, data, world)
    assert found[metric] < baselines[baseline][metric]
