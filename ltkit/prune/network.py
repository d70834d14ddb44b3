"""Greedy pruning of a whole network, layer after layer (greedy_bounds.md P6). It needs images, never labels.

From input to output: a layer's neurons are selected in the network as it is by then, the selection weights are folded
into the layer that reads them, the other neurons are removed for good (`slim`), the network is tuned if asked for, and
the next layer follows. So what is tuned is what is kept, not a masked network (trap 3) [kit].
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, fx, nn

from ..errors import UserError, nearest
from ..seeds import generator
from . import greedy
from .channels import Group, groups, problem
from .greedy_global import STEPS, Score, imitate, scorer
from .greedy_problem import Floats, Problem, Selection
from .greedy_stops import Budget, Discrepancy, Stop, at, budget_counts, enough, first_below
from .slim import Choice, Cost, cost, folded, slim

RULES = ("local", "negative", "one_over_k", "no_repeats", "random", "norm", "backward", "global", "better")

Path = Callable[[int], Selection]  # a path to so many distinct neurons, to fewer where it ends before
Weigh = Callable[[Selection], Floats]  # the final weights (N,) of a selection


@dataclass(frozen=True, eq=False)
class Layer:
    """What became of one group of channels."""

    choice: Choice
    rule: str  # what chose it; of "better" the one that won
    selection: Selection | None  # its path, before least squares; None where the layer stays whole
    relative: float  # D/‖t‖² of what the consumer receives with these weights
    errors: dict[str, float]  # of each rule that was tried: mean ‖logits − the original's‖² with this layer pruned so
    passes: int  # how often the calibration images went through the network to select


@dataclass(frozen=True, eq=False)
class Pruned:
    """A slim network and how it came about."""

    module: fx.GraphModule
    layers: tuple[Layer, ...]
    before: Cost
    after: Cost
    difference: float  # largest |masked logit − slim logit| at any removal


def greedy_network(
    module: fx.GraphModule,
    calibration: Tensor,
    *,
    stop: Stop,
    rule: str = "local",
    target: Literal["current", "original"] = "current",
    tune: Callable[[nn.Module], object] | None = None,
    reweight: bool = False,
    layers: Sequence[str] | None = None,
    shortlist: int | None = None,
    judge: Tensor | None = None,
    seed: int = 0,
) -> Pruned:
    """A slim copy of a plain network (`ltkit.models.plain`), selected on `calibration` images (B, C, H, W).

    `rule` is one of RULES: local imitation, also with negative steps; the predecessor's 1/k step with and without
    repeats; the baselines random (by `seed`), norm and backward; global imitation, with a Taylor `shortlist`; or of
    local and global in each layer the better: the one that leaves fewer neurons, which a budget doesn't, then the one
    with which the network answers the `judge` images (default: calibration) more like the original.

    `target` is what local rules imitate: what the full layer now gives its consumer, or what that received before
    anything was pruned. `tune` trains the slim network in place after each layer. `reweight` refits the weights of the
    selected neurons by least squares on what the consumer receives. `layers` are the producers to prune, default all.
    A layer that no path brings to the stop stays whole. UserError for an unknown rule or layer and a budget that can't
    be met.
    """
    if rule not in RULES:
        raise UserError(f"unknown rule '{rule}'{nearest(rule, RULES)}; known: {', '.join(RULES)}")
    original = copy.deepcopy(module).eval()
    net, wanted, image = copy.deepcopy(original), _wanted(original, layers), calibration[:1]
    counts = budget_counts(net, wanted, stop, image) if isinstance(stop, Budget) else {}
    with torch.no_grad():
        logits = original(calibration)
        images, answers = (calibration, logits) if judge is None else (judge, original(judge))
    power = float(logits.double().square().sum(1).mean())
    done: list[Layer] = []
    before, difference = cost(net, image), 0.0
    for group in wanted:
        given = problem(net, group, calibration, original if target == "original" else None)

        def weigh(found: Selection, given: Problem = given) -> Floats:
            return (greedy.least_squares(given, found) if reweight else found).weights

        tried = []
        for name in ("local", "global") if rule == "better" else (rule,):
            passes, scale = [1], power if name == "global" else given.target
            floor = stop.relative * scale if isinstance(stop, Discrepancy) else 0.0
            if name == "global":
                path = _global(scorer(net, group, calibration, logits), group, floor, shortlist, passes)
            else:
                path = _local(name, given, floor, group, seed)
            found = _stopped(path, stop, floor, counts, net, group, weigh)
            choice = _choice(group, found, weigh)
            error = _error(net, choice, images, answers)
            tried.append(Layer(choice, name, found, _relative(given, choice.weights), {name: error}, sum(passes)))
        best = min(tried, key=lambda t: (0 if counts else len(t.choice.kept), t.errors[t.rule]))
        errors = {t.rule: t.errors[t.rule] for t in tried}
        done.append(replace(best, errors=errors, passes=sum(t.passes for t in tried)))
        if best.selection is not None:
            smaller = slim(net, [best.choice], calibration)
            net, difference = smaller.module, max(difference, smaller.difference)
        if tune is not None:
            tune(net)
            net.eval()
    return Pruned(net, tuple(done), before, cost(net, image), difference)


def _wanted(module: fx.GraphModule, layers: Sequence[str] | None) -> list[Group]:
    known = {group.producer: group for group in groups(module)}
    for name in layers or ():
        if name not in known:
            raise UserError(f"no channels to prune in '{name}'{nearest(name, known)}; known: {', '.join(known)}")
    return [group for name, group in known.items() if layers is None or name in layers]


def _local(rule: str, given: Problem, floor: float, group: Group, seed: int) -> Path:
    """Paths by products alone. One neuron more than asked for, to have all iterations up to there."""
    tol = floor / given.target if given.target else 0.0

    def path(neurons: int) -> Selection:
        if rule in ("local", "negative"):
            steps = STEPS * (neurons + 1)
            return greedy.local_imitation(given, steps, neurons=neurons + 1, negative=rule == "negative", tol=tol)
        if rule == "one_over_k":
            return greedy.one_over_k(given, STEPS * neurons)
        if rule == "no_repeats":
            return greedy.one_over_k(given, neurons, repeats=False)
        if rule == "random":
            return greedy.random(given, neurons, generator("greedy", group.producer, seed))
        return (greedy.norm if rule == "norm" else greedy.backward)(given, neurons)

    return path


def _global(score: Score, group: Group, floor: float, shortlist: int | None, passes: list[int]) -> Path:
    """Paths by the network's answers: each goes on where the one before ended. `passes` notes every pass."""
    longest: Selection | None = None

    def counted(weights: Tensor) -> Tensor:
        passes.append(len(weights) * (2 if weights.requires_grad else 1))  # a gradient is a pass back, too
        return score(weights)

    def path(neurons: int) -> Selection:
        nonlocal longest
        longest = imitate(counted, group.channels, neurons, floor=floor, shortlist=shortlist, start=longest)
        return longest

    return path


