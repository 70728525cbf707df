"""Optimizers that do without torch's compiler take the same steps."""

import sys
from functools import wraps
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from thalweg.training.engine import eager_optimizers


def _as_torch_has_it(step: Any) -> Any:
    """Returns a step as torch decorates it: gradients on only if the optimizer is differentiable."""
    plain = step.__wrapped__

    @wraps(plain)
    def decorated(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        before = torch.is_grad_enabled()
        try:
            torch.set_grad_enabled(self.defaults["differentiable"])
            return plain(self, *args, **kwargs)
        finally:
            torch.set_grad_enabled(before)

    return decorated


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW])
def test_steps_equal_those_of_torch_bit_for_bit(
    kind: type[Optimizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained() -> torch.Tensor:
        torch.manual_seed(0)
        layer = nn.Linear(5, 3)
        optimizer = kind(layer.parameters(), lr=0.1, weight_decay=0.01)  # type: ignore[call-arg]
        for _ in range(4):
            optimizer.zero_grad()
            layer(torch.randn(7, 5)).square().sum().backward()
            optimizer.step()
            assert torch.is_grad_enabled()
        return layer.weight.detach().clone()

    own = next(base for base in kind.__mro__ if "step" in vars(base))
    original = vars(own)["step"]
    monkeypatch.setattr(own, "step", _as_torch_has_it(original))
    expected = trained()
    monkeypatch.setattr(own, "step", eager_optimizers._eager(_as_torch_has_it(original)))
    assert torch.equal(trained(), expected)


def test_a_step_keeps_gradients_off_unless_it_is_differentiable() -> None:
    seen = []

    class Watched(Optimizer):
        def plain(self) -> None:
            seen.append(torch.is_grad_enabled())

        def step(self) -> None: ...  # type: ignore[override]

        step.__wrapped__ = plain  # type: ignore[attr-defined]

    step = eager_optimizers._eager(vars(Watched)["step"])
    for differentiable in (False, True):
        watched = Watched([nn.Parameter(torch.ones(1))], {"differentiable": differentiable})
        with torch.set_grad_enabled(not differentiable):
            step(watched)
            assert torch.is_grad_enabled() is not differentiable
    assert seen == [False, True]


def test_a_step_that_is_known_already_or_is_not_decorated_stays() -> None:
    def bare() -> None: ...

    def hooked() -> None: ...

    hooked.__wrapped__ = bare  # type: ignore[attr-defined]
    hooked.hooked = True  # type: ignore[attr-defined]
    assert eager_optimizers._eager(bare) is bare
    assert eager_optimizers._eager(hooked) is hooked


def test_an_optimizer_and_its_state_do_not_ask_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    eager_optimizers.leave_compiler_out()
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)  # to import it would raise
    layer = nn.Linear(2, 1)
    optimizer = SGD([layer.weight], lr=0.1)
    optimizer.add_param_group({"params": [layer.bias]})
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    optimizer.load_state_dict(optimizer.state_dict())
    assert len(optimizer.param_groups) == 2
