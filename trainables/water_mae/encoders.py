"""Encoders of one modality: they see visible patches only, at the place where each was."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import embedding, relu

from thalweg.nn.film import FilmMode
from thalweg.nn.masking import take_patches
from thalweg.nn.position import encode_places, sinusoidal
from thalweg.nn.transformer import EncoderLayer, FilmLayer, LayerSizes

Tokens = Float[Tensor, "batch token dim"]


class PatchEmbedding(nn.Module):
    """Turns visible patches into tokens: content + learned place + sinusoidal day + modality.

    Args:
        num_steps: Days in a window.
        num_patches: Patches of a day, visible or not.
        num_values: Numbers in a patch.
        dim: Width of a token.
    """

    def __init__(self, *, num_steps: int, num_patches: int, num_values: int, dim: int) -> None:
        super().__init__()
        self.content = nn.Linear(num_values, dim)
        self.position = nn.Parameter(torch.empty(num_patches, dim))
        self.register_buffer("time", sinusoidal(num_steps, dim), persistent=False)
        self.time: Tensor
        nn.init.trunc_normal_(self.position, std=0.02)

    def forward(
        self,
        patches: Float[Tensor, "batch step patch value"],
        keep: Int[Tensor, "batch step keep"],
        modality: Float[Tensor, " dim"],
    ) -> Tokens:
        """Returns the tokens of the visible patches, day after day."""
        content: Tensor = self.content(take_patches(patches, keep))
        tokens = content + encode_places(self.position + modality, self.time, keep)
        return tokens.flatten(1, 2)


class ImageEncoder(nn.Module):
    """Encodes the visible image patches of all days of a window together.

    Args:
        sizes: Sizes of the layers.
        depth: Number of layers.
        num_steps: Days in a window.
        num_patches: Land patches of the grid.
        num_pixels: Grid cells in a patch.
    """

    def __init__(
        self, sizes: LayerSizes, depth: int, *, num_steps: int, num_patches: int, num_pixels: int
    ) -> None:
        super().__init__()
        self.embedding = PatchEmbedding(
            num_steps=num_steps, num_patches=num_patches, num_values=num_pixels, dim=sizes.dim
        )
        self.layers = nn.Sequential(*(EncoderLayer(sizes) for _ in range(depth)))
        self.norm = nn.LayerNorm(sizes.dim)

    def forward(
        self,
        images: Float[Tensor, "batch step patch pixel"],
        keep: Int[Tensor, "batch step keep"],
        modality: Float[Tensor, " dim"],
    ) -> Tokens:
        """Returns one token per visible patch."""
        tokens: Tensor = self.norm(self.layers(self.embedding(images, keep, modality)))
        return tokens


class VectorEncoder(nn.Module):
    """Encodes catchment series: each patch is the mean of its catchments, conditioned by their attributes.

    Padded catchments count nowhere. One more token, appended at the end, summarises the attributes of all
    catchments: the mean over catchments of a nonlinear projection (arXiv:1703.06114), because the mean of
    the standardised attributes themselves is zero by construction and would say nothing.

    Args:
        sizes: Sizes of the layers.
        depth: Number of layers.
        num_steps: Days in a window.
        static: Standardised attributes of the catchments, 0 for padding.
        member_valid: False for padding.
        film_mode: How attributes scale a token, see `thalweg.nn.film.FiLM`.
        film_per_patch: Whether a token is conditioned by its own catchments or by the mean over all.
    """

    def __init__(
        self,
        sizes: LayerSizes,
        depth: int,
        *,
        num_steps: int,
        static: Float[Tensor, "patch member attribute"],
        member_valid: Bool[Tensor, "patch member"],
        film_mode: FilmMode,
        film_per_patch: bool,
    ) -> None:
        super().__init__()
        num_patches, _, num_attributes = static.shape
        self.embedding = PatchEmbedding(
            num_steps=num_steps, num_patches=num_patches, num_values=1, dim=sizes.dim
        )
        self.attributes = nn.Linear(num_attributes, sizes.dim)
        self.layers = nn.ModuleList(FilmLayer(sizes, num_attributes, film_mode) for _ in range(depth))
        self.norm = nn.LayerNorm(sizes.dim)

        valid = member_valid.float()
        share = valid / valid.sum(1, keepdim=True)
        overall = (static * valid[..., None]).sum((0, 1)) / valid.sum()
        own = (static * share[..., None]).sum(1)
        condition = own if film_per_patch else overall.expand_as(own)
        for name, tensor in (
            ("static", static),
            ("member_weight", valid / valid.sum()),
            ("member_share", share),
            ("condition", condition.contiguous()),
            ("overall", overall),
        ):
            self.register_buffer(name, tensor, persistent=False)
        self.static: Tensor
        self.member_weight: Tensor  # sums to 1 over all catchments
        self.member_share: Tensor  # sums to 1 over the catchments of each patch
        self.condition: Tensor
        self.overall: Tensor

    def forward(
        self,
        series: Float[Tensor, "batch step patch member"],
        keep: Int[Tensor, "batch step keep"],
        present: Float[Tensor, " batch"],
        modality: Float[Tensor, " dim"],
    ) -> Tokens:
        """Returns one token per visible patch and one of the attributes.

        Where the modality is absent its tokens start at zero, without content and place, which no
        present modality does.
        """
        means = (series * self.member_share).sum(-1, keepdim=True)
        tokens = self.embedding(means, keep, modality) * present[:, None, None]
        batch = len(tokens)
        x = torch.cat((tokens, (self._static_token() + modality).expand(batch, 1, -1)), dim=1)
        condition = torch.cat(
            (embedding(keep.flatten(1), self.condition), self.overall.expand(batch, 1, -1)), dim=1
        )
        for layer in self.layers:
            x = layer(x, condition)
        encoded: Tensor = self.norm(x)
        return encoded

    def _static_token(self) -> Float[Tensor, " dim"]:
        projected = relu(self.attributes(self.static))
        return (projected * self.member_weight[..., None]).sum((0, 1))
