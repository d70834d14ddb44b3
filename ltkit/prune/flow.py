"""A plain network run in parts: what comes before a layer is computed once, however often the rest is run."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


@dataclass(frozen=True, eq=False)
class Flow:
    """A network half run."""

    reached: str  # the node of its graph that is next
    values: dict[str, Tensor]  # by the node that gave it, what is still to be read


def begin(module: fx.GraphModule, images: Tensor) -> Flow:
    """Nothing but the images (B, C, H, W)."""
    image, first, *_ = module.graph.nodes
    return Flow(first.name, {image.name: images})


def until(module: fx.GraphModule, flow: Flow, layer: str) -> Flow:
    """On to just before `layer`, in the mode that the network is in. ValueError for a layer that is behind."""
    return _run(module, flow, layer)


def logits(module: fx.GraphModule, flow: Flow) -> Tensor:
    """On to the end."""
    (value,) = _run(module, flow, None).values.values()
    return value


def inputs(module: fx.GraphModule, flow: Flow) -> Tensor:
    """What the next layer receives."""
    node = next(node for node in module.graph.nodes if node.name == flow.reached)
    return flow.values[node.all_input_nodes[0].name]


@torch.no_grad()
def _run(module: fx.GraphModule, flow: Flow, layer: str | None) -> Flow:
    run = fx.Interpreter(module)
    nodes = list(module.graph.nodes)
    names = [node.name for node in nodes]
    run.env = {node: flow.values[node.name] for node in nodes if node.name in flow.values}
    for node in nodes[names.index(flow.reached) :]:
        if node.op == "output" or (node.op == "call_module" and node.target == layer):
            break
        run.env[node] = run.run_node(node)
        for read in run.user_to_last_uses.get(node, ()):
            run.env.pop(read, None)
    if (node.op == "output") != (layer is None):
        raise ValueError(f"{layer} comes before {flow.reached}")
    return Flow(node.name, {node.name: value for node, value in run.env.items()})


@torch.no_grad()
def quick(module: fx.GraphModule, image: Tensor) -> fx.GraphModule:
    """A copy that gives the same logits for images as large as `image` (1, C, H, W), sooner, and only in eval mode.

    BatchNorm is folded into the convolution before it; of a kernel that meets one pixel and padding only the middle is
    left, and the rest is a product. Nodes and layers keep their names.
    """
    new = copy.deepcopy(module).eval()
    for node in list(new.graph.nodes):
        before = node.all_input_nodes[0] if node.all_input_nodes else node
        layer, conv = (_module(new, n) for n in (node, before))
        if isinstance(layer, nn.BatchNorm2d) and isinstance(conv, nn.Conv2d) and len(before.users) == 1:
            new.set_submodule(str(before.target), fuse_conv_bn_eval(conv, layer))
            node.replace_all_uses_with(before)
            new.graph.erase_node(node)
    run = fx.Interpreter(new, garbage_collect_values=False)
    run.run(image)
    for node in new.graph.nodes:
        conv = _module(new, node)
        if isinstance(conv, nn.Conv2d) and run.env[node.all_input_nodes[0]].shape[2:] == (1, 1):
            size = conv.kernel_size[0]
            if conv.kernel_size == (size, size) and conv.padding == (size // 2, size // 2):
                at = size // 2
                conv.weight = nn.Parameter(conv.weight[:, :, at : at + 1, at : at + 1].clone())
                conv.kernel_size, conv.padding = (1, 1), (0, 0)
                if conv.groups == 1:
                    conv.forward = partial(_pixel, conv)  # type: ignore[method-assign]
    return new


def _pixel(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """What a 1x1 convolution gives for maps of one pixel (B, C, 1, 1); torch's own takes three times as long."""
    return F.linear(x.flatten(1), conv.weight.flatten(1), conv.bias)[..., None, None]


def _module(module: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return module.get_submodule(str(node.target)) if node.op == "call_module" else None
