"""The masked autoencoder for one device: an encoder for each modality, shared layers, a decoder for each.

CAV-MAE (arXiv:2210.07839) with the decoders of CrossMAE (arXiv:2401.14391): each modality's visible patches
are encoded separately, all tokens then pass the shared layers together, and each modality's decoder reads its own
tokens from there. So information of other modalities reaches a decoder through the shared layers only. Not published is
``ModelKnobs.interpolation``: decoders that know, or correct, what is interpolated from visible values.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, overload

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from thalweg.nn.fusion import TokenFusion
from thalweg.nn.transformer import LayerSizes
from trainables.water_mae.config import ModelKnobs
from trainables.water_mae.data.windows import Geometry
from trainables.water_mae.knobs import ModalitySet, Place
from trainables.water_mae.model.batch import Batch, Predictions
from trainables.water_mae.model.decoder import CrossDecoder, Decoder, SelfDecoder, Targets, Values
from trainables.water_mae.model.encoders import INPUT, ImageEncoder, VectorEncoder
from trainables.water_mae.model.interpolation import Interpolation
from trainables.water_mae.model.seasonal_cycle import Coefficients, SeasonalCycle, unknown

Summaries = dict[str, Float[Tensor, "batch dim"]]
Maps = list[Float[Tensor, "batch token dim"]]


@dataclass(frozen=True)
class Encoding:
    """The output of the encoders and the shared layers.

    Attributes:
        maps: Feature maps of each modality; the last one, (batch, token, dim), has passed the shared layers. Its
            tokens are those of the visible patches, day after day, and for vectors one token of the attributes.
        summaries: For each modality the mean token before the shared layers, of length 1, in fp32.
    """

    maps: dict[str, Maps]
    summaries: Summaries


class MaskedAutoencoder(nn.Module):
    """Reconstructs the masked patches of all modalities from the visible ones.

    Its direct children are ``MODALITY_encoder``, ``fusion``, ``MODALITY_decoder`` and the two sets of
    modality tokens.

    Args:
        knobs: Sizes.
        geometry: Patches and catchments of the data.
        num_steps: Days in a window.
        modalities: What is reconstructed.
        cycle: Coefficients of the seasonal cycle, read if anomalies are interpolated; None is a cycle of 0.
    """

    def __init__(
        self,
        knobs: ModelKnobs,
        geometry: Geometry,
        num_steps: int,
        modalities: ModalitySet,
        cycle: Coefficients | None = None,
    ) -> None:
        super().__init__()
        self.places = modalities.places
        sizes = LayerSizes(
            dim=knobs.dim, num_heads=knobs.num_heads, mlp_ratio=knobs.mlp_ratio, dropout=knobs.dropout
        )
        for name in modalities.fields:
            self.add_module(f"{name}_encoder", _image_encoder(sizes, knobs, geometry, num_steps))
        for name in modalities.series:
            self.add_module(f"{name}_encoder", _vector_encoder(sizes, knobs, geometry, num_steps))
        self.fusion = TokenFusion(sizes, knobs.shared_depth)
        for name, place in self.places.items():
            self.add_module(f"{name}_decoder", _decoder(place.kind, knobs, geometry, num_steps))
        self.interpolation = _interpolation(knobs, geometry, modalities, cycle)
        self.encoder_modality_tokens = _modality_tokens(modalities.names, knobs.dim)
        self.decoder_modality_tokens = _modality_tokens(modalities.names, knobs.decoder_dim)

    @overload
    def forward(self, batch: Batch, *, summaries: Literal[False] = False) -> Predictions: ...

    @overload
    def forward(self, batch: Batch, *, summaries: Literal[True]) -> tuple[Predictions, Summaries]: ...

    def forward(
        self, batch: Batch, *, summaries: bool = False
    ) -> Predictions | tuple[Predictions, Summaries]:
        """Predicts the masked patches of a batch.

        Args:
            batch: ``images`` (batch, field, step, patch, pixel), ``vectors`` (batch, series, step, patch, member),
                ``vector_present`` (batch, series), and for both kinds indices of patches ``*_keep`` and
                ``*_masked`` (batch, modality, step, number).
            summaries: Whether to return `Encoding.summaries` too.

        Returns:
            For each modality the values of its masked patches, in the order of ``*_masked`` and in the
            model's precision, or in fp32 if they are added to interpolated ones.
        """
        encoding = self.encode(batch, summaries=summaries)
        known = {} if self.interpolation is None else self.interpolation(batch)
        predictions = {
            name: self._decode(batch, name, maps, known.get(name)) for name, maps in encoding.maps.items()
        }
        return (predictions, encoding.summaries) if summaries else predictions

    def encode(self, batch: Batch, *, summaries: bool = False) -> Encoding:
        """Encodes the visible patches of a batch; the only method of the exported part ``encoders``.

        Args:
            batch: ``images`` (batch, field, step, patch, pixel) and ``vectors`` (batch, series, step, patch, member),
                both normalised as in `trainables.water_mae.model.facts`; ``vector_present`` (batch, series), 1 if a
                series is present; and the visible patches in ascending order, ``image_keep`` (batch, field, step,
                number) and ``vector_keep`` (batch, series, step, number): all of them if nothing is masked. If some
                values are missing, ``image_observed`` and ``vector_observed`` mark the others, in the shapes of
                the values: a patch without any data on a day has no content. In other patches missing values must be
                filled from the same patch and day: catchments with the mean of the others, cells as `DataKnobs` says.
            summaries: Whether to return `Encoding.summaries` too; else they are empty.
        """
        maps = {name: self._encode(batch, name) for name in self.places}
        means = (
            {name: normalize(own[-1].float().mean(1), dim=1) for name, own in maps.items()}
            if summaries
            else {}
        )
        fused = self.fusion([own[-1] for own in maps.values()])
        paired = zip(maps.items(), fused, strict=True)
        return Encoding({name: [*own[:-1], tokens] for (name, own), tokens in paired}, means)

    def _encode(self, batch: Batch, name: str) -> Maps:
        kind, index = place = self.places[name]
        token = self.encoder_modality_tokens[name]
        encoder = self.get_submodule(f"{name}_encoder")
        values = batch[f"{kind}s"][:, index]
        keep = batch[f"{kind}_keep"][:, index]
        observed = seen(batch, place)
        if kind == "image":
            maps: Maps = encoder(values, keep, token, observed)
        else:
            present = batch["vector_present"][:, index].to(token.dtype)
            maps = encoder(values.to(token.dtype), keep, present, token, observed)
        return maps

    def _decode(self, batch: Batch, name: str, maps: Maps, interpolated: Values | None) -> Values:
        kind, index = self.places[name]
        keep, masked = (batch[f"{kind}_{which}"][:, index] for which in ("keep", "masked"))
        decoder = self.get_submodule(f"{name}_decoder")
        values: Tensor = decoder(maps, keep, masked, self.decoder_modality_tokens[name], interpolated)
        return values


def seen(batch: Batch, modality: Place) -> Bool[Tensor, "batch step patch"] | None:
    """Returns a mask of the patches with any data, in windows that have the modality; None if all have."""
    kind, index = modality
    observed, present = (batch.get(f"{kind}_{name}") for name in ("observed", "present"))
    if observed is None:
        return None
    patches = observed[:, index].any(-1)
    return patches if present is None else patches & (present[:, index, None, None] > 0)


def _keep_maps(knobs: ModelKnobs, depth: int) -> frozenset[int]:
    """Returns the indices of the feature maps that decoders need besides the last one."""
    if not knobs.weighted_feature_maps:
        return frozenset()
    layers = range(depth) if knobs.feature_map_layers is None else knobs.feature_map_layers
    return frozenset(layers) & set(range(depth - 1)) | ({INPUT} if knobs.feature_map_input else set())


def _image_encoder(sizes: LayerSizes, knobs: ModelKnobs, geometry: Geometry, num_steps: int) -> ImageEncoder:
    return ImageEncoder(
        sizes,
        knobs.image_depth,
        num_steps=num_steps,
        num_patches=geometry.num_patches,
        num_pixels=geometry.num_pixels,
        keep_maps=_keep_maps(knobs, knobs.image_depth),
    )


def _vector_encoder(
    sizes: LayerSizes, knobs: ModelKnobs, geometry: Geometry, num_steps: int
) -> VectorEncoder:
    return VectorEncoder(
        sizes,
        knobs.vector_depth,
        num_steps=num_steps,
        static=torch.tensor(geometry.static, device="cpu"),
        member_valid=torch.tensor(geometry.member_valid, device="cpu"),
        film_mode=None if knobs.film_mode == "none" else knobs.film_mode,
        film_per_patch=knobs.film_scope == "per_patch",
        keep_maps=_keep_maps(knobs, knobs.vector_depth),
    )


def _decoder(kind: str, knobs: ModelKnobs, geometry: Geometry, num_steps: int) -> Decoder:
    sizes = LayerSizes(dim=knobs.decoder_dim, num_heads=knobs.decoder_num_heads, mlp_ratio=knobs.mlp_ratio)
    targets = _targets(kind, knobs, geometry, num_steps)
    if knobs.decoder_type == "self":
        return SelfDecoder(sizes, knobs.decoder_depth, targets, context_dim=knobs.dim)
    depth = knobs.image_depth if kind == "image" else knobs.vector_depth
    num_maps = len(_keep_maps(knobs, depth)) + 1
    return CrossDecoder(
        sizes,
        knobs.decoder_depth,
        targets,
        context_dim=knobs.dim,
        num_maps=num_maps if knobs.weighted_feature_maps else None,
        self_attention=knobs.decoder_self_attention,
    )


def _interpolation(
    knobs: ModelKnobs, geometry: Geometry, modalities: ModalitySet, cycle: Coefficients | None
) -> Interpolation | None:
    if knobs.interpolation == "none":
        return None
    if not knobs.interpolate_anomalies:
        return Interpolation(geometry, modalities)
    known = unknown(geometry, modalities) if cycle is None else cycle
    return Interpolation(geometry, modalities, SeasonalCycle(known))


def _targets(kind: str, knobs: ModelKnobs, geometry: Geometry, num_steps: int) -> Targets:
    if kind == "image":
        # Positions cover the whole grid of patches, ocean included, as in the reference model.
        row, column = geometry.patch_rows_cols.T
        num_rows, num_columns = geometry.grid_shape
        places, num_places = torch.tensor(row * num_columns + column), num_rows * num_columns
        num_values = geometry.num_pixels
    else:
        num_places, num_values = geometry.num_vector_patches, geometry.num_members
        places = torch.arange(num_places)
    return Targets(
        num_steps=num_steps,
        num_places=num_places,
        places=places,
        num_values=num_values,
        interpolation=knobs.interpolation,
    )


def _modality_tokens(names: Iterable[str], dim: int) -> nn.ParameterDict:
    # Drawn on the CPU: on the meta device, where models are only counted, randn imports sympy.
    drawn = {name: torch.randn(dim, device="cpu").mul_(0.02) for name in names}
    device = torch.get_default_device()
    return nn.ParameterDict({name: nn.Parameter(token.to(device)) for name, token in drawn.items()})
