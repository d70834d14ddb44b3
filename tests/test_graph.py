"""Steps as graphs. There is no CUDA here: a recorder of torch's operations stands in for the capture.

As a CUDA graph does, it repeats the operations on the very tensors that they had, and computes nothing anew in Python.
"""

from __future__ import annotations

import functools
import gc
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from ltkit import models
from ltkit.lab.material import frame
from ltkit.prune import masks, tickets
from ltkit.prune.distribution import random_mask
from ltkit.seeds import generator
from ltkit.spec import Anchor, Network, Recipe, Run, Trace
from ltkit.train import Cohort, Job, graph
from ltkit.train.trace import recorder

CPU = torch.device("cpu")
SGD = Recipe(epochs=3, lr=0.05, batch_size=16, weight_decay=0.001, warmup=1, schedule="cosine")


class Recorder(TorchDispatchMode):
    """Runs operations and writes them down; `replay` runs them again, on the tensors that were there before."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = function(*args, **(kwargs or {}))
        self.calls.append((function, args, kwargs or {}, out))
        return out

    def replay(self) -> None:
        made: dict[int, Tensor] = {}

        def now(value: Any) -> Any:
            return made.get(id(value), value) if isinstance(value, Tensor) else value

        with torch.no_grad():
            for function, args, kwargs, before in self.calls:
                after = function(*tree_map(now, args), **tree_map(now, kwargs))
                old, new = (x if isinstance(x, tuple | list) else (x,) for x in (before, after))
                made.update({id(a): b for a, b in zip(old, new, strict=True) if isinstance(a, Tensor)})


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Captures without CUDA; a number for each replay."""
    replays: list[int] = []

    def capture(function: Callable[[], None], device: torch.device) -> Callable[[], None]:
        recorder, computed = Recorder(), [True]
        with recorder:
            function()  # computes too, unlike CUDA's: so the first replay does nothing

        def replay() -> None:
            if not computed:
                recorder.replay()
            computed.clear()
            replays.append(len(recorder.calls))

        return replay

    monkeypatch.setattr(graph, "capture", capture)
    monkeypatch.setattr(graph, "warm", lambda function, device: function())
    return replays


def job(run: Run, density: float = 0.4) -> Job:
    shape, classes = frame(run, None)
    weights = models.init(run.network, shape, classes, run.start)
    shapes = {name: tuple(weights[name].shape) for name in models.prunable(run.network, shape, classes)}
    kept = {name: max(1, round(density * weights[name].numel())) for name in shapes}
    mask = random_mask(shapes, kept, generator("test", run.order))
    other = {name: torch.randn(1, *s, generator=generator("other", name)) for name, s in shapes.items()}
    return Job(run, masks.apply(weights, mask), mask, {}, frozenset(), extra=other if run.extra else {})


