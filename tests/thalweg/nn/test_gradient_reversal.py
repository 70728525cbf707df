import torch

from thalweg.nn.gradient_reversal import reverse_gradient


def test_values_stay_and_gradients_turn_around() -> None:
    x = torch.randn(3, 2, requires_grad=True)
    result = reverse_gradient(x, 0.5)
    assert torch.equal(result, x)
    result.pow(3).sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(x.grad, -0.5 * 3 * x.detach().square())
