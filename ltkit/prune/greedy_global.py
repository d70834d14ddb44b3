"""Global imitation: neurons are picked by what the whole network answers (greedy_bounds.md P4, P5).

The discrepancy is the mean over images of ‖logits − those of the unpruned network‖²; no labels. It is not convex in the
weights, so the step is 1/k, repeats allowed, and no bound holds for it. The predecessor picks in the same way by the
loss on labels.

The consumer is linear in the weights: what it gives after a step towards neuron j is (1−γ)h + γφ_j. So a candidate
costs φ_j, its own channel alone, which is computed once, and what is behind the consumer.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from .channels import Group
from .flow import Flow, behind, inputs
from .greedy_problem import Floats, Ints, Selection, lowest, move
from .greedy_weights import listed

IMAGES_AT_ONCE = 4096  # over all candidates that are tried together
LARGEST = 2**24  # numbers (64 MiB) of all φ, which are computed anew for each candidate beyond
STEPS = 8  # iterations at most for each neuron that is asked for

Judge = Callable[[Tensor], Tensor]  # answers (C, B, classes) to discrepancies (C,)


@dataclass(frozen=True, eq=False)
class Answers:
    """What the network answers as a function of a group's weights, in three parts; C weight vectors or neurons."""

    together: Callable[[Tensor], Tensor]  # weights (C, N), float64 on the CPU, to what the consumer gives (C, B, ...)
    alone: Callable[[Ints], Tensor]  # neurons (C,) to what it gives if each is the only one (C, B, ...), a new tensor
    slopes: Callable[[Tensor], Tensor]  # slopes along what it gives (1, B, ...) to those along the weights (1, N)
    score: Callable[[Tensor], Tensor]  # what it gives (C, B, ...) to discrepancies (C,), float64 on the CPU
    at_once: int  # how many should be asked for together


def imitate(
    answers: Answers,
    channels: int,
    neurons: int,
    *,
    floor: float = 0.0,
    shortlist: int | None = None,
    start: Selection | None = None,
) -> Selection:
    """A path to `neurons` of `channels` distinct neurons by the discrepancy, or to an error <= `floor`.

    Each iteration tries all neurons, or the `shortlist` of them with the lowest slope (the first always all). `start`
    is a path to be gone on with, as if it had never stopped.
    """
    every = np.arange(channels)
    if start is None:
        alone = stepped(answers, None, every, 1.0)
        j = lowest(alone, 0.0)
        start = Selection(np.array([j]), np.ones(1), alone[[j]], np.ones(1, dtype=np.int64), np.eye(channels)[j])
    weights = start.weights.copy()
    path = list(zip(start.picks, start.steps, start.errors, start.sizes, strict=True))
    here = step(answers, None, start.picks[:1], 1.0)
    for k in range(1, len(path)):
        here = step(answers, here, start.picks[[k]], start.steps[k])
    while path[-1][3] < neurons and path[-1][2] > floor and len(path) < STEPS * neurons:
        gamma = 1 / (len(path) + 1)
        candidates = every if shortlist is None else listed(weights, gradient(answers, here), shortlist)
        after = stepped(answers, here, candidates, gamma)
        best = lowest(after, 0.0)
        pick = candidates[best]
        here = step(answers, here, candidates[[best]], gamma)
        move(weights, int(pick), gamma)
        path.append((pick, gamma, after[best], np.count_nonzero(weights)))
    picks, steps, errors, sizes = (np.array(column) for column in zip(*path, strict=True))
    return Selection(picks, steps, errors, sizes, weights)


@torch.no_grad()
def step(answers: Answers, here: Tensor | None, candidates: Ints, gamma: float) -> Tensor:
    """What the consumer gives (C, B, ...) after a step γ from `here` (1, B, ...) towards each candidate."""
    given = answers.alone(candidates)
    return given if here is None else given.mul_(gamma).add_(here, alpha=1 - gamma)


