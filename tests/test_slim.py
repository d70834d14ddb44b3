"""Folding and removing channels: masked and slim networks give the same logits, for every kind of network (F24)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, fx, nn

from ltkit import models
from ltkit.errors import UserError
from ltkit.models.cost import multiplications
from ltkit.models.plain import torch_module
from ltkit.prune import slim as slimming
from ltkit.prune.channels import groups
from ltkit.prune.slim import Choice, cost, export, fold, folded, latency, load, remove, save, slim
from ltkit.seeds import generator
from ltkit.spec import Init, Network

DIGITS = (1, 8, 8)
KINDS = [
    Network(arch="lenet_300_100", width=0.1),
    Network(arch="lenet_5", width=0.5, norm="batch"),
    Network(arch="conv2", width=0.1),
    Network(arch="conv4", width=0.1, norm="batch"),
    Network(arch="conv6", width=0.1),
    Network(arch="vgg11", width=0.1),
    Network(arch="resnet8", width=0.5),
    Network(arch="resnet8", width=0.5, residual=False),
    Network(arch="resnet8", width=0.5, norm="none"),
    Network(arch="resnet18", width=0.1),
    Network(arch="resnet50", width=0.05),
    Network(arch="mobilenet_v1", width=0.1),
    Network(arch="mobilenet_v2", width=0.1),
]


def images(batch: int = 16) -> Tensor:
    return torch.randn(batch, *DIGITS, generator=generator("images"))


def plain(network: Network) -> fx.GraphModule:
    """A network of fresh weights and shaken biases whose BatchNorms know the statistics of `images`."""
    draw = generator("slim", network.arch)
    module = torch_module(
        network,
        DIGITS,
        5,
        {
            name: t + (0.2 * torch.rand(t.shape, generator=draw) if t.dim() == 1 else 0)
            for name, t in models.init(network, DIGITS, 5, Init()).items()
        },
    )
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # a plain average over batches, so this one batch's
    with torch.no_grad():
        module.train()(images())
    return module.eval()


def choices(module: fx.GraphModule, kept: int | None = None) -> list[Choice]:
    """About half of each group's channels (or `kept`) with random weights that sum to 1."""
    draw, found = np.random.default_rng(0), []
    for group in groups(module):
        count = kept or max(1, group.channels // 2)
        channels = np.sort(draw.permutation(group.channels)[:count])
        weights = np.zeros(group.channels)
        weights[channels] = draw.dirichlet(np.full(count, 5.0))
        found.append(Choice(group, channels, weights))
    return found


@torch.no_grad()
def masked(module: fx.GraphModule, chosen: list[Choice], x: Tensor) -> Tensor:
    """Logits with a mask N * a behind each group's activations: no folding, no removal."""
    handles = []
    for choice in chosen:
        factors = torch.tensor(choice.group.channels * choice.weights).repeat_interleave(choice.group.reads)

        def mask(_: object, inputs: tuple[Tensor, ...], factors: Tensor = factors) -> Tensor:
            return inputs[0] * factors.to(inputs[0]).view(-1, *[1] * (inputs[0].dim() - 2))

        handles.append(module.get_submodule(choice.group.consumer).register_forward_pre_hook(mask))
    out = module(x)
    for handle in handles:
        handle.remove()
    return out


def by_hand(module: fx.GraphModule, chosen: list[Choice]) -> dict[str, Tensor]:
    """The slim network's state, by slicing each tensor of the folded one."""
    state = {name: t.clone() for name, t in module.state_dict().items() if not name.endswith("num_batches_tracked")}
    for choice in chosen:
        group, kept = choice.group, torch.tensor(choice.kept)
        columns = (kept[:, None] * group.reads + torch.arange(group.reads)).flatten()
        factors = torch.tensor(group.channels * choice.weights[choice.kept]).float().repeat_interleave(group.reads)
        name = f"{group.consumer}.weight"
        state[name] = state[name][:, columns] * factors.view(-1, *[1] * (state[name].dim() - 2))
        for layer in (group.producer, *group.between):
            for name in [name for name in state if name.startswith(f"{layer}.")]:
                state[name] = state[name][kept]
    return state


@pytest.mark.parametrize("network", KINDS, ids=lambda n: f"{n.arch}-{n.norm}-{n.residual}")
def test_masked_and_slim_networks_answer_alike(network: Network) -> None:
    module, x = plain(network), images()
    before = {name: t.clone() for name, t in module.state_dict().items()}
    chosen = choices(module)
    found = slim(module, chosen, x)
    expected = masked(module, chosen, x)
    assert float(expected.std()) > 1e-2  # something to compare
    with torch.no_grad():
        difference = float((found.module(x) - expected).abs().max())
    assert difference <= 1e-5 * max(1, float(expected.abs().max()))
    assert found.difference <= 1e-5 * max(1, float(expected.abs().max()))
    ours = {name: t for name, t in found.module.state_dict().items() if not name.endswith("num_batches_tracked")}
    theirs = by_hand(module, chosen)
    assert list(ours) == list(theirs)
    assert all(torch.allclose(ours[name], t, rtol=1e-6, atol=0) for name, t in theirs.items())
    assert found.before.parameters == sum(p.numel() for p in module.parameters())
    assert found.after.parameters == sum(p.numel() for p in found.module.parameters()) < found.before.parameters
    assert found.after.multiply_adds < found.before.multiply_adds
    assert all(torch.equal(t, before[name]) for name, t in module.state_dict().items())


@pytest.mark.parametrize("arch", ["vgg11", "mobilenet_v1"])
def test_a_single_channel_can_be_left(arch: str, tmp_path: Path) -> None:
    """Where a convolution of one channel could be taken for one within each channel."""
    network = Network(arch=arch, width=0.1)
    module, x = plain(network), images()
    chosen = choices(module, kept=1)
    small = slim(module, chosen, x).module
    assert {small.get_parameter(f"{choice.group.producer}.weight").shape[0] for choice in chosen} == {1}
    save(small, network, DIGITS, 5, tmp_path)
    with torch.no_grad():
        assert torch.equal(load(tmp_path)(x), small(x))


def test_folding_by_hand() -> None:
    """a = (.5, .5, 0, 0) of N = 4: the consumer's columns twice, twice, and dropped; a = 1/N changes nothing."""
    module, x = plain(Network(arch="lenet_300_100", width=4 / 300)), images()
    group = groups(module)[0]
    assert group.channels == 4
    before = module.get_parameter("fc2.weight").detach().clone()
    with folded(module, group, np.array([0.5, 0.5, 0, 0])):
        doubled = module.get_parameter("fc2.weight").detach().clone()
    assert torch.equal(doubled, before * torch.tensor([2.0, 2, 0, 0]))
    assert torch.equal(module.get_parameter("fc2.weight"), before)
    logits = module(x)
    fold(module, group, np.full(4, 0.25))
    assert torch.allclose(module(x), logits, atol=1e-6)
    small = slim(module, [Choice(group, np.array([0, 1]), np.array([0.5, 0.5, 0, 0]))], x).module
    assert torch.equal(small.get_parameter("fc2.weight"), 2 * before[:, :2])
    assert small.get_parameter("fc1.weight").shape == (2, 64)
    assert torch.equal(small.get_parameter("fc2.bias"), module.get_parameter("fc2.bias"))


def test_a_flattened_map_is_folded_column_by_column() -> None:
    module = plain(Network(arch="lenet_5"))
    group = groups(module)[1]
    before = module.get_parameter("fc1.weight").detach().clone()
    weights = np.arange(16) / 120
    fold(module, group, weights)
    for j in range(16):
        columns = slice(4 * j, 4 * j + 4)
        assert torch.allclose(module.get_parameter("fc1.weight")[:, columns], before[:, columns] * 16 * j / 120)


def test_weights_come_back_after_an_error() -> None:
    module = plain(Network(arch="lenet_300_100", width=0.1))
    group = groups(module)[0]
    before = module.get_parameter("fc2.weight").detach().clone()
    with pytest.raises(KeyError), folded(module, group, np.zeros(30)):
        raise KeyError
    assert torch.equal(module.get_parameter("fc2.weight"), before)


def test_what_goes_wrong_in_a_removal_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    module, x = plain(Network(arch="lenet_300_100", width=0.1)), images()
    group = groups(module)[0]
    everything = np.full(30, 1 / 30)
    with pytest.raises(RuntimeError, match="masked and slim network differ"):
        slim(module, [Choice(group, np.arange(10), everything)], x)  # channels with weight are thrown away
    remove(module, group, np.arange(30), x[:1])  # nothing to do
    assert module.get_parameter("fc1.weight").shape == (30, 64)
    monkeypatch.setattr("torch_pruning.dependency.Group.prune", lambda *_, **__: None)
    with pytest.raises(RuntimeError, match="fc1 should keep 10 channels"):
        remove(module, group, np.arange(10), x[:1])


@pytest.mark.parametrize("network", KINDS[1::3], ids=lambda n: n.arch)
def test_costs_are_those_of_the_cohort(network: Network) -> None:
    found = cost(plain(network), images(1))
    assert found.parameters == models.count(network, DIGITS, 5)
    assert found.multiply_adds == multiplications(network, DIGITS, 5)


def test_latencies_are_medians_of_calls_taken_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    ticks = iter([0, 0, 0, 5, 0, 1, 0, 7, 0, 3, 0, 60, 0, 20])  # the first calls only read the clock once

    class Called(nn.Module):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def forward(self, x: Tensor) -> None:
            calls.append(self.name)

    monkeypatch.setattr(slimming.time, "perf_counter", lambda: next(ticks))
    assert latency({"dense": Called("dense"), "slim": Called("slim")}, images(1), rounds=3) == {"dense": 7, "slim": 3}
    assert calls == ["dense", "slim"] * 4


def test_a_slim_network_is_saved_and_loaded(tmp_path: Path) -> None:
    network = Network(arch="mobilenet_v2", width=0.1)
    module, x = plain(network), images()
    chosen = choices(module)
    small = slim(module, chosen, x).module
    save(small, network, DIGITS, 5, tmp_path / "new" / "folder")
    folder = tmp_path / "new" / "folder"
    assert sorted(path.name for path in folder.iterdir()) == ["slim.json", "slim.safetensors"]
    about = json.loads((folder / "slim.json").read_text())
    assert all(about["widths"][choice.group.producer] == len(choice.kept) for choice in chosen)
    again = load(folder)
    assert not again.training
    with torch.no_grad():
        assert torch.equal(again(x), small(x))
    assert cost(again, x[:1]) == cost(small, x[:1])

    about["widths"]["stem.conv"] += 1
    (folder / "slim.json").write_text(json.dumps(about))
    with pytest.raises(UserError, match=r"no slim network: the widths in slim.json are not those of slim.safetensors"):
        load(folder)
    about["widths"]["stem.conv"] -= 1
    (folder / "slim.json").write_text(json.dumps(about | {"network": {"arch": "mobilenet_v3"}}))
    with pytest.raises(UserError, match=r"unknown architecture 'mobilenet_v3'"):
        load(folder)
    (folder / "slim.json").write_text(json.dumps(about))
    content = (folder / "slim.safetensors").read_bytes()
    (folder / "slim.safetensors").write_bytes(content[:-100])
    with pytest.raises(UserError, match="no slim network"):
        load(folder)
    with pytest.raises(UserError, match="no slim network"):
        load(tmp_path / "nowhere")


def test_an_exported_copy_answers_alike(tmp_path: Path) -> None:
    """On batches of another size than the one it was made with, the widths being those of the slim network."""
    module, x = plain(Network(arch="lenet_5", width=0.5, norm="batch")), images()
    small = slim(module, choices(module), x).module
    export(small, x, tmp_path / "slim.pt2")
    opened = torch.export.load(tmp_path / "slim.pt2").module()
    with torch.no_grad():
        for batch in (1, 5, 16):
            torch.testing.assert_close(opened(x[:batch]), small(x[:batch]))
