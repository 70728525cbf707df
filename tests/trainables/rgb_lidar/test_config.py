import subprocess
import sys

import pytest
from pydantic import ValidationError

from search_spaces.rgb_lidar import fusion as rgb_lidar_fusion
from thalweg.nn.map_fusion import FUSIONS
from trainables.rgb_lidar.config import PRESETS, RGBLidar
from trainables.rgb_lidar.knobs import FusionKnobs


def test_the_defaults_are_the_first_published_late_fusion_but_for_its_seed() -> None:
    config = RGBLidar()
    assert config == PRESETS["first_late"].model_copy(update={"seed": 0})
    optimization = config.optimization
    assert (optimization.lr, optimization.batch_size, optimization.lr_schedule) == (1e-4, 32, "constant")
    assert (optimization.beta1, optimization.beta2, optimization.weight_decay) == (0.9, 0.999, 0)
    assert (optimization.clip_norm, optimization.warmup_ratio) == (0, 0)


def test_presets_of_published_experiments_have_their_seeds() -> None:
    seeds = {"first": 51, "second": 42}
    assert {name: config.seed for name, config in PRESETS.items()} == {
        name: seeds.get(name.partition("_")[0], 0) for name in PRESETS
    }


def test_late_fusion_has_no_blocks_after_it() -> None:
    with pytest.raises(ValidationError, match="fused_depth must be 0 for late fusion, got 1"):
        FusionKnobs(fused_depth=1)


def test_only_embeddings_are_normalised() -> None:
    with pytest.raises(ValidationError, match="normalize_embeddings needs late fusion"):
        FusionKnobs(fusion_stage="intermediate", normalize_embeddings=True)


def test_channels_do_not_shrink() -> None:
    with pytest.raises(ValidationError, match="max_channels must be at least channels, got 8 < 16"):
        FusionKnobs(channels=16, max_channels=8)


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        ("trainables.rgb_lidar.config", ["torch", "numpy", "PIL", "ray"]),
        ("search_spaces.rgb_lidar.fusion, search_spaces.rgb_lidar.downsampling", ["torch", "PIL", "ray"]),
    ],
)
def test_configurations_and_spaces_import_nothing_heavy(modules: str, heavy: list[str]) -> None:
    code = f"import sys, {modules}; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_fusion_space_asks_for_every_fusion_where_it_has_a_meaning() -> None:
    whole = {name for name, kind in FUSIONS.items() if not kind.needs_square}
    assert set(rgb_lidar_fusion.ANYWHERE) == whole
    assert set(rgb_lidar_fusion.ANYWHERE + rgb_lidar_fusion.MAPS_ONLY) == set(FUSIONS)
