"""Transformer layers without attention masks and without dropout of attention weights.

Hidden tokens are left out rather than masked, so that `scaled_dot_product_attention` can use its fused kernels.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from thalweg.nn.dropout import Dropout
from thalweg.nn.film import FiLM, FilmMode

Tokens = Float[Tensor, "batch token dim"]


@dataclass(frozen=True, kw_only=True)
class LayerSizes:
    """Sizes that all layers of a stack share.

    Attributes:
        dim: Width of a token.
        num_heads: Attention heads; divides `dim`.
        mlp_ratio: Hidden width of the feed-forward network as a multiple of `dim`.
        dropout: Dropout on both branches and inside the feed-forward network.
    """

    dim: int
    num_heads: int
    mlp_ratio: int = 4
    dropout: float = 0.0


def _heads(
    projected: Float[Tensor, "batch token width"], number: int, num_heads: int
) -> tuple[Float[Tensor, "batch head token head_dim"], ...]:
    """Splits one projection of the tokens into several tensors, each by head."""
    heads = projected.reshape(*projected.shape[:2], number, num_heads, -1).permute(2, 0, 3, 1, 4)
    # On a CPU attention works head by head, and rows that lie apart would cost it more than a copy does.
    return tuple(heads.contiguous() if heads.device.type == "cpu" else heads)


class SelfAttention(nn.Module):
    """Multi-head self-attention (section 3.2.2 of arXiv:1706.03762)."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query_key_value = nn.Linear(dim, 3 * dim)
        self.output = nn.Linear(dim, dim)

    def forward(self, x: Tokens) -> Tokens:
        """Mixes the tokens."""
        query, key, value = _heads(self.query_key_value(x), 3, self.num_heads)
        mixed = scaled_dot_product_attention(query, key, value)
        output: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return output


class CrossAttention(nn.Module):
    """Multi-head cross-attention of queries to a context of another width; only the output has a bias."""

    def __init__(self, dim: int, context_dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(dim, dim, bias=False)
        self.key_value = nn.Linear(context_dim, 2 * dim, bias=False)
        self.output = nn.Linear(dim, dim)

    def forward(self, x: Tokens, context: Float[Tensor, "batch context context_dim"]) -> Tokens:
        """Reads the context for each token; the tokens do not see each other."""
        (query,) = _heads(self.query(x), 1, self.num_heads)
        key, value = _heads(self.key_value(context), 2, self.num_heads)
        mixed = scaled_dot_product_attention(query, key, value)
        output: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return output


def feed_forward(sizes: LayerSizes, activation: nn.Module) -> nn.Sequential:
    """Returns the two-layer network that is applied to each token."""
    hidden = sizes.dim * sizes.mlp_ratio
    return nn.Sequential(
        nn.Linear(sizes.dim, hidden), activation, Dropout(sizes.dropout), nn.Linear(hidden, sizes.dim)
    )


class EncoderLayer(nn.Module):
    """Post-norm Transformer encoder layer with ReLU (section 3.1 of arXiv:1706.03762)."""

    def __init__(self, sizes: LayerSizes) -> None:
        super().__init__()
        self.attention = SelfAttention(sizes.dim, sizes.num_heads)
        self.attention_norm = nn.LayerNorm(sizes.dim)
        self.mlp = feed_forward(sizes, nn.ReLU())
        self.mlp_norm = nn.LayerNorm(sizes.dim)
        self.dropout = Dropout(sizes.dropout)

    def forward(self, x: Tokens) -> Tokens:
        """Mixes the tokens, then transforms each."""
        x = self.attention_norm(x + self.dropout(self.attention(x)))
        output: Tensor = self.mlp_norm(x + self.dropout(self.mlp(x)))
        return output


class FilmLayer(nn.Module):
    """Encoder layer whose two normalisations are modulated by each token's own condition.

    One projection serves both: ``x = FiLM(x + MHA(x)); x = FiLM(x + FFN(x))`` with
    ``FiLM(h) = scale * LN(h) + shift``.
    """

    def __init__(self, sizes: LayerSizes, condition_dim: int, mode: FilmMode) -> None:
        super().__init__()
        self.attention = SelfAttention(sizes.dim, sizes.num_heads)
        self.attention_norm = nn.LayerNorm(sizes.dim)
        self.mlp = feed_forward(sizes, nn.ReLU())
        self.mlp_norm = nn.LayerNorm(sizes.dim)
        self.film = FiLM(condition_dim, sizes.dim, mode)
        self.dropout = Dropout(sizes.dropout)

    def forward(self, x: Tokens, condition: Float[Tensor, "batch token condition"]) -> Tokens:
        """Mixes the tokens, then transforms each; the condition modulates both results."""
        scale, shift = self.film(condition)
        x = scale * self.attention_norm(x + self.dropout(self.attention(x))) + shift
        output: Tensor = scale * self.mlp_norm(x + self.dropout(self.mlp(x))) + shift
        return output


class CrossLayer(nn.Module):
    """Pre-norm decoder block of CrossMAE (section 3.3 of arXiv:2401.14391), with GELU.

    Args:
        sizes: Sizes of the decoder.
        context_dim: Width of the encoder's tokens.
        self_attention: Whether the queries also see each other.
    """

    def __init__(self, sizes: LayerSizes, context_dim: int, *, self_attention: bool) -> None:
        super().__init__()
        self.cross_norm = nn.LayerNorm(sizes.dim)
        self.cross = CrossAttention(sizes.dim, context_dim, sizes.num_heads)
        self.among: nn.Sequential | None = None
        if self_attention:
            self.among = nn.Sequential(nn.LayerNorm(sizes.dim), SelfAttention(sizes.dim, sizes.num_heads))
        self.mlp_norm = nn.LayerNorm(sizes.dim)
        self.mlp = feed_forward(sizes, nn.GELU())

    def forward(self, x: Tokens, context: Float[Tensor, "batch context context_dim"]) -> Tokens:
        """Reads the context, then transforms each query."""
        x = x + self.cross(self.cross_norm(x), context)
        if self.among is not None:
            x = x + self.among(x)
        output: Tensor = x + self.mlp(self.mlp_norm(x))
        return output


class SelfLayer(nn.Module):
    """Pre-norm Transformer layer with GELU: the decoder block of MAE (arXiv:2111.06377)."""

    def __init__(self, sizes: LayerSizes) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(sizes.dim)
        self.attention = SelfAttention(sizes.dim, sizes.num_heads)
        self.mlp_norm = nn.LayerNorm(sizes.dim)
        self.mlp = feed_forward(sizes, nn.GELU())

    def forward(self, x: Tokens) -> Tokens:
        """Mixes the tokens, then transforms each."""
        x = x + self.attention(self.attention_norm(x))
        output: Tensor = x + self.mlp(self.mlp_norm(x))
        return output