def trained(jobs: list[Job], steps: int, graphed: bool) -> Cohort:
    cohort = Cohort(jobs, CPU, graph=graphed)
    for step in range(steps):
        if step % cohort.time.per_epoch == 0:
            cohort.begin_epoch(step // cohort.time.per_epoch)
        cohort.step(step)
    return cohort


def equal(ours: Cohort, theirs: Cohort) -> bool:
    pairs = [*zip(ours.state().values(), theirs.state().values(), strict=True)]
    pairs += [(a[n], b[n]) for a, b in zip(ours.slots.values(), theirs.slots.values(), strict=True) for n in a]
    pairs += [(ours.epoch_loss, theirs.epoch_loss), (ours.epoch_hits, theirs.epoch_hits)]
    return all(torch.equal(a, b) for a, b in pairs)


KINDS: dict[str, Any] = {
    "mlp": {"network": Network(width=0.1)},
    "adam": {"network": Network(width=0.1), "recipe": SGD.replace(optimizer="adam", lr=0.002)},
    "resnet": {"network": Network(arch="resnet8", width=0.5), "recipe": SGD.replace(nesterov=True)},
    "no norm": {"network": Network(arch="resnet8", width=0.25, norm="none")},
    "mobilenet": {"network": Network(arch="mobilenet_v1", width=0.06), "recipe": SGD.replace(lr=0.001)},
    "bf16": {"network": Network(arch="lenet_5", norm="batch"), "recipe": SGD.replace(precision="bf16")},
    "smoothed": {"network": Network(width=0.1), "recipe": SGD.replace(label_smoothing=0.1)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_replayed_step_computes_what_a_step_computes(kind: str, tiny: Any, recorded: list[int]) -> None:
    """Learning rates that change in each step, batches, crops, flips and the sums over an epoch: all bits equal."""
    run = Run(task=tiny.replace(crop=1, flip=True), **{"recipe": SGD, **KINDS[kind]})
    jobs = [job(run.replace(order=order)) for order in range(2)]
    steps = Cohort(jobs, CPU).time.per_epoch + 5
    eager = trained(jobs, steps, graphed=False)
    assert not recorded
    assert equal(trained(jobs, steps, graphed=True), eager)
    assert len(recorded) == steps - graph.WARM


def test_masks_change_between_replays(tiny: Any, recorded: list[int]) -> None:
    dense = Run(task=tiny, network=Network(width=0.1), recipe=SGD)
    grown = [tickets.grown(dense.replace(order=r), "rigl", density=0.4, every=3) for r in range(2)]
    jobs = [job(run) for run in grown]
    eager, replayed = (trained(jobs, 12, graphed) for graphed in (False, True))
    assert equal(replayed, eager)
    assert len(recorded) == 12 - 3 - graph.WARM  # the updates at 3, 6 and 9 are no replays
    assert all(torch.equal(mask, eager.masks[name]) for name, mask in replayed.masks.items())
    assert any(not torch.equal(mask[0], jobs[0].mask[name]) for name, mask in replayed.masks.items())


def test_a_dense_tensor_may_get_a_mask_between_replays(tiny: Any, recorded: list[int]) -> None:
    run = Run(task=tiny, network=Network(width=0.1), recipe=SGD)
    bare = Job(run, job(run).weights, {})
    cohorts = [trained([bare], 6, graphed) for graphed in (False, True)]
    for cohort in cohorts:
        cohort.set_mask("fc1.weight", job(run).mask["fc1.weight"].unsqueeze(0))
    for cohort in cohorts:
        for step in range(6, 6 + graph.WARM + 2):
            cohort.step(step)
    assert equal(*cohorts)
    assert len(recorded) == 6 - graph.WARM + 2  # warmed up anew: compiled code has a mask more to take in


def test_an_extra_loss_is_replayed(tiny: Any, recorded: list[int]) -> None:
    dense = Run(task=tiny, network=Network(width=0.1), recipe=SGD)
    jobs = [job(dense.replace(extra=Anchor(run=dense.replace(order=9), strength=0.3)))]
    assert equal(trained(jobs, 8, graphed=True), trained(jobs, 8, graphed=False))
    assert recorded


def test_what_the_stand_in_would_notice(tiny: Any, recorded: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor that is replaced instead of written to, and nobody says so: here the rates, as they once were."""
    jobs, whole = [job(Run(task=tiny, network=Network(width=0.1), recipe=SGD))], Cohort._set_rates

    def anew(self: Cohort, value: float) -> None:
        self.rates = {}
        whole(self, value)

    eager = trained(jobs, 8, graphed=False)
    monkeypatch.setattr(Cohort, "_set_rates", anew)
    assert equal(trained(jobs, 8, graphed=False), eager)
    assert equal(trained(jobs, 8, graphed=True), eager)  # warmed up anew in every step
    monkeypatch.setattr(graph.Graphed, "forget", lambda self: None)
    assert not equal(trained(jobs, 8, graphed=True), eager)


def test_what_cannot_be_captured_runs_without(
    tiny: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(function: Callable[[], None], device: torch.device) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(graph, "capture", refused)
    monkeypatch.setattr(graph, "warm", lambda function, device: function())
    jobs = [job(Run(task=tiny, network=Network(width=0.1), recipe=SGD))]
    assert equal(trained(jobs, 8, graphed=True), trained(jobs, 8, graphed=False))
    assert caplog.text.count("can't be captured") == 1


def test_batches_of_another_size_are_captured_anew(tiny: Any, recorded: list[int]) -> None:
    """As `ltkit plan` takes them, which tells what a step costs from what its images cost."""
    jobs = [job(Run(task=tiny, network=Network(width=0.1), recipe=SGD))]

    def stepped(graphed: bool) -> Cohort:
        cohort = trained(jobs, 6, graphed)
        cohort.time = replace(cohort.time, batch=5)
        for step in range(6, 6 + graph.WARM + 1):
            cohort.step(step)
        return cohort

    assert equal(stepped(graphed=True), stepped(graphed=False))
    assert len(recorded) == 6 - graph.WARM + 1


@pytest.mark.parametrize("kind", ["resnet", "bf16", "adam"])
def test_no_code_is_compiled_within_a_capture(kind: str, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA refuses that: what a graph works on has to lie in memory as what the steps before it were given."""
    compiled: list[Any] = []
    within: list[int] = []

    def backend(module: Any, inputs: Any) -> Any:
        compiled.append(module)
        return module.forward

    def capture(function: Callable[[], None], device: torch.device) -> Callable[[], None]:
        before = len(compiled)
        function()
        within.append(len(compiled) - before)
        return lambda: None  # enough to know what was compiled

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    monkeypatch.setattr(graph, "capture", capture)
    monkeypatch.setattr(graph, "warm", lambda function, device: function())
    run = Run(task=tiny.replace(crop=1, flip=True), **{"recipe": SGD, **KINDS[kind]})
    jobs = [job(run.replace(order=order)) for order in range(2)]
    name, mask = jobs[0].mask.popitem()
    del jobs[1].mask[name]  # a tensor that is dense at first
    cohort = Cohort(jobs, CPU, compile=True, graph=True)
    cohort.begin_epoch(0)
    for step in range(9):
        if step == 5:
            cohort.set_mask(name, torch.stack([mask, mask]))
        cohort.step(step)
    assert compiled
    assert within == [0, 0]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError(), torch.AcceleratorError("CUDA error: out of memory")])
def test_too_little_memory_is_told(tiny: Any, monkeypatch: pytest.MonkeyPatch, error: RuntimeError) -> None:
    """So that the lab halves the cohort."""

    def full(function: Callable[[], None], device: torch.device) -> None:
        raise error

    monkeypatch.setattr(graph, "capture", full)
    monkeypatch.setattr(graph, "warm", lambda function, device: function())
    with pytest.raises(type(error)):
        trained([job(Run(task=tiny, network=Network(width=0.1), recipe=SGD))], 8, graphed=True)


def test_a_cohort_goes_when_its_last_name_goes(tiny: Any, recorded: list[int]) -> None:
    """Its memory is what the next one needs; nothing may wait for a search for garbage."""
    gc.disable()
    try:
        cohort = trained([job(Run(task=tiny, network=Network(width=0.1), recipe=SGD))], 5, graphed=True)
        cohort.listeners.append(recorder(cohort, Trace(every=2, images=16), {})[1])
        gone = weakref.ref(cohort)
        del cohort
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("kind", "compile"), [*((kind, False) for kind in KINDS), ("bf16", True)])
def test_on_cuda_a_graph_computes_what_steps_compute(kind: str, compile: bool, tiny: Any) -> None:
    run = Run(task=tiny.replace(crop=1, flip=True), **{"recipe": SGD, **KINDS[kind]})
    jobs, device = [job(run.replace(order=order)) for order in range(2)], torch.device("cuda")
    made = []
    for graphed in (False, True):
        cohort = Cohort(jobs, device, compile=compile, graph=graphed)
        cohort.begin_epoch(0)
        for step in range(8):
            cohort.step(step)
        made.append(cohort.member(0))
        assert not (graphed and cohort._graphed and cohort._graphed.failed)
    for name, tensor in made[0].items():
        torch.testing.assert_close(made[1][name], tensor, rtol=1e-3, atol=1e-4)
