import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from thalweg.errors import ConfigError
from thalweg.nn.embedding_fusion import (
    EMBEDDING_FUSIONS,
    Average,
    CrossAttentionFusion,
    EmbeddingFusion,
    FusionSizes,
    GraphConvolutions,
    SelfAttentionFusion,
    hidden_dim_for,
)

NAMES = sorted(EMBEDDING_FUSIONS)
EDGES = ((0, 1), (2, 1), (2, 3))
LEARNED = (True, False)
SOME = torch.tensor([[True, True, False, True], [False, True, True, True], [False, False, True, False]])


def fusion_of(name: str, *, learned: bool = False, hidden_dim: int = 0) -> EmbeddingFusion:
    torch.manual_seed(2)
    sizes = FusionSizes(
        dim=6,
        num_tokens=4,
        num_heads=2,
        num_layers=2,
        edges=None if learned else EDGES,
        hidden_dim=hidden_dim,
    )
    fusion = EMBEDDING_FUSIONS[name](sizes)
    for weight in fusion.parameters():  # also those that begin at 0
        nn.init.normal_(weight, std=0.5)
    return fusion


@pytest.mark.parametrize("learned", LEARNED)
@pytest.mark.parametrize("name", NAMES)
def test_an_absent_modality_changes_nothing(name: str, learned: bool) -> None:
    fusion, tokens = fusion_of(name, learned=learned), torch.randn(3, 4, 6)
    other = tokens.masked_fill(~SOME[:, :, None], torch.nan)
    torch.testing.assert_close(fusion(other, SOME), fusion(tokens, SOME))
    other.requires_grad_()
    fusion(other, SOME).sum().backward()
    assert other.grad is not None
    assert torch.equal(other.grad.abs().sum(2) > 0, SOME)


