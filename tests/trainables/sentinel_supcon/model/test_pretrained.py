"""Published weights: what matches gives the published outputs, and all else is reported or refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from thalweg.errors import ConfigError, DataError
from trainables.sentinel_supcon.config import PRESETS, SentinelSupCon
from trainables.sentinel_supcon.data.pretrained import PretrainedFile, find_pretrained
from trainables.sentinel_supcon.data.scenes import PatchData
from trainables.sentinel_supcon.model.pretrained import Match, match_file, read_weights
from trainables.sentinel_supcon.model.scene_model import SceneModel
from trainables.sentinel_supcon.task import SceneTask

LINEAR = {"mode": "linear", "sup_delta": 0.0}
DIM = 8  # of embeddings


def configured(backbone: str, width: float, **changes: Any) -> SentinelSupCon:
    model = {"backbone": backbone, "width": width, "embedding_dim": DIM, "pretrained": "a.pth"}
    return PRESETS["tiny"].vary(
        model=model | changes.pop("model", {}), data={"size": 32} | changes.pop("data", {}), **changes
    )


def saved(content: Any, folder: Path) -> PretrainedFile:
    (folder / "weights").mkdir(exist_ok=True)
    torch.save(content, folder / "weights" / "a.pth")
    return find_pretrained(folder, "a.pth")


def started(config: SentinelSupCon, file: PretrainedFile) -> tuple[SceneModel, Match]:
    """Returns a model that starts from a file, in evaluation mode."""
    torch.manual_seed(1)
    found = match_file(file, config)
    model = SceneModel(config)
    model.load_state_dict(model.state_dict() | dict(found.weights))
    return model.eval(), found


def images(size: int = 32) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(3)
    return {
        "s1": torch.randn(3, 2, size, size, generator=draw),
        "s2": torch.randn(3, 4, size, size, generator=draw),
    }


def unlike_new(module: nn.Module) -> nn.Module:
    """Gives all weights and statistics values of their own."""
    draw = torch.Generator().manual_seed(2)
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            noise = torch.randn(value.shape, generator=draw)
            value.copy_(1 + 0.1 * noise.abs() if name.endswith("var") else value + 0.05 * noise)
    return module.eval()


def resnet50(bands: int) -> Any:
    """Returns a narrow ResNet50 with torchvision's names and the published projection."""
    from timm.models.resnet import Bottleneck, ResNet

    network = ResNet(Bottleneck, (3, 4, 6, 3), num_classes=0, in_chans=bands, channels=(4, 8, 16, 32))
    network.fc = nn.Sequential(nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, DIM))
    return network


class Dual(nn.Module):
    """An encoder for each sensor and a head, under the names of the encoders for DFC2020."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone1, self.backbone2 = resnet50(2), resnet50(4)
        self.fc = nn.Linear(2 * DIM, 7)


class Small(nn.Module):
    """SmallAlexNet for images of 32 pixels with few channels, its first block elsewhere."""

    def __init__(self) -> None:
        super().__init__()

        def block(before: int, after: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()
            )

        def dense(before: int, *flat: nn.Module) -> nn.Sequential:
            return nn.Sequential(*flat, nn.Linear(before, 128, bias=False), nn.BatchNorm1d(128), nn.ReLU())

        convolutions = [block(3, 6), block(6, 12), block(12, 12), block(12, 6)]
        for pooled in (0, 3):
            convolutions[pooled].append(nn.MaxPool2d(3, 2))
        last = nn.Sequential(nn.Linear(128, DIM))
        flat = 6 * 3 * 3
        self.blocks = nn.ModuleList(
            [nn.Identity(), *convolutions, dense(flat, nn.Flatten()), dense(128), last]
        )

    def forward(self, x: Tensor) -> Tensor:
        for each in self.blocks:
            x = each(x)
        return x


class Shared(nn.Module):
    """A stem for each sensor and a SmallAlexNet, under the names of METER-ML's encoders."""

    def __init__(self) -> None:
        super().__init__()

        def stem(bands: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(bands, 3, 3, padding=1, bias=False),
                nn.BatchNorm2d(3),
                nn.ReLU(),
                nn.MaxPool2d(3, 2),
            )

        self.encoder = Small()
        self.sentinel1_block, self.sentinel2_block = stem(2), stem(4)

    def forward(self, sensor: str, x: Tensor) -> Tensor:
        stem = self.sentinel1_block if sensor == "s1" else self.sentinel2_block
        found: Tensor = self.encoder(stem(x))
        return found


