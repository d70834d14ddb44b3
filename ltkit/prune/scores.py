"""Scores of weights that have not been trained: SNIP, GraSP, SynFlow, magnitude (sanity_checks.md sections 2 and 3).

All of it works on a cohort: `net` is `ltkit.models.build`'s module for R members, `state` its parameters and buffers by
name, (R, ...) each; the module's own tensors are neither read nor changed, nor are those of `state`. Nothing mixes
members: the gradient of the sum of their losses holds each member's own gradient. Scores only rank, so none is
normalised. A larger score is a weight to keep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from ..errors import UserError
from ..spec import round_half_up
from .masks import Mask, by_score

State = Mapping[str, Tensor]
Scores = dict[str, Tensor]
Norm = Literal["train", "eval"]  # BatchNorm with the batch's statistics or with the running ones
Halves = Literal["mixed", "sorted"]
Method = Literal["snip", "grasp", "synflow", "magnitude"]


def snip(net: nn.Module, state: State, names: Sequence[str], x: Tensor, y: Tensor, bn: Norm = "train") -> Scores:
    """|w * dL/dw| of each weight of `names`, L a member's mean cross-entropy: how much a gate on w moves the loss.

    Images x (R, B, C, H, W), already normalised, labels y (R, B). The paper divides by the sum of the scores.
    """
    leaves = _leaves(state, names)
    grads = torch.autograd.grad(_loss(net, {**state, **leaves}, x, y, bn), list(leaves.values()))
    return {name: (w.detach() * g).abs_() for (name, w), g in zip(leaves.items(), grads, strict=True)}


def grasp(
    net: nn.Module,
    state: State,
    names: Sequence[str],
    x: Tensor,
    y: Tensor,
    halves: Halves = "mixed",
    bn: Norm = "train",
    temperature: float = 200.0,
) -> Scores:
    """w * (H g) of each weight of `names`: the negative of the sheet's S, of which the paper removes the largest.

    Images and labels as for `snip`. They are split in two halves, over which gradients are summed: "sorted" takes the
    first half of the classes and then the other, as the paper's code does; "mixed" puts every second image of each
    class into either. Logits are divided by `temperature`. g is a constant when H g = d(g * f)/dw is taken, H and g are
    those of the weights of `names` alone. UserError if "mixed" finds a class with a single image.
    """
    leaves, parts = _leaves(state, names), _split(x, y, halves)
    weights = list(leaves.values())

    def gradient(x: Tensor, y: Tensor, create_graph: bool) -> tuple[Tensor, ...]:
        loss = _loss(net, {**state, **leaves}, x, y, bn, temperature)
        return torch.autograd.grad(loss, weights, create_graph=create_graph)

    firsts = [gradient(*part, create_graph=False) for part in parts]
    g = [a + b for a, b in zip(*firsts, strict=True)]
    curvature = [torch.zeros_like(w) for w in weights]
    for part in parts:  # one at a time, and forward again: a graph of gradients takes much memory
        f = gradient(*part, create_graph=True)
        z = torch.stack([(a * b).sum() for a, b in zip(g, f, strict=True)]).sum()
        for total, each in zip(curvature, torch.autograd.grad(z, weights), strict=True):
            total += each
    return {name: w.detach() * hg for (name, w), hg in zip(leaves.items(), curvature, strict=True)}


def synflow(net: nn.Module, state: State, names: Sequence[str], shape: tuple[int, int, int]) -> Scores:
    """|dR/dw * w| of each weight of `names` in float64, R the summed output for one image (C, H, W) of ones.

    The network is the product of its |weights| alone: biases and BatchNorm, which is in eval mode, count as fresh
    (0; weight 1, bias 0, mean 0, variance 1), whatever `state` holds, so that every score is a sum over paths and not
    negative. For a mask, pass weights that are 0 where it prunes. Nothing is scaled: R is about 1e139 for ResNet-110,
    float64 ends at 1e308, and a factor on a layer inside a residual branch would change the ranking.
    """
    fresh = {name: _positive(name, t) for name, t in state.items()}
    leaves = _leaves(fresh, names)
    some = next(iter(leaves.values()))
    ones = torch.ones(len(some), 1, *shape, dtype=some.dtype, device=some.device)
    flow = _forward(net, {**fresh, **leaves}, ones, "eval").sum()
    grads = torch.autograd.grad(flow, list(leaves.values()))
    return {name: (w.detach() * g).abs_() for (name, w), g in zip(leaves.items(), grads, strict=True)}


def magnitude(state: State, names: Sequence[str]) -> Scores:
    """|w| of each weight of `names`."""
    return {name: state[name].detach().abs() for name in names}


def score_masks(
    net: nn.Module,
    state: State,
    names: Sequence[str],
    kept: Sequence[int],
    method: Method,
    x: Tensor | None = None,
    y: Tensor | None = None,
    *,
    shape: tuple[int, int, int] | None = None,
    rounds: int = 1,
    keep: Literal["largest", "smallest"] = "largest",
    bn: Norm = "train",
    halves: Halves = "mixed",
) -> list[Mask]:
    """A mask a member (CPU) that keeps exactly `kept[r]` weights of `names`, in one ranking over all of them.

    snip and grasp need the images `x` and labels `y`, synflow the `shape` of an image. In each of `rounds` rounds (the
    paper: 100 for synflow, 1 for the others) the masked network is scored and cut to `schedule`'s count; a masked
    weight never comes back. keep="smallest" is the inverted mask: the worst-scored of those alive, round by round.
    Where a round scores 0 everywhere, since no signal passes any more, the last scores that told weights apart rank
    on. UserError if scores are not finite or 0 from the start.
    """
    members = len(state[names[0]])
    if len(kept) != members:
        raise ValueError(f"{members} members, but {len(kept)} counts of weights to keep")

    def score(state: State) -> Scores:
        if method == "magnitude":
            return magnitude(state, names)
        if method == "synflow" and shape is not None:
            return synflow(net, state, names, shape)
        if method == "snip" and x is not None and y is not None:
            return snip(net, state, names, x, y, bn)
        if method == "grasp" and x is not None and y is not None:
            return grasp(net, state, names, x, y, halves, bn)
        raise ValueError(f"{method!r} is no method or lacks its input: snip and grasp need x and y, synflow a shape")

    total = sum(state[name][0].numel() for name in names)
    found: list[Mask] = []
    last: list[Scores] = [{}] * members
    pruned = dict(state)
    for counts in zip(*(schedule(total, count, rounds) for count in kept), strict=True):
        scores = score(pruned)
        peaks = torch.stack([torch.linalg.vector_norm(s.flatten(1), torch.inf, 1) for s in scores.values()]).amax(0)
        if not peaks.isfinite().all():
            raise UserError(f"{method} can't rank the weights: some of its scores are not finite")
        alive, found = found, []
        for r, count in enumerate(counts):
            if peaks[r] > 0:
                last[r] = {name: s[r].cpu() if keep == "largest" else -s[r].cpu() for name, s in scores.items()}
            elif not last[r]:
                raise UserError(f"{method} can't rank the weights: all its scores are 0, no signal passes the network")
            found.append(by_score(last[r], count, alive[r] if alive else None))
        for name in names:
            stacked = torch.stack([mask[name] for mask in found])
            pruned[name] = state[name].detach() * stacked.to(state[name].device)
    return found


def schedule(total: int, kept: int, rounds: int) -> list[int]:
    """How many of `total` weights are left after each round: total * density^(k / rounds), the last exactly `kept`.

    Rounded half up. density is kept / total (SynFlow, sanity_checks.md section 3).
    """
    density = kept / total
    left = [round_half_up(Fraction(density ** (k / rounds) * total)) for k in range(1, rounds)]
    return [*left, kept]


def balanced_rows(y: Tensor, classes: int, per_class: int, generator: torch.Generator) -> Tensor:
    """Rows of `per_class` images of each class, sorted by class, drawn without replacement: y (N,) to (classes * n,).

    UserError for a class that has fewer images.
    """
    rows = []
    for label in range(classes):
        own = (y == label).nonzero().flatten()
        if len(own) < per_class:
            raise UserError(f"scoring needs {per_class} images of each class, class {label} has {len(own)}")
        rows.append(own[torch.randperm(len(own), generator=generator)[:per_class]])
    return torch.cat(rows)


def _leaves(state: State, names: Sequence[str]) -> Scores:
    return {name: state[name].detach().requires_grad_() for name in names}


def _forward(net: nn.Module, state: State, x: Tensor, bn: Norm) -> Tensor:
    """Logits (R, B, classes) with the tensors of `state`; running statistics are written to copies."""
    buffers = {name: state[name].clone() for name, _ in net.named_buffers()}
    was = net.training
    net.train(bn == "train")
    try:
        return functional_call(net, {**state, **buffers}, (x,), strict=True)
    finally:
        net.train(was)


def _loss(net: nn.Module, state: State, x: Tensor, y: Tensor, bn: Norm, temperature: float = 1.0) -> Tensor:
    """The sum over members of their mean cross-entropy."""
    logits = _forward(net, state, x, bn) / temperature
    return F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none").view(y.shape).mean(1).sum()


def _split(x: Tensor, y: Tensor, halves: Halves) -> list[tuple[Tensor, Tensor]]:
    """Two batches out of one, each member's images sorted by class first."""
    order, middle = y.argsort(dim=1, stable=True), y.shape[1] // 2
    if halves == "mixed":
        for labels in y:
            single = (labels.bincount() == 1).nonzero().flatten().tolist()
            if single:
                raise UserError(f"GraSP with mixed halves needs 2 images of each class, class {single[0]} has 1")
    parts = [order[:, 0::2], order[:, 1::2]] if halves == "mixed" else [order[:, :middle], order[:, middle:]]
    member = torch.arange(len(y), device=y.device).unsqueeze(1)
    return [(x[member, rows], y.gather(1, rows)) for rows in parts]


def _positive(name: str, t: Tensor) -> Tensor:
    """|weights| in float64; a bias or a tensor of BatchNorm, (R, n), as in a fresh network."""
    wide = t.detach().cpu().double() if t.device.type == "mps" else t.detach().double()  # Apple's GPUs have no float64
    return wide.abs() if t.dim() > 2 else torch.full_like(wide, name.endswith((".weight", ".running_var")))
