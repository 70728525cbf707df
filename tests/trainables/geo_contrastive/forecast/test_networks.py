"""Networks of forecasts: roll-outs against a loop, teaching, windows that move on."""

import pytest
import torch
from torch import Tensor

from thalweg.training.engine import half_precision
from trainables.geo_contrastive.forecast.knobs import ForecastKnobs
from trainables.geo_contrastive.forecast.networks import Forecaster, forecaster

BATCH, CONTEXT, DIM, STEPS = 4, 3, 6, 4
CELLS = ("lstm", "transformer")


def _network(cell: str, *, changes: bool = True) -> Forecaster:
    torch.manual_seed(0)
    knobs = ForecastKnobs(context=CONTEXT, cell=cell, hidden=8, layers=2)
    network = forecaster(DIM, knobs).eval()
    if changes:
        torch.nn.init.normal_(network.change.weight, std=0.3)
    return network


def _context() -> Tensor:
    return torch.randn(BATCH, CONTEXT, DIM, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("cell", CELLS)
def test_an_untrained_network_persists(cell: str) -> None:
    context = _context()
    path = _network(cell, changes=False)(context, STEPS)
    torch.testing.assert_close(path, context[:, -1:].expand(-1, STEPS, -1))


def test_forecasts_follow_shares_between_the_propagator_and_the_network() -> None:
    network, context = _network("lstm"), _context()
    network.propagator.operator.mul_(0.8)
    network.inside.operator.mul_(0.6)
    network.trust.steps.data[:STEPS] = torch.tensor([-0.5, 0.3, 1.0, 2.0])
    path = network(context, STEPS)
    found = network.combined(context, path)
    for step, share in enumerate((0.0, 0.3, 1.0, 1.0)):
        alone, own = (context[:, -1] * factor ** (step + 1) for factor in (0.8, 0.6))
        torch.testing.assert_close(found[:, step], alone + share * (path[:, step] - own))


@pytest.mark.parametrize("cell", CELLS)
def test_each_sample_is_forecast_by_itself(cell: str) -> None:
    network, context = _network(cell), _context()
    alone = torch.cat([network(each[None], STEPS) for each in context])
    torch.testing.assert_close(network(context, STEPS), alone)


def test_a_recurrent_roll_out_is_a_longer_reading_of_its_own_forecasts() -> None:
    network, context = _network("lstm"), _context()
    read = context
    for step in range(STEPS):
        following = network(read, 1)
        torch.testing.assert_close(network(context, STEPS)[:, step], following[:, 0])
        read = torch.cat([read, following], dim=1)


def test_an_attentive_roll_out_reads_a_window_that_moves_on() -> None:
    network, context = _network("transformer"), _context()
    read = context
    for step in range(STEPS):
        following = network(read, 1)
        torch.testing.assert_close(network(context, STEPS)[:, step], following[:, 0])
        read = torch.cat([read[:, 1:], following], dim=1)


@pytest.mark.parametrize("cell", CELLS)
def test_a_taught_step_goes_on_from_the_truth(cell: str) -> None:
    network, context = _network(cell), _context()
    truth = torch.randn(BATCH, STEPS, DIM, generator=torch.Generator().manual_seed(2))
    taught = torch.zeros(BATCH, STEPS, dtype=torch.bool)
    free = network(context, STEPS)
    torch.testing.assert_close(network(context, STEPS, truth, taught), free)
    taught[0, 0] = taught[1, 1] = taught[2, -1] = True
    path = network(context, STEPS, truth, taught)
    # The first step cannot be taught, the last teaches nothing.
    torch.testing.assert_close(path[0, :1], free[0, :1])
    torch.testing.assert_close(path[1, :2], free[1, :2])
    torch.testing.assert_close(path[2:], free[2:])
    for sample, step in ((0, 0), (1, 1)):
        window = torch.cat([context[sample], free[sample, :step], truth[sample, step : step + 1]])
        read = window if cell == "lstm" else window[-CONTEXT:]
        torch.testing.assert_close(path[sample, step + 1], network(read[None], 1)[0, 0])


@pytest.mark.parametrize("cell", CELLS)
def test_a_network_tells_contexts_apart_in_every_day(cell: str) -> None:
    network, context = _network(cell), _context()
    for day in range(CONTEXT):
        other = context.clone()
        other[:, day] += 1.0
        change = network(other, 1)[:, 0] - other[:, -1] - (network(context, 1)[:, 0] - context[:, -1])
        assert change.abs().min(0).values.max() > 1e-4, day


@pytest.mark.parametrize("context", [1, CONTEXT])
def test_heads_are_idle_where_they_change_nothing(context: int) -> None:
    knobs = [ForecastKnobs(context=context, cell="transformer", hidden=8, heads=heads) for heads in (1, 4)]
    networks = [forecaster(DIM, each).eval() for each in knobs]
    torch.nn.init.normal_(networks[0].change.weight, std=0.3)
    networks[1].load_state_dict(networks[0].state_dict())
    paths = [network(_context()[:, :context], STEPS) for network in networks]
    assert ("heads" in knobs[0].idle()) == torch.allclose(*paths)


def test_gradients_of_many_steps_add_up_in_fp32_where_weights_take_such() -> None:
    """What `half_precision.settle` says of ZeRO 0: a sum over steps in bf16 is off by a rounding or two."""
    network, context = _network("lstm"), _context()
    half_precision.fit(network, "bf16")
    network.bfloat16()
    truth = torch.randn(BATCH, 30, DIM, generator=torch.Generator().manual_seed(2))
    weight = network.change.weight

    def errors() -> Tensor:
        path = network(context, 30, truth, torch.ones(BATCH, 30, dtype=torch.bool))
        found: Tensor = (path - truth).square().mean((0, 2))
        return found

    steps = [torch.autograd.grad(error, weight, retain_graph=True)[0].double() for error in errors().unbind()]
    exact = torch.stack(steps).sum(0)
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        weight.grad, weight.grad_dtype = None, dtype
        torch.autograd.backward(errors().sum())
        (gradient,) = (each.grad for each in [weight])
        assert gradient is not None
        found.append(float((gradient.double() - exact).norm() / exact.norm()))
    assert found[0] < 1e-6
    assert 5e-4 < found[1] < 1e-2
