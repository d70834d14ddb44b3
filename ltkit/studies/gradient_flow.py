"""The gradient-flow study (gradient_flow.md): which runs it needs.

Its parameters are in `gradient_flow_params`, what is measured in `gradient_flow_measures`, what all of it says in
`gradient_flow_claims`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pandas as pd

from .. import models
from ..lab import Lab
from ..lab.material import frame
from ..prune import tickets
from ..spec import Grown, Init, Magnitude, Random, Run
from .gradient_flow_params import Params, network
from .mode_connectivity import twin
from .recipes import recipe, task

__all__ = ["INITS", "Params", "by_labels", "collect", "dense", "gradual", "grid", "traced"]

Labelled = tuple[dict[str, Any], Run]
Method = Literal["set", "rigl", "rigl_inverted"]

INITS: dict[str, dict[str, Any]] = {  # what each start is called in tables
    "dense_glorot": {"scheme": "glorot_uniform"},
    "dense_he": {"scheme": "kaiming_normal"},
    "layer": {"scheme": "kaiming_normal", "fan": "layer"},
    "layer_out": {"scheme": "kaiming_normal", "fan": "layer_out"},
    "neuron": {"scheme": "kaiming_normal", "fan": "neuron"},
}
UPDATING: tuple[Method, ...] = ("set", "rigl", "rigl_inverted")
OTHER = 100  # draws of independently pruned networks begin here, those of fresh weights under a mask at 1
LABELS = ["network", "method", "init", "distribution", "density", "lr", "seed", "twin"]
KEYS = ["network", "method", "init", "distribution", "density", "seed", "twin"]


def start(name: str, seed: int, draw: int = 0) -> Init:
    """Fresh weights of a seed by the name of their initialization."""
    return Init(seed=seed, draw=draw, **INITS[name])


def dense(params: Params, name: str, seed: int, epochs: int | None = None) -> Run:
    """The dense network of one seed."""
    trained = recipe(params, params.lr, epochs or params.epochs_of(name))
    begun = start(params.start, seed)
    return Run(task=task(params), network=network(name), recipe=trained, start=begun, order=seed)


def gradual(params: Params, whole: Run, density: float, number: int = 0) -> Run:
    """Gradual magnitude pruning of a dense network (GMP); number > 0: from other weights, in another data order."""
    run = tickets.gradual(
        whole,
        density,
        every=params.prune_every,
        begin=params.prune_begin,
        end=params.prune_end,
        prunable=params.prunable,
    )
    if not number:
        return run
    seed = whole.order
    return twin(run, number).replace(start=start(params.start, seed, OTHER + number))


def pruned_mask(params: Params, run: Run, density: float) -> Magnitude:
    """The mask that a run ended with: a gradual run's, or that of a run whose mask moved at this density."""
    scope: Literal["layer", "global"] = "layer" if run.mask.kind == "gradual" else "global"
    return Magnitude(run=run, density=density, scope=scope, prunable=params.prunable)


def random_mask(params: Params, seed: int, density: float, layout: str) -> Random:
    """Positions at random, the same for every method of a seed."""
    return Random(density=density, distribution=layout, seed=seed, prunable=params.prunable)  # type: ignore[arg-type]


def moving(params: Params, whole: Run, method: Method, mask: Random | Magnitude, init: str, draw: int = 1) -> Run:
    """SET, RigL or RigL inverted from `mask`, over fresh weights."""
    grown = Grown(
        method=method,
        mask=mask,
        every=params.every,
        end=params.end,
        drop=params.drop,
        replaces_step=params.replaces_step,
        seed=whole.order if method == "set" else 0,
    )
    return whole.replace(start=start(init, whole.order, draw), mask=grown)


def static(whole: Run, mask: Random | Magnitude, init: str, draw: int = 1) -> Run:
    """Fresh weights under a mask that stays."""
    return whole.replace(start=start(init, whole.order, draw), mask=mask)


def iterative(params: Params, whole: Run, density: float) -> Run:
    """The ticket of iterative pruning from θ_0, layer by layer, its last mask exactly at `density`."""
    trained = whole
    for done in range(1, params.imp_rounds + 1):
        target = density if done == params.imp_rounds else round(density ** (done / params.imp_rounds), 6)
        mask = Magnitude(run=trained, density=target, scope="layer", prunable=params.prunable)
        trained = tickets.ticket(whole, mask)
    return trained


