import copy
import math
import subprocess
import sys
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor

from tests import tasks
from thalweg.errors import ConfigError
from trainables.geo_contrastive.config import PRESETS
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.diffusion.calendar_ensemble import MAX_DISTANCE, CalendarEnsemble
from trainables.geo_contrastive.diffusion.denoiser import Denoiser
from trainables.geo_contrastive.diffusion.head import DiffusionHead
from trainables.geo_contrastive.diffusion.knobs import DiffusionKnobs, signal_left
from trainables.geo_contrastive.diffusion.realism import (
    NUM_NEIGHBOURS,
    REAL,
    SAMPLE,
    SampleRealism,
    density_and_realism,
)
from trainables.geo_contrastive.diffusion.schedule import NoiseSchedule, _ddim
from trainables.geo_contrastive.diffusion.scores import ENSEMBLE, NUM_MEMBERS, EnsembleScores, PointScore
from trainables.geo_contrastive.diffusion.task import DiffusionTask, sampling_noise
from trainables.geo_contrastive.downstream.model import HeadedModel
from trainables.geo_contrastive.evaluation.latents import CLEAN, MASKED
from trainables.geo_contrastive.evaluation.reconstruction import FIELD
from trainables.geo_contrastive.evaluation.subset import MAX_DAYS, SCORED, rows_scored, scored_days

SCHEDULE = NoiseSchedule(1000, 0.02)
KEPT = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0).float()
"""Share of a latent's variance in what each step holds."""


@pytest.fixture(scope="module")
def data(make_fields: Callable[..., FieldData]) -> FieldData:
    """Nearly three years on two grids, with sea."""
    return make_fields(
        1000,
        grids={"8x4": (8, 4), "5x3": (5, 3)},
        variables={"u": "8x4", "t2m": "5x3"},
        projected=["5x3"],
        sea=0.3,
    )


@pytest.fixture(scope="module")
def task() -> DiffusionTask:
    """The task of the tiny preset, for variables on two grids."""
    return DiffusionTask(
        PRESETS["tiny_diffusion"].vary(
            data={"variables": ("u", "t2m")}, encoder={"fusion": {"kind": "average"}}
        )
    )


@pytest.fixture(scope="module")
def model(task: DiffusionTask, data: FieldData) -> HeadedModel:
    """An untrained model."""
    torch.manual_seed(0)
    found = task.build(task.facts(data)).eval()
    assert isinstance(found, HeadedModel)
    return found


def velocity(noisy: Tensor, latents: Tensor, steps: Tensor) -> Tensor:
    """The velocity of what a network takes for the latents."""
    kept = KEPT[steps][:, None]
    noise = (noisy - kept.sqrt() * latents) / (1 - kept).sqrt()
    return kept.sqrt() * noise - (1 - kept).sqrt() * latents


def test_noise_is_added_as_in_the_paper() -> None:
    latents, noise = torch.randn(2, 3, 4, generator=torch.manual_seed(0)).unbind()
    steps = torch.tensor([0, 500, 999])
    betas = np.linspace(1e-4, 0.02, 1000)
    kept = np.cumprod(1 - betas)[steps.numpy()]
    expected = latents.numpy() * np.sqrt(kept)[:, None] + noise.numpy() * np.sqrt(1 - kept)[:, None]
    np.testing.assert_allclose(SCHEDULE.noisy(latents, noise, steps).numpy(), expected, atol=2e-6)
    assert math.sqrt(kept[2]) == pytest.approx(signal_left(1000, 0.02))
    told = SCHEDULE.velocity(latents, noise, steps)
    torch.testing.assert_close(told[1:], velocity(SCHEDULE.noisy(latents, noise, steps), latents, steps)[1:])


def test_the_first_step_adds_noise_in_half_precision_too() -> None:
    latents, noise = torch.ones(1, 4, dtype=torch.bfloat16), torch.ones(1, 4, dtype=torch.bfloat16)
    found = SCHEDULE.noisy(latents, noise, torch.tensor([0]))
    assert float(found[0, 0]) == pytest.approx(math.sqrt(1 - 1e-4) + math.sqrt(1e-4), abs=1e-5)


