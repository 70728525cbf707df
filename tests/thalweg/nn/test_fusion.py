import torch

from thalweg.nn.fusion import TokenFusion
from thalweg.nn.transformer import LayerSizes

SIZES = LayerSizes(dim=8, num_heads=2)


def test_without_layers_the_tokens_stay_as_they_are() -> None:
    sequences = [torch.randn(2, 3, 8), torch.randn(2, 5, 8)]
    fusion = TokenFusion(SIZES, 0)
    for before, after in zip(sequences, fusion(sequences), strict=True):
        assert torch.equal(before, after)
    assert not list(fusion.parameters())


def test_sequences_keep_their_order_and_lengths() -> None:
    fused = TokenFusion(SIZES, 2)([torch.randn(2, length, 8) for length in (3, 1, 5)])
    assert [tuple(tokens.shape) for tokens in fused] == [(2, 3, 8), (2, 1, 8), (2, 5, 8)]


def test_fusion_is_one_pass_over_all_tokens() -> None:
    fusion = TokenFusion(SIZES, 1)
    sequences = [torch.randn(2, 3, 8), torch.randn(2, 5, 8)]
    layer, norm = fusion.layers
    expected = norm(layer(torch.cat(sequences, dim=1)))
    assert torch.allclose(torch.cat(fusion(sequences), dim=1), expected)


def test_every_sequence_hears_of_the_others() -> None:
    fusion = TokenFusion(SIZES, 1)
    first, second = torch.randn(1, 3, 8), torch.randn(1, 5, 8)
    _, before = fusion([first, second])
    _, after = fusion([first + 1 + torch.rand(8), second])
    assert not torch.allclose(before, after, atol=1e-5)


def test_fusion_has_the_published_size() -> None:
    fusion = TokenFusion(LayerSizes(dim=256, num_heads=8), 1)
    assert sum(parameter.numel() for parameter in fusion.parameters()) == 790_272


def test_three_modalities_or_one_pass_the_same_layers() -> None:
    fusion = TokenFusion(SIZES, 1)
    first, second, third = (torch.randn(2, length, 8) for length in (3, 1, 4))
    whole = torch.cat(fusion([first, second, third]), dim=1)
    (alone,) = fusion([torch.cat((first, second, third), dim=1)])
    torch.testing.assert_close(alone, whole)
