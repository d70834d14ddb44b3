"""Which channels of a plain network can be removed, and what each contributes to the layer that reads it.

A group (greedy_bounds.md 2, P7) is a layer that makes channels, what stands between, and the one layer that reads them,
its consumer. Between are only BatchNorm, ReLU, pools, flattening and convolutions within each channel, so a channel can
go without touching another. Channels on a residual stream are read by several layers and belong to no group: of a
ResNet's block those inside, of MobileNet-v2's the expansion. Outputs that meet no ReLU (v2's projections) are left
alone too.

Neuron j's contribution φ_j is N times the consumer's response to channel j alone, on a fixed set of images and in eval
mode. Where the consumer is a convolution it is taken at sampled positions: each is a patch of inputs and its outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from ..seeds import generator
from .flow import begin, inputs, until
from .greedy_problem import Floats, Problem, from_gram, matrix

ROWS = 4096  # patches at most, where the consumer is a convolution
IMAGES_AT_ONCE = 256  # go through the network at once
UNFOLDED_AT_ONCE = 32  # of them, their patches are held at once
NUMBERS_AT_ONCE = 2**24  # of explicit contributions, 128 MiB


@dataclass(frozen=True)
class Group:
    """Channels that can be removed one by one; names are those of the network's modules."""

    producer: str
    between: tuple[str, ...]  # BatchNorms and convolutions within each channel
    consumer: str
    channels: int  # N
    reads: int  # inputs of a linear consumer that one channel fills: H*W behind a flattened map, else 1


def groups(module: fx.GraphModule) -> list[Group]:
    """All groups of a network made by `ltkit.models.plain.torch_module`, from input to output."""
    found = (_follow(module, node) for node in module.graph.nodes if _mixes(_layer(module, node)))
    return [group for group in found if group is not None]


def _layer(module: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return module.get_submodule(str(node.target)) if node.op == "call_module" else None


def _mixes(layer: nn.Module | None) -> bool:
    """Whether each output of a layer is made of all inputs."""
    return isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1)


def _follow(module: fx.GraphModule, node: fx.Node) -> Group | None:
    producer, activated = str(node.target), False
    between: list[str] = []
    while len(node.users) == 1:
        (node,) = node.users
        layer = _layer(module, node)
        if _mixes(layer):
            width, inputs = (module.get_parameter(f"{n}.weight").shape for n in (producer, str(node.target)))
            group = Group(producer, tuple(between), str(node.target), width[0], inputs[1] // width[0])
            return group if activated else None
        if layer is not None:
            between.append(str(node.target))
        elif node.target is F.relu:
            activated = True
        elif node.target not in (F.max_pool2d, torch.flatten, "flatten", "mean"):
            return None
    return None


@torch.no_grad()
def patches(module: fx.GraphModule, group: Group, images: Tensor, rows: int = ROWS) -> tuple[Floats, Floats]:
    """What the consumer multiplies: inputs (P, N, Q) and its weight (O, N, Q), both float64.

    A row is an image where the consumer is linear, with Q = `group.reads`. Where it is a convolution, a row is a
    position in an image and Q is the kernel's size: all positions, or `rows` of them, the same ones in every call for
    that layer and as many images. The network is put into eval mode.
    """
    module.eval()
    parts = [
        inputs(module, until(module, begin(module, some), group.consumer)) for some in images.split(IMAGES_AT_ONCE)
    ]
    return patches_of(module, group, torch.cat(parts), rows)


@torch.no_grad()
def patches_of(module: nn.Module, group: Group, received: Tensor, rows: int = ROWS) -> tuple[Floats, Floats]:
    """`patches` from what the consumer receives for all images."""
    consumer, w = module.get_submodule(group.consumer), module.get_parameter(f"{group.consumer}.weight").cpu().double()
    x = _sampled(consumer, group, received, rows) if isinstance(consumer, nn.Conv2d) else received
    x = x.cpu().double()
    return x.view(len(x), group.channels, -1).numpy(), w.view(len(w), group.channels, -1).numpy()


def _sampled(consumer: nn.Conv2d, group: Group, x: Tensor, rows: int) -> Tensor:
    """Patches of a convolution's input as rows (P, inputs of one output)."""
    order, begin = None, 0
    taken: list[Tensor] = []
    assert isinstance(consumer.padding, tuple)
    for some in x.split(UNFOLDED_AT_ONCE):
        unfolded = F.unfold(some, consumer.kernel_size, padding=consumer.padding, stride=consumer.stride)
        found = unfolded.transpose(1, 2).flatten(0, 1)
        if order is None:
            order = _sample(group, len(found) // len(some) * len(x), rows).to(x.device)
        taken.append(found[order[(order >= begin) & (order < begin + len(found))] - begin])
        begin += len(found)
    return torch.cat(taken)


def _sample(group: Group, total: int, rows: int) -> Tensor:
    if total <= rows:
        return torch.arange(total)
    return torch.randperm(total, generator=generator("patches", group.consumer, total))[:rows].sort().values


def contributions(module: fx.GraphModule, group: Group, images: Tensor, rows: int = ROWS) -> Floats:
    """All φ explicitly, (N, P * O): for small layers, the bounds and tests."""
    return _explicit(*patches(module, group, images, rows))


def problem(
    module: fx.GraphModule, group: Group, images: Tensor, original: fx.GraphModule | None = None, rows: int = ROWS
) -> Problem:
    """The contributions of a group's channels, for selection; the target is their mean, what the full layer gives.

    With `original`, the network before anything was pruned, the target is what the consumer receives there, without its
    bias; most bounds lapse then (sheet P6). ValueError for activations that are no finite numbers.
    """
    before = None if original is None else patches(original, group, images, rows)
    return problem_of(group, patches(module, group, images, rows), before)


def problem_of(group: Group, now: tuple[Floats, Floats], before: tuple[Floats, Floats] | None = None) -> Problem:
    """`problem` from the patches of the network and perhaps of the original one."""
    x, w = now
    products = from_gram(gram(x, w))
    if before is None:
        return products
    whole, weight = before
    t = whole.reshape(len(whole), -1) @ weight.reshape(len(weight), -1).T
    back = (t @ w.reshape(len(w), -1)).reshape(x.shape)
    cross = group.channels * np.einsum("pjq,pjq->j", x, back)
    return Problem(products.gram, matrix(cross[None])[0], float((t**2).sum()))


def gram(x: Floats, w: Floats) -> Floats:
    """All ⟨φ_i, φ_j⟩ (N, N) of inputs (P, N, Q) and weight (O, N, Q), by whichever of two ways multiplies less.

    Where Q is small: the products of inputs times the products of weights, summed over both Q (sheet P3, of which the
    linear layer is Q = 1), without any φ. Else the φ of some rows at a time.
    """
    (rows, n, q), outputs = x.shape, len(w)
    if n * q * (rows + outputs) <= rows * outputs * (1 + n / q):
        a, b = x.reshape(rows, -1), w.reshape(outputs, -1)
        return n**2 * ((a.T @ a) * (b.T @ b)).reshape(n, q, n, q).sum(axis=(1, 3))
    total = np.zeros((n, n))
    for some in np.array_split(x, min(rows, 1 + n * rows * outputs // NUMBERS_AT_ONCE)):
        phi = _explicit(some, w)
        total += phi @ phi.T
    return total


def _explicit(x: Floats, w: Floats) -> Floats:
    return len(x[0]) * np.matmul(x.transpose(1, 0, 2), w.transpose(1, 2, 0)).reshape(len(x[0]), -1)
