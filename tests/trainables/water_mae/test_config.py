import json
import subprocess
import sys

import pytest
from pydantic import ValidationError

from thalweg.config import parse
from trainables.water_mae.config import MODALITIES, PRESETS, DataKnobs, LossWeights, ModelKnobs, WaterMAE


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_survive_json(preset: str) -> None:
    config = PRESETS[preset]
    assert parse(WaterMAE, json.loads(config.model_dump_json())) == config


def test_the_defaults_are_the_published_experiment() -> None:
    config = WaterMAE()
    assert config == PRESETS["reference"]
    optimization = config.optimization
    assert (optimization.lr, optimization.weight_decay, optimization.clip_norm) == (1e-4, 0.05, 1.0)
    assert (optimization.beta1, optimization.beta2, optimization.eps) == (0.9, 0.95, 1e-8)
    assert (optimization.batch_size, optimization.precision, optimization.zero_stage) == (16, "fp16", 1)
    assert [getattr(config.loss_weights, name) for name in MODALITIES] == [100, 10, 10, 1, 1]


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValidationError, match="num_heads must divide dim, got 3 and 64"):
        ModelKnobs(dim=64, num_heads=3)
    with pytest.raises(ValidationError, match="decoder_num_heads must divide decoder_dim, got 5 and 64"):
        ModelKnobs(decoder_dim=64, decoder_num_heads=5)


def test_no_day_may_be_skipped_between_windows() -> None:
    with pytest.raises(ValidationError, match="stride must be at most sequence_length, got 9 > 8"):
        DataKnobs(sequence_length=8, stride=9)


def test_some_loss_weight_must_be_positive() -> None:
    with pytest.raises(ValidationError, match="at least one loss weight must be positive"):
        LossWeights(**dict.fromkeys(MODALITIES, 0.0))


def test_a_search_space_imports_nothing_heavy() -> None:
    code = (
        "import sys, trainables.water_mae.config; "
        "print([name for name in ('torch', 'numpy', 'pandas', 'h5py', 'ray') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