@pytest.mark.slow
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_pair_of_published_encoders_gives_its_embeddings(wrapped: bool, tmp_path: Path) -> None:
    published: Any = unlike_new(Dual())
    weights = published.state_dict()
    content = {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in weights.items()}}
    model, found = started(configured("resnet50", 1 / 16), saved(content if wrapped else weights, tmp_path))
    with torch.no_grad():
        embedded = model.embed(images())
        for sensor, network in (("s1", published.backbone1), ("s2", published.backbone2)):
            torch.testing.assert_close(embedded[sensor], functional.normalize(network(images()[sensor])))
    assert (found.missing, found.other_shapes) == ((), ())
    assert {name.removeprefix("module.") for name in found.left_over} == {"fc.weight", "fc.bias"}
    encoders = sum(each.numel() for name, each in model.named_parameters() if not name.startswith("head"))
    assert found.num_matched == found.num_parameters == encoders
    first, last = found.report()
    assert first.startswith(
        f"encoders start from a.pth (sha256 {found.file.sha256[:8]}): {found.num_tensors} of"
    )
    assert first.endswith(f"{encoders:,} of their {encoders:,} parameters")
    assert last.startswith("left over in that file: ")


def test_encoders_under_an_entry_for_each_sensor_match(tmp_path: Path) -> None:
    content = {"s1_model_weights": resnet50(2).state_dict(), "s2_model_weights": resnet50(4).state_dict()}
    found = match_file(saved(content, tmp_path), configured("resnet50", 1 / 16))
    assert (found.missing, found.other_shapes, found.left_over) == ((), (), ())


@pytest.mark.parametrize("backbone", ["shared", "dual"])
def test_encoders_of_meter_ml_give_their_embeddings(backbone: str, tmp_path: Path) -> None:
    nets: dict[str, Any] = {sensor: unlike_new(Shared()) for sensor in ("s1", "s2")}
    nn.init.normal_(nets["s2"].encoder.blocks[7][0].weight)  # the encoders of a dual network differ
    if backbone == "shared":
        nets["s1"] = nets["s2"]
        content = nets["s2"].state_dict()
    else:
        content = nn.ModuleDict({"encoder_1": nets["s1"], "encoder_2": nets["s2"]}).state_dict()
    model, found = started(configured(backbone, 1 / 32), saved(content, tmp_path))
    with torch.no_grad():
        embedded = model.embed(images())
        for sensor, net in nets.items():
            torch.testing.assert_close(embedded[sensor], functional.normalize(net(sensor, images()[sensor])))
    assert (found.missing, found.other_shapes) == ((), ())
    unused = {name.split(".")[1] for name in found.left_over}
    assert unused == (set() if backbone == "shared" else {"sentinel1_block", "sentinel2_block"})


@pytest.mark.slow
def test_stems_and_trunk_of_a_published_resnet18_match(tmp_path: Path) -> None:
    from torchvision.models import resnet18

    trunk = resnet18(num_classes=DIM)
    trunk.conv1 = nn.Identity()
    stems = {
        f"sentinel{number}_block": nn.Sequential(nn.Conv2d(bands, 64, 3, bias=False), nn.BatchNorm2d(64))
        for number, bands in ((1, 2), (2, 4))
    }
    content = nn.ModuleDict({**stems, "model": trunk}).state_dict()
    found = match_file(saved(content, tmp_path), configured("resnet18", 1))
    assert (found.missing, found.other_shapes, found.left_over) == ((), (), ())
    assert found.weights["trunk.0.layer2.0.downsample.0.weight"].equal(trunk.layer2[0].downsample[0].weight)


