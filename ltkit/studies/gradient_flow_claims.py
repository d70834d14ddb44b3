"""What the gradient-flow study's tables say about claims D1 to D27.

Nothing here trains. Margins, kinds and published values come with the claims (`ltkit.verdict.GRADIENT_FLOW`); what each
value is stands in the claim's note. All are judged on the claim network, unless a cell says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from ..verdict import GRADIENT_FLOW, Claim, Verdict, estimate, judge
from .answers import answered, judged
from .gradient_flow_evidence import UNTRAINED, VALUES, Evidence, Tables, log10, minus
from .gradient_flow_measures import Rows
from .gradient_flow_params import PAPER_STEPS, Params
from .tables import gap

STALLED, EARLY, LEFT = (100, 400, 800), (100, 400, 800, 1000), 0.2  # steps of D4, of D7; G of D6
NORMED = (2_000 / 32_000, 15_000 / 32_000)  # shares of ResNet-50's training between which D8 compares
MASKED = ("dense_glorot", "dense_he")
LOW, HIGH = (0.21, 0.77), (0.84, 0.91)  # sparsities of D2 and of D3
LEAST = 1e-4  # a share of test images below this counts as this: no test set here can tell it from none


def verdicts(params: Params, tables: Tables) -> list[Verdict]:
    """A verdict on every claim of the paper, in the sheet's order; what the grid can't test says why."""
    return answered(GRADIENT_FLOW, TESTS, Evidence(params, tables), params.scale)


def _judge(e: Evidence, claim: Claim, cells: Iterable[Rows], *setting: str, needs: str = "") -> Verdict | str:
    return judged(claim, cells, e.params.scale, (e.name, e.params.data, *setting), needs)


def _density(e: Evidence) -> str:
    return f"density {e.params.density:g}, masks of gradual pruning"


def _mean(rows: Rows) -> str:
    return f"{rows['value'].mean():+.3g}"


# Before training: noise as input, 28x28x3


def _signal(e: Evidence, claim: Claim, cells: list[Rows], *setting: str, needs: str) -> Verdict | str:
    cells = [cell for cell in cells if not cell.empty]
    if not cells:
        return needs
    where = ", ".join([e.name, "noise of 28x28x3", "uneven masks", *setting])
    return judge(claim, pd.concat(cells, ignore_index=True), scale=e.params.scale, setting=where)


def _d1(e: Evidence, claim: Claim) -> Verdict | str:
    falls = {i: minus(e.logits(0.0, i), e.logits(0.98, i), i) for i in MASKED}
    even = minus(e.logits(0.0, "dense_he", "uniform"), e.logits(0.98, "dense_he", "uniform"))
    both = minus(e.logits(0.0, "dense_he"), e.logits(0.0, "dense_glorot"))
    told = [f"He is {_mean(both)} above Glorot at s = 0", f"even masks under He: {_mean(even)}"]
    told += [silent] if (silent := e.silent(0.98, MASKED)) else []
    return _signal(e, claim, list(falls.values()), *told, needs="needs sparsities 0 and .98")


def _d2(e: Evidence, claim: Claim) -> Verdict | str:
    low = [s for s in e.params.sparsities if LOW[0] <= s <= LOW[1]]
    cells = [e.logits(s, i).assign(cell=f"s {s:g}, {i}") for s in low for i in ("layer", "neuron")]
    return _signal(e, claim, cells, needs=f"needs sparsities from {LOW[0]} to {LOW[1]}")


def _d3(e: Evidence, claim: Claim) -> Verdict | str:
    high = [s for s in e.params.sparsities if HIGH[0] <= s <= HIGH[1]]
    cells = [minus(e.logits(s, "neuron"), e.logits(s, "layer"), f"s {s:g}") for s in high]
    even = [minus(e.logits(s, "neuron", "uniform"), e.logits(s, "layer", "uniform")) for s in high]
    told = f"even masks: {_mean(pd.concat(even))}" if even else ""
    return _signal(e, claim, cells, told, needs=f"needs sparsities from {HIGH[0]} to {HIGH[1]}")


# Gradients through training


def _steps(e: Evidence, paper: Iterable[int]) -> dict[int, int]:
    """The recorded step for each of the paper's, those that fall on an earlier one left out."""
    found: dict[int, int] = {}
    for step in paper:
        if (here := e.recorded(step)) and here not in found.values():
            found[step] = here
    return found


def _share(step: int, here: int) -> str:
    return f"step {here} (the paper's {step})"


