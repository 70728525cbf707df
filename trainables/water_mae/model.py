"""The masked autoencoder for one device: five encoders, shared layers, five decoders.

CAV-MAE (arXiv:2210.07839) with the decoders of CrossMAE (arXiv:2401.14391): each modality's visible patches
are encoded apart, all tokens then pass the shared layers together, and each modality's decoder reads its own
tokens from there. Whatever a decoder knows about other modalities came through the shared layers.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from thalweg.nn.fusion import TokenFusion
from thalweg.nn.transformer import LayerSizes
from trainables.water_mae.config import IMAGE_MODALITIES, MODALITIES, VECTOR_MODALITIES, ModelKnobs
from trainables.water_mae.data import Geometry
from trainables.water_mae.decoder import Decoder
from trainables.water_mae.encoders import ImageEncoder, VectorEncoder

Batch = dict[str, Tensor]
Predictions = dict[str, Float[Tensor, "batch step masked value"]]


class MaskedAutoencoder(nn.Module):
    """Reconstructs the masked patches of all modalities from the visible ones.

    Its direct children are ``MODALITY_encoder``, ``fusion``, ``MODALITY_decoder`` and the two sets of
    modality tokens.

    Args:
        knobs: Sizes.
        geometry: Patches and catchments of the data.
        num_steps: Days in a window.
    """

    def __init__(self, knobs: ModelKnobs, geometry: Geometry, num_steps: int) -> None:
        super().__init__()
        sizes = LayerSizes(
            dim=knobs.dim, num_heads=knobs.num_heads, mlp_ratio=knobs.mlp_ratio, dropout=knobs.dropout
        )
        for name in IMAGE_MODALITIES:
            self.add_module(f"{name}_encoder", _image_encoder(sizes, knobs, geometry, num_steps))
        for name in VECTOR_MODALITIES:
            self.add_module(f"{name}_encoder", _vector_encoder(sizes, knobs, geometry, num_steps))
        self.fusion = TokenFusion(sizes, knobs.shared_depth)
        for name in MODALITIES:
            self.add_module(f"{name}_decoder", _decoder(name, knobs, geometry, num_steps))
        self.encoder_modality_tokens = _modality_tokens(knobs.dim)
        self.decoder_modality_tokens = _modality_tokens(knobs.decoder_dim)

    def forward(self, batch: Batch) -> Predictions:
        """Predicts what the batch masks.

        Args:
            batch: ``images`` (batch, 3, step, patch, pixel), ``vectors`` (batch, 2, step, patch, member),
                ``vector_present`` (batch, 2), and for both kinds indices of patches ``*_keep`` and
                ``*_masked`` (batch, modality, step, number).

        Returns:
            For each modality the values of its masked patches, in the order of ``*_masked`` and in the
            model's precision.
        """
        contexts = self.fusion([self._encode(batch, name) for name in MODALITIES])
        predictions = {}
        for name, context in zip(MODALITIES, contexts, strict=True):
            kind, index = kind_and_index(name)
            decoder = self.get_submodule(f"{name}_decoder")
            masked = batch[f"{kind}_masked"][:, index]
            predictions[name] = decoder(context, masked, self.decoder_modality_tokens[name])
        return predictions

    def _encode(self, batch: Batch, name: str) -> Float[Tensor, "batch token dim"]:
        kind, index = kind_and_index(name)
        token = self.encoder_modality_tokens[name]
        encoder = self.get_submodule(f"{name}_encoder")
        values = batch[f"{kind}s"][:, index].to(token.dtype)
        keep = batch[f"{kind}_keep"][:, index]
        if kind == "image":
            tokens: Tensor = encoder(values, keep, token)
        else:
            tokens = encoder(values, keep, batch["vector_present"][:, index].to(token.dtype), token)
        return tokens


def kind_and_index(modality: str) -> tuple[str, int]:
    """Returns where a batch holds a modality: ``image`` or ``vector``, and its number on the second axis."""
    if modality in IMAGE_MODALITIES:
        return "image", IMAGE_MODALITIES.index(modality)
    return "vector", VECTOR_MODALITIES.index(modality)


def _image_encoder(sizes: LayerSizes, knobs: ModelKnobs, geometry: Geometry, num_steps: int) -> ImageEncoder:
    return ImageEncoder(
        sizes,
        knobs.image_depth,
        num_steps=num_steps,
        num_patches=geometry.num_patches,
        num_pixels=geometry.num_pixels,
    )


def _vector_encoder(
    sizes: LayerSizes, knobs: ModelKnobs, geometry: Geometry, num_steps: int
) -> VectorEncoder:
    return VectorEncoder(
        sizes,
        knobs.vector_depth,
        num_steps=num_steps,
        static=torch.tensor(geometry.static),
        member_valid=torch.tensor(geometry.member_valid),
        film_mode=knobs.film_mode,
        film_per_patch=knobs.film_scope == "per_patch",
    )


def _decoder(name: str, knobs: ModelKnobs, geometry: Geometry, num_steps: int) -> Decoder:
    if name in IMAGE_MODALITIES:
        # Positions cover the whole grid of patches, ocean included, as in the reference model.
        row, column = geometry.patch_rows_cols.T
        num_rows, num_columns = int(row.max()) + 1, int(column.max()) + 1
        places, num_places = torch.tensor(row * num_columns + column), num_rows * num_columns
        num_values = geometry.num_pixels
    else:
        num_places, num_values = geometry.num_vector_patches, geometry.num_members
        places = torch.arange(num_places)
    return Decoder(
        LayerSizes(dim=knobs.decoder_dim, num_heads=knobs.decoder_num_heads, mlp_ratio=knobs.mlp_ratio),
        knobs.decoder_depth,
        context_dim=knobs.dim,
        num_steps=num_steps,
        num_places=num_places,
        places=places,
        num_values=num_values,
        self_attention=knobs.decoder_self_attention,
    )


def _modality_tokens(dim: int) -> nn.ParameterDict:
    return nn.ParameterDict({name: nn.Parameter(torch.randn(dim) * 0.02) for name in MODALITIES})
