"""GradCache: the gradient of one global batch under a joint loss, in the memory of one micro-batch.

The method is that of Gao et al., arXiv:2101.06983. First every micro-batch is embedded without a graph. The loss of
all embeddings gives the gradient for each of them. Then every micro-batch is embedded again with a graph, through
which its gradient is propagated. Loss and gradient are those of the whole batch at once, up to rounding. The last
micro-batch keeps its graph instead of being embedded twice, so a batch that fits into one micro-batch costs no second
pass.

Both passes see the same network. Dropout is seeded by the number of the micro-batch. Buffers, such as the running
statistics of a batch norm, are restored before the second pass, and end as the first pass left them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from thalweg.errors import FamilyError
from thalweg.stage_contract import Joined, JointLoss, Progress, Rows
from thalweg.training.accumulation import Sums, factors_of, weighted
from thalweg.training.engine.half_precision import loss_scale
from thalweg.training.evaluation import move
from thalweg.training.process_group import ProcessGroup
from thalweg.training.transfer import prefetched

if TYPE_CHECKING:
    from thalweg.contract import Batch


@dataclass(frozen=True, kw_only=True)
class MicroBatches:
    """This worker's share of a global batch, sampled when it is needed and never held as a whole.

    Attributes:
        count: Number of micro-batches.
        sample: Returns a micro-batch by its number, the same each time.
        seed: Seeds the random generators for a micro-batch, by its number.
        executor: Prefetches the next micro-batch while the present one is computed.
    """

    count: int
    sample: Callable[[int], Batch]
    seed: Callable[[int], None]
    executor: ThreadPoolExecutor

    def each(self, numbers: Sequence[int]) -> Iterator[Batch]:
        """Yields micro-batches, prefetched, and seeds the random generators for each."""
        for number, batch in zip(numbers, prefetched(self.executor, self.sample, numbers), strict=True):
            self.seed(number)
            yield batch


def backward(
    engine: Any, loss: JointLoss, group: ProcessGroup, batches: MicroBatches, progress: Progress
) -> tuple[Sums, Mapping[str, Tensor | float]]:
    """Accumulates the gradient of a joint loss over a global batch in the engine.

    Args:
        engine: DeepSpeed engine around a `TaskModule` with the same loss.
        loss: The loss of the stage.
        group: Workers, each of which holds some micro-batches. Every one must call.
        batches: This worker's micro-batches.
        progress: Where training stands.

    Returns:
        Sums and counts of the loss parts over the global batch, as `accumulation.backward` gives them. A count that the
        loss computed on the device stays there.
    """
    before = _buffers(engine.module)
    rows = _embed_all(engine, group, batches, progress)
    after = _buffers(engine.module)
    joined, slopes = _slopes(loss, group, rows, progress)
    # The last graph first: it is alive, and the others need its memory.
    _send(engine, group, rows.pop().embeddings, {name: slope.pop() for name, slope in slopes.items()})
    if batches.count > 1:
        _restore(engine.module, before)
        for number, batch in enumerate(batches.each(range(batches.count - 1))):
            engine.step()
            again = Rows(**engine(move(batch, group.device), progress))
            _send(engine, group, again.embeddings, {name: slope[number] for name, slope in slopes.items()})
        _restore(engine.module, after)
    names = sorted(joined.counts)
    sums = {name: joined.sums[name].detach().double() for name in names}
    return sums, {name: joined.counts[name] for name in names}


def _embed_all(engine: Any, group: ProcessGroup, batches: MicroBatches, progress: Progress) -> list[Rows]:
    """Embeds this worker's micro-batches, the last one with its graph."""
    rows = []
    for number, batch in enumerate(batches.each(range(batches.count))):
        with torch.set_grad_enabled(number == batches.count - 1):
            rows.append(Rows(**engine(move(batch, group.device), progress)))
    return rows