def _d4(e: Evidence, claim: Claim) -> Verdict | str:
    cells = [
        minus(e.norm(step, "scratch", init="neuron"), e.norm(step, "scratch", init=init), f"{_share(step, h)}, {init}")
        for step, h in _steps(e, STALLED).items()
        for init in MASKED
    ]
    return _judge(e, claim, cells, _density(e))


def _d5(e: Evidence, claim: Claim) -> Verdict | str:
    cells = [
        minus(e.norm(step, "scratch", init="neuron"), e.norm(step, "lt"), _share(step, h))
        for step, h in _steps(e, (100,)).items()
    ]
    return _judge(e, claim, cells, _density(e), f"ticket from {e.own}")


def _left(e: Evidence, method: str) -> Rows:
    """When G is first above `LEFT`, in the paper's steps; at the end where it never is."""
    found = []
    for seed, own in e.trace(method).sort_values("step").groupby("seed", sort=False):
        above = own.loc[own["gradient_norm"] > LEFT, "share"]
        value = above.iloc[0] if len(above) else np.nan if own["gradient_norm"].isna().any() else 1.0
        found.append((seed, PAPER_STEPS * value, (own["run"].iloc[0],)))
    return pd.DataFrame(found, columns=VALUES[:3])


def _d6(e: Evidence, claim: Claim) -> Verdict | str:
    scratch, ticket = _left(e, "scratch"), _left(e, "lt")
    if len(ticket) and (ticket["value"] == PAPER_STEPS).all() and (scratch["value"] == PAPER_STEPS).all():
        return f"neither the ticket nor scratch training ever has G above {LEFT}"
    never = int((scratch["value"] == PAPER_STEPS).sum()), int((ticket["value"] == PAPER_STEPS).sum())
    told = f"never left: scratch in {never[0]}, tickets in {never[1]} of {len(ticket)} seeds" if any(never) else ""
    above = [int((own["value"] == 0).sum()) for own in (scratch, ticket)]
    begun = f"above it from the first step: scratch in {above[0]}, tickets in {above[1]} seeds" if any(above) else ""
    scaled = f"steps as of {PAPER_STEPS:,} in all"
    return _judge(e, claim, [minus(scratch, ticket)], _density(e), f"both from {e.own}", scaled, told, begun)


def _d7(e: Evidence, claim: Claim) -> Verdict | str:
    cells = []
    for step, here in _steps(e, EARLY).items():
        first = e.norm(step, "rigl", init="neuron")
        rest = [e.norm(step, "scratch", init="neuron"), *(e.norm(step, m) for m in ("scratch", "lt", "small_dense"))]
        others = pd.concat(rest)
        highest = others.groupby("seed", sort=False)["value"].agg(lambda own: own.max(skipna=False)).reset_index()
        runs = others.groupby("seed", sort=False)["runs"].agg(lambda own: tuple(run for (run,) in own)).to_numpy()
        lead = minus(first, highest.assign(runs=runs), _share(step, here))
        cells.append(lead.assign(value=10 ** lead["value"] - 1))
    return _judge(e, claim, cells, _density(e), "against Scratch+, Scratch, ticket, small dense network")


def _d8(e: Evidence, claim: Claim) -> Verdict | str:
    if not e.normed:
        return "needs a network with BatchNorm"
    cells = []
    for name in e.normed:
        arms = [("lt", e.own), ("scratch", e.own), ("scratch", "neuron"), ("rigl", "neuron"), ("small_dense", e.own)]
        rows = pd.concat([e.trace(method, init=init, network=name) for method, init in arms])
        rows = rows[rows["share"].between(*NORMED)]
        logs = rows.assign(value=log10(rows["gradient_norm"])).groupby(["seed", "run"], sort=False)["value"]
        means = logs.agg(lambda own: own.mean(skipna=False)).reset_index()
        found = [
            (seed, 10 ** (own["value"].max(skipna=False) - own["value"].min(skipna=False)) - 1, tuple(own["run"]))
            for seed, own in means.groupby("seed", sort=False)
        ]
        cells.append(pd.DataFrame(found, columns=VALUES[:3]).assign(cell=name))
    told = f"geometric means over {NORMED[0]:.0%} to {NORMED[1]:.0%} of training"
    return _judge(e, claim, cells, f"density {e.params.density:g}", told)