@pytest.mark.parametrize("learned", LEARNED)
@pytest.mark.parametrize("name", NAMES)
def test_a_present_modality_changes_the_result(name: str, learned: bool) -> None:
    fusion, tokens = fusion_of(name, learned=learned), torch.randn(1, 4, 6)
    for index in range(4):
        other = tokens.clone()
        other[:, index] += 1
        everyone = torch.ones(1, 4, dtype=torch.bool)
        assert not torch.allclose(fusion(other, everyone), fusion(tokens, everyone), atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_without_any_modality_has_a_finite_embedding(name: str) -> None:
    nobody = torch.zeros(2, 4, dtype=torch.bool)
    found = fusion_of(name)(torch.full((2, 4, 6), torch.nan), nobody)
    assert found.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
@given(order=st.permutations(range(4)))
def test_modalities_in_another_order_fuse_to_the_same(name: str, order: list[int]) -> None:
    tokens, place = torch.randn(3, 4, 6), {old: new for new, old in enumerate(order)}
    fusion = fusion_of(name)
    sizes = FusionSizes(
        dim=6,
        num_tokens=4,
        num_heads=2,
        num_layers=2,
        edges=[(place[one], place[other]) for one, other in EDGES],
    )
    moved = EMBEDDING_FUSIONS[name](sizes)
    moved.load_state_dict(fusion.state_dict())
    if isinstance(moved, SelfAttentionFusion):
        moved.modalities.data = moved.modalities.data[order]
    torch.testing.assert_close(moved(tokens[:, order], SOME[:, order]), fusion(tokens, SOME))


@pytest.mark.parametrize("learned", LEARNED)
@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_of_a_fusion_learns_from_two_modalities_on(name: str, learned: bool) -> None:
    fusion = fusion_of(name, learned=learned, hidden_dim=3)
    present = torch.tensor([[True, True, False, False]]).repeat(5, 1)
    (fusion(torch.randn(5, 4, 6), present) * torch.randn(5, 6)).sum().backward()
    lazy = [
        key for key, weight in fusion.named_parameters() if weight.grad is None or not weight.grad.abs().sum()
    ]
    assert not lazy


@pytest.mark.parametrize("name", ["self_attention", "cross_attention"])
def test_queries_and_keys_have_gradients_of_weight(name: str) -> None:
    """As a softmax over one key would not give them: 1, whatever query and key are."""
    fusion = fusion_of(name)
    fusion(torch.randn(8, 4, 6), torch.ones(8, 4, dtype=torch.bool)).square().sum().backward()
    for part in ("query", "key"):
        weight = fusion.get_parameter(f"attention.{part}.weight")
        assert weight.grad is not None
        assert weight.grad.norm() > 1e-3 * fusion.get_parameter("attention.value.weight").grad.norm()  # type: ignore[union-attr]


def test_the_average_is_that_of_present_modalities() -> None:
    tokens = torch.randn(3, 4, 6)
    found = Average(FusionSizes(dim=6, num_tokens=4))(tokens, SOME)
    for sample in range(3):
        torch.testing.assert_close(found[sample], tokens[sample, SOME[sample]].mean(0))


def softmax_of(query: Tensor, keys: list[Tensor], values: list[Tensor]) -> Tensor:
    shares = torch.stack([(query @ key / len(query) ** 0.5).exp() for key in keys])
    return (shares / shares.sum()) @ torch.stack(values)


def test_self_attention_follows_its_slow_definition() -> None:
    fusion = fusion_of("self_attention")
    assert isinstance(fusion, SelfAttentionFusion)
    tokens, layer = torch.randn(3, 4, 6), fusion.attention
    found = fusion(tokens, SOME)
    for sample in range(3):
        present = [index for index in range(4) if SOME[sample, index]]
        read = [fusion.reader, *(tokens[sample, index] + fusion.modalities[index] for index in present)]
        heads = [
            softmax_of(
                layer.query(fusion.reader)[part],
                [layer.key(token)[part] for token in read],
                [layer.value(token)[part] for token in read],
            )
            for part in (slice(0, 3), slice(3, 6))
        ]
        torch.testing.assert_close(found[sample], layer.output(torch.cat(heads)))


def test_cross_attention_follows_its_slow_definition() -> None:
    fusion = fusion_of("cross_attention")
    assert isinstance(fusion, CrossAttentionFusion)
    tokens, layer = torch.randn(3, 4, 6), fusion.attention
    found = fusion(tokens, SOME)
    for sample in range(3):
        present, results = [index for index in range(4) if SOME[sample, index]], []
        for index in present:
            coupled = [
                each for each in present if each == index or {(each, index), (index, each)} & set(EDGES)
            ]
            read = [tokens[sample, each] for each in coupled]
            heads = [
                softmax_of(
                    layer.query(tokens[sample, index])[part],
                    [layer.key(token)[part] for token in read],
                    [layer.value(token)[part] for token in read],
                )
                for part in (slice(0, 3), slice(3, 6))
            ]
            results.append(tokens[sample, index] + layer.output(torch.cat(heads)))
        torch.testing.assert_close(found[sample], torch.stack(results).mean(0))


def test_layers_of_a_graph_network_follow_one_another() -> None:
    fusion = fusion_of("gcn")
    assert isinstance(fusion, GraphConvolutions)
    tokens, everyone = torch.randn(1, 4, 6), torch.ones(1, 4, dtype=torch.bool)
    weights = fusion.edges(everyone)
    first, second = fusion.layers
    expected = second(first(tokens, weights).clamp(min=0), weights).mean(1)
    torch.testing.assert_close(fusion(tokens, everyone), expected)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("average", 0),
        ("gcn", 1_001_000),
        ("gat", 1_003_000),
        ("cross_attention", 4_003_000),
        ("self_attention", 4_009_000),
    ],
)
def test_all_fusions_of_five_latents_of_1000_have_as_many_parameters_if_asked_to(
    name: str, published: int
) -> None:
    sizes = FusionSizes(dim=1000, num_tokens=5, num_heads=8, edges=EDGES)
    counts = []
    with torch.device("meta"):
        for hidden in (0, hidden_dim_for(name, sizes, 4_100_000)):
            fusion = EMBEDDING_FUSIONS[name](
                FusionSizes(dim=1000, num_tokens=5, num_heads=8, edges=EDGES, hidden_dim=hidden)
            )
            counts.append(sum(weight.numel() for weight in fusion.parameters()))
    assert counts[0] == published
    assert abs(counts[1] - 4_100_000) <= 1001


@pytest.mark.parametrize(("asked", "hidden"), [(42, 0), (48, 0), (61, 1), (74, 2)])
def test_the_hidden_layer_is_the_nearest_one(asked: int, hidden: int) -> None:
    """Of width 6 a graph convolution has 42 parameters, and a hidden layer of h adds 13 h + 6."""
    assert hidden_dim_for("gcn", FusionSizes(dim=6, num_tokens=4, edges=EDGES), asked) == hidden


def test_a_fusion_cannot_have_fewer_parameters_than_without_a_hidden_layer() -> None:
    with pytest.raises(ConfigError, match=r"fusion gcn must be at least the 42 .* got 41; choose more"):
        hidden_dim_for("gcn", FusionSizes(dim=6, num_tokens=4, edges=EDGES), 41)


@pytest.mark.parametrize("name", ["self_attention", "gat", "cross_attention"])
def test_heads_must_divide_the_width(name: str) -> None:
    with pytest.raises(ConfigError, match=r"heads must divide .*, got 4 and 6"):
        EMBEDDING_FUSIONS[name](FusionSizes(dim=6, num_tokens=4, num_heads=4, edges=EDGES))


def test_a_modality_that_is_not_handed_over_is_not_passed_over() -> None:
    with pytest.raises(ValueError, match="a fusion of 4 modalities must be given as many, got 3"):
        fusion_of("average")(torch.randn(2, 3, 6), torch.ones(2, 3, dtype=torch.bool))
