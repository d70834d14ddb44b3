"""A plain network run in parts: what comes before a layer is computed once, however often the rest is run."""

from __future__ import annotations

import copy
from collections.abc import Callable
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
def behind(module: fx.GraphModule, flow: Flow) -> tuple[nn.Module, Callable[..., Tensor], list[Tensor]]:
    """The layer that is next, what follows as a function of what it gives, and what else that function reads.

    Copies of a network in eval mode as it is now, which together give its logits for images as large as those of
    `flow`, but sooner: BatchNorm is folded into the convolution before it; of a kernel that meets one pixel and padding
    only the middle is left, and the rest is a product.
    """
    nodes = list(module.graph.nodes)
    start = next(node for node in nodes if node.name == flow.reached)
    run, one = (fx.Interpreter(module, garbage_collect_values=False) for _ in range(2))
    run.env = {node: flow.values[node.name] for node in nodes if node.name in flow.values}
    one.env = {node: value[:1] for node, value in run.env.items()}
    after: dict[fx.Node, None] = {start: None}
    for node in nodes[nodes.index(start) : -1]:
        one.env[node] = one.run_node(node)
        if any(parent in after for parent in node.all_input_nodes):
            after[node] = None
        elif node is not start:  # a shortcut, say
            run.env[node] = run.run_node(node)
    read = dict.fromkeys(parent for node in after if node is not start for parent in node.all_input_nodes)
    beside = [node for node in read if node not in after]
    graph, layers = fx.Graph(), dict[str, nn.Module]()
    copies = {node: graph.placeholder(node.name) for node in (start, *beside)}
    for node in after:
        layer, norm = _module(module, node), _norm(module, node)
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer = fuse_conv_bn_eval(layer, norm) if norm else copy.deepcopy(layer)  # type: ignore[type-var]
            if isinstance(layer, nn.Conv2d) and one.env[node.all_input_nodes[0]].shape[2:] == (1, 1):
                _meet_pixels(layer)
            layer.requires_grad_(False)
        if layer is not None:
            layers[str(node.target)] = layer
        if node not in copies:
            copies[node] = graph.node_copy(node, copies.__getitem__)
        if norm:
            copies[next(iter(node.users))] = copies[node]
    graph.output(copies[node])
    return layers[str(start.target)], fx.GraphModule(layers, graph).forward, [run.env[node] for node in beside]


def _norm(module: fx.GraphModule, node: fx.Node) -> nn.BatchNorm2d | None:
    """The BatchNorm that alone reads what a convolution gives."""
    if isinstance(_module(module, node), nn.Conv2d) and len(node.users) == 1:
        layer = _module(module, next(iter(node.users)))
        return layer if isinstance(layer, nn.BatchNorm2d) else None
    return None


def _meet_pixels(conv: nn.Conv2d) -> None:
    """Leaves what a convolution of maps of one pixel needs."""
    size = conv.kernel_size[0]
    if conv.kernel_size == (size, size) and conv.padding == (size // 2, size // 2):
        at = size // 2
        conv.weight = nn.Parameter(conv.weight[:, :, at : at + 1, at : at + 1].clone())
        conv.kernel_size, conv.padding = (1, 1), (0, 0)
        if conv.groups == 1:
            conv.forward = partial(_pixel, conv)  # type: ignore[method-assign]


def _pixel(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """What a 1x1 convolution gives for maps of one pixel (B, C, 1, 1); torch's own takes three times as long."""
    return F.linear(x.flatten(1), conv.weight.flatten(1), conv.bias)[..., None, None]


def _module(module: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return module.get_submodule(str(node.target)) if node.op == "call_module" else None
