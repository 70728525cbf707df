"""Layers over the tokens of one sample that exchange messages along the edges of a graph.

Tokens are few, one for each modality, so that the graph is a dense matrix. Absent tokens neither send nor count. Every
token has an edge to itself. A few tokens of many samples are one product of matrices.
"""

from collections.abc import Collection

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, scaled_dot_product_attention, softplus

Tokens = Float[Tensor, "batch token dim"]
Present = Bool[Tensor, "batch token"]
Pairs = Float[Tensor, "batch token token"]


class Edges(nn.Module):
    """Which tokens exchange messages; its subclasses say how much.

    Args:
        num_tokens: Number of tokens.
        edges: Pairs of tokens, in any order; None lets training find a weight of each pair.
    """

    among: Tensor

    def __init__(self, num_tokens: int, edges: Collection[tuple[int, int]] | None) -> None:
        super().__init__()
        self.logits: nn.Parameter | None = None
        if edges is None:
            self.logits = nn.Parameter(torch.zeros(num_tokens, num_tokens))
        among = torch.full((num_tokens, num_tokens), edges is None, device="cpu")
        for one, other in edges or ():
            among[one, other] = among[other, one] = True
        self.register_buffer("among", among, persistent=False)

    def itself(self) -> Bool[Tensor, "token token"]:
        """Returns the edges of each token to itself."""
        return torch.eye(len(self.among), dtype=torch.bool, device=self.among.device)

    def open(self, present: Present) -> Bool[Tensor, "batch token token"]:
        """Returns the edges among present tokens, and of all to themselves so that no softmax is over nothing."""
        return self.among & present[:, None] & present[:, :, None] | self.itself()


class EdgeWeights(Edges):
    """Symmetric weights of edges: 1, or a softplus of what was learned; to itself always 1."""

    def forward(self, present: Present) -> Pairs:
        """Returns the weights in fp32, 0 where no edge is."""
        weights = self.open(present).float()
        if self.logits is None:
            return weights
        both = softplus((self.logits + self.logits.T).float() / 2)
        return weights * both.masked_fill(self.itself(), 1)


class EdgeScores(Edges):
    """What is added to the logits of an attention: 0, or what was learned."""

    def forward(self, present: Present) -> Pairs:
        """Returns the scores in fp32, -inf where no edge is."""
        closed = ~self.open(present)
        scores = torch.zeros(closed.shape, device=closed.device)
        return (scores if self.logits is None else scores + self.logits).masked_fill(closed, -torch.inf)


class GraphConvolution(nn.Module):
    """A layer of a GCN, ``D^-1/2 A D^-1/2 H W + b`` with edges of each node to itself (Eq. 2 of arXiv:1609.02907).

    Args:
        dim: Width of a token, before and after.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, dim)

    def forward(self, tokens: Tokens, weights: Pairs) -> Tokens:
        """Mixes tokens.

        Args:
            tokens: Tokens.
            weights: Symmetric weights of pairs, in fp32.
        """
        scale = weights.sum(2).rsqrt()
        normalised = scale[:, :, None] * weights * scale[:, None]
        mixed: Tensor = self.linear(normalised.to(tokens.dtype) @ tokens)
        return mixed


class GraphAttention(nn.Module):
    """A layer of a GAT whose heads are concatenated (Eq. 1 to 5 of arXiv:1710.10903, slope .2).

    Args:
        dim: Width of a token, before and after.
        num_heads: Heads; divides dim.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, dim, bias=False)
        self.source = nn.Parameter(torch.empty(num_heads, dim // num_heads))
        self.target = nn.Parameter(torch.empty(num_heads, dim // num_heads))
        self.bias = nn.Parameter(torch.zeros(dim))
        for weight in (self.linear.weight, self.source, self.target):
            nn.init.xavier_uniform_(weight)

    def forward(self, tokens: Tokens, scores: Pairs) -> Tokens:
        """Mixes tokens.

        Args:
            tokens: Tokens.
            scores: What is added to the logits, in fp32.
        """
        values = self.linear(tokens).unflatten(2, self.source.shape)  # (batch, token, head, dim / head)
        source, target = (
            torch.einsum("bthd,hd->bht", values, vectors) for vectors in (self.source, self.target)
        )
        logits = leaky_relu(target[..., None] + source[:, :, None], 0.2).float() + scores[:, None]
        shares = logits.softmax(3).to(values.dtype)
        mixed: Tensor = torch.einsum("bhts,bshd->bthd", shares, values).flatten(2) + self.bias
        return mixed


class NeighbourAttention(nn.Module):
    """Multi-head attention (section 3.2.2 of arXiv:1706.03762) of each token to its neighbours and itself.

    A token with a present neighbour has two keys or more, so that queries and keys have gradients: a softmax over one
    key is 1 whatever they are. Keys have no bias, which would change no softmax.

    Args:
        dim: Width of a token, before and after.
        num_heads: Heads; divides dim.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim)
        self.output = nn.Linear(dim, dim)

    def forward(
        self,
        queries: Float[Tensor, "batch query dim"],
        tokens: Tokens,
        scores: Float[Tensor, "batch query token"],
    ) -> Float[Tensor, "batch query dim"]:
        """Reads tokens for each query.

        Args:
            queries: What asks, such as the tokens themselves.
            tokens: What is read.
            scores: What is added to the logits, in fp32; -inf where a query does not see a token.
        """
        query, key, value = (
            projected.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for projected in (self.query(queries), self.key(tokens), self.value(tokens))
        )
        seen = scores[:, None].to(query.dtype)
        mixed: Tensor = self.output(
            scaled_dot_product_attention(query, key, value, attn_mask=seen).transpose(1, 2).flatten(2)
        )
        return mixed
