"""The Hessian of the loss in a mask's subspace: exactly, or as a product with vectors (gradient_flow.md P8).

Coordinates are the kept weights and whatever no mask prunes: biases, BatchNorm's weights and biases, layers outside the
mask. The loss is the mean cross-entropy of fixed images, without L2 penalty and label smoothing. Spectra of products,
where the matrix is too large, are in `ltkit.analyze.spectrum`.

ReLU and max pooling are taken as linear where they are smooth, as everywhere in torch: at their kinks (a unit without
input sits on one if its bias is 0) the second derivative counts as 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from .. import models
from ..errors import UserError
from ..prune.masks import Mask, apply
from ..spec import Network

State = Mapping[str, Tensor]
Product = Callable[[Tensor], Tensor]  # v (N,) to H v (N,)

MOST = 6000  # coordinates of an exact Hessian: 0.3 GB in float64, half a minute of eigvalsh on one core
IMAGES_AT_ONCE = 1024
ROWS_AT_ONCE = 16


@dataclass(frozen=True)
class Loss:
    """A scalar function of named tensors, as a sum of `parts`, at the point `weights`, in the subspace of `mask`."""

    weights: State
    parts: tuple[Callable[[State], Tensor], ...]
    mask: Mask = field(default_factory=dict)

    @property
    def kept(self) -> dict[str, Tensor]:
        """The coordinates: of each tensor the flat indices that the mask keeps."""
        every = {name: torch.ones_like(w, dtype=torch.bool) for name, w in self.weights.items()}
        return {name: m.flatten().nonzero().flatten() for name, m in {**every, **self.mask}.items()}

    @property
    def size(self) -> int:
        """How many coordinates there are."""
        return sum(len(index) for index in self.kept.values())


def cross_entropy(
    network: Network,
    shape: tuple[int, int, int],
    classes: int,
    state: State,
    mask: Mask,
    x: Tensor,
    y: Tensor,
    *,
    bn: Literal["train", "eval"] = "train",
    dtype: torch.dtype = torch.float64,
) -> Loss:
    """The mean cross-entropy of images x (N, C, H, W), normalised, with labels y (N,), for one network under `mask`.

    `state` are its parameters and buffers, no leading dimension. BatchNorm takes the statistics of all N images
    together (bn="train", what training sees but for the batch's size) or the running ones. Computed in `dtype` on x's
    device: float32 is about twice as fast, and its eigenvalues are good to 1e-6 of the largest.
    """
    with torch.device("meta"):
        net = models.build(network, shape, classes)
    net.train(bn == "train")
    full = {name: t.detach().to(x.device, dtype).unsqueeze(0) for name, t in apply(state, mask).items()}
    buffers = {name: full[name] for name, _ in net.named_buffers()}
    # In the order of the layers, whatever that of `state`: `matrix` is four times as slow where convolutions come last.
    full = {name: full[name] for name, _ in net.named_parameters()}
    size = len(x) if buffers and bn == "train" else IMAGES_AT_ONCE  # statistics of all images need all of them

    def part(images: Tensor, labels: Tensor) -> Callable[[State], Tensor]:
        def loss(weights: State) -> Tensor:
            fresh = {name: t.clone() for name, t in buffers.items()}  # train mode writes into them
            logits = functional_call(net, {**weights, **fresh}, (images.unsqueeze(0),), strict=True)[0]
            return F.cross_entropy(logits, labels, reduction="sum") / len(x)

        return loss

    parts = tuple(part(*pair) for pair in zip(x.to(dtype).split(size), y.split(size), strict=True))
    return Loss(full, parts, {name: m.to(x.device).unsqueeze(0) for name, m in mask.items()})


def matrix(loss: Loss) -> Tensor:
    """The Hessian (N, N) in the order of `loss.kept`, symmetric to the last bit. UserError for more than `MOST` rows.

    Of each tensor's rows only the columns of that tensor and of those behind it are computed; the rest is symmetry.
    So the many weights of a conv net's linear layers don't pass through its convolutions again.
    """
    if loss.size > MOST:
        raise UserError(
            f"an exact Hessian of {loss.size} coordinates is too large (at most {MOST}): use ltkit.analyze.spectrum, "
            "a smaller network or a lower density"
        )
    kept = loss.kept
    sizes = [len(index) for index in kept.values()]
    found = next(iter(loss.weights.values())).new_zeros(loss.size, loss.size)
    for part in loss.parts:
        leaves, grads = _gradient(part, loss.weights)
        begin = 0
        for at, (name, size) in enumerate(zip(kept, sizes, strict=True)):
            behind = list(leaves)[at:]
            for rows in torch.arange(size).split(ROWS_AT_ONCE) if grads[at].requires_grad and size else ():
                chosen = kept[name][rows.to(kept[name].device)]
                units = F.one_hot(chosen, leaves[name].numel()).to(leaves[name].dtype).view(-1, *leaves[name].shape)
                second = torch.autograd.grad(
                    grads[at],
                    [leaves[other] for other in behind],
                    units,
                    retain_graph=True,
                    is_grads_batched=True,
                    allow_unused=True,  # materialized zeros would lack the rows
                )
                columns = [
                    units.new_zeros(len(rows), len(kept[other])) if t is None else t.flatten(1)[:, kept[other]]
                    for other, t in zip(behind, second, strict=True)
                ]
                found[begin + rows[0] : begin + rows[-1] + 1, begin:] += torch.cat(columns, 1)
            begin += size
    return _mirrored(found, sizes)


def exact(loss: Loss) -> Tensor:
    """All eigenvalues of the Hessian, ascending, (N,) float64 on the CPU. UserError for more than `MOST` of them."""
    return torch.linalg.eigvalsh(matrix(loss).cpu().double())


def product(loss: Loss) -> Product:
    """v -> H v for vectors (N,) in the order of `loss.kept`. The gradient's graph is kept if there is a single part."""
    kept = loss.kept
    sizes = [len(index) for index in kept.values()]
    graph = _gradient(loss.parts[0], loss.weights) if len(loss.parts) == 1 else None

    def times(v: Tensor) -> Tensor:
        parts = dict(zip(kept, v.split(sizes), strict=True))
        direction = {name: torch.zeros_like(w) for name, w in loss.weights.items()}
        for name, values in parts.items():
            direction[name].view(-1)[kept[name]] = values.to(direction[name])
        total = torch.zeros_like(v)
        for part in loss.parts:
            leaves, grads = graph or _gradient(part, loss.weights)
            usable = [(g, direction[name]) for name, g in zip(leaves, grads, strict=True) if g.requires_grad]
            second = torch.autograd.grad(
                [g for g, _ in usable],
                list(leaves.values()),
                [d for _, d in usable],
                retain_graph=graph is not None,
                allow_unused=True,
                materialize_grads=True,
            )
            total += torch.cat([t.flatten()[kept[name]] for name, t in zip(leaves, second, strict=True)]).to(v)
        return total

    return times


def _gradient(part: Callable[[State], Tensor], weights: State) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
    """Leaves at `weights` and the gradient with respect to them, to be differentiated again."""
    leaves = {name: w.detach().requires_grad_() for name, w in weights.items()}
    grads = torch.autograd.grad(
        part(leaves), list(leaves.values()), create_graph=True, allow_unused=True, materialize_grads=True
    )
    return leaves, grads


def _mirrored(upper: Tensor, sizes: list[int]) -> Tensor:
    """The whole matrix from its block upper triangle; the blocks on the diagonal, computed whole, are averaged."""
    begin = 0
    for size in sizes:
        block = slice(begin, begin + size)
        upper[block, block] = (upper[block, block] + upper[block, block].T) / 2
        upper[begin + size :, block] = upper[block, begin + size :].T
        begin += size
    return upper
