"""Greedy pruning of a whole network, layer after layer (greedy_bounds.md P6). It needs images, but no labels.

From input to output: a layer's neurons are selected in the network as it is by then, the selection weights are folded
into the layer that reads them, the other neurons are removed for good (`slim`), the network is tuned if asked for, and
the next layer follows. So what is tuned is what is kept, not a masked network (trap 3) [kit]. Labels are for the
predecessor's rule, "label_loss", alone.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from torch import Tensor, fx, nn

from ..errors import UserError, nearest
from ..seeds import generator
from . import greedy
from .channels import Group, groups, patches_of, problem_of
from .flow import Flow, begin, inputs, logits, until
from .greedy_global import STEPS, Answers, answers_of, by_labels, by_logits, counted, imitate
from .greedy_problem import Floats, Problem, Selection
from .greedy_stops import Budget, Discrepancy, Stop, at, budget_counts, enough, first_below
from .slim import Choice, Cost, cost, dependencies, fold, folded, gap, remove

BY_ANSWERS = ("global", "label_loss")  # what these ask of a neuron is what the whole network answers
RULES = ("local", "negative", "one_over_k", "no_repeats", "random", "norm", "backward", *BY_ANSWERS, "better")

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
    labels: Tensor | None = None,
    seed: int = 0,
) -> Pruned:
    """A slim copy of a plain network (`ltkit.models.plain`), selected on `calibration` images (B, C, H, W).

    `rule` is one of RULES: local imitation, also with negative steps; the predecessor's 1/k step with and without
    repeats; the baselines random (by `seed`), norm and backward; global imitation, with a Taylor `shortlist`; the
    predecessor's label_loss, which goes the same way by the loss on `labels` (B,), given to no other rule; or of local
    and global in each layer the better: the one that leaves fewer neurons, which a budget doesn't, then the one with
    which the network answers the `judge` images (default: calibration) more like the original.

    `target` is what local rules imitate: what the full layer now gives its consumer, or what that received before
    anything was pruned. `tune` trains the slim network in place after each layer. `reweight` refits the weights of the
    selected neurons by least squares on what the consumer receives. `layers` are the producers to prune, default all.
    A layer that no path brings to the stop stays whole. UserError for an unknown rule or layer, a budget that can't be
    met, labels that are missing or that the rule doesn't read, and label_loss with a stop at a discrepancy.
    """
    _check(rule, stop, labels)
    ready = not any(layer.training for layer in module.modules())
    original = module if ready else copy.deepcopy(module).eval()
    net, wanted, image = copy.deepcopy(original), _wanted(original, layers), calibration[:1]
    counts = budget_counts(net, wanted, stop, image) if isinstance(stop, Budget) else {}
    before, graph, difference = cost(net, image), dependencies(net, image), 0.0
    # Up to the layer at hand: the net on its images, on those to judge by, and the original. A layer changes nothing
    # that comes before it, so these go on where they are.
    aim = flow = begin(net, calibration)
    judged = flow if judge is None else begin(net, judge)
    whole, answers = logits(original, flow), logits(original, judged)
    judge_by = by_logits(whole) if labels is None else by_labels(labels)
    power = float(whole.cpu().double().square().sum(1).mean())
    done: list[Layer] = []
    for group in wanted:
        flow = until(net, flow, group.producer)
        judged = flow if judge is None else until(net, judged, group.producer)
        inside, beside = until(net, flow, group.consumer), until(net, judged, group.consumer)
        aimed = None
        if target == "original":
            aim = until(original, aim, group.producer)
            aimed = patches_of(original, group, inputs(original, until(original, aim, group.consumer)))
        given = problem_of(group, patches_of(net, group, inputs(net, inside)), aimed)

        def weigh(found: Selection, given: Problem = given) -> Floats:
            return (greedy.least_squares(given, found) if reweight else found).weights

        tried, masked = [], {}
        for name in ("local", "global") if rule == "better" else (rule,):
            passes, scale = [1], power if name == "global" else given.target
            floor = stop.relative * scale if isinstance(stop, Discrepancy) else 0.0
            if name in BY_ANSWERS:
                asked = counted(answers_of(net, group, judge_by, inside), passes)
                path = _global(asked, group, floor, shortlist)
            else:
                path = _local(name, given, floor, group, seed)
            found = _stopped(path, stop, floor, counts, net, group, weigh)
            choice = _choice(group, found, weigh)
            masked[name] = _masked(net, choice, inside)
            replies = masked[name] if judge is None else _masked(net, choice, beside)
            error = float((replies - answers).cpu().double().square().sum(1).mean())
            tried.append(Layer(choice, name, found, _relative(given, choice.weights), {name: error}, sum(passes)))
        best = min(tried, key=lambda t: (0 if counts else len(t.choice.kept), t.errors[t.rule]))
        errors = {t.rule: t.errors[t.rule] for t in tried}
        done.append(replace(best, errors=errors, passes=sum(t.passes for t in tried)))
        if best.selection is not None:
            fold(net, group, best.choice.weights)
            remove(net, group, best.choice.kept, image, graph)
            difference = max(difference, gap(masked[best.rule], logits(net, flow)))
        if tune is not None:
            tune(net)
            net.eval()
            flow = begin(net, calibration)
            judged = flow if judge is None else begin(net, judge)
    return Pruned(net, tuple(done), before, cost(net, image), difference)


def _check(rule: str, stop: Stop, labels: Tensor | None) -> None:
    if rule not in RULES:
        raise UserError(f"unknown rule '{rule}'{nearest(rule, RULES)}; known: {', '.join(RULES)}")
    if rule != "label_loss" and labels is not None:
        raise UserError(f"rule '{rule}' reads no labels; only label_loss does")
    if rule == "label_loss" and labels is None:
        raise UserError("rule 'label_loss' needs the labels of the calibration images")
    if rule == "label_loss" and isinstance(stop, Discrepancy):
        raise UserError("rule 'label_loss' measures no discrepancy to stop at; give a Drop or a Budget")


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


def _global(answers: Answers, group: Group, floor: float, shortlist: int | None) -> Path:
    """Paths by the network's answers: each goes on where the one before ended."""
    longest: Selection | None = None

    def path(neurons: int) -> Selection:
        nonlocal longest
        longest = imitate(answers, group.channels, neurons, floor=floor, shortlist=shortlist, start=longest)
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


def _masked(net: fx.GraphModule, choice: Choice, flow: Flow) -> Tensor:
    """The logits with all channels there, those that go multiplied by 0."""
    with folded(net, choice.group, choice.weights):
        return logits(net, flow)


def _relative(given: Problem, weights: Floats) -> float:
    error = float(weights @ given.gram @ weights - 2 * weights @ given.cross + given.target)
    return max(error, 0.0) / given.target if given.target else float("nan")