@torch.no_grad()
def stepped(answers: Answers, here: Tensor | None, candidates: Ints, gamma: float) -> Floats:
    """The discrepancies (C,) after such a step."""
    parts = np.array_split(candidates, -(-len(candidates) // answers.at_once))
    return torch.cat([answers.score(step(answers, here, some, gamma)) for some in parts]).numpy()


def gradient(answers: Answers, here: Tensor) -> Floats:
    """∂ discrepancy / ∂a (N,) at the weights under which the consumer gives `here` (1, B, ...)."""
    here = here.detach().requires_grad_()
    with torch.enable_grad():
        (slopes,) = torch.autograd.grad(answers.score(here).sum(), here)
    return answers.slopes(slopes)[0].numpy()


def counted(answers: Answers, passes: list[int]) -> Answers:
    """The same, but `passes` notes how often the images go through the network: for a gradient twice."""

    def score(given: Tensor) -> Tensor:
        passes.append(len(given) * (2 if given.requires_grad else 1))
        return answers.score(given)

    return replace(answers, score=score)


def by_logits(logits: Tensor) -> Judge:
    """The mean squared distance from `logits` (B, classes)."""
    return lambda answers: (answers - logits).cpu().double().square().sum(2).mean(1)


def by_labels(labels: Tensor) -> Judge:
    """The predecessor's score: the mean cross-entropy (nats) on `labels` (B,)."""

    def loss(answers: Tensor) -> Tensor:
        every = answers.cpu().double().flatten(0, 1)
        repeated = labels.cpu().expand(len(answers), -1)
        return F.cross_entropy(every, repeated.flatten(), reduction="none").view_as(repeated).mean(1)

    return loss


@torch.no_grad()
def answers_of(module: fx.GraphModule, group: Group, judge: Judge, flow: Flow) -> Answers:
    """The network's answers under weights of a group's channels, as `judge` sees them.

    What comes before the consumer has been computed: `flow` reaches to there.
    """
    flow = replace(flow, values={name: _packed(value) for name, value in flow.values.items()})
    x = inputs(module, flow)
    consumer, rest, beside = behind(module, flow)

    def together(weights: Tensor) -> Tensor:
        factors = (group.channels * weights).to(x).repeat_interleave(group.reads, dim=1)
        scaled = x * factors.view(len(factors), 1, -1, *[1] * (x.dim() - 2))
        return consumer(scaled.flatten(0, 1)).unflatten(0, (len(factors), -1))

    def score(given: Tensor) -> Tensor:
        others = [value.expand(len(given), *value.shape).flatten(0, 1) for value in beside]
        return judge(rest(given.flatten(0, 1), *others).unflatten(0, (len(given), -1)))

    @functools.cache
    @torch.enable_grad()
    def recorded() -> tuple[Tensor, Tensor]:  # once: slopes along the weights are the same everywhere
        weights = torch.zeros(1, group.channels, dtype=torch.float64, requires_grad=True)
        return weights, together(weights)

    def slopes(given: Tensor) -> Tensor:
        weights, gives = recorded()
        return torch.autograd.grad(gives, weights, given, retain_graph=True)[0]

    return Answers(together, _alone(consumer, group, x), slopes, score, max(1, IMAGES_AT_ONCE // len(x)))


def _packed(x: Tensor) -> Tensor:
    """Maps as convolutions on a CPU like them."""
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


@torch.no_grad()
def _alone(consumer: nn.Module, group: Group, x: Tensor) -> Callable[[Ints], Tensor]:
    """N times what a consumer makes of each of C channels of x alone, with its bias: (C, B, O) or (C, B, O, H', W')."""
    shape = (len(x), *consumer(x[:1]).shape[1:])
    every = torch.arange(group.channels, device=x.device)
    known = _products(consumer, group, x, every) if math.prod(shape) * group.channels <= LARGEST else None

    def alone(some: Ints) -> Tensor:
        channels = torch.as_tensor(some, device=x.device)
        found = _products(consumer, group, x, channels) if known is None else known.index_select(0, channels)
        if len(shape) == 2:
            return found
        return found.view(len(found), shape[0], *shape[2:], shape[1]).permute(0, 1, 4, 2, 3)

    return alone


def _products(consumer: nn.Module, group: Group, x: Tensor, channels: Tensor) -> Tensor:
    """`_alone` as one product a channel: (C, B, O) or (C, B * H' * W', O)."""
    full = consumer.get_parameter("weight")
    weight = group.channels * full.view(len(full), group.channels, -1)[:, channels].permute(1, 2, 0)
    rows = x.unflatten(1, (group.channels, -1))[:, channels]
    if isinstance(consumer, nn.Conv2d):
        size, stride, padding = consumer.kernel_size, consumer.stride, consumer.padding
        assert isinstance(padding, tuple)
        if (size, stride, padding) == ((1, 1), (1, 1), (0, 0)):
            rows = rows.flatten(2).unsqueeze(2)
        else:
            rows = F.unfold(rows.squeeze(2), size, padding=padding, stride=stride).unflatten(1, (len(channels), -1))
        rows = rows.permute(1, 0, 3, 2).flatten(1, 2)  # (C, B * H' * W', kernel)
    else:
        rows = rows.transpose(0, 1)
    bias = consumer.get_parameter("bias") if consumer.bias is not None else weight.new_zeros(())
    return torch.baddbmm(bias.expand(len(channels), 1, weight.shape[2]), rows, weight)
