"""Training of plain networks: after a selection, and the control from fresh weights (greedy_bounds.md P6).

The lab trains cohorts of one architecture. Slim networks differ in every width, so each is trained alone, or with those
that have the same widths, by plain SGD on data that is one tensor. Everything here works in place, but for `fresh`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from ..models.initial import draw
from ..models.plain import cohort_of
from ..seeds import generator
from ..train.optim import sgd
from .small_maps import small_maps

if TYPE_CHECKING:
    from ..spec import Network

IMAGES_AT_ONCE = 1024  # where no gradient is needed
DRAW = 1000  # of fresh weights; those of runs are below, so these are nobody's θ_0


def tune(
    module: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    lr: float,
    epochs: int,
    batch_size: int,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    seed: int = 0,
) -> None:
    """SGD on cross-entropy with `images` (N, C, H, W), already normalised, and `labels` (N,); eval mode at the end.

    The learning rate falls from `lr` to 0 as a half cosine; weight decay is that of all parameters. Order and end
    depend on `seed` alone. Each epoch leaves its last, incomplete batch out; a batch is at most the whole set.
    ValueError for images without labels.
    """
    optimizer = torch.optim.SGD(module.parameters(), lr, momentum, weight_decay=weight_decay, fused=True)
    module.train()
    with small_maps(module):
        for (chosen,), factor in _steps(images, labels, epochs, batch_size, [seed]):
            optimizer.param_groups[0]["lr"] = lr * factor
            optimizer.zero_grad()
            F.cross_entropy(module(images[chosen]), labels[chosen]).backward()
            optimizer.step()
    optimizer.zero_grad()
    module.eval()


def tune_together(
    modules: Sequence[nn.Module],
    network: Network,
    images: Tensor,
    labels: Tensor,
    *,
    classes: int,
    lrs: Sequence[float],
    seeds: Sequence[int],
    epochs: int,
    batch_size: int,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
) -> None:
    """`tune` for several slim copies of `network` as one cohort, each with a learning rate and a seed of its own.

    The same but for rounding. ValueError if their widths aren't equal.
    """
    channels, height, width = images.shape[1:]
    net = cohort_of(network, (channels, height, width), classes, [module.state_dict() for module in modules])
    weights = list(net.parameters())
    rates = [w.new_tensor([-lr for lr in lrs]).view(-1, *[1] * (w.dim() - 1)) for w in weights]
    decays = [torch.full_like(rate, weight_decay) for rate in rates] if weight_decay else None
    slots = [[torch.zeros_like(w) for w in weights]] if momentum else []
    for chosen, factor in _steps(images, labels, epochs, batch_size, seeds):
        loss = F.cross_entropy(net(images[chosen]).flatten(0, 1), labels[chosen].flatten(), reduction="sum")
        grads = torch.autograd.grad(loss / chosen.shape[1], weights)
        with torch.no_grad():
            sgd(weights, weights, grads, [factor * rate for rate in rates], decays, slots, momentum, nesterov=False)
    for r, module in enumerate(modules):
        module.load_state_dict({name: t[r] for name, t in net.state_dict().items()}, strict=False)
        module.eval()


def _steps(
    images: Tensor, labels: Tensor, epochs: int, batch_size: int, seeds: Sequence[int]
) -> Iterator[tuple[Tensor, float]]:
    """Which images a step is made of for each seed (R, B), and its share of the learning rate."""
    if not 0 < len(images) == len(labels):
        raise ValueError(f"as many labels as images are needed, at least one: {len(labels)} and {len(images)}")
    batch = min(batch_size, len(images))
    per_epoch = len(images) // batch
    for step in range(epochs * per_epoch):
        epoch, place = divmod(step, per_epoch)
        if not place:
            orders = [torch.randperm(len(images), generator=generator("tune", seed, epoch)) for seed in seeds]
            order = torch.stack(orders).to(images.device)
        share = 0.5 * (1 + math.cos(math.pi * step / (epochs * per_epoch)))
        yield order[:, place * batch : (place + 1) * batch], share


def fresh(module: fx.GraphModule, seed: int, scheme: str = "kaiming_normal") -> fx.GraphModule:
    """A copy of the network with weights drawn anew, BatchNorm as at the start: the control trained from scratch.

    Drawn as `Init` draws them; He's scheme suits networks with ReLU, "glorot_normal" is the LeNets' of the papers.
    """
    new = copy.deepcopy(module)
    state = {name: t for name, t in new.state_dict().items() if t.dim()}  # all but the counts of batches
    drawn = draw({name: t.shape for name, t in state.items()}, seed, DRAW, scheme)
    for name, tensor in state.items():
        tensor.copy_(drawn[name])
    for layer in _norms(new):
        layer.reset_running_stats()
    return new


@torch.no_grad()
def recalibrate(module: nn.Module, images: Tensor) -> None:
    """Sets BatchNorm's statistics to those of `images` (N, C, H, W), a plain average over equal batches (trap 10).

    Nothing else changes; eval mode at the end. ValueError without images.
    """
    if not len(images):
        raise ValueError("BatchNorm's statistics can't be taken from no images")
    norms = _norms(module)
    before = [layer.momentum for layer in norms]
    for layer in norms:
        layer.reset_running_stats()
        layer.momentum = None  # torch's word for a plain average
    module.train()
    for some in images.tensor_split(-(-len(images) // IMAGES_AT_ONCE)) if norms else ():
        module(some)
    for layer, momentum in zip(norms, before, strict=True):
        layer.momentum = momentum
    module.eval()


def accuracy(module: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Percent of `images` (N, C, H, W) that the network answers right in eval mode; NaN if an answer is no number."""
    logits = _logits(module, images)
    if logits.isnan().any():
        return float("nan")
    return 100 * int((logits.argmax(1) == labels).sum()) / len(labels)


def loss(module: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Mean cross-entropy (nats) on `images` (N, C, H, W) in eval mode."""
    return float(F.cross_entropy(_logits(module, images), labels))


@torch.no_grad()
def _logits(module: nn.Module, images: Tensor) -> Tensor:
    """In eval mode; afterwards the network is in the mode it was in."""
    was = module.training
    module.eval()
    logits = torch.cat([module(some) for some in images.split(IMAGES_AT_ONCE)])
    module.train(was)
    return logits


def _norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    return [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
