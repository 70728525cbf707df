"""Encoders of one modality, which see only visible patches, with their places.

An encoder returns feature maps with one token per visible patch: chosen intermediate maps, then its output.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import embedding, relu

from thalweg.nn.film import FilmMode
from thalweg.nn.masking import take_patches
from thalweg.nn.position import encode_places, sinusoidal
from thalweg.nn.transformer import EncoderLayer, FilmLayer, LayerSizes

Tokens = Float[Tensor, "batch token dim"]

INPUT = -1
"""Index of the map that enters the first layer; the output of a layer has the index of the layer."""


def run_layers(
    layers: Iterable[nn.Module], x: Tokens, keep_maps: frozenset[int], *condition: Tensor
) -> list[Tokens]:
    """Passes tokens through layers.

    Args:
        layers: The layers, in order.
        x: Tokens.
        keep_maps: Indices of the maps to return besides the last one.
        condition: Further arguments of each layer.

    Returns:
        The chosen maps in order, then the output of the last layer.
    """
    maps = [x] if INPUT in keep_maps else []
    for number, layer in enumerate(layers):
        x = layer(x, *condition)
        if number in keep_maps:
            maps.append(x)
    return [*maps, x]


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
        seen: Bool[Tensor, "batch step patch"] | None = None,
    ) -> Tokens:
        """Returns the tokens of the visible patches, day after day; only these are cast to the model's dtype.

        Patches without any data, False in `seen`, have a place and a day but no content; all others have content.
        """
        content: Tensor = self.content(take_patches(patches, keep).to(modality.dtype))
        if seen is not None:
            content = content * seen.gather(2, keep)[..., None]
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
        keep_maps: Maps to return besides the output, see `run_layers`; none is that of the last layer.
    """

    def __init__(
        self,
        sizes: LayerSizes,
        depth: int,
        *,
        num_steps: int,
        num_patches: int,
        num_pixels: int,
        keep_maps: frozenset[int] = frozenset(),
    ) -> None:
        super().__init__()
        self.keep_maps = keep_maps
        self.embedding = PatchEmbedding(
            num_steps=num_steps, num_patches=num_patches, num_values=num_pixels, dim=sizes.dim
        )
        self.layers = nn.ModuleList(EncoderLayer(sizes) for _ in range(depth))
        self.norm = nn.LayerNorm(sizes.dim)

    def forward(
        self,
        images: Float[Tensor, "batch step patch pixel"],
        keep: Int[Tensor, "batch step keep"],
        modality: Float[Tensor, " dim"],
        seen: Bool[Tensor, "batch step patch"] | None = None,
    ) -> list[Tokens]:
        """Returns the feature maps, one token per visible patch; those that are False in `seen` have no content."""
        *maps, x = run_layers(self.layers, self.embedding(images, keep, modality, seen), self.keep_maps)
        return [*maps, self.norm(x)]


class VectorEncoder(nn.Module):
    """Encodes catchment series: each patch is the mean of its catchments, conditioned by their attributes.

    Padded catchments are ignored. One more token, appended at the end, summarises the attributes of all
    catchments: the mean over catchments of a nonlinear projection (arXiv:1703.06114), because the mean of
    the standardised attributes themselves is zero by construction. Without attributes it holds the modality only, and
    nothing is conditioned.

    Args:
        sizes: Sizes of the layers.
        depth: Number of layers.
        num_steps: Days in a window.
        static: Standardised attributes of the catchments, 0 for padding.
        member_valid: False for padding.
        film_mode: How attributes scale a token, see `thalweg.nn.film.FiLM`; None leaves tokens unconditioned.
        film_per_patch: Whether a token is conditioned by its own catchments or by the mean over all.
        keep_maps: Maps to return besides the output, see `run_layers`; none is that of the last layer.
    """

    def __init__(
        self,
        sizes: LayerSizes,
        depth: int,
        *,
        num_steps: int,
        static: Float[Tensor, "patch member attribute"],
        member_valid: Bool[Tensor, "patch member"],
        film_mode: FilmMode | None,
        film_per_patch: bool,
        keep_maps: frozenset[int] = frozenset(),
    ) -> None:
        super().__init__()
        self.keep_maps = keep_maps
        num_patches, _, num_attributes = static.shape
        film_mode = film_mode if num_attributes else None
        self.conditioned = film_mode is not None
        self.embedding = PatchEmbedding(
            num_steps=num_steps, num_patches=num_patches, num_values=1, dim=sizes.dim
        )
        self.attributes = nn.Linear(num_attributes, sizes.dim) if num_attributes else None
        self.layers = nn.ModuleList(
            EncoderLayer(sizes) if film_mode is None else FilmLayer(sizes, num_attributes, film_mode)
            for _ in range(depth)
        )
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
            # Computed on the CPU: arithmetic on the meta device imports torch._dynamo.
            self.register_buffer(name, tensor.to(torch.get_default_device()), persistent=False)
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
        seen: Bool[Tensor, "batch step patch"] | None = None,
    ) -> list[Tokens]:
        """Returns the feature maps, one token per visible patch and one of the attributes.

        If the modality is absent, its tokens start at zero, without content and place, unlike those of a present
        modality. Patches that are False in `seen` have no content.
        """
        means = (series * self.member_share).sum(-1, keepdim=True)
        tokens = self.embedding(means, keep, modality, seen) * present[:, None, None]
        batch = len(tokens)
        static = modality if self.attributes is None else self._static_token(self.attributes) + modality
        x = torch.cat((tokens, static.expand(batch, 1, -1)), dim=1)
        *maps, x = run_layers(self.layers, x, self.keep_maps, *self._condition(keep))
        return [*maps, self.norm(x)]

    def _condition(self, keep: Int[Tensor, "batch step keep"]) -> tuple[Tensor, ...]:
        """Returns a tuple of the attributes that condition each token; empty without conditioning."""
        if not self.conditioned:
            return ()
        own = embedding(keep.flatten(1), self.condition)
        return (torch.cat((own, self.overall.expand(len(own), 1, -1)), dim=1),)

    def _static_token(self, projection: nn.Linear) -> Float[Tensor, " dim"]:
        projected = relu(projection(self.static))
        return (projected * self.member_weight[..., None]).sum((0, 1))
