import torch

from thalweg.nn.film import FiLM


def test_tanh_scale_follows_its_formula() -> None:
    film = FiLM(3, 2, "tanh")
    condition = torch.randn(5, 3)
    scale, shift = film(condition)
    raw = condition @ film.projection.weight.T + film.projection.bias
    assert torch.allclose(scale, torch.tanh(raw[:, :2]))
    assert torch.allclose(shift, torch.tanh(raw[:, 2:]))


def test_one_plus_scale_is_one_more() -> None:
    film = FiLM(3, 2, "tanh")
    same = FiLM(3, 2, "one_plus")
    same.load_state_dict(film.state_dict())
    condition = torch.randn(5, 3)
    assert torch.allclose(same(condition)[0], film(condition)[0] + 1)
    assert torch.equal(same(condition)[1], film(condition)[1])
