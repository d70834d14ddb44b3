"""Global imitation: neurons are picked by what the whole network answers (greedy_bounds.md P4, P5).

The discrepancy is the mean over images of ‖logits − those of the unpruned network‖²; no labels. It is not convex in the
weights, so the step is 1/k, repeats allowed, and no bound holds for it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, fx

from .channels import Group
from .greedy_problem import Floats, Selection, lowest, move
from .greedy_weights import taylor

IMAGES_AT_ONCE = 4096  # over all candidates that are tried together
STEPS = 8  # iterations at most for each neuron that is asked for

Score = Callable[[Tensor], Tensor]  # weight vectors (C, N), float64 on the CPU, to discrepancies (C,)


def imitate(
    score: Score,
    channels: int,
    neurons: int,
    *,
    floor: float = 0.0,
    shortlist: int | None = None,
    start: Selection | None = None,
) -> Selection:
    """A path to `neurons` of `channels` distinct neurons by the discrepancy `score`, or to an error <= `floor`.

    Each iteration tries all neurons, or the `shortlist` of them with the lowest slope (the first always all). `start`
    is a path to be gone on with, as if it had never stopped.
    """

    def discrepancy(candidates: Floats) -> Floats:
        with torch.no_grad():
            return score(torch.tensor(candidates)).numpy()

    if start is None:
        alone = discrepancy(np.eye(channels))
        j = lowest(alone, 0.0)
        start = Selection(np.array([j]), np.ones(1), alone[[j]], np.ones(1, dtype=np.int64), np.eye(channels)[j])
    weights = start.weights.copy()
    path = list(zip(start.picks, start.steps, start.errors, start.sizes, strict=True))
    while path[-1][3] < neurons and path[-1][2] > floor and len(path) < STEPS * neurons:
        slopes = np.zeros(channels) if shortlist is None else gradient(score, weights)
        gammas = [1 / (len(path) + 1)]
        j, gamma, error = taylor(weights, slopes, discrepancy, steps=gammas, shortlist=shortlist or channels)
        move(weights, j, gamma)
        path.append((j, gamma, error, np.count_nonzero(weights)))
    picks, steps, errors, sizes = (np.array(column) for column in zip(*path, strict=True))
    return Selection(picks, steps, errors, sizes, weights)


def gradient(score: Score, weights: Floats) -> Floats:
    """∂ discrepancy / ∂a (N,) at one weight vector."""
    at = torch.tensor(weights[None], requires_grad=True)
    with torch.enable_grad():
        (slopes,) = torch.autograd.grad(score(at).sum(), at)
    return slopes[0].numpy()


@torch.no_grad()
def scorer(module: fx.GraphModule, group: Group, images: Tensor, logits: Tensor) -> Score:
    """The discrepancy from `logits` (B, classes) on `images` (B, C, H, W) as a function of a group's weights.

    What comes before the consumer is computed once, here; then only what is behind runs, for many candidates as one
    batch. The network is put into eval mode.
    """
    run = fx.Interpreter(module.eval(), garbage_collect_values=False)
    run.run(images)
    start = next(node for node in module.graph.nodes if node.target == group.consumer)
    behind: dict[fx.Node, None] = {}
    for node in module.graph.nodes:
        if any(parent is start or parent in behind for parent in node.all_input_nodes):
            behind[node] = None
    beside = {p: run.env[p] for node in behind for p in node.all_input_nodes if p is not start and p not in behind}
    (source,) = start.all_input_nodes
    inputs, consumer = run.env[source], module.get_submodule(group.consumer)
    run.env = {}

    def some(weights: Tensor) -> Tensor:
        factors = (group.channels * weights).to(inputs).repeat_interleave(group.reads, dim=1)
        scaled = inputs * factors.view(len(factors), 1, -1, *[1] * (inputs.dim() - 2))
        run.env = {p: value.repeat(len(factors), *[1] * (value.dim() - 1)) for p, value in beside.items()}
        run.env[start] = answers = consumer(scaled.flatten(0, 1))
        for node in behind:
            run.env[node] = answers = run.run_node(node)
        run.env = {}
        return (answers.unflatten(0, (len(factors), -1)) - logits).double().square().sum(2).mean(1).cpu()

    at_once = max(1, IMAGES_AT_ONCE // len(images))
    return lambda weights: torch.cat([some(part) for part in weights.split(at_once)])
