"""What the gradient-flow study measures on the way of a training: gradients, signals before it, curvature.

What trainings end in is compared in `gradient_flow_solutions`. Nothing here trains: the runs are those of
`gradient_flow.collect`. What a diverged run would have given is NaN.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import pandas as pd
import torch
from torch import Tensor

from .. import data, models
from ..analyze import hessian, signal, spectrum
from ..analyze.path import Split
from ..lab import Lab, material
from ..lab.measured import measured
from ..prune.distribution import Shapes, layer_counts, random_mask
from ..prune.masks import Mask
from ..seeds import generator
from ..spec import Random, Run, Task
from ..train.schedule import clock
from .gradient_flow import INITS, UPDATING, Params, every_run, start, traced
from .gradient_flow_params import network

TRACES = ["network", "method", "init", "distribution", "density", "seed", "step", "share", "moment"]
TRACES += ["loss", "gradient_norm", "dense_norm", "gain", "kept", "run"]
SIGNALS = ["network", "init", "mask", "sparsity", "seed", "sd"]
SPECTRA = ["network", "method", "init", "density", "seed", "step", "moment", "number", "value"]
SPECTRA += ["lambda_min", "lambda_max", "negative", "mass"]
IDENTITIES = ["network", "seed", "step", "recorded", "recomputed"]

NOISE_SHAPE = (3, 28, 28)  # of P12's images, whatever the study's data
LANCZOS_STEPS, PROBES = 40, 2  # of a spectrum that is too large to be computed exactly
Rows: TypeAlias = pd.DataFrame


@measured(every_run)
def traces(params: Params, lab: Lab) -> Rows:
    """Gradient norms through training and around mask updates: a row a record of a traced run.

    Columns `TRACES`: labels, step, share (of all steps), and those of `ltkit.train.trace.Record`.
    """
    found = []
    for labels, run in traced(params, lab.root):
        rows = lab.trace(run, params.trace)
        told = {key: labels[key] for key in TRACES if key in labels}
        found.append(rows.assign(**told, share=rows["step"] / rows["step"].max(), run=run.name)[TRACES])
    return pd.concat([rows for rows in found if len(rows)], ignore_index=True)


def no_runs(params: Params, root: str | None = None) -> tuple[Run, ...]:
    """What is measured before anything is trained needs none."""
    return ()


@measured(no_runs)
def signals(params: Params, lab: Lab) -> Rows:
    """σ of all logits before any training, for noise as input (P12): a row an init, kind of mask, sparsity and seed.

    Columns `SIGNALS`. Images are 28x28x3 as in the paper, whatever the study's data. mask: uniform (each layer the same
    share, positions by chance) or uneven (later units favoured, as in the paper's notebook). No run is needed.
    """
    work = [
        functools.partial(_signals, params, name, seed, kind)
        for name in params.networks
        for seed in params.seeds
        for kind in ("uniform", "uneven")
    ]
    rows = itertools.chain.from_iterable(side_by_side(work, torch.get_num_threads()))
    return pd.DataFrame(rows, columns=SIGNALS)


def _signals(params: Params, name: str, seed: int, kind: str) -> list[tuple[Any, ...]]:
    net, classes = network(name), 10
    sizes = models.init(net, NOISE_SHAPE, classes, start("dense_he", seed))
    shapes = {key: tuple(sizes[key].shape) for key in models.prunable(net, NOISE_SHAPE, classes, params.prunable)}
    masks = {s: _noise_mask(shapes, s, seed, kind) for s in params.sparsities}
    cells = [(init, s) for s in params.sparsities for init in INITS]
    starts = [(start(init, seed), masks[s]) for init, s in cells]
    x = signal.noise(NOISE_SHAPE, seed)
    found = signal.scales(net, NOISE_SHAPE, classes, starts, x)
    return [(name, init, kind, s, seed, sd) for (init, s), sd in zip(cells, found, strict=True)]


def _noise_mask(shapes: Shapes, sparsity: float, seed: int, kind: str) -> Mask:
    if not sparsity:
        return {}
    total = sum(math.prod(shape) for shape in shapes.values())
    kept = layer_counts(shapes, Random(density=round(1 - sparsity, 9)).kept(total), "uniform")
    stream = generator("signal mask", kind, sparsity, seed)
    return random_mask(shapes, kept, stream) if kind == "uniform" else signal.uneven_mask(shapes, kept, stream)


@measured(every_run)
def spectra(params: Params, lab: Lab) -> Rows:
    """The Hessian's eigenvalues in the mask's subspace (P8), ascending: a row an eigenvalue.

    Columns `SPECTRA`. moment: before and after the mask updates `spectra_updates` of set, rigl and rigl_inverted, at
    `spectra_density`, from the pruned mask and the scaled start; if that is the claim density also start and end of lt
    and of Scratch+. lambda_min, lambda_max, negative (count) and mass (of the negative ones) are those of the whole
    spectrum. Loss: mean cross-entropy of the first `spectra_images` of the training images in a random order, no L2.
    Above `spectra_exact` coordinates the spectrum is that of stochastic Lanczos quadrature, `value` its quantiles: then
    mass means something, counts nothing, since so many eigenvalues are next to 0. No rows without `spectra_updates`.
    """
    chosen = [
        (labels, run)
        for labels, run in traced(params, lab.root)
        if labels["network"] in params.networks
        and (labels["distribution"], labels["density"]) == ("pruned", params.spectra_density)
        and params.spectra_updates
    ]
    places = [(labels, run, *when) for labels, run in chosen for when in _moments(params, labels)]
    states = [_state(params, lab, run, step, moment) if sound(lab, run) else None for _, run, step, moment in places]
    # Until their first update all methods are one training: equal states are taken once.
    keys = ["" if state is None else _digest(run, *state) for (_, run, *_), state in zip(places, states, strict=True)]
    first = {key: place for place, key in reversed(list(enumerate(keys))) if key}
    work = [
        functools.partial(_eigenvalues, params, lab, places[n][1], *state)
        for n in first.values()
        if (state := states[n]) is not None
    ]
    found = dict(zip(first, side_by_side(work, lab.workers), strict=True))
    tables = [_spectrum(lab, *place, found.get(key)) for place, key in zip(places, keys, strict=True)]
    return joined(tables, SPECTRA)


def _moments(params: Params, labels: Mapping[str, Any]) -> Iterator[tuple[int | None, str]]:
    """(step, moment) of the spectra of a traced run; step None: that of its start or end."""
    if labels["init"] == "neuron" and labels["method"] in UPDATING:
        for number in params.spectra_updates:
            yield from ((params.every * number, moment) for moment in ("before", "after"))
    if labels["method"] == "lt" or (labels["method"], labels["init"]) == ("scratch", "neuron"):
        yield from ((None, moment) for moment in ("start", "end"))


def _state(params: Params, lab: Lab, run: Run, step: int | None, moment: str) -> tuple[Mapping[str, Tensor], Mask]:
    if step is not None:
        return lab.snapshot(run, params.trace, step, moment)
    if moment == "end":
        return lab.weights(run), lab.mask(run)
    job = material.job(run, lab.store, lab.root)
    return job.weights, dict(job.mask)


def _digest(run: Run, weights: Mapping[str, Tensor], mask: Mask) -> str:
    parts = [run.network.model_dump_json(), run.task.model_dump_json()]
    parts += [f"{name}{t.numpy().tobytes().hex()}" for side in (weights, mask) for name, t in sorted(side.items())]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _eigenvalues(params: Params, lab: Lab, run: Run, weights: Mapping[str, Tensor], mask: Mask) -> spectrum.Spectrum:
    dataset = data.load(run.task, lab.root)
    x, y = training_images(run.task, lab.root, params.spectra_images)
    at = (run.network, dataset.shape, dataset.classes)
    loss = hessian.cross_entropy(*at, weights, mask, x, y, dtype=torch.float32)
    if loss.size <= params.spectra_exact:
        return spectrum.whole(hessian.exact(loss))
    stream = generator("spectrum", params.spectra_images)
    return spectrum.quadrature(hessian.product(loss), loss.size, LANCZOS_STEPS, PROBES, stream)


def _spectrum(
    lab: Lab, labels: Mapping[str, Any], run: Run, step: int | None, moment: str, found: spectrum.Spectrum | None
) -> Rows:
    last = clock(run.recipe, material.images(run, lab.root)).total
    told = {key: labels[key] for key in SPECTRA if key in labels}
    told |= {"step": {"start": 0, "end": last}.get(moment, step), "moment": moment}
    if found is None:
        lost = dict.fromkeys(("value", "lambda_min", "lambda_max", "negative", "mass"), math.nan)
        return pd.DataFrame([{**told, "number": 0, **lost}])[SPECTRA]
    about = spectrum.summary(found)
    ends = {key: getattr(about, key) for key in ("lambda_min", "lambda_max", "negative", "mass")}
    values = quantiles(found)
    return pd.DataFrame({**told, "number": range(1, len(values) + 1), "value": values.tolist(), **ends})[SPECTRA]


def quantiles(found: spectrum.Spectrum) -> Tensor:
    """A spectrum's eigenvalues one by one, ascending: of quadrature the values at ranks 1/2, 3/2, ... of its counts."""
    values, order = found.values.sort()
    below = found.counts[order].double().cumsum(0)
    ranks = torch.arange(round(float(below[-1])), dtype=torch.float64) + 0.5
    return values[torch.searchsorted(below, ranks).clamp(max=len(values) - 1)]


@measured(every_run)
def identities(params: Params, lab: Lab) -> Rows:
    """The sheet's trap 3 on stored weights: columns `IDENTITIES`, a row an update of RigL+ whose spectrum is taken.

    recorded: sqrt(G² + gain) from the trace, before the update. recomputed: the norm of the gradient at those weights
    under the old and the new mask together, on the same images: growing at 0 without dropping changes no output.
    """
    rows = []
    for labels, run in traced(params, lab.root):
        named = tuple(labels[key] for key in ("method", "init", "distribution", "density"))
        wanted = ("rigl", "neuron", "pruned", params.spectra_density)
        if named != wanted or labels["network"] not in params.networks or not sound(lab, run):
            continue
        trace = lab.trace(run, params.trace)
        dataset = data.load(run.task, lab.root)
        x, y = training_images(run.task, lab.root, params.trace_images)
        for step in (params.every * number for number in params.spectra_updates):
            before = trace[(trace["step"] == step) & (trace["moment"] == "before")].iloc[0]
            (weights, old), (_, new) = (lab.snapshot(run, params.trace, step, moment) for moment in ("before", "after"))
            both = {name: mask | new[name] for name, mask in old.items()}
            loss = hessian.cross_entropy(run.network, dataset.shape, dataset.classes, weights, both, x, y)
            told = {"network": labels["network"], "seed": labels["seed"], "step": step}
            recorded = math.sqrt(before["gradient_norm"] ** 2 + before["gain"])
            rows.append({**told, "recorded": recorded, "recomputed": gradient_norm(loss)})
    return pd.DataFrame(rows, columns=IDENTITIES)


def gradient_norm(loss: hessian.Loss) -> float:
    """The norm of a loss's gradient in the subspace of its mask."""
    leaves = {name: w.detach().requires_grad_() for name, w in loss.weights.items()}
    total = sum((part(leaves) for part in loss.parts[1:]), loss.parts[0](leaves))
    grads = torch.autograd.grad(total, list(leaves.values()), allow_unused=True, materialize_grads=True)
    kept = loss.kept
    squares = (g.flatten()[kept[name]].square().sum() for name, g in zip(leaves, grads, strict=True))
    return math.sqrt(sum(map(float, squares)))


def sound(lab: Lab, run: Run) -> bool:
    """Whether a run is in the store and has numbers for weights."""
    return (lab.store.done(run.name) or {}).get("outcome") == "finished"


@functools.lru_cache(maxsize=8)
def training_images(task: Task, root: str | None, count: int) -> Split:
    """The first `count` training images in the order of `ltkit.train.trace`, normalised, not augmented, with labels."""
    dataset = data.load(task, root)
    rows = torch.randperm(len(dataset.train_y), generator=generator("trace images"))[:count]
    x = data.normalise(dataset.train_x[rows].unsqueeze(0), dataset.mean, dataset.std)[0]
    return x, dataset.train_y[rows]


def side_by_side(work: Iterable[Callable[[], Any]], workers: int) -> list[Any]:
    """The results in order, a thread a worker, as the lab trains: faster than sharing every small operation out."""
    work = list(work)
    if workers == 1:
        return [one() for one in work]
    with ThreadPoolExecutor(workers, "measures", torch.set_num_threads, (1,)) as pool:
        return list(pool.map(lambda one: one(), work))


def joined(parts: list[Rows], columns: list[str]) -> Rows:
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
