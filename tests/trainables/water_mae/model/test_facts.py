"""An exported model works where there are no data and none of the platform's heavy libraries."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from thalweg.errors import ConfigError, DataError
from thalweg.inference import load
from thalweg.search.space import load_space
from thalweg.search.train_one import choose, train
from thalweg.training.checkpoints.checkpoint import fp32_weights
from thalweg.training.checkpoints.export import export
from thalweg.training.checkpoints.state import TrainingState
from thalweg.training.session import make_task
from trainables.water_mae.config import PRESETS, ForecastKnobs, WaterMAE
from trainables.water_mae.data.windows import Geometry, WaterData, open_data
from trainables.water_mae.knobs import NRFA_ATTRIBUTES, PUBLISHED_SET
from trainables.water_mae.model.autoencoder import MaskedAutoencoder
from trainables.water_mae.model.batch import Batch
from trainables.water_mae.model.facts import geometry_of
from trainables.water_mae.task import WaterMAETask

pytestmark = pytest.mark.slow

_CODE = """
import sys
from pathlib import Path
import torch
from thalweg.inference import load
torch.set_num_threads(1)
folder = Path(sys.argv[1])
given = load(folder / "best.pt")
batch = torch.load(folder / "batch.pt", weights_only=True)
with torch.no_grad():
    torch.save(given.model(batch), folder / "predictions.pt")
heavy = ("ray", "deepspeed", "mlflow", "optuna")
print([name for name in heavy if name in sys.modules], given.model.training)
"""


@pytest.fixture(scope="module")
def checkpoint(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a few steps."""
    folder = tmp_path_factory.mktemp("facts")
    (folder / "water_mae").symlink_to(tiny_root)
    single = choose(load_space("quickstart"), {}, output=folder, root=folder, samples=32)
    order = replace(single.order, evaluations=(32,), baselines=False)  # a checkpoint is all that is asked
    return Path(str(train(replace(single, order=order), lambda report: None).checkpoint))


@pytest.fixture(scope="module")
def trained(checkpoint: Path, tiny_root: Path) -> tuple[WaterMAETask, MaskedAutoencoder, Batch]:
    """The model as it was trained, built from the data, and some windows."""
    state = TrainingState.read(checkpoint)
    task = make_task(state.family, state.config)
    assert isinstance(task, WaterMAETask)
    data = task.open(tiny_root)
    model = task.build(task.facts(data))
    assert isinstance(model, MaskedAutoencoder)
    model.load_state_dict(fp32_weights(checkpoint))
    return task, model.eval(), task.evaluation_batch(data, "val", np.arange(3))


def test_a_process_without_data_predicts_the_same(
    checkpoint: Path,
    trained: tuple[WaterMAETask, MaskedAutoencoder, Batch],
    tiny_root: Path,
    tmp_path: Path,
) -> None:
    _, model, batch = trained
    export(checkpoint, tiny_root, tmp_path / "best.pt")
    torch.save({name: tensor.clone() for name, tensor in batch.items()}, tmp_path / "batch.pt")
    command = [sys.executable, "-c", _CODE, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert result.stdout.strip() == "[] False"
    found = torch.load(tmp_path / "predictions.pt", weights_only=True)
    with torch.no_grad():
        expected = model(batch)
    assert set(found) == set(PUBLISHED_SET.names)
    for name in PUBLISHED_SET.names:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5)


def test_the_encoders_alone_encode_the_same_and_decode_nothing(
    checkpoint: Path,
    trained: tuple[WaterMAETask, MaskedAutoencoder, Batch],
    tiny_root: Path,
    tmp_path: Path,
) -> None:
    _, model, batch = trained
    whole = export(checkpoint, tiny_root, tmp_path / "best.pt")
    sizes = export(checkpoint, tiny_root, tmp_path / "encoders.pt", "encoders")
    given = load(tmp_path / "encoders.pt")
    assert isinstance(given.model, MaskedAutoencoder)
    assert not [name for name in given.content["weights"] if "decoder" in name]
    decoders = [name for name in model.state_dict() if "decoder" in name]
    assert sizes["tensors"] == whole["tensors"] - len(decoders)
    with torch.no_grad():
        ours, theirs = (each.encode(batch, summaries=True) for each in (model, given.model))
        for name in PUBLISHED_SET.names:
            torch.testing.assert_close(ours.maps[name][-1], theirs.maps[name][-1])
            torch.testing.assert_close(ours.summaries[name], theirs.summaries[name])
        with pytest.raises(AttributeError):
            given.model(batch)


