"""A cohort: R networks of one architecture with weights, masks, labels, data orders, learning rates of their own.

What members must share is in `cohort_key`; everything else may differ. A member's result doesn't depend on who else is
in the cohort, beyond the rounding of floating-point sums.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import data, models
from ..models.layers import Conv, Linear
from ..models.small_maps import taps
from ..spec import Gradual, Grown
from . import change, extra, grow, optim
from .graph import Graphed
from .job import Job, cohort_key, resume_epoch
from .schedule import Clock, clock, factor

# Hears of a mask update as (cohort, step, "before" or "after", the new masks of the members that have one).
Listener = Callable[["Cohort", int, str, Mapping[int, Mapping[str, Tensor]]], None]


class Cohort:
    """The networks of some jobs with their data on `device`, ready to be stepped."""

    def __init__(
        self,
        jobs: Sequence[Job],
        device: torch.device,
        root: str | None = None,
        compile: bool = False,
        graph: bool | None = None,  # whether steps are CUDA graphs; None: on a CUDA device
    ) -> None:
        first = jobs[0].run
        if len({cohort_key(job.run) for job in jobs}) != 1:
            raise ValueError("these runs can't share a cohort")
        self.jobs, self.device, self.recipe, self.members = list(jobs), device, first.recipe, len(jobs)
        self._load(root)
        self.time: Clock = clock(self.recipe, self.labels.shape[1])
        self.first_epoch = resume_epoch(first)
        self.net: nn.Module = models.build(first.network, self.shape, self.classes, self.members).to(device).train()
        self.leaves, self.weights = self._split_precision()
        self._fill([job.weights for job in jobs])
        self.masks = self._stack_masks()
        specs = {r: job.run.mask for r, job in enumerate(jobs)}
        self.changing = {r: spec for r, spec in specs.items() if isinstance(spec, Grown | Gradual)}
        self.listeners: list[Listener] = []
        self.lr, self.decay = (
            torch.tensor([getattr(job.run.recipe, name) for job in jobs], device=device)
            for name in ("lr", "weight_decay")
        )
        self.slots = {
            name: {
                key: torch.stack([job.slots.get(f"{name}/{key}", torch.zeros(w.shape[1:])) for job in jobs]).to(device)
                for key, w in self.weights.items()
            }
            for name in optim.slot_names(self.recipe)
        }
        # Adam's t, each member's own: a rewound one goes on from its checkpoint, one that begins afresh has made none.
        self.updates = [int(job.slots["updates"]) if any(n in self.slots for n in _slots(job)) else 0 for job in jobs]
        self.extra = self._stack_extra()
        # From here on everything that a step reads or writes stays in its place: a graph holds on to it.
        self._factor: float | None = None
        self.rates: dict[str, Tensor] = {}
        self.corrections = torch.ones(2, self.members, device=device)  # Adam's 1 - beta^t
        self.epoch_loss = torch.zeros(self.members, device=device)
        self.epoch_hits = torch.zeros(self.members, dtype=torch.int64, device=device)
        graphed = device.type == "cuda" if graph is None else graph
        self._graphed = Graphed(self._whole, device) if graphed else None
        self._decays = [self._each(self.decay, w) for w in self.weights.values()] if first.recipe.weight_decay else None
        self._loss, self._sgd, self._adam = losses, optim.sgd, optim.adam
        if compile:  # a graph for each shape: past torch's default of 8 it would go on eagerly
            torch._dynamo.config.recompile_limit = max(256, torch._dynamo.config.recompile_limit)
            torch.compiler.assume_constant_result(taps)  # made once, not within compiled code
            if any(isinstance(layer, Conv) for layer in self.net.modules()):  # products alone get slower (bench)
                self._loss = torch.compile(losses, dynamic=False)
            self._sgd = torch.compile(optim.sgd, dynamic=False)
            self._adam = torch.compile(optim.adam, dynamic=False)

    def _load(self, root: str | None) -> None:
        """Images that members share stand on the device once; a member's order is an index into them."""
        sets: dict[str, int] = {}
        images: list[Tensor] = []
        labels, offsets = [], []
        loaded = {task: data.load(task, root) for task in {job.run.task: None for job in self.jobs}}
        for job in self.jobs:
            task = job.run.task
            dataset = loaded[task]
            same = task.replace(labels="true", corruption_seed=task.corruption_seed if task.pixels == "shuffled" else 0)
            key = same.model_dump_json()
            if key not in sets:
                sets[key] = sum(map(len, images))
                images.append(dataset.train_x)
            labels.append(dataset.train_y)
            offsets.append(sets[key])
        self.task, self.shape, self.classes = self.jobs[0].run.task, dataset.shape, dataset.classes
        self.mean, self.std = dataset.mean.to(self.device), dataset.std.to(self.device)
        self.augmented = bool(self.task.crop or self.task.flip)
        self.images = torch.cat(images).to(self.device)
        if not self.augmented:  # normalised once for all; else after each batch's crop and flip
            self.images = self.normal(self.images)
        self.labels = torch.stack(labels).to(self.device)
        self.offsets = torch.tensor(offsets, device=self.device).unsqueeze(1)
        self.held_out = {
            split: (self.normal(x.to(self.device)), y.to(self.device))
            for split, x, y in (
                ("validation", dataset.validation_x, dataset.validation_y),
                ("test", dataset.test_x, dataset.test_y),
            )
            if len(y)
        }

    def normal(self, x: Tensor) -> Tensor:
        """Pixels 0..255 (..., C, H, W) as the network's normalised input."""
        x = data.normalise(x, self.mean, self.std)
        return x.bfloat16() if self.recipe.precision == "bf16" else x

    def _split_precision(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The network's own parameters and the fp32 weights that are updated: the same tensors, or bf16 copies.

        With bf16 the layers hold copies that the update writes as it goes: what autocast would cast in every step, and
        the very same numbers, without passes over the weights and their gradients.
        """
        if self.recipe.precision == "bf16":
            for layer in self.net.modules():
                if isinstance(layer, Conv | Linear):
                    layer.to(torch.bfloat16)
        leaves: dict[str, Tensor] = dict(self.net.named_parameters())
        return leaves, {n: t if t.dtype == torch.float32 else t.detach().float() for n, t in leaves.items()}

    def state(self) -> dict[str, Tensor]:
        """Weights (fp32) and buffers of all members by name, each (R, ...): the tensors themselves."""
        return self.weights | dict(self.net.named_buffers())

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes weights and buffers, each (R, ...), over into `state` and the network."""
        with torch.no_grad():
            for name, target in self.state().items():
                target.copy_(tensors[name])
            self.spread()

    def spread(self) -> None:
        """Writes the weights into the copies of lower precision that the network holds."""
        for name, leaf in self.leaves.items():
            if leaf is not self.weights[name]:
                leaf.copy_(self.weights[name])

    def _fill(self, members: Sequence[Mapping[str, Tensor]]) -> None:
        self.load_state({name: torch.stack([weights[name] for weights in members]) for name in self.state()})

    def _stack_masks(self) -> dict[str, Tensor]:
        names = [name for name in self.weights if any(name in job.mask for job in self.jobs)]
        ones = {name: torch.ones(self.weights[name].shape[1:], dtype=torch.bool) for name in names}
        return {n: torch.stack([job.mask.get(n, ones[n]) for job in self.jobs]).to(self.device) for n in names}

    def _stack_extra(self) -> extra.Extra | None:
        """The members' extra losses; None where they have none, and nothing is computed for them."""
        pulls = [job.run.extra for job in self.jobs if job.run.extra is not None]
        if not pulls:
            return None
        references, masks = [job.extra for job in self.jobs], [job.mask for job in self.jobs]
        return extra.stack(pulls[0].kind, [pull.strength for pull in pulls], references, masks, self.device)

    def _each(self, values: Tensor, like: Tensor) -> Tensor:
        return values.view(-1, *[1] * (like.dim() - 1))

    def begin_epoch(self, epoch: int) -> None:
        """Draws each member's order, crops and flips of this epoch from its own streams, on the CPU, for any device."""
        seeds, n = [job.run.order for job in self.jobs], self.labels.shape[1]
        task, streams = self.task, data
        order = torch.stack([streams.order(s, epoch, n) for s in seeds]).to(self.device)
        self.order, self.targets = order + self.offsets, self.labels.gather(1, order)
        self.shifts = (
            torch.stack([streams.shifts(s, epoch, n, task.crop) for s in seeds]).to(self.device) if task.crop else None
        )
        self.flips = torch.stack([streams.flips(s, epoch, n) for s in seeds]).to(self.device) if task.flip else None
        self.epoch_loss.zero_()
        self.epoch_hits.zero_()

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Images (R, B, C, H, W) and labels (R, B) of a step of the epoch that has begun."""
        rows, labels, shifts, flips = self._feed(step)
        return self._images(rows, shifts, flips), labels

    def _feed(self, step: int) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Places in `images` and labels (R, B), shifts (R, B, 2) and flips (R, B): where a step differs from others.

        In one piece each, as the copies are that a graph works on: code is compiled for strides, and none can be
        compiled within a capture.
        """
        at = slice((step % self.time.per_epoch) * self.time.batch, (step % self.time.per_epoch + 1) * self.time.batch)
        shifts, flips = (None if all_ is None else all_[:, at].contiguous() for all_ in (self.shifts, self.flips))
        return self.order[:, at].contiguous(), self.targets[:, at].contiguous(), shifts, flips

    def _images(self, rows: Tensor, shifts: Tensor | None, flips: Tensor | None) -> Tensor:
        x = self.images.index_select(0, rows.flatten()).unflatten(0, rows.shape)  # copies rows, images[rows] elements
        return self.normal(data.augment(x, shifts, flips, self.task.crop)) if self.augmented else x

    def step(self, step: int) -> None:
        """One update of all members, and of the masks that are due; `step` counts from the schedule's beginning."""
        if due := change.due(self, step):
            grads = self._look(*self._feed(step))
            with torch.no_grad():
                change.step(self, step, grads, due)
        else:
            self._prepare(step)
            (self._graphed or self._whole)(*self._feed(step))

    def _whole(self, rows: Tensor, labels: Tensor, shifts: Tensor | None, flips: Tensor | None) -> None:
        """All that a step computes, from images to weights; nothing in here asks the device for a number."""
        grads = self._look(rows, labels, shifts, flips)
        with torch.no_grad():
            self._move(grads)

    def _look(self, rows: Tensor, y: Tensor, shifts: Tensor | None, flips: Tensor | None) -> tuple[Tensor, ...]:
        """The gradients of the cross-entropy; loss and hits are added up."""
        x, bf16 = self._images(rows, shifts, flips), self.recipe.precision == "bf16"
        loss, hits = self._loss(self.net, x, y, self.recipe.label_smoothing, bf16)
        grads = torch.autograd.grad(loss.sum(), list(self.leaves.values()))
        with torch.no_grad():
            self.epoch_loss += loss.detach()
            self.epoch_hits += hits
        return grads

    def update(self, step: int, grads: Sequence[Tensor]) -> None:
        """The optimizer's step with `grads`, one (R, ...) tensor a parameter, and those of the extra loss."""
        self._prepare(step)
        self._move(grads)

    def _prepare(self, step: int) -> None:
        """Learning rates and counts of a step."""
        self._set_rates(factor(self.recipe, step, self.time))
        self.updates = [count + 1 for count in self.updates]
        if self.recipe.optimizer == "adam":
            corrections = [[1 - beta**count for count in self.updates] for beta in (optim.BETA1, optim.BETA2)]
            now = torch.tensor(corrections)
            if self.device.type == "cuda":  # from other memory the copy would wait for the device
                now = now.pin_memory()
            self.corrections.copy_(now, non_blocking=True)

    def _move(self, grads: Sequence[Tensor]) -> None:
        if self.extra is not None:
            grads = extra.add(self.extra, self.weights, grads)
        weights, rates, leaves = (list(d.values()) for d in (self.weights, self.rates, self.leaves))
        slots = [list(s.values()) for s in self.slots.values()]
        if self.recipe.optimizer == "sgd":
            self._sgd(weights, leaves, grads, rates, self._decays, slots, self.recipe.momentum, self.recipe.nesterov)
        else:
            self._adam(weights, leaves, grads, rates, self._decays, slots, *self.corrections)

    def _set_rates(self, value: float) -> None:
        if value == self._factor:
            return
        self._factor = value
        for name, w in self.weights.items():
            rate = self._each(-value * self.lr, w)
            rate = rate * self.masks[name] if name in self.masks else rate
            if name in self.rates and self.rates[name].shape == rate.shape:
                self.rates[name].copy_(rate)
            else:
                self.rates[name] = rate
                if self._graphed:
                    self._graphed.forget()

    def set_mask(self, name: str, mask: Tensor) -> None:
        """Changes the masks of one tensor, (R, ...) bool, in the middle of training.

        Newly pruned weights become 0; newly grown ones begin at 0, the optimizer's slots of theirs too. An extra loss
        keeps to the masks that the training began with.
        """
        before = self.masks.get(name, torch.ones_like(mask))
        changed = grow.places(mask != before)
        with torch.no_grad():
            for t in (self.weights[name], *(each[name] for each in self.slots.values())):
                t.view(-1).index_fill_(0, changed, 0)
            self.spread()
        self.masks[name] = mask
        self._factor = None

    def member(self, r: int) -> dict[str, Tensor]:
        """Parameters and buffers of member `r`, copied to the CPU."""
        return {name: t[r].detach().cpu().clone() for name, t in self.state().items()}

    def member_mask(self, r: int) -> dict[str, Tensor]:
        """The mask of member `r` as it is now, copied to the CPU; {} for a dense one."""
        return {name: self.masks[name][r].cpu().clone() for name in self.jobs[r].mask}

    def member_slots(self, r: int) -> dict[str, Tensor]:
        """The optimizer's state of member `r`, copied to the CPU, as a `Job` takes it."""
        slots = {f"{s}/{key}": t[r].cpu().clone() for s, each in self.slots.items() for key, t in each.items()}
        return {**slots, "updates": torch.tensor(self.updates[r])}


def _slots(job: Job) -> set[str]:
    return {key.split("/")[0] for key in job.slots}


def losses(net: nn.Module, x: Tensor, y: Tensor, smoothing: float, bf16: bool) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy and hits of each member, both (R,)."""
    with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
        logits = net(x)
    logits = logits.float().flatten(0, 1)  # now in one piece, which argmax takes a fifth of the time for
    each = F.cross_entropy(logits, y.flatten(), reduction="none", label_smoothing=smoothing)
    return each.view(y.shape).mean(1), (logits.detach().argmax(1).view(y.shape) == y).sum(1)
