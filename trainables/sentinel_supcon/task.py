"""The task of the family: classifies scenes by Sentinel-1 and Sentinel-2."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from thalweg.config import FamilyConfig
from thalweg.contract import Batch, Indices, Keys, Measure, Outputs, SplitName, Task
from thalweg.errors import ConfigError
from thalweg.serving.quantities import Arrays, Quantity
from thalweg.stage_contract import Stage
from trainables.sentinel_supcon.baselines.band_statistics import fit_band_statistics
from trainables.sentinel_supcon.baselines.majority import fit_majority
from trainables.sentinel_supcon.config import SentinelSupCon
from trainables.sentinel_supcon.data import batches
from trainables.sentinel_supcon.data.origins import scenes_of
from trainables.sentinel_supcon.data.pretrained import find_pretrained
from trainables.sentinel_supcon.data.scenes import (
    PatchData,
    data_key,
    open_patches,
    require_classes,
    require_size,
)
from trainables.sentinel_supcon.evaluation.measures import measures, protocol
from trainables.sentinel_supcon.model import encoders, physical
from trainables.sentinel_supcon.model.pretrained import match_file, matched_with
from trainables.sentinel_supcon.model.scene_model import SceneModel
from trainables.sentinel_supcon.training.inheritance import inherit
from trainables.sentinel_supcon.training.stages import stages


class SceneTask(Task[SentinelSupCon, PatchData]):
    """Trains encoders of both sensors and a classifier, and evaluates it on all scenes of a split."""

    config_type = SentinelSupCon

    def data_key(self) -> str:
        """Returns the data set and what of it is opened, and the encoders that published weights are matched with."""
        key = data_key(self.config.dataset, self.config.data)
        return f"{key}-{matched_with(self.config)}" if self.config.model.pretrained else key

    def open(self, root: Path) -> PatchData:
        """Opens the data set, and reports in its notes what of a file of published weights matches.

        `open_patches`, `find_pretrained` and `match_file` say what is refused.
        """
        data = open_patches(root, self.config.dataset, self.config.data)
        if not self.config.model.pretrained:
            return data
        file = find_pretrained(root, self.config.model.pretrained)
        notes = (*data.notes, *match_file(file, self.config).report())
        return replace(data, pretrained=file, notes=notes)

    def initial_weights(self, data: PatchData) -> Mapping[str, Tensor]:
        """Returns what matches of a file of published weights."""
        if data.pretrained is None:
            return {}
        data.pretrained.require_same()
        return match_file(data.pretrained, self.config).weights

    def training_batch(self, data: PatchData, indices: Indices, keys: Keys) -> Batch:
        """Samples scenes, with both views if a loss compares them."""
        shown: batches.Shown = "both" if self.config.compares_views else "augmented"
        return batches.training_batch(data, indices, keys, self.config.data, self.config.views, shown)

    def evaluation_batch(self, data: PatchData, split: SplitName, indices: Indices) -> Batch:
        """Samples the middle of scenes of a split."""
        return batches.evaluation_batch(data, split, indices, self.config.data)

    def origins(self, data: PatchData, split: SplitName) -> Mapping[str, Sequence[str]]:
        """Returns scenes, ground that scenes of another split show too, and places; see `scenes_of.origins`."""
        return scenes_of.origins(data, split)

    def fitted_on(self, data: PatchData) -> Mapping[str, Sequence[str]]:
        """Returns the scenes that means and standard deviations were computed from."""
        return scenes_of.fitted_on(data)

    def facts(self, data: PatchData) -> Mapping[str, Any]:
        """Returns classes, bands, units and statistics, by which inputs of an exported model are prepared.

        Of published weights it names the file alone: an exported model has its own.

        Raises:
            ConfigError: The data set has other classes or smaller scenes than the configuration says.
            DataError: No scene of train or val has a class that counts.
        """
        knobs = self.config.data
        require_size(data, knobs.size)
        if knobs.classes != data.classes:
            raise ConfigError(
                f"data.classes must be those of {self.config.dataset}, {list(data.classes)}, got "
                f'{list(knobs.classes)}; name them in a search space: vary(data={{"classes": {data.classes}}})'
            )
        require_classes(data, knobs)
        file = data.pretrained
        begun = {"pretrained": {"file": file.path.name, "sha256": file.sha256}} if file else {}
        return begun | {
            "classes": list(data.classes),
            "ignored": list(knobs.ignored),
            "bands": list(data.bands),
            "unit_s1": data.unit,
            "scaling": knobs.scaling,
            "mean": data.mean,
            "std": data.std,
        }

    def build(self, facts: Mapping[str, Any] | None) -> nn.Module:
        """Builds the model; the configuration says everything."""
        return SceneModel(self.config)

    def quantities(self, facts: Mapping[str, Any]) -> tuple[tuple[Quantity, ...], tuple[Quantity, ...]]:
        """Returns backscatter and reflectance, and the probabilities of classes."""
        return physical.quantities(facts, self.config.data.size)

    def predict_quantities(self, model: nn.Module, inputs: Arrays, facts: Mapping[str, Any]) -> Arrays:
        """Classifies scenes."""
        return physical.predict(model, inputs, facts)

    def stages(self) -> tuple[Stage, ...]:
        """Returns pre-training, if there is any, and tuning."""
        return stages(self.config)

    def measures(self) -> tuple[Measure, ...]:
        """Returns the measures of calls, ranks and calibration."""
        return measures(self.config.data)

    def protocol(self) -> Mapping[str, Any]:
        """Returns classes, target and bins; the inputs of the model are free."""
        return protocol(self.config.data)

    def inherit(self, starting_points: Mapping[str, FamilyConfig]) -> SentinelSupCon:
        """Takes encoders and inputs of the last starting point; `inheritance.inherit` says what is refused."""
        return inherit(self.config, cast(Mapping[str, SentinelSupCon], starting_points))

    def starting_weights(self) -> tuple[str, ...]:
        """Returns the encoders; fusion and heads belong to their scenario and classes."""
        return tuple(f"{name}." for name in encoders.names(self.config.model))

    def baselines(self, data: PatchData) -> Mapping[str, nn.Module]:
        """Returns the shares of the classes, and linear models of band statistics: of both sensors, and of each."""
        knobs = self.config.data
        sample = partial(self.evaluation_batch, data, "train")
        return {"majority": fit_majority(data, knobs), **fit_band_statistics(data, knobs, sample)}

    def parts(self) -> Mapping[str, Callable[[nn.Module], nn.Module]]:
        """Returns the encoders, with `SceneModel.embed`."""
        return {"encoders": self._encoders_of}

    def draw(self, model: nn.Module, data: PatchData, folder: Path) -> None:
        """Draws what the model calls the scenes of each class."""
        from trainables.sentinel_supcon.evaluation.pictures import (
            draw_calls,  # matplotlib, which training does not need
        )

        def called(indices: Indices) -> tuple[Outputs, Batch]:
            batch = self.evaluation_batch(data, "val", indices)
            return self.predict(model, batch), batch

        draw_calls(self.config.data, data.num_samples("val"), called, folder)

    def _encoders_of(self, model: nn.Module) -> nn.Module:
        kept = encoders.names(self.config.model)
        for name in [name for name, _ in model.named_children() if name not in kept]:
            delattr(model, name)
        return model