def test_a_part_that_does_not_exist_is_refused(checkpoint: Path, tiny_root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one that its family names, got 'heads'; try encoders"):
        export(checkpoint, tiny_root, tmp_path / "x.pt", "heads")


def test_data_with_other_statistics_are_not_exported_with_the_model(
    checkpoint: Path, tiny_root: Path, tmp_path: Path
) -> None:
    other = tmp_path / "tiny"
    shutil.copytree(tiny_root / "tiny", other, ignore=shutil.ignore_patterns(".store"))
    table = next(other.glob("Catchment_attributes*.csv"))
    first, second, *rest = table.read_text().splitlines()
    words = second.split(",")
    words[-1] = str(float(words[-1] or 0) + 1)
    table.write_text("\n".join([first, ",".join(words), *rest]))
    with pytest.raises(DataError, match="must be those that the model was trained on, got fingerprint"):
        export(checkpoint, tmp_path, tmp_path / "best.pt")


def test_a_head_is_exported_with_its_encoders(data: WaterData, config: WaterMAE) -> None:
    with_head = config.model_copy(update={"forecast": ForecastKnobs(share=0.5)})
    assert set(WaterMAETask(config).parts()) == {"encoders"}
    task = WaterMAETask(with_head)
    kept = {
        part: {name for name, _ in take(task.build(task.facts(data))).named_children()}
        for part, take in task.parts().items()
    }
    assert kept["forecast"] - kept["encoders"] == {"forecast_head"}
    assert kept["encoders"] == {name for name in kept["encoders"] if "decoder" not in name} != set()


def test_facts_hold_geometry_statistics_and_names(tiny: WaterData) -> None:
    facts = WaterMAETask(PRESETS["tiny"]).facts(tiny)
    assert np.array_equal(facts["mean"], tiny.mean) and np.array_equal(facts["std"], tiny.std)
    assert facts["catchments"] == list(tiny.catchments)
    assert set(facts["units"]) == set(facts["modalities"]) == set(PUBLISHED_SET.names)
    assert facts["attributes"] == list(NRFA_ATTRIBUTES) and facts["flow_floor"] == 1e-6
    again = geometry_of(facts)
    for name in ("pixel_valid", "patch_rows_cols", "member_valid", "static"):
        assert np.array_equal(getattr(again, name), getattr(tiny.geometry, name))
    assert again.grid_shape == tiny.geometry.grid_shape


def test_the_statics_of_the_file_count(
    checkpoint: Path,
    trained: tuple[WaterMAETask, MaskedAutoencoder, Batch],
    tiny_root: Path,
    tmp_path: Path,
) -> None:
    _, model, batch = trained
    export(checkpoint, tiny_root, tmp_path / "best.pt")
    content = torch.load(tmp_path / "best.pt", weights_only=True)
    content["data"]["geometry"]["static"] = content["data"]["geometry"]["static"].flip(0)
    torch.save(content, tmp_path / "best.pt")
    with torch.no_grad():
        ours, theirs = model(batch), load(tmp_path / "best.pt").model(batch)
    assert not torch.allclose(ours["river_flow"], theirs["river_flow"], atol=1e-6)


def test_the_patch_grid_is_the_whole_grid(tiny_root: Path) -> None:
    for size, shape in ((10, (4, 4)), (16, (3, 3))):
        data = open_data(tiny_root, "tiny", PRESETS["tiny"].data.model_copy(update={"patch_size": size}))
        assert isinstance(data.geometry, Geometry)
        assert data.geometry.grid_shape == shape
