"""The kit on a device beside the CPU, which is pretended here: `tests/pretend.py`."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cells
import numpy as np
import pytest
import torch
from cells import STUDIES
from pretend import pretend
from sklearn.datasets import load_digits

from ltkit.errors import UserError
from ltkit.lab import Lab
from ltkit.lab.material import job
from ltkit.prune import tickets
from ltkit.spec import ARCHITECTURES, Anchor, Init, Network, Recipe, Run, Task
from ltkit.train import Cohort, device, graph
from ltkit.train.device import pick


@pytest.fixture
def mps(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    with pretend("mps", monkeypatch):
        yield pick("auto")


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    with pretend("cuda", monkeypatch):
        yield pick("auto")


def test_auto_takes_what_is_there_or_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LTKIT_DEVICE", raising=False)
    for there in ("cuda", "mps"):
        with pytest.MonkeyPatch.context() as patch, pretend(there, patch):
            assert pick("auto").type == there
            assert pick("cpu").type == "cpu"
            patch.setenv("LTKIT_DEVICE", "cpu")
            assert pick("auto").type == "cpu"
            assert pick(there).type == there
    with pytest.MonkeyPatch.context() as patch, pretend("mps", patch):
        patch.setenv("LTKIT_DEVICE", "cuda")
        with pytest.raises(UserError, match="device 'cuda' isn't there; this machine has mps, cpu"):
            pick("auto")
        with pytest.raises(UserError, match="device 'gpu' isn't there"):
            pick("gpu")


@pytest.mark.parametrize("name", ["auto", "cuda", "cuda:0"])
def test_fp32_is_fp32_in_convolutions_on_cuda(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LTKIT_DEVICE", raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)  # torch's default; put back afterwards
    assert pick("cpu").type == "cpu"
    assert torch.backends.cudnn.allow_tf32
    with pretend("cuda", monkeypatch), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pick(name).type == "cuda"
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize(("kind", "name", "variable"), [("cpu", "g++", "CXX"), ("cuda", "gcc", "CC")])
@pytest.mark.skipif(sys.platform != "linux", reason="which compiler is called, and where headers lie, differs")
def test_what_is_missing_to_compile(
    kind: str, name: str, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device.importlib.util, "find_spec", lambda module: module)
    monkeypatch.setattr(device.sysconfig, "get_path", lambda which: str(tmp_path / which))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(variable, raising=False)
    assert device.lacking(kind) == f"no {'C++' if kind == 'cpu' else 'C'} compiler found"
    (tmp_path / name).touch(0o755)
    assert device.lacking(kind) == "no Python.h found (Debian has it in python3-dev)"
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "Python.h").touch()
    assert device.lacking(kind) == ""
    assert device.compiler(kind) == str(tmp_path / name)
    for absent in ("another", ""):
        monkeypatch.setenv(variable, absent)
        assert device.lacking(kind)
    monkeypatch.setenv(variable, f"{name} -O1")
    assert device.lacking(kind) == ""
    assert device.lacking("mps") == "torch.compile isn't used on mps here"
    monkeypatch.setattr(device.importlib.util, "find_spec", lambda module: None)
    assert (device.lacking(kind) == "") == (kind == "cpu")


def test_cohorts_share_cuda_one_after_the_other(tmp_path: Path, cuda: torch.device) -> None:
    """Captures of graphs in several threads of one process fail."""
    assert Lab(tmp_path, device=str(cuda), workers=2).workers == 1
    assert Lab(tmp_path, device="cpu", workers=2).workers == 2


def test_the_pretended_device_computes(mps: torch.device) -> None:
    assert mps.type == "mps"
    x = torch.arange(6.0).view(2, 3)
    w = torch.ones(3, 2).to(mps).requires_grad_()
    there = x.to(mps)
    assert there.device.type == "mps" == (there @ w).device.type
    (grad,) = torch.autograd.grad((there @ w).cpu().square().sum(), w)
    assert grad.tolist() == (2 * x.T @ x @ torch.ones(3, 2)).tolist()
    there.view(-1)[[1, 4]] = torch.zeros(2, device=mps)
    there[0].add_(1)
    assert there.tolist() == [[1, 1, 3], [3, 0, 5]]
    assert x.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (there[torch.tensor([1])] * torch.tensor(2.0)).sum().item() == 16


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda x: x + torch.ones(2, 2), "and on the CPU"),
        (lambda x: torch.cat([x, torch.ones(1, 2)]), "and on the CPU"),
        (lambda x: torch.ones(2, 2)[x > 0], "and on the CPU"),
        (lambda x: torch.ones(2, 2).add_(x), "and on the CPU"),
        (lambda x: x.numpy(), "to numpy"),
        (lambda x: x.double(), "no float64"),
        (lambda x: x.new_zeros(2, dtype=torch.float64), "no float64"),
        (lambda x: torch.zeros(2, dtype=torch.float64).to(x.device), "no float64"),
    ],
)
def test_the_pretended_device_complains(act: Any, message: str, mps: torch.device) -> None:
    with pytest.raises((RuntimeError, TypeError), match=message):
        act(torch.ones(2, 2, device=mps))


@pytest.mark.parametrize(
    "act",
    [
        lambda x: x.sum().item(),
        lambda x: x.cpu(),
        lambda x: x + torch.tensor([1.0, 2.0], device=x.device),
        lambda x: x * torch.arange(2.0).to(x),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: x[[0]],
        lambda x: x.copy_(torch.ones(2, 2)),
    ],
)
def test_what_waits_for_the_device_is_not_captured(act: Any, cuda: torch.device) -> None:
    x = torch.ones(2, 2, device=cuda)
    with pytest.raises(RuntimeError, match="not permitted"):
        graph.capture(lambda: act(x), cuda)
    graph.capture(lambda: x.add_(torch.ones_like(x)).mul_(torch.tensor(2.0)), cuda)
    assert x.tolist() == [[4, 4], [4, 4]]


@pytest.mark.parametrize("network", [Network(width=0.1), Network(arch="resnet8", width=0.25)])
def test_networks_trained_there_are_those_trained_here(
    network: Network, tiny: Any, tmp_path: Path, cuda: torch.device, caplog: pytest.LogCaptureFixture
) -> None:
    """Up to rounding, whatever is trained; every step but those that change masks is captured."""
    recipe = Recipe(epochs=2, lr=0.05, batch_size=16, weight_decay=0.001, label_smoothing=0.1, nesterov=True)
    dense = Run(task=tiny.replace(crop=1, flip=True), network=network, recipe=recipe)
    winners = tickets.imp(dense, rounds=2, rate=0.3)
    runs = [
        *winners,
        tickets.scored(dense, "snip", density=0.3),
        tickets.grown(dense, "rigl", density=0.4, every=3),
        tickets.gradual(dense, density=0.4, begin=0.2, end=0.8, every=3),
        tickets.repelled(winners[-1], winners[:1], strength=0.1),
        dense.replace(extra=Anchor(strength=0.1)),
        dense.replace(recipe=recipe.replace(optimizer="adam", lr=0.002, nesterov=False)),
    ]
    here, there = Lab(tmp_path / "here", device="cpu", progress=False), Lab(tmp_path / "there", progress=False)
    assert there.device == cuda
    for lab in (here, there):
        lab.run(runs)
    assert "can't be captured" not in caplog.text
    for run in runs:
        ours, theirs = here.weights(run), there.weights(run)
        for name, tensor in ours.items():
            torch.testing.assert_close(theirs[name], tensor, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("size", [8, 32])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_step_of_every_network_can_be_captured(arch: str, size: int, tmp_path: Path, cuda: torch.device) -> None:
    """Nothing in it moves to the device or waits for it."""
    x = np.random.default_rng(0).integers(0, 256, (40, size, size, 3), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", x_train=x, y_train=np.arange(40) % 2, x_test=x[:4], y_test=np.arange(4) % 2)
    task = Task(data=f"npz:{tmp_path / 'x.npz'}", validation=0, crop=1, flip=True)
    recipe = Recipe(epochs=2, lr=0.01, batch_size=8, weight_decay=0.001, schedule="cosine", warmup=1)
    run = Run(task=task, network=Network(arch=arch, width=0.1), recipe=recipe)
    made = [job(run.replace(start=Init(seed=seed)), Lab(tmp_path).store, None) for seed in range(2)]
    cohort = Cohort(made, cuda)
    cohort.begin_epoch(0)
    for step in range(graph.WARM + 2):
        cohort.step(step)
    assert cohort._graphed is not None
    assert not cohort._graphed.failed
    assert all(t.isfinite().all() for t in cohort.member(0).values())


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Digits as somebody's own data."""
    digits = load_digits()
    x, y = (16 * digits.images).clip(0, 255).astype(np.uint8), digits.target
    path = tmp_path_factory.mktemp("own") / "own.npz"
    np.savez(path, x_train=x[:1200], y_train=y[:1200], x_test=x[1200:], y_test=y[1200:])
    return f"npz:{path}"


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_a_study_of_own_data_runs_on_a_device_without_float64(
    study: str, own: str, tmp_path: Path, mps: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its notebook at the smoke scale but for the data, with all that is measured after training."""
    names, told = cells.run(study, tmp_path, monkeypatch, data=own)
    assert names["params"].data == own
    assert names["lab"].device == mps
    assert "on mps" in told