@pytest.mark.slow
@pytest.mark.parametrize("names", ["torchvision", "microsoft"])
def test_a_swin_transformer_of_other_names_gives_its_features(names: str, tmp_path: Path) -> None:
    from torchvision.models.swin_transformer import SwinTransformer

    config = configured("swin_t", 1 / 8, model={"scenario": "s2"}, data={"size": 224})
    torch.manual_seed(0)
    published = SwinTransformer([4, 4], 12, [2, 2, 6, 2], [3, 6, 12, 24], [7, 7])
    published.features[0][0] = nn.Conv2d(4, 12, 4, 4)
    published.head = nn.Identity()
    unlike_new(published)
    content = published.state_dict()
    if names == "microsoft":
        ours = match_file(saved(content, tmp_path), config).weights
        content = {}
        for name, value in ours.items():
            stage = name.split(".")[3]
            moved = (
                name.replace(f"layers.{stage}.downsample", f"layers.{int(stage) - 1}.downsample")
                if ("downsample" in name)
                else name
            )
            content[moved.removeprefix("s2.0.")] = value
    model, found = started(config, saved(content, tmp_path))
    seen = images(224)["s2"][:1]
    with torch.no_grad():
        torch.testing.assert_close(model.get_submodule("s2.0")(seen), published(seen), rtol=1e-4, atol=1e-5)
    assert found.missing == tuple(f"s2.{layer}.{kind}" for layer in (1, 3) for kind in ("weight", "bias"))


def test_photographs_serve_both_sensors_except_for_their_bands(tmp_path: Path) -> None:
    network = resnet50(3)
    content = {name: value for name, value in network.state_dict().items() if not name.startswith("fc.")}
    content |= {"fc.weight": torch.ones(1000, 128)}
    found = match_file(saved(content, tmp_path), configured("resnet50", 1 / 16))
    assert found.other_shapes == (
        "s1.0.conv1.weight (64, 3, 7, 7) instead of (64, 2, 7, 7)",
        "s2.0.conv1.weight (64, 3, 7, 7) instead of (64, 4, 7, 7)",
    )
    assert found.left_over == ("fc.weight",)
    assert found.missing[:2] == ("s1.1.weight", "s1.1.bias")
    for sensor in ("s1", "s2"):
        assert found.weights[f"{sensor}.0.layer4.2.conv3.weight"].equal(content["layer4.2.conv3.weight"])
    assert (
        "of another shape in that file, so these start as without it: s1.0.conv1.weight" in found.report()[2]
    )


@pytest.mark.parametrize(("bands", "sensor"), [(2, "s1"), (4, "s2"), (13, "s2")])
def test_an_encoder_belongs_to_the_sensor_whose_bands_it_sees(
    bands: int, sensor: str, tmp_path: Path
) -> None:
    found = match_file(saved(resnet50(bands).state_dict(), tmp_path), configured("resnet50", 1 / 16))
    assert {name.partition(".")[0] for name in found.weights} == {sensor}
    assert any(name.startswith("s1." if sensor == "s2" else "s2.") for name in found.missing)
    assert bool(found.other_shapes) == (bands == 13)


def test_two_trunks_are_no_shared_one(tmp_path: Path) -> None:
    content = nn.ModuleDict({"encoder_1": Shared(), "encoder_2": Shared()}).state_dict()
    found = match_file(saved(content, tmp_path), configured("shared", 1 / 32))
    assert {name.partition(".")[0] for name in found.weights} == {"stem_s1", "stem_s2"}
    assert any(name.startswith("encoder_2.encoder.blocks.") for name in found.left_over)


def test_a_frozen_encoder_must_be_in_the_file_as_a_whole(tmp_path: Path) -> None:
    weights = Dual().state_dict()
    config = configured("resnet50", 1 / 16, tuning=LINEAR)
    assert not match_file(saved(weights, tmp_path), config).missing
    del weights["backbone2.layer1.0.bn1.running_mean"]
    with pytest.raises(
        ConfigError, match=r"that no stage trains, got a.pth without s2.0.layer1.0.bn1.running_mean;"
    ):
        match_file(saved(weights, tmp_path), config)


class Trap:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("code in the file was run",)