def small_dense(params: Params, whole: Run, density: float, root: str | None) -> Run:
    """A narrow dense network with as many parameters as the sparse one, biases included."""
    at = frame(whole, root)

    def rest(net: Any) -> int:
        return models.count(net, *at) - models.prunable_count(net, *at, params.prunable)

    kept = Random(density=density).kept(models.prunable_count(whole.network, *at, params.prunable))
    narrow, _ = models.small_dense(whole.network, *at, kept, params.prunable)
    # The narrow network has fewer biases, and may have so many more weights.
    narrow, _ = models.small_dense(whole.network, *at, kept + rest(whole.network) - rest(narrow), params.prunable)
    return whole.replace(network=narrow)


def grid(params: Params, root: str | None = None) -> list[Labelled]:
    """Every run of the study with its labels: network, method, init, distribution, density, lr, seed, twin.

    Methods: dense; small_dense; gmp (gradual pruning) and prune_other (the same from other weights, in other orders);
    lt (gmp's final mask on θ_0; twin > 0: another data order); lt_imp; scratch (a mask that stays over fresh weights;
    twins as lt's); lt_reinit (lt's mask over fresh weights, others in each twin, whose data orders are lt's); set,
    rigl, rigl_inverted (masks that move); at `dynamic_density` also rigl_long (`longer` times as long), rigl_lt and
    rigl_fresh (RigL once more, from the mask that rigl ended with, on rigl's own initial weights and on others).

    `distribution` is how a mask lies over the layers: pruned (gmp's final mask, with which paper D begins everything)
    or a layout of random positions; "" of dense networks. `init` of a pruned network is that of its dense one.
    Scratch under the pruned mask is paper D's Scratch, with init neuron its Scratch+; rigl with it is RigL+.
    """
    found: dict[tuple[Any, ...], Labelled] = {}
    for name in params.networks + params.contrasts:
        for seed in params.seeds:
            for labels, run in _of(params, name, seed, root):
                told = {"network": name, **labels, "lr": run.recipe.lr, "seed": seed}
                ordered = {key: told.get(key, 0) for key in LABELS}
                found.setdefault(tuple(ordered.values()), (ordered, run))
    return list(found.values())


def _at(method: str, init: str, distribution: str, density: float, twin: int = 0) -> dict[str, Any]:
    return {"method": method, "init": init, "distribution": distribution, "density": density, "twin": twin}


def _of(params: Params, name: str, seed: int, root: str | None) -> Iterator[Labelled]:
    whole, density, own = dense(params, name, seed), params.density, params.start
    source = gradual(params, whole, density)
    mask = pruned_mask(params, source, density)
    full = name in params.networks
    yield _at("dense", own, "", 1.0), whole
    yield _at("small_dense", own, "", density), small_dense(params, whole, density, root)
    yield _at("gmp", own, "pruned", density), source
    yield _at("lt", own, "pruned", density), tickets.ticket(whole, mask)
    for init in ("dense_glorot", "dense_he", "neuron") if full else (own, "neuron"):
        yield _at("scratch", init, "pruned", density), static(whole, mask, init)
    for method in UPDATING:
        for init in dict.fromkeys((own, "neuron")):
            if full or (init == "neuron" and method != "rigl_inverted"):
                yield _at(method, init, "pruned", density), moving(params, whole, method, mask, init)
    if full:
        yield from _twins(params, whole, mask)
        yield _at("lt_imp", own, "pruned", density), iterative(params, whole, density)
        yield from _random(params, whole)
        yield from _at_dynamic_density(params, name, whole)
        yield from _at_spectra_density(params, whole)


def _twins(params: Params, whole: Run, mask: Magnitude) -> Iterator[Labelled]:
    """Other data orders of the ticket and of Scratch, other fresh weights, other pruned networks."""
    density, own = params.density, params.start
    ticket, scratch = tickets.ticket(whole, mask), static(whole, mask, own)
    for number in range(params.twins):
        yield _at("lt", own, "pruned", density, number), twin(ticket, number)
        yield _at("scratch", own, "pruned", density, number), twin(scratch, number)
        fresh = twin(static(whole, mask, own, 1 + number), number)
        yield _at("lt_reinit", own, "pruned", density, number), fresh
        if number:
            yield _at("prune_other", own, "pruned", density, number), gradual(params, whole, density, number)


