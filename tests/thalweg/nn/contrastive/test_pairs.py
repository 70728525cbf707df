import torch

from thalweg.nn.contrastive.pairs import Pairs, by_distance, matrix, same


def test_a_tile_is_a_part_of_the_table_of_all_pairs() -> None:
    labels, days, weights = torch.tensor([3, 1, 3, 2, 1]), torch.tensor([0.0, 5, 2, 9, 5]), torch.rand(5, 5)
    tables = {
        same(labels): [[float(a == b) for b in labels.tolist()] for a in labels.tolist()],
        by_distance(days, lambda gap: 2 * gap): [
            [2 * abs(a - b) for b in days.tolist()] for a in days.tolist()
        ],
        matrix(weights): weights.tolist(),
    }
    for pairs, table in tables.items():
        tile = pairs.tile(slice(1, 3), slice(2, 7)).float()
        torch.testing.assert_close(tile, torch.tensor(table)[1:3, 2:7])


def test_views_of_a_sample_have_its_values() -> None:
    places = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    near = Pairs(values=places, weigh=lambda one, other: (one - other).square().sum(-1).sqrt())
    table = near.of_views(2).tile(slice(None), slice(None))
    gap = near.tile(slice(None), slice(None))
    assert gap.tolist() == [[0, 5], [5, 0]]
    assert torch.equal(table, gap.repeat(2, 2))
