import warnings
from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, softplus

from thalweg.nn.graph_fusion import (
    EdgeScores,
    EdgeWeights,
    GraphAttention,
    GraphConvolution,
    NeighbourAttention,
)

EDGES = ((0, 2), (3, 1), (2, 3))
ALL = torch.ones(2, 4, dtype=torch.bool)
SOME = torch.tensor([[True, True, False, True], [False, True, True, True]])

of_geometric = pytest.mark.slow  # which takes more than a second to be imported


@pytest.fixture(scope="module")
def layers() -> Any:
    """The layers of PyTorch Geometric, whose import takes seconds."""
    with warnings.catch_warnings():
        # As it is imported, PyTorch Geometric calls what torch 2.15 deprecates.
        warnings.simplefilter("ignore", FutureWarning)
        from torch_geometric import nn as layers
    return layers


def both_ways(edges: Any, present: Tensor) -> Tensor:
    """Returns the edges among present nodes as PyTorch Geometric takes them."""
    kept = [(one, other) for one, other in edges if present[one] and present[other]]
    return torch.tensor([*kept, *((other, one) for one, other in kept)]).T.reshape(2, -1)


@of_geometric
@pytest.mark.parametrize("present", [ALL, SOME])
def test_a_graph_convolution_is_that_of_pytorch_geometric(layers: Any, present: Tensor) -> None:
    layer, tokens = GraphConvolution(6), torch.randn(2, 4, 6)
    other = layers.GCNConv(6, 6)
    other.lin.weight.data, other.bias.data = layer.linear.weight.data, layer.linear.bias.data
    found = layer(tokens, EdgeWeights(4, EDGES)(present))
    for sample in range(2):
        expected = other(tokens[sample], both_ways(EDGES, present[sample]))
        torch.testing.assert_close(found[sample, present[sample]], expected[present[sample]])


@of_geometric
def test_a_graph_convolution_with_learned_edges_is_that_of_pytorch_geometric(layers: Any) -> None:
    layer, tokens, edges = GraphConvolution(6), torch.randn(2, 4, 6), EdgeWeights(4, None)
    assert edges.logits is not None
    nn.init.normal_(edges.logits)
    other = layers.GCNConv(6, 6)
    other.lin.weight.data, other.bias.data = layer.linear.weight.data, layer.linear.bias.data
    pairs = both_ways(combinations(range(4), 2), ALL[0])
    weights = softplus((edges.logits + edges.logits.T) / 2)[pairs[0], pairs[1]]
    found = layer(tokens, edges(ALL))
    for sample in range(2):
        torch.testing.assert_close(found[sample], other(tokens[sample], pairs, weights))


@of_geometric
@pytest.mark.parametrize("num_heads", [1, 3])
@pytest.mark.parametrize("present", [ALL, SOME])
def test_a_graph_attention_is_that_of_pytorch_geometric(layers: Any, present: Tensor, num_heads: int) -> None:
    layer, tokens = GraphAttention(6, num_heads), torch.randn(2, 4, 6)
    nn.init.normal_(layer.bias)
    other = layers.GATConv(6, 6 // num_heads, heads=num_heads)
    other.lin.weight.data, other.bias.data = layer.linear.weight.data, layer.bias.data
    other.att_src.data, other.att_dst.data = layer.source.data[None], layer.target.data[None]
    found = layer(tokens, EdgeScores(4, EDGES)(present))
    for sample in range(2):
        expected = other(tokens[sample], both_ways(EDGES, present[sample]))
        torch.testing.assert_close(found[sample, present[sample]], expected[present[sample]])


def test_learned_scores_of_a_graph_attention_are_added_to_its_logits() -> None:
    layer, tokens, edges = GraphAttention(3, 1), torch.randn(1, 4, 3), EdgeScores(4, None)
    assert edges.logits is not None
    nn.init.normal_(edges.logits)
    values = layer.linear(tokens)[0]
    for node in range(4):
        logits = [
            leaky_relu(layer.target[0] @ values[node] + layer.source[0] @ values[sender], 0.2)
            + edges.logits[node, sender]
            for sender in range(4)
        ]
        shares = torch.stack(logits).exp()
        expected = (shares / shares.sum()) @ values + layer.bias
        torch.testing.assert_close(layer(tokens, edges(ALL[:1]))[0, node], expected)


def test_attention_to_neighbours_is_that_of_torch_under_a_mask() -> None:
    layer, tokens = NeighbourAttention(6, 2), torch.randn(2, 4, 6)
    other = nn.MultiheadAttention(6, 2, batch_first=True)
    parts = (layer.query, layer.key, layer.value)
    other.in_proj_weight.data = torch.cat([part.weight.data for part in parts])
    other.in_proj_bias.data = torch.cat((layer.query.bias.data, torch.zeros(6), layer.value.bias.data))
    other.out_proj.load_state_dict(layer.output.state_dict())
    scores = EdgeScores(4, EDGES)(SOME)
    expected, _ = other(
        tokens, tokens, tokens, attn_mask=scores.repeat_interleave(2, dim=0), need_weights=False
    )
    torch.testing.assert_close(layer(tokens, tokens, scores), expected)


def test_edges_go_both_ways_and_end_at_absent_nodes() -> None:
    weights = EdgeWeights(4, EDGES)(SOME)
    assert weights[0].tolist() == [[1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0], [0, 1, 0, 1]]
    assert torch.equal(EdgeScores(4, EDGES)(SOME) == 0, weights == 1)
    assert torch.equal(EdgeScores(4, EDGES)(SOME).isneginf(), weights == 0)
