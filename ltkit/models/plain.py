"""A network of one member in ordinary torch.nn layers: images (B, C, H, W) to logits (B, classes).

For whatever expects ordinary layers: pruning whole channels, Torch-Pruning, torch.export. There is no second definition
of any architecture: the forward of the cohort with R = 1 is recorded (torch.fx) and its layers are replaced one by one.
The names in the state are those of `ltkit.models`, but for nn.BatchNorm2d's `num_batches_tracked`.

Widths are read from the weights. So a network whose channels were removed is built by the same call, from its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from . import build
from .layers import BatchNorm, Conv, Linear, fold, unfold

if TYPE_CHECKING:
    from ..spec import Network


def torch_module(
    network: Network, shape: tuple[int, int, int], classes: int, weights: Mapping[str, Tensor]
) -> fx.GraphModule:
    """`network` with copies of `weights` (names as in `ltkit.models.init`, no leading dimension), in eval mode.

    Logits are the cohort's, up to rounding. Type and device are those of the weights. ValueError for weights that are
    missing, left over, or don't fit each other.
    """
    net = build(network, shape, classes).eval()
    with torch.no_grad():  # on real images: torch would load its compiler, for two seconds, to do without them
        graph = _Recorder(torch.zeros(1, 1, *shape)).trace(net)
    for node in graph.nodes:
        node.meta.clear()
        _ordinary(node, net, weights)
    graph.lint()
    module = fx.GraphModule(net, graph, class_name=network.arch).eval()
    try:
        module.load_state_dict({name: tensor.detach().clone() for name, tensor in weights.items()}, assign=True)
        like = next(module.parameters())
        with torch.no_grad():
            module(like.new_zeros(1, *shape))
    except RuntimeError as error:
        raise ValueError(f"these are no weights of {network.arch}: {' '.join(str(error).split())}") from None
    return module


def cohort_of(
    network: Network, shape: tuple[int, int, int], classes: int, members: Sequence[Mapping[str, Tensor]]
) -> nn.Module:
    """The other way: plain networks of equal widths as a cohort, (R, B, C, H, W) to (R, B, classes), in train mode.

    `members` are their weights and buffers; copies are taken. ValueError for weights that don't fit each other.
    """
    with torch.device("meta"):
        net = build(network, shape, classes, len(members))
    try:
        for path, layer in net.named_modules():
            for name, _ in list(layer.named_parameters(recurse=False)):
                setattr(layer, name, nn.Parameter(torch.stack([state[f"{path}.{name}"] for state in members])))
            for name, _ in list(layer.named_buffers(recurse=False)):
                setattr(layer, name, torch.stack([state[f"{path}.{name}"] for state in members]))
            if isinstance(layer, Conv) and layer.groups > len(members):  # one filter a channel, of fewer channels
                layer.groups = layer.weight.shape[0] * layer.weight.shape[1]
    except (KeyError, RuntimeError) as error:
        raise ValueError(f"these are no {network.arch} of equal widths: {' '.join(str(error).split())}") from None
    return net.train()


class _Recorder(fx.Tracer):
    """Records a forward on a given image, so that branches on the size of a map are those that this image takes."""

    def __init__(self, image: Tensor) -> None:
        super().__init__(autowrap_functions=(fold, unfold))
        self.image = image

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, Conv | Linear | BatchNorm | nn.Identity)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        return attr_val  # weights are the leaves' own business

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Sized(node, self)

    def value(self, node: fx.Node) -> Any:
        """What `node` computes from the image, for its shape."""
        if "value" not in node.meta:
            args, kwargs = fx.node.map_arg((node.args, node.kwargs), self.value)
            if node.op == "placeholder":
                found = self.image
            elif node.op == "call_module":
                leaf = self.root.get_submodule(str(node.target))
                found = type(leaf).forward(leaf, *args, **kwargs)
            elif node.op == "call_method":
                found = getattr(args[0], str(node.target))(*args[1:], **kwargs)
            else:
                found = node.target(*args, **kwargs)  # type: ignore[operator]
            node.meta["value"] = found
        return node.meta["value"]


class _Sized(fx.Proxy):
    """A recorded value whose shape is known."""

    @property
    def shape(self) -> torch.Size:
        assert isinstance(self.tracer, _Recorder)
        return self.tracer.value(self.node).shape


def _ordinary(node: fx.Node, net: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Puts what an ordinary network has in the place of one node of the cohort's forward."""
    name = str(node.target)
    if node.op == "call_module":
        layer = net.get_submodule(name)
        if isinstance(layer, nn.Identity):
            _drop(node)
        else:
            with torch.device("meta"):  # its own fresh weights would be drawn in vain
                net.set_submodule(name, _layer(layer, name, weights))
    elif node.op == "call_function" and node.target is fold:
        _drop(node)
    elif node.op == "call_function" and node.target is unfold:
        node.target, node.args = torch.flatten, (node.args[0], 1)
    elif node.op == "call_function" and node.target is F.relu:  # what comes before it may be read by whoever records
        node.kwargs = {}
    elif node.op == "call_method" and name == "flatten":  # the image itself: one dimension less without the members'
        node.args = (node.args[0], 1)


def _drop(node: fx.Node) -> None:
    node.replace_all_uses_with(node.all_input_nodes[0])
    node.graph.erase_node(node)


def _layer(layer: nn.Module, name: str, weights: Mapping[str, Tensor]) -> nn.Module:
    """The torch.nn layer that does what a cohort's layer does, as wide as the weights of that name."""
    if f"{name}.weight" not in weights:
        raise ValueError(f"there are no weights of {name}")
    shape = weights[f"{name}.weight"].shape
    if isinstance(layer, Conv):
        groups = shape[0] if layer.groups > 1 else 1  # one filter a channel is the only other kind there is
        size, bias = int(layer.weight.shape[-1]), layer.bias is not None
        return nn.Conv2d(shape[1] * groups, shape[0], size, layer.stride, layer.padding, groups=groups, bias=bias)
    if isinstance(layer, Linear):
        return nn.Linear(shape[1], shape[0])
    assert isinstance(layer, BatchNorm)
    return nn.BatchNorm2d(shape[0], eps=layer.eps, momentum=layer.momentum)