def test_sampling_begins_at_the_last_step_and_clips_nothing() -> None:
    assert _ddim(SCHEDULE).timesteps[0] == 999

    def towards_five(noisy: Tensor, steps: Tensor) -> Tensor:
        return velocity(noisy, torch.full_like(noisy, 5.0), steps)

    found = SCHEDULE.sample(towards_five, torch.randn(6, 3, generator=torch.manual_seed(0)))
    torch.testing.assert_close(found, torch.full((6, 3), 5.0), atol=1e-3, rtol=0)


def test_a_perfect_denoiser_samples_what_latents_are_distributed_like() -> None:
    mean, std = 0.5, 0.8

    def denoise(noisy: Tensor, steps: Tensor) -> Tensor:
        kept = KEPT[steps][:, None]
        gain = kept.sqrt() * std**2 / (kept * std**2 + 1 - kept)
        return velocity(noisy, mean + gain * (noisy - kept.sqrt() * mean), steps)

    found = SCHEDULE.sample(denoise, torch.randn(20_000, 1, generator=torch.manual_seed(0)))
    assert float(found.mean()) == pytest.approx(mean, abs=0.06)
    assert float(found.std()) == pytest.approx(0.96 * std, abs=0.02)


def test_a_schedule_that_does_not_end_in_noise_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"at most 0.1 of a latent.*got 0.36 with num_steps 200"):
        PRESETS["tiny_diffusion"].vary(downstream={"num_steps": 200})
    knobs = PRESETS["tiny_diffusion"].vary(downstream={"num_steps": 200, "beta_end": 0.05}).downstream
    assert isinstance(knobs, DiffusionKnobs) and signal_left(200, knobs.beta_end) < 0.1


def test_a_schedule_that_leaves_nothing_in_single_precision_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"at least 1e-18 of a latent.*with num_steps 4000 and beta_end 0.2; lower"
    ):
        PRESETS["tiny_diffusion"].vary(downstream={"num_steps": 4000, "beta_end": 0.2})
    most = PRESETS["tiny_diffusion"].vary(downstream={"num_steps": 4000, "beta_end": 0.04}).downstream
    assert isinstance(most, DiffusionKnobs)
    noise = torch.randn(5, 3, generator=torch.manual_seed(0))
    found = NoiseSchedule.of(most).sample(lambda latents, _: torch.zeros_like(latents), noise)
    assert torch.isfinite(found).all()


def test_step_and_condition_change_the_velocity_that_is_told_and_get_gradients() -> None:
    torch.manual_seed(0)
    denoiser = Denoiser(DiffusionKnobs(hidden_dim=16, num_blocks=2), 4).eval()
    torch.nn.init.normal_(denoiser.output[-1].weight)  # type: ignore[arg-type]
    noisy, condition = torch.randn(2, 3, 4).unbind()
    steps = torch.tensor([5, 5, 5])
    found = denoiser(noisy, steps, condition)
    assert not torch.allclose(found, denoiser(noisy, steps + 300, condition))
    assert not torch.allclose(found, denoiser(noisy, steps, condition.flip(0)))
    found.square().sum().backward()
    gradients = {name: weight.grad for name, weight in denoiser.named_parameters()}
    assert all(gradient is not None and bool(gradient.any()) for gradient in gradients.values())


def test_samples_are_drawn_among_standardised_latents(
    task: DiffusionTask, data: FieldData, model: HeadedModel
) -> None:
    batch = task.evaluation_batch(data, "val", np.array([0]))
    other, dim = copy.deepcopy(model), task.config.encoder.latent_dim
    scale = torch.linspace(0.1, 20, dim)
    other.standardization.fit(torch.stack([5 - scale, 5 + scale]))
    assert isinstance(other.head, DiffusionHead)
    with torch.no_grad():
        found = task.predict(other, batch)
        real, masked = (found[name] for name in (CLEAN, MASKED))
        torch.testing.assert_close(found[REAL], (real - 5) / scale)
        sampled = other.head.sample((masked - 5) / scale, sampling_noise(batch["day"], dim))
        torch.testing.assert_close(found[SAMPLE], sampled[:, 0])
        fields = other.decode(sampled[0] * scale + 5)
    torch.testing.assert_close(found[f"{ENSEMBLE}u"][0], fields["u"], atol=1e-4, rtol=1e-4)


