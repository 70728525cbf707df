"""How the embeddings of several modalities become one of the same width; any of them may be absent.

To add a fusion, write a subclass of `EmbeddingFusion` and a line in `EMBEDDING_FUSIONS`: the tests run over the
dictionary.

Parameters of D-wide embeddings of M modalities without a hidden layer: ``average`` 0, ``gcn`` D^2 + D for each layer,
``gat`` D^2 + 3 D for each layer, ``cross_attention`` 4 D^2 + 3 D, ``self_attention`` 4 D^2 + (4 + M) D; learned edges
add M^2. `hidden_dim_for` makes them equal.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from thalweg.errors import ConfigError
from thalweg.nn.graph_fusion import (
    EdgeScores,
    EdgeWeights,
    GraphAttention,
    GraphConvolution,
    NeighbourAttention,
    Present,
    Tokens,
)
from thalweg.nn.unallocated import unallocated

Fused = Float[Tensor, "batch dim"]


@dataclass(frozen=True, kw_only=True)
class FusionSizes:
    """What a fusion is built from; each reads what it needs.

    Attributes:
        dim: Width of an embedding.
        num_tokens: Number of modalities.
        num_heads: Heads of an attention; divides `dim`.
        num_layers: Layers of a graph network.
        edges: Pairs of modalities that exchange messages; None lets training find a weight of each pair.
        hidden_dim: Width of the hidden layer of a residual network behind the fusion; 0 leaves it out.
    """

    dim: int
    num_tokens: int
    num_heads: int = 1
    num_layers: int = 1
    edges: Collection[tuple[int, int]] | None = None
    hidden_dim: int = 0


class EmbeddingFusion(nn.Module, ABC):
    """Fuses one embedding of each modality.

    Args:
        sizes: Sizes.
    """

    def __init__(self, sizes: FusionSizes) -> None:
        super().__init__()
        self.num_tokens = sizes.num_tokens
        self.tail: nn.Module | None = None
        if sizes.hidden_dim:
            self.tail = nn.Sequential(
                nn.Linear(sizes.dim, sizes.hidden_dim), nn.ReLU(), nn.Linear(sizes.hidden_dim, sizes.dim)
            )

    def forward(self, tokens: Tokens, present: Present) -> Fused:
        """Returns the fused embedding.

        Args:
            tokens: One embedding of each modality, always in the same order; absent ones may hold anything.
            present: Which modalities each sample has; none is allowed too.
        """
        if tokens.shape[1] != self.num_tokens:
            raise ValueError(
                f"a fusion of {self.num_tokens} modalities must be given as many, got {tokens.shape[1]}"
            )
        fused = self.fuse(tokens.where(present[:, :, None], 0), present)
        return fused if self.tail is None else fused + self.tail(fused)

    @abstractmethod
    def fuse(self, tokens: Tokens, present: Present) -> Fused:
        """Returns the fused embedding; tokens of absent modalities are 0."""


class Average(EmbeddingFusion):
    """The mean over present modalities, 0 without any."""

    def fuse(self, tokens: Tokens, present: Present) -> Fused:
        """Returns the mean."""
        return _mean(tokens, present)


class SelfAttentionFusion(EmbeddingFusion):
    """A token of its own reads all modalities (the class token of arXiv:1810.04805).

    Each modality has a learned embedding, by which the reader knows it. The reader also reads itself, so that a
    softmax is never over a single key.
    """

    def __init__(self, sizes: FusionSizes) -> None:
        super().__init__(sizes)
        _check_heads(sizes)
        self.reader = nn.Parameter(torch.empty(sizes.dim))
        self.modalities = nn.Parameter(torch.empty(sizes.num_tokens, sizes.dim))
        self.attention = NeighbourAttention(sizes.dim, sizes.num_heads)
        for tokens in (self.reader, self.modalities):
            nn.init.normal_(tokens, std=0.02)

    def fuse(self, tokens: Tokens, present: Present) -> Fused:
        """Returns what the reader reads."""
        reader = self.reader.expand(len(tokens), 1, -1)
        read = torch.cat((reader, tokens + self.modalities), dim=1)
        seen = torch.cat((present.new_ones(len(present), 1), present), dim=1)
        scores = torch.zeros(seen.shape, device=seen.device).masked_fill(~seen, -torch.inf)
        fused: Tensor = self.attention(reader, read, scores[:, None])
        return fused[:, 0]


class GraphConvolutions(EmbeddingFusion):
    """Layers of a GCN with ReLU between them, then the mean over present modalities."""

    def __init__(self, sizes: FusionSizes) -> None:
        super().__init__(sizes)
        self.edges = EdgeWeights(sizes.num_tokens, sizes.edges)
        self.layers = nn.ModuleList(GraphConvolution(sizes.dim) for _ in range(sizes.num_layers))

    def fuse(self, tokens: Tokens, present: Present) -> Fused:
        """Returns the mean of the last layer."""
        weights = self.edges(present)
        for number, layer in enumerate(self.layers):
            tokens = layer(tokens.relu() if number else tokens, weights)
        return _mean(tokens, present)


class GraphAttentions(EmbeddingFusion):
    """Layers of a GAT with ELU between them, as published, then the mean over present modalities."""

    def __init__(self, sizes: FusionSizes) -> None:
        super().__init__(sizes)
        _check_heads(sizes)
        self.edges = EdgeScores(sizes.num_tokens, sizes.edges)
        self.layers = nn.ModuleList(
            GraphAttention(sizes.dim, sizes.num_heads) for _ in range(sizes.num_layers)
        )

    def fuse(self, tokens: Tokens, present: Present) -> Fused:
        """Returns the mean of the last layer."""
        scores = self.edges(present)
        for number, layer in enumerate(self.layers):
            tokens = layer(nn.functional.elu(tokens) if number else tokens, scores)
        return _mean(tokens, present)


class CrossAttentionFusion(EmbeddingFusion):
    """Each modality reads those that it is coupled to and itself, and adds what it read; then the mean."""

    def __init__(self, sizes: FusionSizes) -> None:
        super().__init__(sizes)
        _check_heads(sizes)
        self.edges = EdgeScores(sizes.num_tokens, sizes.edges)
        self.attention = NeighbourAttention(sizes.dim, sizes.num_heads)

    def fuse(self, tokens: Tokens, present: Present) -> Fused:
        """Returns the mean."""
        read = self.attention(tokens, tokens, self.edges(present))
        return _mean(tokens + read, present)


EMBEDDING_FUSIONS: Mapping[str, type[EmbeddingFusion]] = {
    "average": Average,
    "self_attention": SelfAttentionFusion,
    "gcn": GraphConvolutions,
    "gat": GraphAttentions,
    "cross_attention": CrossAttentionFusion,
}


def hidden_dim_for(name: str, sizes: FusionSizes, num_parameters: int) -> int:
    """Returns the `FusionSizes.hidden_dim` with which a fusion comes nearest to a number of parameters.

    It then has as many to within one and a half times twice the width of an embedding.

    Raises:
        ConfigError: Without a hidden layer it has more.
    """
    with unallocated():
        without, one, two = (
            sum(weight.numel() for weight in EMBEDDING_FUSIONS[name](sized).parameters())
            for sized in (replace(sizes, hidden_dim=width) for width in range(3))
        )
    if num_parameters < without:
        raise ConfigError(
            f"num_parameters of the fusion {name} must be at least the {without:,} that it has without a hidden layer, "
            f"got {num_parameters:,}; choose more, or a smaller latent"
        )
    return max(0, 1 + round((num_parameters - one) / (two - one)))


def _mean(tokens: Tokens, present: Present) -> Fused:
    """Returns the mean over present tokens, 0 without any."""
    shares = present.float() / present.sum(1, keepdim=True).clamp(min=1)
    mean: Tensor = (shares.to(tokens.dtype)[:, None] @ tokens)[:, 0]
    return mean


def _check_heads(sizes: FusionSizes) -> None:
    if sizes.dim % sizes.num_heads:
        raise ConfigError(
            f"heads must divide the width of an embedding, got {sizes.num_heads} and {sizes.dim}; choose a multiple"
        )
