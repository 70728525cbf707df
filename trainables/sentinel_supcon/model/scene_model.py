"""The model for one device: images of both sensors to embeddings, embeddings to logits."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from thalweg.contract import Batch
from thalweg.nn.contrastive.unit_length import unit_length
from trainables.sentinel_supcon.config import SentinelSupCon
from trainables.sentinel_supcon.model import encoders
from trainables.sentinel_supcon.model.fusion import SensorFusion
from trainables.sentinel_supcon.model.prototypes import Prototypes

LOGITS = "logits"
"""Name of the logits among the outputs."""
FUSED = "fused"
"""Name of the logits of both sensors together among those of `SceneModel.classify`."""
PROTOTYPES, FUSION = "prototypes", "fusion"
NEVER = -1e9
"""Logit of a class that is ignored: its probability is 0 in fp32."""

Images = Mapping[str, Float[Tensor, "batch band row col"]]
Vectors = Mapping[str, Float[Tensor, "batch embedding"]]


class SceneModel(nn.Module):
    """Classifies scenes by one sensor, by each of two, or by both together.

    Its children are the encoders (``s1`` and ``s2``, or ``stem_s1``, ``stem_s2`` and ``trunk``), ``prototypes`` if
    there are any, then ``fusion`` and ``head``, or a head for each sensor, ``head_s1`` and ``head_s2``. Results are in
    fp32, whatever the type of the weights.

    Args:
        config: Architecture, sizes of inputs, and classes.
    """

    def __init__(self, config: SentinelSupCon) -> None:
        super().__init__()
        knobs, data = config.model, config.data
        self.sensors = knobs.sensors
        bands = {"s1": 2, "s2": len(data.bands)}
        for name, encoder in encoders.build(knobs, bands, data.size).items():
            self.add_module(name, encoder)
        if knobs.backbone == "prototypes":
            self.prototypes = Prototypes(knobs.num_prototypes, encoders.stem_dim(knobs))
        classes = len(data.classes)
        if knobs.is_fused:
            self.fusion = SensorFusion(knobs.fusion, knobs.embedding_dim)
        for name in head_names(config).values():
            width = self.fusion.out_dim if knobs.is_fused else knobs.embedding_dim
            self.add_module(name, nn.Linear(width, classes))
        ignored = [name in data.ignored for name in data.classes]
        self.register_buffer("ignored", torch.tensor(ignored), persistent=False)
        self.ignored: Tensor
        self._heads = head_names(config)

    def embed(self, images: Images) -> Vectors:
        """Returns the embeddings of each sensor, of length 1.

        Args:
            images: Standardised images by sensor.
        """
        return self._vectors(self._maps(images))

    def embed_and_transport(self, images: Images) -> tuple[Vectors, Float[Tensor, " batch"]]:
        """Adds what it costs to bring the pixels of each scene to the prototypes, a mean over sensors."""
        maps = self._maps(images)
        costs = [self.prototypes(each) for each in maps.values()]
        return self._vectors(maps), torch.stack(costs).mean(0)

    def classify(self, vectors: Vectors) -> dict[str, Float[Tensor, "batch class_"]]:
        """Returns the logits of each head: of both sensors as ``fused``, or by sensor; ignored classes have none.

        Args:
            vectors: What `embed` returned.
        """
        dtype = self._dtype()
        inputs = {sensor: vectors[sensor].to(dtype) for sensor in self.sensors}
        if FUSED in self._heads:
            inputs = {FUSED: self.fusion(list(inputs.values()))}
        logits = {name: self.get_submodule(head)(inputs[name]).float() for name, head in self._heads.items()}
        return {name: each.masked_fill(self.ignored, NEVER) for name, each in logits.items()}

    def forward(self, batch: Batch) -> dict[str, Float[Tensor, "batch class_"]]:
        """Classifies scenes by their first view.

        Args:
            batch: ``s1`` and ``s2`` (batch, view, band, row, col), standardised.

        Returns:
            ``logits``. Those of two heads are averaged: probabilities are then geometric means.
        """
        images = {sensor: batch[sensor][:, 0] for sensor in self.sensors}
        logits = list(self.classify(self.embed(images)).values())
        return {LOGITS: torch.stack(logits).mean(0)}

    def _maps(self, images: Images) -> dict[str, Tensor]:
        """Returns the maps behind the stems of a shared trunk, or the images."""
        cast = {sensor: images[sensor].to(self._dtype()) for sensor in self.sensors}
        if not self._is_shared:
            return cast
        return {sensor: self.get_submodule(encoders.stem_of(sensor))(each) for sensor, each in cast.items()}

    def _vectors(self, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if not self._is_shared:
            return {sensor: unit_length(self.get_submodule(sensor)(each)) for sensor, each in maps.items()}
        # In one pass, for its batch norms evaluate both sensors by the statistics of both.
        both = unit_length(self.get_submodule(encoders.TRUNK)(torch.cat(list(maps.values()))))
        return dict(zip(maps, both.chunk(len(maps)), strict=True))

    @property
    def _is_shared(self) -> bool:
        return encoders.TRUNK in self._modules

    def _dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype


def head_names(config: SentinelSupCon) -> dict[str, str]:
    """Returns the names of the heads among a model's children, by whose logits they are."""
    if config.model.is_fused:
        return {FUSED: "head"}
    return {sensor: f"head_{sensor}" for sensor in config.model.sensors}
