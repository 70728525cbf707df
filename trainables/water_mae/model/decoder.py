"""Decoders of one modality, which predict only masked patches.

Every decoder is called with the feature maps of its modality, the visible and the masked patches, and the
modality's token.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import embedding

from thalweg.nn.feature_maps import WeightedFeatureMaps
from thalweg.nn.position import encode_places, sinusoidal
from thalweg.nn.transformer import CrossLayer, LayerSizes, SelfLayer
from trainables.water_mae.config import InterpolationMode

Map = Float[Tensor, "batch token context"]
Keep = Int[Tensor, "batch step keep"]
Masked = Int[Tensor, "batch step masked"]
Values = Float[Tensor, "batch step masked value"]
Modality = Float[Tensor, " dim"]
Queries = Float[Tensor, "batch query dim"]


@dataclass(frozen=True, kw_only=True)
class Targets:
    """The target patches of a decoder.

    Attributes:
        num_steps: Days in a window.
        num_places: Number of places with a learned position.
        places: Place of each patch.
        num_values: Numbers in a patch.
        interpolation: What is made of interpolated values, see `ModelKnobs.interpolation`.
    """

    num_steps: int
    num_places: int
    places: Int[Tensor, " patch"]
    num_values: int
    interpolation: InterpolationMode = "none"


class Decoder(nn.Module, ABC):
    """Base of the decoders: makes queries for masked patches, and maps the final tokens to values.

    Args:
        dim: Width of the decoder's tokens.
        targets: The patches that it predicts.
    """

    def __init__(self, dim: int, targets: Targets) -> None:
        super().__init__()
        self.mask_token = nn.Parameter(torch.empty(dim))
        self.position = nn.Parameter(torch.empty(targets.num_places, dim))
        self.register_buffer("places", targets.places, persistent=False)
        self.register_buffer("time", sinusoidal(targets.num_steps, dim), persistent=False)
        self.places: Tensor
        self.time: Tensor
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, targets.num_values)
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        nn.init.trunc_normal_(self.position, std=0.02)
        self._adds = targets.interpolation in ("added", "both")
        self.reading = (
            nn.Linear(targets.num_values, dim) if targets.interpolation in ("read", "both") else None
        )
        if self._adds:  # an untrained decoder leaves the interpolation as it is
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

    def forward(
        self,
        maps: Sequence[Map],
        keep: Keep,
        masked: Masked,
        modality: Modality,
        interpolated: Values | None = None,
    ) -> Values:
        """Predicts the content of the masked patches.

        Args:
            maps: Feature maps of the modality, the fused one last.
            keep: Visible patches, in the order of the first tokens of each map.
            masked: Masked patches to predict.
            modality: Token of the modality.
            interpolated: What is interpolated there, in fp32; required unless nothing is made of it.
        """
        read = self.read(self.queries(masked, modality, interpolated), maps, keep, modality)
        return self.values(read, masked, interpolated)

    @abstractmethod
    def read(self, queries: Queries, maps: Sequence[Map], keep: Keep, modality: Modality) -> Queries:
        """Lets the queries read the feature maps.

        Args:
            queries: A token for each masked patch, day after day.
            maps: Feature maps of the modality, the fused one last.
            keep: Visible patches, in the order of the first tokens of each map.
            modality: Token of the modality.
        """

    def queries(self, masked: Masked, modality: Modality, interpolated: Values | None) -> Queries:
        """Returns a query token for each masked patch, day after day: place, day, and interpolated values if read."""
        tokens = self.at_places(masked, self.mask_token + modality)
        if self.reading is None:
            return tokens
        assert interpolated is not None
        read: Tensor = self.reading(interpolated.to(tokens.dtype))
        return tokens + read.flatten(1, 2)

    def at_places(self, patches: Int[Tensor, "batch step taken"], token: Modality) -> Queries:
        """Returns a token plus place and day of each patch, day after day."""
        return encode_places(embedding(self.places, self.position) + token, self.time, patches).flatten(1, 2)

    def values(self, x: Queries, masked: Masked, interpolated: Values | None) -> Values:
        """Maps the final tokens of masked patches to their values, which are added to interpolated ones in fp32."""
        values: Tensor = self.head(self.norm(x))
        values = values.reshape(*masked.shape, -1)
        if not self._adds:
            return values
        assert interpolated is not None
        return values.float() + interpolated


class CrossDecoder(Decoder):
    """Cross-attention decoder: queries read the encoder's tokens (CrossMAE, arXiv:2401.14391).

    Args:
        sizes: Sizes of the blocks.
        depth: Number of blocks.
        targets: What it predicts.
        context_dim: Width of the encoder's tokens.
        num_maps: Number of feature maps that are mixed for each block; None: blocks read the last map only.
        self_attention: Whether the queries also see each other.
    """

    def __init__(
        self,
        sizes: LayerSizes,
        depth: int,
        targets: Targets,
        *,
        context_dim: int,
        num_maps: int | None = None,
        self_attention: bool = False,
    ) -> None:
        super().__init__(sizes.dim, targets)
        self.layers = nn.ModuleList(
            CrossLayer(sizes, context_dim, self_attention=self_attention) for _ in range(depth)
        )
        self.mixtures = None if num_maps is None else WeightedFeatureMaps(num_maps, depth, context_dim)

    def read(self, queries: Queries, maps: Sequence[Map], keep: Keep, modality: Modality) -> Queries:
        """Lets the queries read the feature maps."""
        contexts = [maps[-1]] * len(self.layers) if self.mixtures is None else self.mixtures(maps)
        for layer, context in zip(self.layers, contexts, strict=True):
            queries = layer(queries, context)
        return queries


class SelfDecoder(Decoder):
    """Self-attention decoder: visible and masked patches attend to each other (MAE, arXiv:2111.06377).

    Tokens of the encoder that belong to no patch get no place.

    Args:
        sizes: Sizes of the blocks.
        depth: Number of blocks.
        targets: What it predicts.
        context_dim: Width of the encoder's tokens.
    """

    def __init__(self, sizes: LayerSizes, depth: int, targets: Targets, *, context_dim: int) -> None:
        super().__init__(sizes.dim, targets)
        self.embedding = nn.Linear(context_dim, sizes.dim)
        self.layers = nn.Sequential(*(SelfLayer(sizes) for _ in range(depth)))

    def read(self, queries: Queries, maps: Sequence[Map], keep: Keep, modality: Modality) -> Queries:
        """Lets the queries read the feature maps."""
        tokens = self.embedding(maps[-1])
        num_visible = keep.shape[1] * keep.shape[2]
        visible = tokens[:, :num_visible] + self.at_places(keep, modality)
        x = torch.cat((queries, visible, tokens[:, num_visible:] + modality), dim=1)
        found: Queries = self.layers(x)[:, : queries.shape[1]]
        return found