def test_what_the_regression_leaves_over_is_diffused_in_its_own_spread() -> None:
    torch.manual_seed(0)
    head = DiffusionHead(DiffusionKnobs(hidden_dim=16, num_blocks=1), 4).eval()
    whole, masked, noise = torch.randn(3, 6, 4).unbind()
    steps = torch.arange(6) * 100
    regression = head.regression
    torch.nn.init.normal_(regression.slope)
    torch.nn.init.normal_(regression.constant)
    regression.spread.copy_(torch.tensor([0.1, 0.5, 1.0, 2.0]))
    with torch.no_grad():
        left = (whole - masked * regression.slope - regression.constant) / regression.spread
        # The velocity of an untrained network is 0.
        expected = SCHEDULE.velocity(left, noise, steps).square().mean(1)
        torch.testing.assert_close(head(whole, masked, noise, steps), expected)
        sampled = head.sample(masked, noise[:, None].expand(-1, 2, -1))
        drawn = SCHEDULE.sample(lambda latents, _: torch.zeros_like(latents), noise)
    around = masked * regression.slope + regression.constant
    torch.testing.assert_close(sampled[:, 1], around + regression.spread * drawn)
    assert 0.9 < float((drawn / noise).mean()) < 1


@pytest.mark.slow
def test_samples_follow_their_condition_and_beat_days_of_the_calendar(
    task: DiffusionTask, data: FieldData, model: HeadedModel
) -> None:
    other = copy.deepcopy(model)
    tasks.prepare(task.stages()[-1], data, other)
    batch = task.evaluation_batch(data, "val", np.arange(data.num_samples("val")))
    scores = EnsembleScores(task.config.data.variables)
    with torch.no_grad():
        found = task.predict(other, batch)
        calendar = CalendarEnsemble(data)(batch)
    crps = [scores.summarize(scores.add(each, batch))["crps"] for each in (found, calendar)]
    assert crps[0] < 0.8 * crps[1]
    rows = rows_scored(batch)
    for name in data.variables:
        cells = torch.from_numpy(data.valid[name].copy())
        truth = batch[f"target/{name}"][rows, 0][:, cells].flatten()
        means = (each[f"{ENSEMBLE}{name}"].mean(1)[:, cells].flatten() for each in (found, calendar))
        followed, usual = (spearmanr(mean, truth).statistic for mean in means)
        assert followed > max(0.7, usual + 0.2)


def test_a_sample_is_the_same_in_any_batch_and_members_differ(
    task: DiffusionTask, data: FieldData, model: HeadedModel
) -> None:
    with torch.no_grad():
        many, one = (
            task.predict(model, task.evaluation_batch(data, "val", np.array(indices)))
            for indices in ([0, 1, 2, 4], [4])
        )
    for name in ("u", "t2m"):
        assert many[f"{ENSEMBLE}{name}"].shape[:2] == (3, NUM_MEMBERS)
        torch.testing.assert_close(
            many[f"{ENSEMBLE}{name}"][2], one[f"{ENSEMBLE}{name}"][0], atol=1e-4, rtol=1e-4
        )
    members = one[f"{ENSEMBLE}u"][0].flatten(1)
    assert len(torch.unique(members, dim=0)) == NUM_MEMBERS
    assert many[SAMPLE].any(1).tolist() == [True, False, True, True]
    assert many[REAL].shape == many[SAMPLE].shape


def test_a_sample_that_is_no_number_is_not_left_out() -> None:
    draws = torch.randn(40, 4, generator=torch.manual_seed(0))
    samples = draws[20:].clone()
    samples[1::2] = torch.nan  # of days that are not scored: they count nothing
    outputs, batch = {REAL: draws[:20], SAMPLE: samples}, {SCORED: torch.arange(20) % 2 == 0}
    measure = SampleRealism()
    assert all(math.isfinite(value) for value in measure.summarize(measure.add(outputs, batch)).values())
    samples[4] = torch.nan
    assert all(math.isnan(value) for value in measure.summarize(measure.add(outputs, batch)).values())


def test_samples_know_nothing_of_hidden_cells(
    task: DiffusionTask, data: FieldData, model: HeadedModel
) -> None:
    batch = task.evaluation_batch(data, "val", np.array([0, 2]))
    other = dict(batch)
    for name in data.variables:
        hidden = batch[f"view/{name}"][:, 0] == 0
        for what in ("target", "clean", "climatology", "yesterday"):
            values = batch[f"{what}/{name}"].clone()
            values.view(2, *hidden.shape[1:])[hidden] = 77.0
            other[f"{what}/{name}"] = values
    with torch.no_grad():
        found, again = (task.predict(model, each) for each in (batch, other))
    for name in data.variables:
        assert torch.equal(found[f"{ENSEMBLE}{name}"], again[f"{ENSEMBLE}{name}"])
    assert not torch.equal(found[REAL], again[REAL])


