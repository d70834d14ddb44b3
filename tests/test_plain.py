"""Networks in ordinary torch.nn layers give what the cohort's give."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ltkit import models
from ltkit.models.layers import BatchNorm, Conv, Linear
from ltkit.models.plain import torch_module
from ltkit.seeds import generator
from ltkit.spec import Init, Network

DIGITS, LARGE = (1, 8, 8), (3, 64, 64)

CASES = [
    *[(arch, 0.1, DIGITS) for arch in ("lenet_300_100", "vgg11", "vgg16", "mobilenet_v1", "mobilenet_v2")],
    *[("lenet_5", 1, shape) for shape in (DIGITS, (1, 28, 28))],
    *[(arch, 0.1, DIGITS) for arch in ("conv2", "conv4", "conv6")],
    *[(arch, 0.2, shape) for arch, shape in (("resnet8", DIGITS), ("resnet20", (3, 9, 7)), ("resnet18", DIGITS))],
    *[(arch, 0.05, LARGE) for arch in ("resnet18", "resnet50", "vgg11", "mobilenet_v2")],
]


def weights(network: Network, shape: models.Shape, classes: int = 7) -> dict[str, Tensor]:
    """Fresh weights in float64, their one-dimensional tensors shaken so that none is trivial."""
    draw = generator("plain", network.arch)
    fresh = models.init(network, shape, classes, Init(seed=1))
    return {
        name: t.double() + (0.1 * torch.rand(t.shape, generator=draw) if t.dim() == 1 else 0)
        for name, t in fresh.items()
    }


def cohort(network: Network, shape: models.Shape, state: dict[str, Tensor], classes: int = 7) -> nn.Module:
    net = models.build(network, shape, classes).double()
    net.load_state_dict({name: t[None] for name, t in state.items()})
    return net.eval()


def images(shape: models.Shape, batch: int = 3) -> Tensor:
    return torch.randn(batch, *shape, generator=generator("images", *shape), dtype=torch.float64)


@pytest.mark.parametrize(("arch", "width", "shape"), CASES)
def test_logits_are_the_cohorts(arch: str, width: float, shape: models.Shape) -> None:
    network = Network(arch=arch, width=width)
    state = weights(network, shape)
    plain, x = torch_module(network, shape, 7, state), images(shape)
    with torch.no_grad():
        torch.testing.assert_close(plain(x), cohort(network, shape, state)(x[None])[0], rtol=1e-9, atol=1e-9)
    assert [name for name in plain.state_dict() if not name.endswith("num_batches_tracked")] == list(state)
    assert not any(isinstance(layer, Conv | Linear | BatchNorm) for layer in plain.modules())
    assert plain(x).dtype == torch.float64


@pytest.mark.parametrize(
    "network",
    [
        Network(arch="resnet8", width=0.5, residual=False),
        Network(arch="resnet8", width=0.5, norm="none"),
        Network(arch="vgg11", width=0.1, norm="none"),
        Network(arch="conv2", width=0.1, norm="batch"),
        Network(arch="lenet_5", norm="batch"),
    ],
)
def test_variants_in_single_precision(network: Network) -> None:
    state = {name: t.float() for name, t in weights(network, DIGITS).items()}
    x = images(DIGITS).float()
    with torch.no_grad():
        ours, theirs = torch_module(network, DIGITS, 7, state)(x), cohort(network, DIGITS, state).float()(x[None])[0]
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_training_step_is_the_cohorts() -> None:
    network = Network(arch="resnet8", width=0.5)
    state = weights(network, DIGITS)
    plain, net = torch_module(network, DIGITS, 7, state).train(), cohort(network, DIGITS, state).train()
    x = images(DIGITS, 8)
    plain(x).sin().sum().backward()
    net(x[None]).sin().sum().backward()
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(parameter.grad, net.get_parameter(name).grad[0])
    for name, buffer in net.named_buffers():
        torch.testing.assert_close(plain.get_buffer(name), buffer[0])


def test_widths_are_those_of_the_weights() -> None:
    """Twelve of 30 hidden units, by hand; a narrow block's depthwise convolution has as many groups as channels."""
    network = Network(arch="lenet_300_100", width=0.1)
    state, keep = weights(network, DIGITS), torch.arange(12)
    state |= {name: state[name][keep] for name in ("fc1.weight", "fc1.bias")} | {
        "fc2.weight": state["fc2.weight"][:, keep]
    }
    x = images(DIGITS)
    hidden = (x.flatten(1) @ state["fc1.weight"].T + state["fc1.bias"]).relu()
    hidden = (hidden @ state["fc2.weight"].T + state["fc2.bias"]).relu()
    expected = hidden @ state["fc3.weight"].T + state["fc3.bias"]
    torch.testing.assert_close(torch_module(network, DIGITS, 7, state)(x), expected)

    network = Network(arch="mobilenet_v2", width=0.1)
    state = weights(network, DIGITS)
    block = [
        name for name in state if name.startswith("blocks.3.") and "project.bn" not in name and "shortcut" not in name
    ]
    state |= {n: state[n][:, :4] if n.endswith("project.conv.weight") else state[n][:4] for n in block}
    depthwise = torch_module(network, DIGITS, 7, state).get_submodule("blocks.3.depthwise.conv")
    assert (depthwise.groups, depthwise.in_channels, depthwise.out_channels) == (4, 4, 4)


def test_weights_that_do_not_fit_are_refused() -> None:
    network = Network(arch="lenet_300_100", width=0.1)
    state = weights(network, DIGITS)
    with pytest.raises(ValueError, match=r"no weights of fc2"):
        torch_module(network, DIGITS, 7, {n: t for n, t in state.items() if n != "fc2.weight"})
    with pytest.raises(ValueError, match=r"no weights of lenet_300_100.*fc2.bias"):
        torch_module(network, DIGITS, 7, {n: t for n, t in state.items() if n != "fc2.bias"})
    with pytest.raises(ValueError, match=r"no weights of lenet_300_100.*other"):
        torch_module(network, DIGITS, 7, {**state, "other": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"no weights of lenet_300_100.*30.*12"):
        torch_module(network, DIGITS, 7, {**state, "fc2.weight": state["fc2.weight"][:, :12]})


def test_weights_are_copied_and_no_chance_is_drawn() -> None:
    network = Network(arch="lenet_300_100", width=0.1)
    state = weights(network, DIGITS)
    before, random = {name: t.clone() for name, t in state.items()}, torch.get_rng_state()
    plain = torch_module(network, DIGITS, 7, state)
    assert torch.equal(torch.get_rng_state(), random)
    assert not plain.training
    for parameter in plain.parameters():
        parameter.data.zero_()
    assert all(torch.equal(state[name], before[name]) for name in state)