def _stopped(
    path: Path, stop: Stop, floor: float, counts: dict[str, int], net: nn.Module, group: Group, weigh: Weigh
) -> Selection | None:
    """What the stop chooses of a path; None if that is all neurons as they are."""
    if isinstance(stop, Discrepancy):
        return first_below(path(group.channels), floor)
    if isinstance(stop, Budget):
        count = counts[group.producer]
        return at(path(count), count) if count < group.channels else None
    least = stop.measure(net) - stop.most

    def fits(found: Selection) -> bool:
        with folded(net, group, weigh(found)):
            return stop.measure(net) >= least

    return enough(path, fits, group.channels)


def _choice(group: Group, found: Selection | None, weigh: Weigh) -> Choice:
    if found is None:
        return Choice(group, np.arange(group.channels), np.full(group.channels, 1 / group.channels))
    return Choice(group, np.flatnonzero(found.weights), weigh(found))


@torch.no_grad()
def _error(net: nn.Module, choice: Choice, images: Tensor, answers: Tensor) -> float:
    with folded(net, choice.group, choice.weights):
        return float((net(images) - answers).double().square().sum(1).mean())


def _relative(given: Problem, weights: Floats) -> float:
    error = float(weights @ given.gram @ weights - 2 * weights @ given.cross + given.target)
    return max(error, 0.0) / given.target if given.target else float("nan")