def test_noise_depends_on_the_day_and_the_member_alone_and_is_normal() -> None:
    noise = sampling_noise(torch.arange(500), 32)
    assert torch.equal(noise[7:9], sampling_noise(torch.tensor([7, 8]), 32))
    assert abs(float(noise.mean())) < 0.01
    assert float(noise.std()) == pytest.approx(1.0, abs=0.01)
    correlation = np.corrcoef(noise[:, :2].reshape(500, -1).numpy().T)
    assert np.abs(correlation - np.eye(64)).max() < 0.25


def test_training_draws_steps_evenly_and_noise_and_masks_by_the_key(
    task: DiffusionTask, data: FieldData
) -> None:
    indices = np.arange(600)
    batch = task.head_batch(data, indices, indices.astype(np.uint64))
    steps = batch["diffusion_step"]
    assert (int(steps.min()), int(steps.max())) >= (0, 900) and int(steps.max()) < 1000
    assert float(steps.double().mean()) == pytest.approx(500, abs=40)
    hidden = (batch["masked/u"] == 0)[:, torch.from_numpy(data.valid["u"])]
    assert float(hidden.double().mean()) == pytest.approx(0.7, abs=0.02)
    seen = batch["masked/u"] != 0
    assert torch.equal(batch["masked/u"][seen], torch.from_numpy(data.fields["u"][indices])[seen])
    again = task.head_batch(data, indices, indices.astype(np.uint64) + np.uint64(1000))
    assert not torch.equal(batch["diffusion_noise"], again["diffusion_noise"])


def test_scores_are_those_of_a_slow_twin(task: DiffusionTask, data: FieldData) -> None:
    indices = np.arange(4)
    batch = task.evaluation_batch(data, "val", indices)
    rows = rows_scored(batch)
    rng = np.random.default_rng(0)
    outputs = {
        f"{ENSEMBLE}{name}": torch.tensor(rng.standard_normal((len(rows), NUM_MEMBERS, *mask.shape)))
        for name, mask in data.valid.items()
    } | {
        f"{FIELD}{name}": torch.tensor(rng.standard_normal((4, *mask.shape)))
        for name, mask in data.valid.items()
    }
    scores, point = EnsembleScores(("u", "t2m")), PointScore(("u", "t2m"))
    found = scores.summarize(scores.add(outputs, batch)) | point.summarize(point.add(outputs, batch))
    crps, points, ratios = [], [], []
    for name in data.variables:
        areas = data.grids[data.variables[name].grid].weights * data.valid[name]
        sums = np.zeros(4)
        for number, row in enumerate(rows.tolist()):
            truth = data.fields[name][data.days["val"].start + row]
            members = outputs[f"{ENSEMBLE}{name}"][number].numpy()
            for lon, lat in product(*map(range, areas.shape)):
                values, share = members[:, lon, lat], areas[lon, lat] / areas.sum()
                pairs = np.abs(values[:, None] - values).sum() / (2 * NUM_MEMBERS * (NUM_MEMBERS - 1))
                single = abs(float(outputs[f"{FIELD}{name}"][row, lon, lat]) - truth[lon, lat])
                sums += share * np.array(
                    [
                        np.abs(values - truth[lon, lat]).mean() - pairs,
                        values.var(ddof=1),
                        (values.mean() - truth[lon, lat]) ** 2,
                        single,
                    ]
                )
        crps.append(sums[0] / len(rows))
        points.append(sums[3] / len(rows))
        ratios.append(math.sqrt((NUM_MEMBERS + 1) / NUM_MEMBERS * sums[1] / sums[2]))
    assert found["crps"] == pytest.approx(np.mean(crps))
    assert found["crps_t2m"] == pytest.approx(crps[1])
    assert found["spread_skill"] == pytest.approx(np.mean(ratios))
    assert found["crps_reconstruction"] == pytest.approx(np.mean(points))


def test_a_day_that_is_not_scored_counts_nothing(task: DiffusionTask, data: FieldData) -> None:
    batch = task.evaluation_batch(data, "val", np.array([1]))
    assert not batch[SCORED].any()
    members = {
        f"{ENSEMBLE}{name}": torch.ones(1, NUM_MEMBERS, *mask.shape) for name, mask in data.valid.items()
    }
    state = EnsembleScores(("u", "t2m")).add(members, batch)
    assert all(float(table.total().abs().sum()) == 0 for table in state.values())


