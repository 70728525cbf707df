"""Five steps of each family give the numbers in ``tests/golden``: no change of shape may change one of them.

``python -m pytest -n0 tests/test_golden.py --write-golden`` writes them anew, if a change is meant to change them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from thalweg import discovery
from thalweg.training.messages import Report, TrialOrder
from thalweg.training.process_group import join
from thalweg.training.session import DataCache, Session
from trainables.geo_contrastive.worlds import synthetic as weather
from trainables.rgb_lidar.worlds import synthetic as scenes
from trainables.sentinel_supcon.worlds import meterml
from trainables.water_mae.data.layout import Period
from trainables.water_mae.worlds import synthetic as islands

FOLDER = Path(__file__).parent / "golden"
BATCH = 8
RELATIVE, ABSOLUTE = 1e-5, 1e-6
"""How far a number may be from the golden one, of which seven digits are written.

Other instruction sets (torch, oneDNN and MKL without AVX) change these numbers by 4e-6 at most, most by less than 3e-7;
a second thread changes them by less than 1e-5.
"""
STEEP = {"simclr, micro-batches", "simclr and barlow, joint decoder", "lstm, micro-batches"}
STEEP_RELATIVE = 5e-4
"""Blocks of an encoder that contrasts few days, whose batch norms divide by small deviations, and how far they may be.

Instruction sets, AMX among them, change their metrics by 8e-5 and the norm of a gradient by 2e-4, at steps of any size.
"""

Knobs = Mapping[str, Any]
Rows = list[tuple[int, str, float]]

COMMON = {"seed": 7, "optimization.batch_size": BATCH, "optimization.min_lr_ratio": 0.1}
HALVES = {"optimization.micro_batch_size": BATCH // 2}
GHOSTS = HALVES | {"ghost_batch_norm": True}
OTHER = {
    "data.lidar_repr": "depth",
    "model.similarity.temperature": "none",
    "model.similarity.logit_map": "half_cosine",
    "model.classifier.num_logits": 1,
    "model.projector.target": "maps",
    "model.finetune_frozen": "rgb",
}
"""What a chain can have else: inputs, logits, target and frozen parts."""
EQUAL_STAGES = {f"stages.{stage}_share": 1.0 for stage in ("contrastive", "joint", "decoder")}
SMALL_SCENES = {
    "data.size": 16,
    "model.width": 0.1,
    "model.embedding_dim": 16,
    "optimization.optimizer": "sgd",  # AdamW's first steps are signs, which roundings of small gradients turn
    "optimization.lr": 0.01,
    "tuning.head_lr_scale": 10.0,
}
SMALL_STEPS = {"optimization.lr": 1e-4}
"""Of norms over few values, whose slopes are steep: larger ones blow up what instruction sets round differently."""
TRIALS: dict[str, tuple[str, str, str, int, dict[str, Knobs]]] = {
    "toy": (
        "families.toy",
        "default",
        "mse",
        5,
        {
            "one": {"dropout": 0.1},
            "one stage, micro-batches": HALVES,
            "two stages": {"stages": "two"},
            "joint stage, micro-batches": {"stages": "joint", **HALVES},
            "batch norm": {"stages": "two", "batch_norm": True},
        },
    ),
    "water_mae": (
        "trainables.water_mae",
        "tiny",
        "skill",
        5,
        {
            "plain": {},
            "contrastive, micro-batches": {"loss.contrastive_weight": 0.1, **HALVES},
            "forecast": {"forecast.share": 0.4, "loss.norm_target": True},
        },
    ),
    "rgb_lidar": (
        "trainables.rgb_lidar",
        "tiny",
        "cross_entropy",
        5,
        {
            "late": {},
            "intermediate, micro-batches": {
                "model.fusion_stage": "intermediate",
                "model.fusion": "hadamard",
                **HALVES,
            },
        },
    ),
    "rgb_lidar_chain": (
        "trainables.rgb_lidar",
        "tiny_chain",
        "cross_entropy",
        7,  # 3 contrastive, 1 of the classifier, 2 of the projector, 1 of fine-tuning
        {"default, micro-batches": HALVES, "other": OTHER},
    ),
    "geo_contrastive": (
        "trainables.geo_contrastive",
        "tiny",
        "rrmse",
        6,
        {
            "simclr, micro-batches": EQUAL_STAGES | GHOSTS,
            "simclr and barlow, joint decoder": {
                "objective.kind": "simclr_barlow",
                "objective.cycle": "latent",
                "objective.weighted_negatives": True,
                "pairs.soft_negatives": True,
                "pairs.soft_gap": 60,
                "stages.decoder_mode": "joint",
                "stages.alpha.half_point": 0.5,
                **EQUAL_STAGES,
            },
            "autoencoder, late fusion": {
                "objective.kind": "autoencoder",
                "objective.latent_l2": 0.01,
                "encoder.fusion.kind": "gcn",
            },
        },
    ),
    "geo_contrastive_forecast": (
        "trainables.geo_contrastive",
        "tiny_forecast",
        "forecast_rrmse",
        8,  # 2 of each stage
        {
            "lstm, micro-batches": EQUAL_STAGES | GHOSTS,
            "transformer, fields, strides": {
                "objective.kind": "autoencoder",
                "downstream.cell": "transformer",
                "downstream.stride": 5,
                "downstream.loss": "field",
                "downstream.share": 0.5,
            },
        },
    ),
    "geo_contrastive_heads": (
        "trainables.geo_contrastive",
        "tiny",
        "rrmse",
        4,  # 2 of the autoencoder, 2 of the head
        {
            kind: {
                "objective.kind": "autoencoder",
                "decoder.dropout": 0.0,
                "downstream": {"kind": kind, "share": 0.5, **sizes},
                "dataset": dataset,
                **HALVES,
            }
            for kind, dataset, sizes in (
                ("seasons", "years", {}),
                ("assimilation", "tiny", {"hidden_dim": 32}),
                ("diffusion", "tiny", {"hidden_dim": 32, "num_blocks": 2}),
            )
        },
    ),
    "sentinel_supcon": (
        "trainables.sentinel_supcon",
        "tiny",
        "cross_entropy",
        4,
        {
            "supcon, micro-batches": SMALL_SCENES | GHOSTS | SMALL_STEPS,
            "pretraining, two heads, shared": {
                **SMALL_SCENES,
                "model.backbone": "prototypes",
                "model.scenario": "s1s2",
                "model.num_prototypes": 8,
                "pretraining.share": 0.5,
                "pretraining.views": True,
                "pretraining.loss": "pairwise",
                "tuning.mode": "linear",
                "tuning.sup_delta": 0.0,
            },
            "swin, several classes, attention": {
                **SMALL_SCENES,
                "model.backbone": "swin_t",
                "model.fusion": "attention",
                "data.target": "multi",
            },
        },
    ),
}
"""By file: a family, a preset, the objective, the number of steps, and the knobs of each block of the file."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small synthetic worlds in the data folders of all families, under the name that their presets give."""
    folder = tmp_path_factory.mktemp("golden")
    train, val = (
        Period(np.datetime64(f"2001-{months[0]}"), np.datetime64(f"2001-{months[1]}"))
        for months in (("01-01", "04-30"), ("05-01", "06-30"))
    )
    islands.write_island(
        replace(islands.TINY, train=train, val=val, test=None), folder / "water_mae" / "tiny"
    )
    for name, num_days in (("tiny", 200), ("years", 800)):  # of all seasons in train
        fields = folder / "geo_contrastive" / name
        fields.mkdir(parents=True)
        weather.write_world(replace(weather.TINY, num_days=num_days, gaps=(range(60, 64),), holes=()), fields)
    (folder / "rgb_lidar" / "tiny").mkdir(parents=True)
    scenes.make(folder / "rgb_lidar" / "tiny", scenes.small_recipe(40, side=16))
    (folder / "sentinel_supcon" / "tiny").mkdir(parents=True)
    meterml.make(folder / "sentinel_supcon" / "tiny", meterml.Recipe(num_scenes=100, side=16, seed=4))
    return folder


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _config(family: str, preset: str, knobs: Knobs) -> dict[str, Any]:
    """Returns a preset with knobs changed by their dotted names, as JSON."""
    config = discovery.load_family(family).presets[preset].model_dump(mode="json")
    for name, value in (COMMON | dict(knobs)).items():
        *groups, knob = name.split(".")
        group = config
        for part in groups:
            group = group[part]
        assert knob in group
        group[knob] = value
    return config