def _circular() -> dict[str, Any]:
    content: dict[str, Any] = {}
    content["model"] = content
    return content


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"layer1.0.conv1.weight": torch.ones(3)}, r"must give some of the encoders .* of other shapes"),
        (
            {"stem.weight": torch.ones(3)},
            r"must give some of the encoders .* with stem.weight where they have s1",
        ),
        ({"state_dict": {"epoch": 3}}, "must be tensors by name, or under one of state_dict"),
        (_circular(), "must be tensors by name"),
        ({"bn1.weight": torch.ones(64) * 1j}, "must be tensors by name"),
        ({"weights": Trap()}, "must be a file of tensors by name, .* UnpicklingError; save its state_dict"),
        (
            {f"{each}bn1.weight": torch.ones(64) for each in ("backbone1.", "s1.")},
            r"must be in a file once, got backbone1.bn1.weight and s1.bn1.weight",
        ),
        ({"bn1.weight": torch.full((64,), torch.nan)}, "must be finite, .* got others in s1.0.bn1.weight"),
        (
            {"bn1.weight": torch.full((64,), 1e300, dtype=torch.float64)},
            "must be finite, .* got others in s1.0.bn1.weight",
        ),
        (
            {"bn1.running_var": -torch.ones(64), "bn1.weight": torch.ones(64)},
            "variances not below 0, got others in",
        ),
        (
            {"bn1.weight": torch.ones(64, dtype=torch.int8)},
            r"must be floating-point numbers, got torch.int8 in s1.0.bn1.weight of .*a.pth; take a file that is not",
        ),
        ({"\x1b[31mstem": torch.ones(3)}, r"with '\\x1b\[31mstem' where they have s1"),
    ],
)
def test_a_file_that_gives_nothing_is_refused(content: Any, told: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=told):
        match_file(saved(content, tmp_path), configured("resnet50", 1 / 16))


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"must name a file in the folder .*weights, got no a.pth; copy it there"
    ):
        find_pretrained(tmp_path, "a.pth")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "a.pth").write_text("<html>not found</html>")
    with pytest.raises(DataError, match=r"must be a file of tensors by name"):
        match_file(find_pretrained(tmp_path, "a.pth"), configured("resnet50", 1 / 16))


@settings(max_examples=60, deadline=None)
@example(b"junk")
@example(b"\x80\x02}q")
@given(st.binary(max_size=40))
def test_whatever_bytes_a_file_holds_are_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("weights") / "a.pth"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"published weights must be .* got .*a.pth"):
        read_weights(path)


def test_the_hash_in_a_name_must_be_that_of_the_content(tmp_path: Path) -> None:
    file = saved({"bn1.weight": torch.ones(64)}, tmp_path)
    for digits in (file.sha256[:16], "0123abcd", "20240131"):
        (file.path.parent / f"net-{digits}.pth").write_bytes(file.path.read_bytes())
    for fit in (file.sha256[:16], "20240131"):
        assert find_pretrained(tmp_path, f"net-{fit}.pth").sha256 == file.sha256
    with pytest.raises(
        DataError, match=rf"must have the sha256 that its name ends in, got {file.sha256[:8]}"
    ):
        find_pretrained(tmp_path, "net-0123abcd.pth")


def test_a_task_reports_what_matches_and_refuses_a_file_that_changes(
    facilities: PatchData, root: Path
) -> None:
    config = configured("shared", 1 / 32, dataset="facilities", data={"size": 16})
    task = SceneTask(config)
    model = SceneModel(config.vary(model={"pretrained": ""}))
    renamed = {
        name.replace("trunk.convolutions.0.", "blocks.1."): value
        for name, value in model.state_dict().items()
        if name.startswith("trunk.convolutions.0.")
    }
    saved(renamed, root)
    data = task.open(root)
    assert facilities.notes == data.notes[: len(facilities.notes)]
    assert any("encoders start from a.pth" in note for note in data.notes)
    assert data.fingerprint == facilities.fingerprint
    assert data.pretrained is not None
    assert task.facts(data)["pretrained"] == {"file": "a.pth", "sha256": data.pretrained.sha256}
    assert set(task.initial_weights(data)) >= {
        "trunk.convolutions.0.0.weight",
        "trunk.convolutions.0.1.running_var",
    }
    saved(dict(list(renamed.items())[:1]), root)
    with pytest.raises(
        DataError, match=r"must not change while trials start from it, got .*a\.pth with sha256"
    ):
        task.initial_weights(data)


def test_tasks_share_opened_data_only_if_the_same_encoders_start_from_the_same_file() -> None:
    def key(**changes: Any) -> str:
        return SceneTask(configured("shared", 1 / 32, **changes)).data_key()

    assert key() == key(model={"fusion": "mean"}) == key(tuning={"sup_delta": 0.5})
    others = (
        {"model": {"pretrained": "b.pth"}},
        {"model": {"pretrained": ""}},
        {"model": {"embedding_dim": 4}},
    )
    assert (
        len({key(), *(key(**changes) for changes in others), key(data={"size": 16}), key(tuning=LINEAR)}) == 6
    )
