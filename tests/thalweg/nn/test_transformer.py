import math

import pytest
import torch
from torch import Tensor, nn

from thalweg.nn.transformer import (
    CrossAttention,
    CrossLayer,
    EncoderLayer,
    FilmLayer,
    LayerSizes,
    SelfAttention,
    SelfLayer,
)

SIZES = LayerSizes(dim=8, num_heads=2, mlp_ratio=2)


def slow_attention(query: Tensor, key: Tensor, value: Tensor, num_heads: int) -> Tensor:
    mixed = torch.zeros_like(query)
    width = query.shape[-1] // num_heads
    for b in range(len(query)):
        for h in range(num_heads):
            part = slice(h * width, (h + 1) * width)
            for i in range(query.shape[1]):
                scores = torch.stack(
                    [query[b, i, part] @ key[b, j, part] / math.sqrt(width) for j in range(key.shape[1])]
                )
                share = scores.softmax(0)
                mixed[b, i, part] = sum(share[j] * value[b, j, part] for j in range(key.shape[1]))
    return mixed


def num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_self_attention_follows_the_slow_definition() -> None:
    attention = SelfAttention(8, 2)
    x = torch.randn(2, 5, 8)
    query, key, value = attention.query_key_value(x).split(8, dim=-1)
    expected = attention.output(slow_attention(query, key, value, 2))
    assert torch.allclose(attention(x), expected, atol=1e-6)


def test_cross_attention_follows_the_slow_definition() -> None:
    attention = CrossAttention(8, 6, 2)
    x, context = torch.randn(2, 3, 8), torch.randn(2, 5, 6)
    key, value = attention.key_value(context).split(8, dim=-1)
    expected = attention.output(slow_attention(attention.query(x), key, value, 2))
    assert torch.allclose(attention(x, context), expected, atol=1e-6)


def test_encoder_layer_equals_the_layer_of_torch() -> None:
    layer = EncoderLayer(SIZES)
    theirs = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, dropout=0.0, batch_first=True)
    pairs: list[tuple[Tensor, Tensor]] = [
        (theirs.self_attn.in_proj_weight, layer.attention.query_key_value.weight),
        (theirs.self_attn.in_proj_bias, layer.attention.query_key_value.bias),
    ]
    for target, source in (
        (theirs.self_attn.out_proj, layer.attention.output),
        (theirs.norm1, layer.attention_norm),
        (theirs.norm2, layer.mlp_norm),
        (theirs.linear1, layer.mlp[0]),
        (theirs.linear2, layer.mlp[3]),
    ):
        pairs += zip(target.parameters(), source.parameters(), strict=True)
    for parameter, value in pairs:
        nn.init.normal_(value)
        parameter.data.copy_(value.data)
    x = torch.randn(3, 7, 8)
    assert torch.allclose(layer(x), theirs(x), atol=1e-5)


def test_encoder_layer_has_the_published_size() -> None:
    assert num_parameters(EncoderLayer(LayerSizes(dim=256, num_heads=8))) == 789_760


def test_film_layer_modulates_both_normalisations() -> None:
    layer = FilmLayer(SIZES, 3, "tanh")
    x, condition = torch.randn(2, 4, 8), torch.randn(2, 4, 3)
    scale, shift = layer.film(condition)
    h = scale * layer.attention_norm(x + layer.attention(x)) + shift
    expected = scale * layer.mlp_norm(h + layer.mlp(h)) + shift
    assert torch.allclose(layer(x, condition), expected)


def test_each_token_of_a_film_layer_has_its_own_condition() -> None:
    layer = FilmLayer(SIZES, 3, "one_plus")
    x, condition = torch.randn(1, 4, 8), torch.randn(1, 4, 3)
    other = condition.clone()
    other[0, 2] += 1
    changed = (layer(x, condition) != layer(x, other)).any(-1)[0]
    assert changed.tolist() == [False, False, True, False]


def test_cross_layer_follows_its_formula() -> None:
    layer = CrossLayer(SIZES, 6, self_attention=False)
    x, context = torch.randn(2, 3, 8), torch.randn(2, 5, 6)
    h = x + layer.cross(layer.cross_norm(x), context)
    assert torch.allclose(layer(x, context), h + layer.mlp(layer.mlp_norm(h)))


def test_self_layer_equals_the_pre_norm_layer_of_torch() -> None:
    layer = SelfLayer(SIZES)
    theirs = nn.TransformerEncoderLayer(
        8, 2, dim_feedforward=16, dropout=0.0, batch_first=True, norm_first=True, activation="gelu"
    )
    names = {
        "self_attn.in_proj_": "attention.query_key_value.",
        "self_attn.out_proj": "attention.output",
        "norm1": "attention_norm",
        "norm2": "mlp_norm",
        "linear1": "mlp.0",
        "linear2": "mlp.3",
    }
    weights = layer.state_dict()
    for theirs_name, parameter in theirs.named_parameters():
        start = next(start for start in names if theirs_name.startswith(start))
        parameter.data.copy_(weights[theirs_name.replace(start, names[start])])
    x = torch.randn(3, 7, 8)
    assert torch.allclose(layer(x), theirs(x), atol=1e-5)


@pytest.mark.parametrize("self_attention", [False, True])
def test_queries_see_each_other_only_with_self_attention(self_attention: bool) -> None:
    layer = CrossLayer(SIZES, 6, self_attention=self_attention)
    x, context = torch.randn(1, 3, 8), torch.randn(1, 5, 6)
    other = x.clone()
    other[0, 0] += torch.randn(8)
    same = torch.allclose(layer(x, context)[0, 1:], layer(other, context)[0, 1:], atol=1e-6)
    assert same != self_attention


def test_dropout_acts_in_training_only() -> None:
    x = torch.randn(1, 4, 8)
    for layer in (
        EncoderLayer(LayerSizes(dim=8, num_heads=2, dropout=0.5)),
        FilmLayer(LayerSizes(dim=8, num_heads=2, dropout=0.5), 3, "tanh"),
    ):
        inputs = (x,) if isinstance(layer, EncoderLayer) else (x, torch.randn(1, 4, 3))
        assert not torch.equal(layer(*inputs), layer(*inputs))
        layer.eval()
        assert torch.equal(layer(*inputs), layer(*inputs))