def _train(name: str, knobs: Knobs, root: Path) -> Report:
    """Trains to the only evaluation, with a point of the curve for each step."""
    family, preset, metric, steps, _ = TRIALS[name]
    order = TrialOrder(
        trial="golden",
        family=family,
        config=_config(family, preset, knobs),
        metric=metric,
        evaluations=(steps * BATCH,),
        data_root=str(root / family.rpartition(".")[2]),
        directory=str(root / "checkpoints"),
        checkpoints=False,
        num_curve_points=steps,
    )
    session = Session(order, join(), DataCache())
    report = session.advance()
    session.close()
    assert report.done
    return report


def _rows(report: Report) -> Rows:
    """Returns samples, name and value of all points of the curve and then of all metrics.

    Ranks are left out: batch norms of so few steps make scenes all but alike in evaluations, and roundings order them.
    """
    points = [*report.curve, (report.samples, dict(report.metrics))]
    return [
        (samples, name, float(values[name]))
        for samples, values in points
        for name in sorted(values)
        if "auprc" not in name
    ]


def _write(path: Path, blocks: Mapping[str, Rows]) -> None:
    lines = []
    for block, rows in blocks.items():
        lines += [
            f"[{block}]",
            *(f"{samples:3d}  {name:32s}  {value:.7g}" for samples, name, value in rows),
            "",
        ]
    path.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")


def _read(path: Path) -> dict[str, Rows]:
    blocks: dict[str, Rows] = {}
    for line in filter(None, path.read_text(encoding="utf-8").splitlines()):
        if line.startswith("["):
            rows = blocks.setdefault(line[1:-1], [])
        else:
            samples, name, value = line.split()
            rows.append((int(samples), name, float(value)))
    return blocks


@pytest.mark.slow
@pytest.mark.parametrize("name", TRIALS)
def test_steps_and_metrics_are_the_golden_ones(name: str, root: Path, request: pytest.FixtureRequest) -> None:
    found = {block: _rows(_train(name, knobs, root)) for block, knobs in TRIALS[name][-1].items()}
    path = FOLDER / f"{name}.txt"
    if request.config.getoption("--write-golden"):
        _write(path, found)
        pytest.skip(f"{path.name} was written")
    golden = _read(path)
    assert found.keys() == golden.keys()
    for block, rows in golden.items():
        assert [row[:2] for row in found[block]] == [row[:2] for row in rows], block
        relative = STEEP_RELATIVE if block in STEEP else RELATIVE
        other = [
            f"{samples} {name}: {value:.7g} where {expected:.7g} is golden"
            for (samples, name, value), (_, _, expected) in zip(found[block], rows, strict=True)
            if value != pytest.approx(expected, rel=relative, abs=ABSOLUTE, nan_ok=True)
        ]
        assert not other, block