@pytest.mark.parametrize("num_days", [1, 127, 128, 129, 4677])
def test_the_scored_days_are_spread_over_a_split(num_days: int) -> None:
    scored = scored_days(np.arange(num_days), num_days)
    assert scored[0]
    assert min(num_days, MAX_DAYS) // 2 <= int(scored.sum()) <= MAX_DAYS


def test_density_and_realism_are_those_of_slow_twins() -> None:
    rng = np.random.default_rng(0)
    real, samples = rng.standard_normal((20, 3)), 1.2 * rng.standard_normal((6, 3))
    radii = [sorted(np.linalg.norm(real - each, axis=1))[NUM_NEIGHBOURS] for each in real]
    inside, realism = 0, []
    for sample in samples:
        distances = np.linalg.norm(real - sample, axis=1)
        inside += sum(distance < radius for distance, radius in zip(distances, radii, strict=True))
        smaller = sorted(radii)[9]  # torch's median is the lower one
        realism.append(max(r / d for r, d in zip(radii, distances, strict=True) if r <= smaller))
    found = density_and_realism(torch.tensor(real), torch.tensor(samples))
    assert found == pytest.approx((inside / 6 / NUM_NEIGHBOURS, np.mean(realism)))
    assert all(
        math.isnan(value) for value in density_and_realism(torch.tensor(real[:5]), torch.tensor(samples))
    )


def test_samples_like_the_real_ones_have_a_density_of_1_and_strangers_none() -> None:
    draws = torch.randn(1000, 4, generator=torch.manual_seed(0))
    density, realism = density_and_realism(draws[:500], draws[500:])
    assert density == pytest.approx(1.0, abs=0.1)
    stranger = density_and_realism(draws[:500], draws[500:] + 9)
    assert stranger[0] == 0.0
    assert stranger[1] < 0.3 < realism


def test_the_calendar_ensemble_draws_other_training_days_of_the_same_time_of_the_year(
    task: DiffusionTask, data: FieldData
) -> None:
    ensemble = CalendarEnsemble(data)
    for split in ("train", "val"):
        batch = task.evaluation_batch(data, split, np.array([0]))
        day = int(batch["day"][0])
        members = ensemble._members(day)
        assert len(set(members)) == NUM_MEMBERS
        assert max(members) < data.days["train"].stop
        assert day not in data.day[members]
        apart = np.abs(data.day_of_year[members] - data.day_of_year[np.searchsorted(data.day, day)])
        assert np.minimum(apart, 366 - apart).max() <= MAX_DISTANCE
        fields = ensemble(batch)[f"{ENSEMBLE}t2m"]
        assert np.array_equal(fields[0].numpy(), data.fields["t2m"][members])


def test_the_spread_of_few_training_days_is_that_of_so_many_members(
    task: DiffusionTask, make_fields: Callable[..., FieldData]
) -> None:
    data = make_fields(8, variables=("u", "t2m"))
    num_members = data.num_samples("train")
    assert 2 < num_members < NUM_MEMBERS
    batch = task.evaluation_batch(data, "val", np.arange(data.num_samples("val")))
    scores = EnsembleScores(("u", "t2m"))
    found = scores.summarize(scores.add(CalendarEnsemble(data)(batch), batch))
    rows, ratios = rows_scored(batch).tolist(), []
    for name in data.variables:
        areas = data.grids[data.variables[name].grid].weights * data.valid[name]
        train, val = (data.fields[name][data.days[split]] for split in ("train", "val"))
        variance = train.astype(np.float64).var(axis=0, ddof=1)  # all days are members, whatever the day
        errors = [np.square(train.astype(np.float64).mean(axis=0) - val[row]) for row in rows]
        spread, skill = (float((each * areas).sum()) for each in (len(rows) * variance, sum(errors)))
        ratios.append(math.sqrt((num_members + 1) / num_members * spread / skill))
    assert found["spread_skill"] == pytest.approx(np.mean(ratios))


@pytest.mark.slow
def test_the_schedulers_are_imported_when_they_are_needed() -> None:
    code = (
        "import sys; from trainables.geo_contrastive.task import task_for; "
        "from trainables.geo_contrastive.config import PRESETS; task_for(PRESETS['tiny_diffusion']).build(None); "
        "sys.exit('diffusers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