def _d9(e: Evidence, claim: Claim) -> Verdict | str:
    main = e.params.layouts[0]
    cell = minus(e.early("rigl"), e.early("set"), factor=2.0)
    other = minus(e.early("rigl", distribution=main), e.early("set", distribution=main), factor=2.0)
    rise, predicted = e.early("rigl"), e.early("rigl", "predicted")
    told = (
        f"{_mean(other)} from random {main} masks",
        f"RigL's rise {_mean(rise)}, predicted without dropping {_mean(predicted)}",
    )
    return _judge(e, claim, [cell], _density(e), *told)


def _d10(e: Evidence, claim: Claim) -> Verdict | str:
    rigl, other = e.early("rigl"), e.early("rigl_inverted")
    rise = estimate(rigl["value"].dropna())
    if not rise.low > 0:
        return f"RigL's rise isn't clearly above 0: {rise.mean:+.3g} [{rise.low:.3g}, {rise.high:.3g}]"
    cell = minus(other, rigl)
    ratio = other.merge(rigl, on="seed")
    return _judge(e, claim, [cell.assign(value=(ratio["value_x"] / ratio["value_y"]).to_numpy())], _density(e))


def _d11(e: Evidence, claim: Claim) -> Verdict | str:
    found = []
    for seed, own in e.rises("rigl").groupby("seed", sort=False):
        if own["share"].nunique() > 2:
            slope = (
                np.polyfit(own["share"] * PAPER_STEPS / 1000, own["rise"], 1)[0]
                if own["rise"].notna().all()
                else np.nan
            )
            found.append((seed, -slope, (own["run"].iloc[0],)))
    cell = pd.DataFrame(found, columns=VALUES[:3])
    told = f"steps as of {PAPER_STEPS:,} in all", "the drop fraction falls too"
    return _judge(e, claim, [cell], _density(e), *told, needs="needs three mask updates")


def _d12(e: Evidence, claim: Claim) -> Verdict | str:
    steps = [e.params.every * number for number in e.params.spectra_updates]
    cells = [e.spectrum("rigl", step, "negative").assign(cell=f"update at step {step}") for step in steps]
    told = []
    for method in ("set", "rigl_inverted"):
        own = [e.spectrum(method, step, "negative") for step in steps]
        told += [f"{method} {_mean(pd.concat(own))}"] if own else []
    mass = [e.spectrum("rigl", step, "mass") for step in steps]
    told += [f"RigL's change of mass {_mean(pd.concat(mass))}"] if mass else []
    if estimated := e.estimated():
        return estimated
    where = f"density {e.params.spectra_density:g}, masks of gradual pruning"
    return _judge(e, claim, cells, where, *told, needs="no spectrum at a mask update was wanted")


# What trainings end in


def _d13(e: Evidence, claim: Claim) -> Verdict | str:
    names = ("lt_end", "lt_start", "scratch_start", "scratch_end")
    away = [e.between("prune_end", name) for name in names]
    cells = [minus(away[i + 1], away[i], f"{names[i + 1]} - {names[i]}") for i in range(3)]
    told = ", ".join(f"{rows['value'].mean():.3g}" for rows in away)
    return _judge(e, claim, cells, _density(e), f"distances {told}")


def _d14(e: Evidence, claim: Claim) -> Verdict | str:
    scratch, ticket = (e.between(name, name) for name in ("scratch_end", "lt_end"))
    cell = minus(*(rows.assign(value=log10(rows["value"])) for rows in (scratch, ticket)))
    return _judge(e, claim, [cell], _density(e), f"{e.params.twins} data orders each", needs="needs twins of 2 or more")


def _d15(e: Evidence, claim: Claim) -> Verdict | str:
    return _judge(e, claim, [e.path("lt", "barrier").assign(cell="")], _density(e))


def _d16(e: Evidence, claim: Claim) -> Verdict | str:
    other = e.path("prune_other", "barrier")
    told = f"independently pruned networks: {_mean(other)}" if len(other) else ""
    return _judge(e, claim, [e.path("scratch", "barrier").assign(cell="")], _density(e), _doubt(e), told)


def _doubt(e: Evidence) -> str:
    """What to say where scratch training didn't train."""
    reached, whole = e.at("scratch")["accuracy"].mean(), e.at("dense")["accuracy"].mean()
    return f"scratch training only reaches {reached:.0f} %" if reached < UNTRAINED * whole else ""


def _d17(e: Evidence, claim: Claim) -> Verdict | str:
    return _judge(e, claim, [minus(e.path("scratch_start", "mean"), e.path("lt_start", "mean"))], _density(e))


