"""Error along straight paths between networks, many weight vectors at once (mode_connectivity.md section 2, P1, P2).

A path runs from `b` at α = 0 to `a` at α = 1, w(α) = α·a + (1 − α)·b over weights, biases and BatchNorm's buffers
alike, and straight on for α beyond them (where averaged variances may turn negative, which is no network: recompute
them). What BatchNorm's statistics are on the way is the caller's choice, and moves the barrier (section 7.3):

    interpolate   the averaged buffers; the ends are the two networks as they were trained
    recompute     estimated anew at every point, the ends included, from fixed training images
    none          the network has no BatchNorm
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice

import pandas as pd
import torch
from torch import Tensor, nn

from ..errors import UserError, nearest
from ..models import build
from ..models.layers import BatchNorm
from ..prune.masks import Mask, apply
from ..spec import Network
from ..train.evaluate import IMAGES_AT_ONCE, Score, evaluate

State = Mapping[str, Tensor]  # parameters and buffers of one network, without the cohort's leading dimension
Split = tuple[Tensor, Tensor]  # images (N, C, H, W), normalised, and labels (N,)

BATCH_NORM = ("interpolate", "recompute", "none")
ENDPOINT_MASKS = ("own", "intersection", "sparser")
CALIBRATION_BATCH = 128
MEMBERS = IMAGES_AT_ONCE // CALIBRATION_BATCH  # so that calibrating takes no more memory than evaluating
GROUP_BYTES = 2**28  # of the weights that are stacked at once
LARGE_MAP = 16 * 16  # pixels from which a CPU is faster with convolutions of one network than with grouped ones


@dataclass(frozen=True)
class Pair:
    """The two ends of a path, `a` at α = 1 and `b` at α = 0, with the masks they were trained under ({}: dense)."""

    name: str
    a: State
    b: State
    mask_a: Mask = field(default_factory=dict)
    mask_b: Mask = field(default_factory=dict)


def interpolate(a: State, b: State, alphas: Iterable[float]) -> list[dict[str, Tensor]]:
    """alpha·a + (1 − alpha)·b for each alpha, tensor by tensor.

    At 0 and 1 the very bits of b and a, and between twins the very bits of both (torch.lerp sees to it).
    """
    return [_point(a, b, alpha) for alpha in alphas]


def _point(a: State, b: State, alpha: float) -> dict[str, Tensor]:
    return {name: torch.lerp(b[name], a[name], float(alpha)) for name in a}


def ends(pair: Pair, endpoint_mask: str = "own") -> tuple[State, State]:
    """The states that a path joins, (a, b), for pairs whose masks differ (P2).

    own: each under its own mask. intersection: both under the weights that both keep. sparser: both under the mask that
    keeps fewer weights (b's if they keep as many). But for `own` an end is no longer the network that was trained.
    """
    if endpoint_mask not in ENDPOINT_MASKS:
        raise UserError(_unknown("endpoint_mask", endpoint_mask, ENDPOINT_MASKS))
    if endpoint_mask == "own":
        return apply(pair.a, pair.mask_a), apply(pair.b, pair.mask_b)
    names = pair.mask_a.keys() | pair.mask_b.keys()
    full_a, full_b = (
        {name: mask.get(name, torch.ones_like(pair.a[name], dtype=torch.bool)) for name in names}
        for mask in (pair.mask_a, pair.mask_b)
    )
    if endpoint_mask == "intersection":
        shared = {name: full_a[name] & full_b[name] for name in names}
    else:
        fewer_in_a = sum(int(full_a[name].sum()) - int(full_b[name].sum()) for name in names) < 0
        shared = full_a if fewer_in_a else full_b
    return apply(pair.a, shared), apply(pair.b, shared)


def scores(
    network: Network,
    shape: tuple[int, int, int],
    classes: int,
    members: Iterable[State],
    x: Tensor,
    y: Tensor,
    *,
    batch_norm: str = "as_is",
    calibration: Tensor | None = None,
    device: torch.device | None = None,
    group: int | None = None,
    precision: str = "fp32",
) -> list[Score]:
    """The score of each state on images x (N, C, H, W), already normalised, with labels y (N,), in order.

    `members` may be a generator: `group` states are held and evaluated together at a time (None: as many as are fast on
    `device` and need little memory). batch_norm="recompute" replaces BatchNorm's buffers by statistics of the images
    `calibration` (`recalibrate`); "as_is" leaves them. `device` is that of x unless given; `precision` should be the
    one of the runs' recipe.
    """
    device = device or x.device
    found = _evaluated(
        network, shape, classes, members, {"": (x, y)}, batch_norm, calibration, device, group, precision
    )
    return [of[""] for of in found]


def path(
    network: Network,
    shape: tuple[int, int, int],
    classes: int,
    pairs: Sequence[Pair],
    alphas: Sequence[float],
    splits: Mapping[str, Split],
    *,
    batch_norm: str,
    endpoint_mask: str = "own",
    calibration: Tensor | None = None,
    device: torch.device | None = None,
    group: int | None = None,
    precision: str = "fp32",
) -> pd.DataFrame:
    """E_α of every pair, all points of all pairs evaluated together: a row a pair, α and split.

    Columns: pair, alpha, split, error (percent), loss (nats), count (images). A point whose loss is no number has no
    error either. Under batch_norm="interpolate" and endpoint_mask="own" the ends score what the runs scored. UserError
    if `batch_norm` doesn't fit the network; the other arguments are those of `scores`.
    """
    if batch_norm not in BATCH_NORM:
        raise UserError(_unknown("batch_norm", batch_norm, BATCH_NORM))
    if batch_norm == "none" and network.norm == "batch":
        raise UserError(f"{network.arch} has BatchNorm: batch_norm must be 'recompute' or 'interpolate', not 'none'")
    if len({pair.name for pair in pairs}) < len(pairs):
        raise ValueError("two pairs have one name")
    mode = "recompute" if batch_norm == "recompute" else "as_is"
    device = device or next(iter(splits.values()))[0].device
    first: dict[tuple[object, ...], tuple[Pair, float]] = {}  # a network at the end of many paths is evaluated once
    for pair in pairs:
        for alpha in alphas:
            first.setdefault(_state(pair, alpha, endpoint_mask), (pair, alpha))
    members = _points(first.values(), endpoint_mask)
    scored = _evaluated(network, shape, classes, members, splits, mode, calibration, device, group, precision)
    found = dict(zip(first, scored, strict=True))
    rows = [
        (pair.name, float(alpha), split, error(score), score.loss, score.count)
        for pair in pairs
        for alpha in alphas
        for split, score in found[_state(pair, alpha, endpoint_mask)].items()
    ]
    return pd.DataFrame(rows, columns=["pair", "alpha", "split", "error", "loss", "count"])


def _points(places: Iterable[tuple[Pair, float]], endpoint_mask: str) -> Iterator[State]:
    for _, along in groupby(places, key=lambda place: place[0].name):
        here = list(along)
        a, b = ends(here[0][0], endpoint_mask)
        yield from (_point(a, b, alpha) for _, alpha in here)


def _state(pair: Pair, alpha: float, endpoint_mask: str) -> tuple[object, ...]:
    """What two points must share to be one network for sure: the very tensors of an end under its own mask."""
    if endpoint_mask == "own" and alpha in (0, 1):
        return (id(pair.a), id(pair.mask_a)) if alpha == 1 else (id(pair.b), id(pair.mask_b))
    return (pair.name, alpha)


def error(score: Score) -> float:
    """Classification error in percent; NaN where the loss is, since a network that diverged has no error."""
    return float("nan") if score.loss != score.loss else 100 * (score.count - score.correct) / score.count


def _unknown(what: str, given: str, known: tuple[str, ...]) -> str:
    return f"unknown {what} '{given}'{nearest(given, known)}; known: {', '.join(known)}"


def _evaluated(
    network: Network,
    shape: tuple[int, int, int],
    classes: int,
    members: Iterable[State],
    splits: Mapping[str, Split],
    batch_norm: str,
    calibration: Tensor | None,
    device: torch.device,
    group: int | None,
    precision: str,
) -> Iterator[dict[str, Score]]:
    """Each member's scores by split, in order. Images are moved to the device once and shared by all members."""
    if batch_norm not in ("as_is", "recompute"):
        raise ValueError(f"batch_norm must be 'as_is' or 'recompute', not '{batch_norm}'")
    anew = batch_norm == "recompute" and network.norm == "batch"
    if anew and (calibration is None or len(calibration) == 0):
        raise ValueError("recomputing BatchNorm's statistics needs calibration images")
    splits = {name: (x.to(device), y.to(device)) for name, (x, y) in splits.items()}
    calibration = calibration.to(device) if anew and calibration is not None else None
    for net, count in stacks(network, shape, classes, members, device, group):
        if calibration is not None:
            recalibrate(net, calibration, count, precision)
        found = {name: evaluate(net, x, y, count, precision) for name, (x, y) in splits.items()}
        for r in range(count):
            yield {name: each[r] for name, each in found.items()}


def stacks(
    network: Network,
    shape: tuple[int, int, int],
    classes: int,
    members: Iterable[State],
    device: torch.device,
    group: int | None = None,
) -> Iterator[tuple[nn.Module, int]]:
    """Cohort networks on `device` that hold the states of `members` in order, `group` at a time, and how many each."""
    left = iter(members)
    for first in left:
        states = [first, *islice(left, (group or _group(network, shape, first, device)) - 1)]
        yield _stacked(network, shape, classes, states, device), len(states)


def _group(network: Network, shape: tuple[int, int, int], state: State, device: torch.device) -> int:
    """How many such networks to evaluate together."""
    if device.type == "cpu" and network.arch != "lenet_300_100" and shape[1] * shape[2] > LARGE_MAP:
        return 1
    return max(1, min(MEMBERS, GROUP_BYTES // sum(t.numel() * t.element_size() for t in state.values())))


def _stacked(
    network: Network, shape: tuple[int, int, int], classes: int, states: Sequence[State], device: torch.device
) -> nn.Module:
    with torch.device("meta"):
        net = build(network, shape, classes, len(states))
    stacked = {name: torch.stack([state[name] for state in states]).to(device) for name in net.state_dict()}
    net.load_state_dict(stacked, assign=True)
    return net


@torch.no_grad()
def recalibrate(net: nn.Module, x: Tensor, members: int, precision: str = "fp32") -> None:
    """Sets BatchNorm's running statistics to a plain average over the batches of x (N, C, H, W); no weight changes.

    Batches of `CALIBRATION_BATCH` are taken in the order of x, whatever the cohort, and an incomplete last one is left
    out unless it is the only one. So x should be shuffled: batches of one class have statistics of their own.
    """
    norms = [module for module in net.modules() if isinstance(module, BatchNorm)]
    was = net.training
    net.train()
    for index in range(max(1, len(x) // CALIBRATION_BATCH)):
        images = x[index * CALIBRATION_BATCH :][:CALIBRATION_BATCH]
        for norm in norms:
            norm.momentum = 1 / (index + 1)  # 1 at the first batch, which forgets what was there
        with torch.autocast(x.device.type, torch.bfloat16, enabled=precision == "bf16"):
            net(images.expand(members, *images.shape))
    net.train(was)
