"""The layers that the greedy-bounds study looks at one by one, and all paths of selection through each.

Synthetic layers have the sheet's widths and dimensions; those of networks are taken with the weights that a training
began with ("random weights") and ended with ("trained"), each in its own unpruned network.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from .. import data
from ..analyze import bounds
from ..analyze.regimes import two_layer
from ..lab import Lab
from ..models.plain import torch_module
from ..prune import greedy
from ..prune.channels import contributions, groups
from ..prune.greedy import Floats, Selection
from ..seeds import generator
from .gradient_flow_measures import sound, training_images
from .greedy_bounds import dense
from .greedy_bounds_params import Params
from .greedy_bounds_workers import side_by_side

SYNTHETIC, FRESH, TRAINED = "two-layer", "random weights", "trained"
METHODS = ("line", "negative", "one_over_k", "no_repeats", "random", "norm", "backward")
ITERATIONS = 4  # for each neuron there is, at most


@dataclass(frozen=True, eq=False)
class Layer:
    """N contributions, with what tables call them; their coordinates are turned, distances are as they were."""

    source: str
    network: str  # "" of a synthetic layer
    layer: str  # the producer
    dimension: float  # M of a synthetic layer, else the effective rank
    seed: int
    phi: Floats  # (N, at most N)
    run: str  # whose weights these are

    @property
    def labels(self) -> dict[str, str | int | float]:
        """The columns that name this layer."""
        named = {"source": self.source, "network": self.network, "layer": self.layer}
        return {**named, "width": len(self.phi), "dimension": self.dimension, "seed": self.seed}


@dataclass(frozen=True, eq=False)
class Walk:
    """A layer's geometry and the path of every method; errors are those of h itself, free of the Gram form's floor."""

    layer: Layer
    given: bounds.Geometry
    paths: dict[str, Selection]


def turned(phi: Floats) -> Floats:
    """Contributions (N, M) in at most N coordinates: a rotation, so all products of two of them stay."""
    if phi.shape[1] <= len(phi):
        return phi
    _, r = np.linalg.qr(phi.T)
    return r.T


def effective_rank(phi: Floats) -> float:
    """How many directions the contributions (N, M) spread over: (Σλ)²/Σλ² of their covariance (participation ratio)."""
    psi = phi - phi.mean(axis=0)
    small = psi @ psi.T if len(psi) < psi.shape[1] else psi.T @ psi
    total = float((small**2).sum())
    return float(np.trace(small)) ** 2 / total if total else 0.0


@functools.lru_cache(maxsize=2)
def walks(params: Params, lab: Lab) -> tuple[Walk, ...]:
    """All layers with all paths. The runs are those of `greedy_bounds.collect`; what diverged is left out."""
    cells = [(params.neurons, m) for m in params.dimensions] + [(params.few_neurons, params.many_dimensions)]
    made: list[Callable[[], Iterable[Layer]]] = [
        *(functools.partial(synthetic, width, dimension, params.seeds) for width, dimension in cells),
        *(functools.partial(of_network, params, lab, name, seed) for name in params.every for seed in params.seeds),
    ]
    work = [functools.partial(_walks, one, params.steps) for one in made]
    return tuple(walk for found in side_by_side(work, lab) for walk in found)


def _walks(made: Callable[[], Iterable[Layer]], steps: int) -> list[Walk]:
    return [walk(layer, steps) for layer in made()]


def synthetic(width: int, dimension: int, seeds: Iterable[int]) -> Iterator[Layer]:
    """Two-layer ReLU networks on so many points, a layer a seed."""
    for seed in seeds:
        yield Layer(SYNTHETIC, "", "", dimension, seed, turned(two_layer(width, dimension, seed)), "")


def of_network(params: Params, lab: Lab, name: str, seed: int) -> Iterator[Layer]:
    """The layers of one network, before and after training."""
    run = dense(params, name, seed)
    if not sound(lab, run):
        return
    dataset = data.load(run.task, lab.root)
    images = training_images(run.task, lab.root, params.layer_images)[0]
    for source, weights in ((FRESH, lab.weights(run, 0)), (TRAINED, lab.weights(run))):
        module = torch_module(run.network, dataset.shape, dataset.classes, weights)
        for group in groups(module):
            phi = turned(contributions(module, group, images, params.layer_rows))
            if np.ptp(phi, axis=0).any():  # a layer that is dead on these images has nothing to select
                yield Layer(source, name, group.producer, effective_rank(phi), seed, phi, run.name)


def walk(layer: Layer, steps: int) -> Walk:
    """Every method's path through a layer."""
    phi = layer.phi
    given, problem = bounds.geometry(phi), greedy.from_contributions(phi)
    long, short = min(steps, ITERATIONS * len(phi)), min(steps, len(phi))
    paths = {
        "line": greedy.direct(phi, long, tol=0.0),
        "negative": greedy.direct(phi, long, tol=0.0, negative=True),
        "one_over_k": greedy.one_over_k(problem, long),
        "no_repeats": greedy.one_over_k(problem, short, repeats=False),
        "random": greedy.random(problem, short, generator("greedy layers", *layer.labels.values())),
        "norm": greedy.norm(problem, short),
        "backward": greedy.backward(problem, short),
    }
    exact = {name: replace(path, errors=greedy.explicit_errors(phi, path)) for name, path in paths.items()}
    return Walk(layer, given, exact)


def reached(path: Selection, neurons: int) -> Selection | None:
    """The best of a path with exactly so many distinct neurons; None where it never has them."""
    there = np.flatnonzero(path.sizes == neurons)
    if not len(there):
        return None
    return greedy.prefix(path, int(there[path.errors[there].argmin()]) + 1)


def standard_errors(layer: Layer, given: bounds.Geometry, neurons: int, draws: int) -> float:
    """How far the mean D of random choices of so many neurons is from B7, in standard errors of that mean."""
    phi, stream = layer.phi - layer.phi.mean(axis=0), generator("greedy draws", *layer.labels.values())
    order = np.random.default_rng(int(stream.initial_seed())).random((draws, len(phi)))
    chosen = np.argpartition(order, neurons - 1, axis=1)[:, :neurons]
    weights = np.zeros((draws, len(phi)))  # one product for all draws
    np.put_along_axis(weights, chosen, 1 / neurons, axis=1)
    found = ((weights @ phi) ** 2).sum(axis=1)
    apart = found.mean() - float(bounds.b7(given.spread, neurons, len(phi)))
    error = found.std(ddof=1) / math.sqrt(draws)
    if error > 1e-12 * given.spread:
        return float(apart / error)
    return math.inf if abs(apart) > 1e-12 * given.spread else 0.0  # every choice is as good as any other
