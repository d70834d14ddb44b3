"""Slimming for real: selection weights are folded into the consumer, channels without weight are removed (sheet P7).

Torch-Pruning removes them; it knows nothing of selection weights, which is why they are folded in first. The masked
network (all channels, those that go multiplied by 0) and the slim one must give the same logits.
"""

from __future__ import annotations

import copy
import json
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import torch_pruning
from safetensors import SafetensorError
from safetensors.torch import save as tensor_bytes
from torch import Tensor, fx, nn

from ..errors import UserError
from ..models.plain import torch_module
from ..spec import Network
from ..store.files import dump, replace
from ..store.tensors import load as read_tensors
from .channels import Group
from .greedy_problem import Floats, Ints

SAME = 1e-5  # largest difference of logits, or relative to the largest logit where that is above 1


@dataclass(frozen=True, eq=False)
class Choice:
    """Which of a group's N channels stay, and with which weights."""

    group: Group
    kept: Ints  # ascending
    weights: Floats  # (N,): a, 0 for those that go; the full layer has 1/N everywhere


@dataclass(frozen=True)
class Cost:
    """What one image costs in a network."""

    parameters: int
    multiply_adds: int  # of convolutions and linear layers


@dataclass(frozen=True, eq=False)
class Slim:
    """A slim network with what it saves."""

    module: fx.GraphModule
    difference: float  # largest |logit of the masked network − logit of the slim one|
    before: Cost
    after: Cost


@torch.no_grad()
def fold(module: nn.Module, group: Group, weights: Floats) -> None:
    """Multiplies the consumer's slice of channel j by N * a_j, in place; its bias stays.

    That is a mask N * a_j on channel j behind its activation, exactly: the consumer is linear.
    """
    weight = module.get_parameter(f"{group.consumer}.weight")
    factors = torch.as_tensor(len(weights) * weights).to(weight)
    weight.mul_(factors.repeat_interleave(group.reads).view(1, -1, *[1] * (weight.dim() - 2)))


@contextmanager
def folded(module: nn.Module, group: Group, weights: Floats) -> Iterator[nn.Module]:
    """The masked network for a while; afterwards the consumer has its weights back, bit by bit."""
    weight = module.get_parameter(f"{group.consumer}.weight")
    before = weight.detach().clone()
    fold(module, group, weights)
    try:
        yield module
    finally:
        weight.data.copy_(before)


def dependencies(module: fx.GraphModule, image: Tensor) -> torch_pruning.DependencyGraph:
    """What hangs together in a network, found by running an `image` (1, C, H, W); removals don't change it."""
    with torch.enable_grad():  # the graph is read from what autograd notes
        return torch_pruning.DependencyGraph().build_dependency(module, example_inputs=image)


def remove(
    module: fx.GraphModule,
    group: Group,
    kept: Ints,
    image: Tensor,
    graph: torch_pruning.DependencyGraph | None = None,
) -> None:
    """Removes all channels of a group but `kept`, in place: from producer, BatchNorm, what is between, and consumer.

    `graph` is the network's from `dependencies`, by default found with the `image` (1, C, H, W). Parameters become new
    objects: an optimizer must be made afterwards. RuntimeError if Torch-Pruning removed something else than it was told
    to.
    """
    gone = sorted(set(range(group.channels)) - set(kept.tolist()))
    if not gone:
        return
    producer = module.get_submodule(group.producer)
    linear = isinstance(producer, nn.Linear)
    rule = torch_pruning.prune_linear_out_channels if linear else torch_pruning.prune_conv_out_channels
    graph = graph or dependencies(module, image)
    graph.get_pruning_group(producer, rule, idxs=gone).prune()
    out, into = (module.get_parameter(f"{name}.weight").shape for name in (group.producer, group.consumer))
    if (out[0], into[1]) != (len(kept), len(kept) * group.reads):
        raise RuntimeError(f"{group.producer} should keep {len(kept)} channels, Torch-Pruning left {out} and {into}")


