"""Global imitation: neurons are picked by what the whole network answers (greedy_bounds.md P4, P5).

The discrepancy is the mean over images of ‖logits − those of the unpruned network‖²; no labels. It is not convex in the
weights, so the step is 1/k, repeats allowed, and no bound holds for it. The predecessor picks in the same way by the
loss on labels.

The consumer is linear in the weights: what it gives after a step towards neuron j is (1−γ)h + γφ_j. So a candidate
costs φ_j, its own channel alone, and what is behind the consumer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from .channels import Group
from .flow import Flow, inputs, quick
from .greedy_problem import Floats, Ints, Selection, lowest, move
from .greedy_weights import listed

IMAGES_AT_ONCE = 4096  # over all candidates that are tried together
STEPS = 8  # iterations at most for each neuron that is asked for

Judge = Callable[[Tensor], Tensor]  # answers (C, B, classes) to discrepancies (C,)


@dataclass(frozen=True, eq=False)
class Answers:
    """What the network answers as a function of a group's weights, in three parts; C weight vectors or neurons."""

    together: Callable[[Tensor], Tensor]  # weights (C, N), float64 on the CPU, to what the consumer gives (C, B, ...)
    alone: Callable[[Ints], Tensor]  # neurons (C,) to what it gives if each is the only one (C, B, ...)
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
    while path[-1][3] < neurons and path[-1][2] > floor and len(path) < STEPS * neurons:
        gamma = 1 / (len(path) + 1)
        if shortlist is None:
            candidates, here = every, together(answers, weights)
        else:
            slopes, here = gradient(answers, weights)
            candidates = listed(weights, slopes, shortlist)
        after = stepped(answers, here, candidates, gamma)
        best = lowest(after, 0.0)
        move(weights, int(candidates[best]), gamma)
        path.append((candidates[best], gamma, after[best], np.count_nonzero(weights)))
    picks, steps, errors, sizes = (np.array(column) for column in zip(*path, strict=True))
    return Selection(picks, steps, errors, sizes, weights)


