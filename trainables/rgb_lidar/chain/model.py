"""The networks of the chain: two embedders, a temperature, a classifier of scans, a projector."""

from jaxtyping import Float
from torch import Tensor, nn

from thalweg.contract import Batch
from thalweg.nn.contrastive.temperature import Temperature
from thalweg.nn.contrastive.unit_length import unit_length
from trainables.rgb_lidar.chain.image_classifier import ImageClassifier
from trainables.rgb_lidar.chain.knobs import ChainKnobs, ClassifierKnobs, Part, SimilarityKnobs, Target
from trainables.rgb_lidar.evaluation.classification import log_odds
from trainables.rgb_lidar.knobs import DataKnobs
from trainables.rgb_lidar.model.encoders import blocks, dense, embedder, flat_dim, hidden

Vectors = Float[Tensor, "batch dim"]
Layer = Float[Tensor, "batch value"]
Maps = Float[Tensor, "batch channel side side"]


def temperature(knobs: SimilarityKnobs) -> Temperature:
    """Returns the module that scales embeddings of images by the inverse temperature.

    The logit (cosine + 1) / 2 is half a cosine, because a softmax ignores the constant.
    """
    if knobs.temperature == "none":
        return Temperature({"cosine": 1.0, "half_cosine": 2.0}[knobs.logit_map], learnable=False)
    return Temperature(knobs.initial_temperature, learnable=knobs.temperature == "learnable")


class ScanClassifier(nn.Module):
    """Classifies scans as cubes or spheres, by convolutional blocks and dense layers.

    Args:
        knobs: Architecture.
        in_dim: Channels of a scan.
        side: Height and width of a scan.

    Attributes:
        dims: Number of values of each layer that a projector may predict.
    """

    def __init__(self, knobs: ClassifierKnobs, in_dim: int, side: int) -> None:
        super().__init__()
        flat = flat_dim(knobs, side)
        self.dims: dict[Target, int] = {"maps": flat, "penultimate": knobs.neck_dim}
        self.maps = nn.Sequential(blocks((in_dim, *knobs.block_widths), knobs.downsampling), nn.Flatten())
        self.neck = hidden(flat, knobs.dense_widths, knobs.dropout)
        self.output = nn.Linear(knobs.neck_dim, knobs.num_logits)

    def forward(self, scans: Maps) -> Float[Tensor, "batch logit"]:
        """Returns the logits."""
        logits: Tensor = self.output(self.neck(self.maps(scans)))
        return logits

    def layer(self, scans: Maps, target: Target) -> Layer:
        """Returns the values of a layer."""
        maps: Tensor = self.maps(scans)
        return maps if target == "maps" else self.neck(maps)

    def rest(self, layer: Layer, target: Target) -> Float[Tensor, "batch logit"]:
        """Returns the logits that follow from the values of a layer."""
        logits: Tensor = self.output(self.neck(layer) if target == "maps" else layer)
        return logits


def head_parts(target: Target) -> tuple[str, ...]:
    """Returns the names of a `ScanClassifier`'s children after a layer."""
    return ("neck", "output") if target == "maps" else ("output",)


def prefixes(part: Part) -> tuple[str, ...]:
    """Returns the name prefixes of a part's weights; the temperature belongs to the scan's embedder."""
    return ("lidar.", "temperature.") if part == "lidar" else (f"{part}.",)


class ChainNetwork(nn.Module):
    """The model of a chain: the parts that its stages need; outputs are fp32, whatever the dtype of the weights.

    Args:
        knobs: Stages and architecture.
        inputs: Channels of image and scan.
        side: Height and width of image and scan.

    Raises:
        ConfigError: The images are too small for the number of blocks.
    """

    def __init__(self, knobs: ChainKnobs, inputs: DataKnobs, side: int) -> None:
        super().__init__()
        self._parts = knobs.parts
        self._target = knobs.projector.target
        width = knobs.embedder.embedding_dim
        if "rgb" in knobs.parts:
            self.rgb = embedder(knobs.embedder, inputs.rgb_channels, width, side)
        if "lidar" in knobs.parts:
            self.lidar = embedder(knobs.embedder, inputs.lidar_channels, width, side)
            self.temperature = temperature(knobs.similarity)
        if "classifier" in knobs.parts:
            self.classifier = ScanClassifier(knobs.classifier, inputs.lidar_channels, side)
        if "projector" in knobs.parts:
            projector = knobs.projector
            out_dim = self.classifier.dims[projector.target]
            self.projector = dense(width, projector.hidden_widths, out_dim, projector.dropout)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Computes all outputs of the parts.

        Args:
            batch: ``rgb`` (batch, channel, side, side) and ``lidar`` (batch, channel, side, side).

        Returns:
            If the model has the parts: ``rgb_embedding`` and ``lidar_embedding`` (batch, dim), and
            ``inverse_temperature`` (batch,), the factor on their cosines; ``lidar_odds`` (batch,), log-odds of a sphere
            by the scan; ``projection`` of the image and its ``target`` (batch, dim), and ``odds`` (batch,) by the image
            alone.
        """
        found: dict[str, Tensor] = {}
        if "rgb" in self._parts:
            found["rgb_embedding"] = self.rgb_embedding(batch)
        if "lidar" in self._parts:
            found["lidar_embedding"] = self.lidar_embedding(batch)
            ones = found["lidar_embedding"].new_ones(len(batch["lidar"]), 1)
            found["inverse_temperature"] = self.temperature(ones)[:, 0].detach()
        if "classifier" in self._parts:
            target = self.target(batch)
            found["lidar_odds"] = self._odds(target)
        if "projector" in self._parts:
            found["target"] = target
            found["projection"] = self.project(found["rgb_embedding"])
            found["odds"] = self._odds(found["projection"])
        return found

    def rgb_embedding(self, batch: Batch) -> Vectors:
        """Returns the embeddings of images, of length 1."""
        return unit_length(self.rgb(self._cast(batch["rgb"])))

    def lidar_embedding(self, batch: Batch) -> Vectors:
        """Returns the embeddings of scans, of length 1."""
        return unit_length(self.lidar(self._cast(batch["lidar"])))

    def lidar_odds(self, batch: Batch) -> Float[Tensor, " batch"]:
        """Returns the log-odds of a sphere by the scan."""
        return log_odds(self.classifier(self._cast(batch["lidar"])).float())

    def target(self, batch: Batch) -> Layer:
        """Returns the layer of the scan classifier that the projector predicts."""
        return self.classifier.layer(self._cast(batch["lidar"]), self._target).float()

    def project(self, embedding: Vectors) -> Layer:
        """Returns the projections of images' embeddings."""
        projection: Tensor = self.projector(self._cast(embedding))
        return projection.float()

    def odds(self, batch: Batch) -> Float[Tensor, " batch"]:
        """Returns the log-odds of a sphere by the image alone."""
        return self._odds(self.project(self.rgb_embedding(batch)))

    def image_classifier(self) -> ImageClassifier:
        """Returns image embedder, projector and the head of the scan classifier as one module that shares weights."""
        head = nn.Sequential(*(self.classifier.get_submodule(part) for part in head_parts(self._target)))
        return ImageClassifier(self.rgb, self.projector, head)

    def _odds(self, layer: Layer) -> Float[Tensor, " batch"]:
        return log_odds(self.classifier.rest(self._cast(layer), self._target).float())

    def _cast(self, values: Tensor) -> Tensor:
        return values.to(next(self.parameters()).dtype)
