"""What happens during training, recorded without changing it: loss and gradient norms on a fixed batch.

gradient_flow.md section 2. A record is one forward and backward pass for the whole cohort.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import models
from ..seeds import generator
from ..spec import Trace
from . import change
from .cohort import Cohort, Listener, losses

if TYPE_CHECKING:
    from .loop import Probe

COLUMNS = ("step", "moment", "loss", "gradient_norm", "dense_norm", "gain", "kept")
Row = dict[str, float | int | str]


@dataclass
class Record:
    """What has been traced of one member: rows of `COLUMNS`, and tensors "STEP/MOMENT/weights/NAME", ".../mask/NAME".

    A moment is "step", before the step is made, or "before" or "after" a mask update in it. loss: mean cross-entropy in
    nats, no L2, no extra loss, no smoothing. gradient_norm: L2 norm of its gradient, biases included, the weights'
    under the mask; dense_norm: not under it. gain: "before" only, the sum of squared gradients of the weights that are
    about to grow, by which the square of gradient_norm would rise if none were dropped (sheet trap 3). kept: weights
    that the mask keeps; of a dense member all that are prunable by default.
    """

    rows: list[Row] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)


def recorder(cohort: Cohort, trace: Trace, records: Mapping[int, Record]) -> tuple[Probe, Listener]:
    """What adds to `records`, member by member, before each step and around mask updates.

    It doesn't hold on to the cohort, which holds on to it: else the cohort's memory waited for a search for garbage.
    """
    first, last = cohort.first_epoch * cohort.time.per_epoch, cohort.time.total
    rows = batch_rows(cohort, trace.images)

    def probe(cohort: Cohort, step: int) -> None:
        if step % trace.every == 0 or step in (first, last):
            measured = measure(cohort, rows)
            for r, record in records.items():
                record.rows.append({"step": step, "moment": "step", **measured[r]})
        if step in trace.snapshots:
            updated = change.due(cohort, step)
            for r, record in records.items():
                if r not in updated:
                    _keep(cohort, r, f"{step}/step", record)

    def listen(cohort: Cohort, step: int, moment: str, new: Mapping[int, Mapping[str, Tensor]]) -> None:
        mine = [r for r in new if r in records]
        if not mine:
            return
        measured = measure(cohort, rows, new if moment == "before" else {})
        for r in mine:
            records[r].rows.append({"step": step, "moment": moment, **measured[r]})
            if step in trace.snapshots:
                _keep(cohort, r, f"{step}/{moment}", records[r])

    return probe, listen


def batch_rows(cohort: Cohort, images: int) -> tuple[Tensor, Tensor]:
    """The fixed batch of each member as rows of `cohort.images`, and its labels, both (R, B)."""
    n = cohort.labels.shape[1]
    order = torch.randperm(n, generator=generator("trace images"))[:images].to(cohort.device)
    return order + cohort.offsets, cohort.labels[:, order]


def measure(
    cohort: Cohort, batch: tuple[Tensor, Tensor], new: Mapping[int, Mapping[str, Tensor]] | None = None
) -> list[Row]:
    """Each member's numbers on a batch from `batch_rows`, as columns of a record; `new`: the masks about to come.

    BatchNorm normalises by the batch's own statistics; its running ones are left as they are.
    """
    rows, labels = batch
    x = cohort.images.index_select(0, rows.flatten()).unflatten(0, rows.shape)
    loss, grads = gradients(cohort, cohort.normal(x) if cohort.augmented else x, labels)
    total = norm(grads, cohort.masks).tolist(), norm(grads, {}).tolist()
    prunable = models.prunable_count(cohort.jobs[0].run.network, cohort.shape, cohort.classes)
    found: list[Row] = []
    for r, (value, masked, dense) in enumerate(zip(loss.tolist(), *total, strict=True)):
        own = {name: cohort.masks[name][r] for name in cohort.jobs[r].mask}
        gain = float("nan")
        if new and r in new:
            grown = [grads[name][r][m & ~own[name]] for name, m in new[r].items()]
            gain = float(_squares(torch.cat(grown)))
        kept = sum(int(m.sum()) for m in own.values()) if own else prunable
        found.append({"loss": value, "gradient_norm": masked, "dense_norm": dense, "gain": gain, "kept": kept})
    return found


def gradients(cohort: Cohort, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean cross-entropy (R,) and its dense gradients, (R, ...) a tensor, in training mode; no buffer changes."""
    buffers = {name: t.clone() for name, t in cohort.net.named_buffers()}
    with torch.enable_grad():
        loss, _ = losses(cohort.net, x, y, 0.0, cohort.recipe.precision == "bf16")
        grads = torch.autograd.grad(loss.sum(), list(cohort.leaves.values()))
    with torch.no_grad():
        for name, t in cohort.net.named_buffers():
            t.copy_(buffers[name])
    return loss.detach(), dict(zip(cohort.leaves, grads, strict=True))


def norm(grads: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Tensor:
    """L2 norm (R,) of each member's gradients, (R, ...) a tensor, those of the tensors in `masks` under their mask."""
    parts = [_squares(g * masks[name] if name in masks else g, 1) for name, g in grads.items()]
    return torch.stack(parts).sum(0).sqrt()


def _squares(values: Tensor, start: int = 0) -> Tensor:
    """Sum of squares over all dimensions from `start` on, in float64 where the device has it."""
    wide = values.float() if values.device.type == "mps" else values.double()
    return wide.square().flatten(start).sum(-1)


def _keep(cohort: Cohort, r: int, at: str, record: Record) -> None:
    record.tensors |= {f"{at}/weights/{name}": t for name, t in cohort.member(r).items()}
    record.tensors |= {f"{at}/mask/{name}": t for name, t in cohort.member_mask(r).items()}