def _random(params: Params, whole: Run) -> Iterator[Labelled]:
    """Random positions: static, of the main layout from every start; moving from the scaled one."""
    for layout in params.layouts:
        mask = random_mask(params, whole.order, params.density, layout)
        main = layout == params.layouts[0]
        for init in INITS if main else ("neuron",):
            yield _at("scratch", init, layout, params.density), static(whole, mask, init)
        for method in UPDATING if main else ():
            yield _at(method, "neuron", layout, params.density), moving(params, whole, method, mask, "neuron")


def _at_dynamic_density(params: Params, name: str, whole: Run) -> Iterator[Labelled]:
    """What RigL's paper compares: static, SET and RigL from random masks, two layouts, gradual pruning, longer RigL."""
    density, main = params.dynamic_density, params.layouts[0]
    mask = random_mask(params, whole.order, density, main)
    yield _at("scratch", "neuron", main, density), static(whole, mask, "neuron")
    yield _at("set", "neuron", main, density), moving(params, whole, "set", mask, "neuron")
    found = moving(params, whole, "rigl", mask, "neuron")
    yield _at("rigl", "neuron", main, density), found
    for layout in params.layouts[1:]:
        if {layout, main} == {"uniform", "erk"}:
            other = random_mask(params, whole.order, density, layout)
            yield _at("rigl", "neuron", layout, density), moving(params, whole, "rigl", other, "neuron")
    yield _at("gmp", params.start, "pruned", density), gradual(params, whole, density)
    if params.longer:
        longer = dense(params, name, whole.order, params.longer * params.epochs_of(name))
        yield _at("rigl_long", "neuron", main, density), moving(params, longer, "rigl", mask, "neuron")
    ended = pruned_mask(params, found, density)
    for method, draw in (("rigl_lt", 1), ("rigl_fresh", 2)):
        yield _at(method, "neuron", main, density), moving(params, whole, "rigl", ended, "neuron", draw)


def _at_spectra_density(params: Params, whole: Run) -> Iterator[Labelled]:
    """What mask updates do to the Hessian, at a density that leaves few enough weights for all of its eigenvalues."""
    density = params.spectra_density
    source = gradual(params, whole, density)
    yield _at("gmp", params.start, "pruned", density), source
    for method in UPDATING if params.spectra_updates else ():
        mask = pruned_mask(params, source, density)
        yield _at(method, "neuron", "pruned", density), moving(params, whole, method, mask, "neuron")


def traced(params: Params, root: str | None = None) -> list[Labelled]:
    """The runs whose gradients are recorded through training: the first twins that claims about G speak of.

    At the claim density dense, small_dense, lt, scratch under the pruned mask, whatever moves, and scratch of the main
    random layout with the scaled start; at `spectra_density` what moves from the pruned mask.
    """
    main = params.layouts[0]

    def wanted(labels: dict[str, Any]) -> bool:
        told = (labels["method"] in UPDATING, labels["density"], labels["distribution"])
        if told == (True, params.spectra_density, "pruned"):
            return True
        if labels["twin"] or labels["density"] not in (1.0, params.density):
            return False
        if labels["method"] == "scratch":
            return labels["distribution"] == "pruned" or (labels["distribution"], labels["init"]) == (main, "neuron")
        if labels["method"] in UPDATING:
            return labels["distribution"] in ("pruned", main)
        return labels["method"] in ("dense", "small_dense", "lt")

    return [(labels, run) for labels, run in grid(params, root) if wanted(labels)]


def every_run(params: Params, root: str | None = None) -> list[Run]:
    """All runs of the study."""
    return [run for _, run in (*traced(params, root), *grid(params, root))]


def by_labels(params: Params, root: str | None = None) -> dict[tuple[Any, ...], Run]:
    """The runs of the grid by the values of `KEYS`."""
    return {tuple(labels[key] for key in KEYS): run for labels, run in grid(params, root)}


def collect(params: Params, lab: Lab) -> pd.DataFrame:
    """Trains what is missing, with traces where they are wanted, and gives the study's table: a row a run.

    Columns: the labels of `grid`, accuracy, validation, train_loss, outcome, run.
    """
    labelled = grid(params, lab.root)
    lab.run((run for _, run in traced(params, lab.root)), trace=params.trace)
    lab.run(run for _, run in labelled)
    return lab.table(labelled)