@torch.no_grad()
def slim(module: fx.GraphModule, choices: Sequence[Choice], images: Tensor) -> Slim:
    """A slim copy of a network in eval mode; the network itself stays as it is.

    RuntimeError if masked and slim logits on `images` differ by more than 1e-5 (of the largest logit, if above 1).
    """
    small = copy.deepcopy(module).eval()
    for choice in choices:
        fold(small, choice.group, choice.weights)
    masked, graph = small(images), dependencies(small, images[:1])
    for choice in choices:
        remove(small, choice.group, choice.kept, images[:1], graph)
    return Slim(small, gap(masked, small(images)), cost(module, images[:1]), cost(small, images[:1]))


def gap(masked: Tensor, slimmed: Tensor) -> float:
    """The largest difference of two networks' logits; RuntimeError if it is above what rounding explains."""
    difference = float((masked - slimmed).abs().max())
    if not difference <= SAME * max(1.0, float(masked.abs().max())):
        raise RuntimeError(f"masked and slim network differ by {difference:g}")
    return difference


def cost(module: nn.Module, image: Tensor) -> Cost:
    """Parameters (BatchNorm's and biases included) and multiply-adds for an image (1, C, H, W)."""
    there = places(module, image)
    products = sum(module.get_parameter(f"{name}.weight").numel() * there[name] for name in there)
    return Cost(sum(p.numel() for p in module.parameters()), products)


@torch.no_grad()
def places(module: nn.Module, image: Tensor) -> dict[str, int]:
    """At how many places of an image (1, C, H, W) each convolution or linear layer is applied."""
    found: dict[str, int] = {}
    layers = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    handles = [
        layer.register_forward_hook(lambda _, __, out, name=name: found.update({name: out[0, 0].numel()}))
        for name, layer in layers
    ]
    module(image)
    for handle in handles:
        handle.remove()
    return found


@torch.no_grad()
def latency(modules: Mapping[str, nn.Module], images: Tensor, rounds: int = 25) -> dict[str, float]:
    """Seconds of a forward pass on `images`, the median of `rounds` a network, taken in turn after a first one each."""
    taken: dict[str, list[float]] = {name: [] for name in modules}
    for count in range(rounds + 1):
        for name, module in modules.items():
            begun = time.perf_counter()
            module(images)
            if images.is_cuda:
                torch.cuda.synchronize(images.device)
            if count:
                taken[name].append(time.perf_counter() - begun)
    return {name: statistics.median(values) for name, values in taken.items()}


def save(module: nn.Module, network: Network, shape: tuple[int, int, int], classes: int, folder: Path) -> None:
    """Writes a slim `network` without pickle: `slim.safetensors` and `slim.json`, which names it and its widths."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: t.detach().cpu().contiguous() for k, t in module.state_dict().items() if "num_batches" not in k}
    replace(folder / "slim.safetensors", tensor_bytes(state))
    about = {"network": network.model_dump(), "shape": shape, "classes": classes, "widths": _widths(state)}
    replace(folder / "slim.json", dump(about))


def load(folder: Path) -> fx.GraphModule:
    """The slim network that `save` wrote, in eval mode. UserError for files that are missing, damaged or mismatched."""
    try:
        about = json.loads((folder / "slim.json").read_bytes())
        state = read_tensors((folder / "slim.safetensors").read_bytes())
        if _widths(state) != about["widths"]:
            raise ValueError("the widths in slim.json are not those of slim.safetensors")
        return torch_module(Network(**about["network"]), tuple(about["shape"]), about["classes"], state)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise UserError(f"{folder} holds no slim network: {error}") from None


def _widths(state: Mapping[str, Tensor]) -> dict[str, int]:
    """The outputs of each convolution and linear layer."""
    return {name.removesuffix(".weight"): len(t) for name, t in state.items() if t.dim() > 1}


def export(module: nn.Module, images: Tensor, path: Path) -> None:
    """A copy for other programs (torch.export, .pt2), for any batch size; `images` (B >= 2, C, H, W) are an example."""
    with torch.no_grad():
        program = torch.export.export(module.eval(), (images,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, path)