@torch.no_grad()
def stepped(answers: Answers, here: Tensor | None, candidates: Ints, gamma: float) -> Floats:
    """The discrepancies (C,) after a step γ from what the consumer gives `here` (1, B, ...) towards each candidate."""
    found = []
    for some in np.array_split(candidates, -(-len(candidates) // answers.at_once)):
        given = answers.alone(some)
        if here is not None:
            given.mul_(gamma).add_(here, alpha=1 - gamma)
        found.append(answers.score(given))
    return torch.cat(found).numpy()


@torch.no_grad()
def together(answers: Answers, weights: Floats) -> Tensor:
    """What the consumer gives (1, B, ...) under one weight vector (N,)."""
    return answers.together(torch.tensor(weights[None]))


def gradient(answers: Answers, weights: Floats) -> tuple[Floats, Tensor]:
    """∂ discrepancy / ∂a (N,) at one weight vector (N,), and what the consumer gives there (1, B, ...)."""
    at = torch.tensor(weights[None], requires_grad=True)
    with torch.enable_grad():
        here = answers.together(at)
        (slopes,) = torch.autograd.grad(answers.score(here).sum(), at)
    return slopes[0].numpy(), here.detach()


@torch.no_grad()
def discrepancies(answers: Answers, weights: Floats) -> Floats:
    """The discrepancies (C,) under any weight vectors (C, N)."""
    parts = torch.tensor(weights).split(answers.at_once)
    return torch.cat([answers.score(answers.together(part)) for part in parts]).numpy()


def counted(answers: Answers, passes: list[int]) -> Answers:
    """The same, but `passes` notes how often the images go through the network: for a gradient twice."""

    def score(given: Tensor) -> Tensor:
        passes.append(len(given) * (2 if given.requires_grad else 1))
        return answers.score(given)

    return replace(answers, score=score)


def by_logits(logits: Tensor) -> Judge:
    """The mean squared distance from `logits` (B, classes)."""
    return lambda answers: (answers - logits).double().square().sum(2).mean(1)


def by_labels(labels: Tensor) -> Judge:
    """The predecessor's score: the mean cross-entropy (nats) on `labels` (B,)."""

    def loss(answers: Tensor) -> Tensor:
        every = answers.double().flatten(0, 1)
        return F.cross_entropy(every, labels.repeat(len(answers)), reduction="none").view(len(answers), -1).mean(1)

    return loss


@torch.no_grad()
def answers_of(module: fx.GraphModule, group: Group, image: Tensor, judge: Judge, flow: Flow) -> Answers:
    """The network's answers under weights of a group's channels, as `judge` sees them.

    What comes before the consumer has been computed: `flow` reaches to there. `image` (1, C, H, W) is one of those that
    it was begun with.
    """
    x = _packed(inputs(module, flow))
    fast = quick(module, image)
    run, nodes = fx.Interpreter(fast, garbage_collect_values=False), list(fast.graph.nodes)
    start = next(node for node in nodes if node.target == group.consumer)
    run.env = {node: _packed(flow.values[node.name]) for node in nodes if node.name in flow.values}
    behind: dict[fx.Node, None] = {}
    for node in nodes[nodes.index(start) + 1 : -1]:
        if any(parent is start or parent in behind for parent in node.all_input_nodes):
            behind[node] = None
        else:  # a shortcut, say
            run.env[node] = run.run_node(node)
    parents = {parent for node in behind for parent in node.all_input_nodes}
    beside = {parent: run.env[parent] for parent in parents if parent is not start and parent not in behind}
    consumer = fast.get_submodule(group.consumer)

    def together(weights: Tensor) -> Tensor:
        factors = (group.channels * weights).to(x).repeat_interleave(group.reads, dim=1)
        scaled = x * factors.view(len(factors), 1, -1, *[1] * (x.dim() - 2))
        return consumer(scaled.flatten(0, 1)).unflatten(0, (len(factors), -1))

    def score(given: Tensor) -> Tensor:
        run.env = {p: value.repeat(len(given), *[1] * (value.dim() - 1)) for p, value in beside.items()}
        run.env[start] = last = given.flatten(0, 1)
        for node in behind:
            run.env[node] = last = run.run_node(node)
        run.env = {}
        return judge(last.unflatten(0, (len(given), -1))).cpu()

    at_once = max(1, IMAGES_AT_ONCE // len(x))
    return Answers(together, lambda some: _alone(consumer, group, x, torch.as_tensor(some)), score, at_once)


def _packed(x: Tensor) -> Tensor:
    """Maps as convolutions on a CPU like them."""
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


def _alone(consumer: nn.Module, group: Group, x: Tensor, channels: Tensor) -> Tensor:
    """N times what a consumer makes of each of C channels of x alone, with its bias: (C, B, O) or (C, B, O, H', W')."""
    channels = channels.to(x.device)
    full = consumer.get_parameter("weight")
    weight = group.channels * full.view(len(full), group.channels, -1)[:, channels].permute(1, 2, 0)
    parts = x.unflatten(1, (group.channels, -1))[:, channels]
    if isinstance(consumer, nn.Conv2d):
        size, stride, padding = consumer.kernel_size, consumer.stride, consumer.padding
        assert isinstance(padding, tuple)
        sides = zip(x.shape[2:], padding, size, stride, strict=True)
        height, width = ((side + 2 * p - k) // s + 1 for side, p, k, s in sides)
        if (size, stride, padding) == ((1, 1), (1, 1), (0, 0)):
            rows = parts.flatten(2).unsqueeze(2)
        else:
            rows = F.unfold(parts.squeeze(2), size, padding=padding, stride=stride).unflatten(1, (len(channels), -1))
        rows = rows.permute(1, 0, 3, 2).flatten(1, 2)  # (C, B * positions, kernel)
    else:
        rows = parts.transpose(0, 1)
    bias = consumer.get_parameter("bias") if consumer.bias is not None else weight.new_zeros(())
    given = torch.baddbmm(bias.expand(len(channels), 1, weight.shape[2]), rows, weight)
    if isinstance(consumer, nn.Conv2d):
        return given.view(len(channels), len(x), height, width, -1).permute(0, 1, 4, 2, 3)
    return given