def _slopes(
    loss: JointLoss, group: ProcessGroup, rows: Sequence[Rows], progress: Progress
) -> tuple[Joined, dict[str, list[Tensor]]]:
    """Returns the loss parts of the global batch, and the loss's gradient for the embeddings of each micro-batch.

    Every worker computes the loss of the whole batch, so that no gradients are sent: each worker keeps those of its
    own embeddings.
    """
    sizes = [_num_rows(part) for part in rows]
    own = {name: values.requires_grad_() for name, values in _checked(_stacked(rows, "embeddings"))}
    companions = {
        name: torch.cat(group.gather(values)) for name, values in _stacked(rows, "companions").items()
    }
    embeddings = {name: _around(values, group) for name, values in own.items()}
    joined = loss.parts(Rows(embeddings=embeddings, companions=companions), progress)
    factors = factors_of(loss.weights(progress), joined.counts)
    gradients = _gradients(weighted(joined.sums, factors), list(own.values()))
    slopes = {name: list(torch.split(gradient, sizes)) for name, gradient in zip(own, gradients, strict=True)}
    return joined, slopes


def _num_rows(rows: Rows) -> int:
    """Returns the number of rows of a micro-batch.

    Raises:
        FamilyError: There is no embedding, or not all have equally many rows.
    """
    if not rows.embeddings:
        raise FamilyError("rows of a joint loss must hold an embedding, got none; return one in embed")
    lengths = {name: len(values) for name, values in (*rows.embeddings.items(), *rows.companions.items())}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{length} of {name}" for name, length in lengths.items())
        raise FamilyError(
            f"embeddings and companions of a joint loss must have one row for each sample, got {told}; give several "
            "views of a sample a name each, or an axis behind the first"
        )
    return next(iter(lengths.values()))


def _stacked(rows: Sequence[Rows], kind: Literal["embeddings", "companions"]) -> dict[str, Tensor]:
    """Lays the rows of micro-batches one after the other, without their graphs."""
    parts = [getattr(part, kind) for part in rows]
    return {name: torch.cat([part[name].detach() for part in parts]) for name in parts[0]}


def _checked(embeddings: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Yields embeddings.

    Raises:
        FamilyError: One cannot have a gradient.
    """
    for name, values in embeddings.items():
        if not values.is_floating_point():
            raise FamilyError(
                f"embeddings of a joint loss must be floating-point numbers, got {name} of {values.dtype}; put it into "
                "companions, which travel without a gradient"
            )
        yield name, values


def _gradients(loss: Tensor, embeddings: list[Tensor]) -> Sequence[Tensor]:
    """Returns the gradient for each embedding, 0 if the loss does not depend on it."""
    if not loss.requires_grad:  # no sample of the batch has anything to be compared with
        return [torch.zeros_like(values) for values in embeddings]
    return torch.autograd.grad(loss, embeddings, materialize_grads=True)


def _around(own: Tensor, group: ProcessGroup) -> Tensor:
    """Returns the embeddings of all workers in the order of the samples; the own ones carry gradients."""
    if group.size == 1:
        return own
    everyone = list(group.gather(own.detach()))
    everyone[group.rank] = own
    return torch.cat(everyone)


def _send(engine: Any, group: ProcessGroup, rows: Mapping[str, Tensor], slopes: Mapping[str, Tensor]) -> None:
    # DeepSpeed averages gradients over the workers; each sends those of its own samples.
    surrogate = torch.stack([(rows[name] * slope).sum() for name, slope in slopes.items()]).sum()
    if not surrogate.requires_grad:
        raise FamilyError(
            f"embeddings of a joint loss must depend on the weights that its stage trains, got {', '.join(slopes)} of "
            "which none does; compute them by the model, or train more in the stage's groups"
        )
    engine.backward(group.size * loss_scale(engine) * surrogate, scale_wrt_gas=False)


def _buffers(module: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.detach().clone() for name, buffer in module.named_buffers()}


def _restore(module: nn.Module, values: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, buffer in module.named_buffers():
            buffer.copy_(values[name])