TWINS = "needs twins of 2 or more"


def _d18(e: Evidence, claim: Claim) -> Verdict | str:
    other, ticket = (e.group(name, "with_parent") for name in ("prune_other", "lt"))
    cell = minus(*(rows.assign(value=log10(rows["value"].clip(lower=LEAST))) for rows in (other, ticket)))
    return _judge(e, claim, [cell], _density(e), f"{e.params.twins} networks each", needs=TWINS)


def _d19(e: Evidence, claim: Claim) -> Verdict | str:
    cells = [minus(e.group(name, "gain"), e.group("lt", "gain"), name) for name in ("scratch", "prune_other")]
    return _judge(e, claim, cells, _density(e), f"{e.params.twins} members each", _doubt(e), needs=TWINS)


def _d20(e: Evidence, claim: Claim) -> Verdict | str:
    ticket = e.at("lt")
    cells = [
        gap(ticket, e.at("gmp"), "ticket - pruned"),
        gap(ticket, e.at("scratch"), "ticket - scratch").assign(kind="difference", margin=1.0),
    ]
    return _judge(e, claim, cells, _density(e))


def _d21(e: Evidence, claim: Claim) -> Verdict | str:
    cells = []
    for name in e.params.networks + e.params.contrasts:
        lead = gap(e.at("scratch", init="neuron", network=name), e.at("scratch", network=name), name)
        kind = "equivalence" if name in e.normed else "difference"
        cells.append(lead.assign(kind=kind))
    he = gap(e.at("scratch", init="neuron"), e.at("scratch", init="dense_he"))
    return _judge(e, claim, cells, _density(e), f"against {e.own}", f"{_mean(he)} against dense_he")


# RigL's own claims: random masks, scaled start


def _dynamic(e: Evidence, method: str, layout: str | None = None) -> Rows:
    at = {"init": "neuron", "distribution": layout or e.params.layouts[0], "density": e.params.dynamic_density}
    return e.at(method, **at)


def _dynamic_place(e: Evidence, layout: bool = True) -> list[str]:
    masks = f"random {e.params.layouts[0]} masks" if layout else "random masks"
    return [f"density {e.params.dynamic_density:g}", masks, "scaled start"]


def _d22(e: Evidence, claim: Claim) -> Verdict | str:
    return _judge(e, claim, [gap(_dynamic(e, "rigl"), _dynamic(e, "scratch"))], *_dynamic_place(e))


def _d23(e: Evidence, claim: Claim) -> Verdict | str:
    return _judge(e, claim, [gap(_dynamic(e, "rigl"), _dynamic(e, "set"))], *_dynamic_place(e))


def _d24(e: Evidence, claim: Claim) -> Verdict | str:
    cell = gap(_dynamic(e, "rigl", "erk"), _dynamic(e, "rigl", "uniform"))
    return _judge(e, claim, [cell], *_dynamic_place(e, False), needs="needs layouts erk and uniform, one of them first")


def _d25(e: Evidence, claim: Claim) -> Verdict | str:
    p, kept = e.params, e.params.dynamic_density
    cell = gap(_dynamic(e, "rigl_long"), e.at("gmp", density=kept))
    # The mean share that the cubic schedule keeps between its ends is 1/4 + 3/4 density.
    pruned = p.prune_begin + (p.prune_end - p.prune_begin) * (0.25 + 0.75 * kept) + (1 - p.prune_end) * kept
    cost = f"active weights x steps, as a share of a dense training: {p.longer * kept:.2g} against {pruned:.2g}"
    return _judge(e, claim, [cell], *_dynamic_place(e), cost, needs="longer is 0")


def _d26(e: Evidence, claim: Claim) -> Verdict | str:
    return _judge(e, claim, [gap(_dynamic(e, "rigl_fresh"), _dynamic(e, "rigl_lt"))], *_dynamic_place(e))


def _d27(e: Evidence, claim: Claim) -> Verdict | str:
    return "curves through the sparse and the dense space aren't searched for: straight paths alone can't show it"


TESTS: dict[str, Callable[[Evidence, Claim], Verdict | str]] = {
    f"D{number}": test
    for number, test in enumerate(
        (
            *(_d1, _d2, _d3, _d4, _d5, _d6, _d7, _d8, _d9, _d10, _d11, _d12, _d13, _d14),
            *(_d15, _d16, _d17, _d18, _d19, _d20, _d21, _d22, _d23, _d24, _d25, _d26, _d27),
        ),
        start=1,
    )
}
