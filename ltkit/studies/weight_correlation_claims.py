"""What the weight-correlation study's tables say about claims E1 to E11.

Nothing here trains: the input is the table of `weight_correlation.collect` and `weight_correlation_overlaps.overlaps`.
Margins, kinds and published values come with the claims (`ltkit.verdict.WEIGHT_CORRELATION`); what each value is stands
in the claim's note. All are judged on the claim network at the main weight decay, unless a cell says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..verdict import WEIGHT_CORRELATION, Claim, Verdict, judge, tau_sim
from .answers import answered, judged
from .tables import gap
from .weight_correlation import MASKINGS
from .weight_correlation_evidence import (
    Evidence,
    Rows,
    apart,
    at_claim_level,
    effects,
    finite,
    regression,
    slopes,
    told,
)
from .weight_correlation_params import P, Params

RESTORED = 0.38  # density at which the paper's ticket matches its dense network: s = .62
CORRELATED = (0.7, 0.5, 0.3)  # densities of the paper's overlaps of sparse networks
HALF = 0.5  # density from which tickets stay below dense (E2b), and of the paper's table of fine-tuned overlaps (E8)
FINE_TUNED = {"iterative": 0.3, "admm": 0.2}  # densities down to which P&FT matches dense: s = .70 and .80
ABOUT = 0.01  # how far below such a density a level may lie: the paper's rounds of 15 % give .197
KEEPS = 0.25  # how far above .2 a fine-tuned network's overlap with θ_T must lie


def verdicts(params: Params, table: Rows, overlaps: Rows) -> list[Verdict]:
    """A verdict on every claim of the paper, in the sheet's order; what the grid can't test says why."""
    return answered(WEIGHT_CORRELATION, TESTS, Evidence(params, table, overlaps), params.scale)


def _judge(e: Evidence, claim: Claim, cells: Iterable[Rows], *setting: str, needs: str = "") -> Verdict | str:
    where = (e.name, e.params.data, *setting, f"weight decay {e.params.decay:g}")
    return judged(claim, cells, e.params.scale, where, needs)


def _lr(lr: float) -> str:
    return f"lr {lr:g}"


def _densities(e: Evidence, levels: Iterable[int]) -> str:
    return ", ".join(f"{e.params.density(level):.3g}" for level in levels)


def _e1a(e: Evidence, claim: Claim) -> Verdict | str:
    return _judge(e, claim, [e.lead(e.small, level) for level in e.params.levels], _lr(e.small), "iterative masks")


def _e1b(e: Evidence, claim: Claim) -> Verdict | str:
    level = e.near(RESTORED, e.rounds)
    if level is None:
        return f"no iterative mask near density {RESTORED}"
    better = e.at("dense", e.large)["accuracy"].mean() - e.at("dense", e.small)["accuracy"].mean()
    cell = gap(e.at("lt", e.small, level), e.at("dense", e.small), e.where(level))
    return _judge(e, claim, [cell], _lr(e.small), f"where dense is {better:+.2f} at lr {e.large:g}")


def _e2a(e: Evidence, claim: Claim) -> Verdict | str:
    margin = tau_sim(e.params.data)
    cells = [e.lead(e.large, level).assign(margin=margin) for level in e.params.levels]
    return _judge(e, claim, cells, _lr(e.large), "iterative masks, no warm-up")


def _e2b(e: Evidence, claim: Claim) -> Verdict | str:
    levels = [level for level in e.rounds if e.params.density(level) <= HALF]
    cells = [gap(e.at("dense", e.large), e.at("lt", e.large, level), e.where(level)) for level in levels]
    return _judge(e, claim, cells, _lr(e.large), "iterative masks", needs=f"no iterative mask at density {HALF}")


def _e3(e: Evidence, claim: Claim) -> Verdict | str:
    names = e.params.networks + e.params.contrasts
    cells = [gap(e.at("dense", e.large, network=n), e.at("dense", e.small, network=n), n) for n in names]
    return _judge(e, claim, cells, f"lr {e.large:g} against {e.small:g}")


def _e4a(e: Evidence, claim: Claim) -> Verdict | str:
    pairs = [(p, *(e.overlap("init_final", lr, p) for lr in (e.small, e.large))) for p in e.params.ps]
    cells = [apart(small, large, f"p {p:g}") for p, small, large in pairs]
    return _judge(e, claim, cells, f"lr {e.small:g} against {e.large:g}", *_matched(e))


def _matched(e: Evidence) -> list[str]:
    """The same difference at equal lr · decay · steps, where it was run."""
    decay = e.params.matched_decay
    pair = (
        e.overlap("init_final", e.small, decay=decay),
        e.overlap("init_final", e.large, decay=e.params.lower_decay, recipe="matched"),
    )
    rows = apart(*pair)
    if not decay or rows.empty:
        return []
    return [f"{rows['value'].mean():+.3f} at p {P:g} with equal lr·decay·steps (decay {decay:g})"]


def _e4b(e: Evidence, claim: Claim) -> Verdict | str:
    rows = {p: e.overlap("init_final", e.large, p) for p in e.params.ps}
    cells = [told(own, own["overlap"] - p, f"p {p:g}") for p, own in rows.items()]
    others = {decay: e.overlap("init_final", e.large, decay=decay)["overlap"].mean() - P for decay in e.params.decays}
    by_decay = ", ".join(f"{excess:+.3f} at decay {decay:g}" for decay, excess in others.items())
    return _judge(e, claim, cells, _lr(e.large), f"R_.2 - .2 is {by_decay}")


def _correlated(e: Evidence) -> list[int]:
    return sorted({level for d in CORRELATED if (level := e.near(d, e.params.levels)) is not None})


def _e5(e: Evidence, lr: float) -> list[tuple[str, Rows, Rows]]:
    """Level, own and fresh start against the fine-tuned network, at the densities of the paper that were run."""
    levels = _correlated(e)
    where: list[dict[str, Any]] = [{"arm": "pft", "masking": "iterative", "level": level} for level in levels]
    own, fresh = ([e.overlap(pair, lr, **at) for at in where] for pair in ("start_final", "fresh_start_final"))
    return list(zip(map(e.where, levels), own, fresh, strict=True))


def _e5a(e: Evidence, claim: Claim) -> Verdict | str:
    cells = [
        (rows := apart(own, fresh, where)).assign(value=rows["value"] / own["sd"].mean())
        for where, own, fresh in _e5(e, e.small)
    ]
    return _judge(e, claim, cells, _lr(e.small), _e5_setting(e), needs=_CORRELATED)


def _e5b(e: Evidence, claim: Claim) -> Verdict | str:
    cells = [apart(own, fresh, where) for where, own, fresh in _e5(e, e.large)]
    return _judge(e, claim, cells, _lr(e.large), _e5_setting(e), needs=_CORRELATED)


def _e5_setting(e: Evidence) -> str:
    return f"iterative masks at densities {_densities(e, _correlated(e))}"


_CORRELATED = f"no level with fine-tuned networks near the densities {', '.join(map(str, CORRELATED))}"


def _e6a(e: Evidence, claim: Claim) -> Verdict | str:
    places = [(masking, level) for masking in MASKINGS for level in e.params.levels]
    cells = [
        gap(tuned, e.at("lt", e.large, level, masking), f"{_words(masking)}, {e.where(level)}")
        for masking, level in places
        if len(tuned := e.at("pft", e.large, level, masking))
    ]
    longer = gap(e.at("pft", e.large), e.at("lt_long", e.large))["value"].mean()
    return _judge(e, claim, cells, _lr(e.large), f"{longer:+.2f} against the ticket trained 2T at {e.where(e.level)}")


def _dense_enough(e: Evidence, masking: str) -> list[int]:
    """The levels with fine-tuned networks, down to the density of which the paper speaks."""
    levels = [level for level in e.params.levels if e.params.density(level) >= FINE_TUNED[masking] - ABOUT]
    return [level for level in levels if len(e.at("pft", e.large, level, masking))]


def _e6b(e: Evidence, claim: Claim) -> Verdict | str:
    cells, told = [], []
    for masking in FINE_TUNED:
        levels = _dense_enough(e, masking)
        tuned = [(e.at("pft", e.large, level, masking), f"{_words(masking)}, {e.where(level)}") for level in levels]
        cells += [gap(rows, e.at("dense", e.large), label) for rows, label in tuned]
        told += [f"{_words(masking)} masks at densities {_densities(e, levels)}"] if levels else []
    cells = [cell.assign(margin=-tau_sim(e.params.data)) for cell in cells]
    more = gap(e.at("dense_more", e.large), e.at("dense", e.large))["value"].mean()
    words = (*told, f"dense trained a further T gains {more:+.2f}")
    return _judge(e, claim, cells, _lr(e.large), *words, needs=_DENSE_ENOUGH)


_DENSE_ENOUGH = "no fine-tuned network at the densities that the paper speaks of (0.3 or more, 0.2 with ADMM)"


def _e6c(e: Evidence, claim: Claim) -> Verdict | str:
    levels = _dense_enough(e, "iterative")
    if not levels:
        return _DENSE_ENOUGH
    level, margin = max(levels), -tau_sim(e.params.data)
    cells = [gap(e.at("pft", lr, level), e.at("dense", lr), _lr(lr)).assign(margin=margin) for lr in (e.small, e.large)]
    return _judge(e, claim, cells, f"iterative masks, {e.where(level)}")


def _e7(e: Evidence, claim: Claim) -> Verdict | str:
    cells = [
        gap(e.at(arm, e.large, masking=a), e.at(arm, e.large, masking=b), f"{arm}: {_words(a)} - {_words(b)}")
        for arm in ("pft", "lt")
        for a, b in (("admm", "iterative"), ("iterative", "one_shot"))
    ]
    return _judge(e, claim, cells, _lr(e.large), f"masks cut layer by layer, {e.where(e.level)}")


def _e8(e: Evidence, claim: Claim) -> Verdict | str:
    level = e.near(HALF, e.params.method_levels)
    if level is None:
        return f"no ADMM mask near density {HALF}"
    where: dict[str, Any] = {"masking": "admm", "level": level}
    first, last = (e.overlap(pair, e.large, arm="pft", **where) for pair in ("tuned_init", "tuned_dense"))
    alone = e.overlap("tuned_dense", e.large, arm="rr", **where)["overlap"].mean()
    kept = told(last, last["overlap"] - P, "with the pretrained weights").assign(kind="difference", margin=KEEPS)
    forgot = told(first, first["overlap"] - P, "with the initial weights").assign(kind=claim.kind, margin=claim.margin)
    words = f"ADMM masks, {e.where(level)}; fresh weights under the mask reach {alone:.2f} with the pretrained ones"
    return _judge(e, claim, [forgot, kept], _lr(e.large), words)


def _e9(e: Evidence, claim: Claim) -> Verdict | str:
    arms = {arm: e.at(arm, e.large, masking="admm") for arm in ("pft", "rewind", "lt")}
    cells = [gap(arms[a], arms[b], f"{a} - {b}") for a, b in (("pft", "rewind"), ("rewind", "lt"))]
    back = f"rewound to epoch {e.params.rewind_epoch} of {e.params.epochs}"
    return _judge(e, claim, cells, _lr(e.large), f"ADMM masks, {e.where(e.level)}, {back}")


def _e10(e: Evidence, claim: Claim) -> Verdict | str:
    rows = effects(e.params, e.table, e.overlaps)
    rows = at_claim_level(e.params, rows[rows["network"] == e.name])
    changed = rows[(rows["recipe"] != "plain") | (rows["lr"] != rows["mask_lr"])]
    if changed.empty:
        return "no intervention moves the overlap at a fixed learning rate"
    found = regression(rows).set_index("model")["slope"]
    others = ", ".join(f"{model}: {slope:+.2f}" for model, slope in found.items())
    cell = slopes(rows, ["lr"]).assign(cell="")
    if cell.empty:
        return "overlaps don't differ at any learning rate"
    rates = {lr: slopes(mine)["value"].mean() for lr, mine in rows.groupby("lr")}
    others += "; " + ", ".join(f"{_lr(lr)}: {slope:+.2f}" for lr, slope in rates.items())
    if lost := len(rows) - len(finite(rows)):
        others += f"; {lost} of {len(rows)} diverged"
    where = f"one-shot masks, {e.where(e.level)}, every intervention and decay, learning rate fixed ({others})"
    return judge(claim, cell, scale=e.params.scale, setting=", ".join([e.name, e.params.data, where]))


def _e11(e: Evidence, claim: Claim) -> Verdict | str:
    cells = [gap(e.at("lt", e.large, level), e.at("lt", e.small, level), e.where(level)) for level in e.rounds]
    return _judge(e, claim, cells, f"lr {e.large:g} against {e.small:g}", "iterative masks")


def _words(masking: str) -> str:
    return {"one_shot": "one-shot", "admm": "ADMM"}.get(masking, masking)


TESTS: dict[str, Callable[[Evidence, Claim], Verdict | str]] = {
    "E1a": _e1a,
    "E1b": _e1b,
    "E2a": _e2a,
    "E2b": _e2b,
    "E3": _e3,
    "E4a": _e4a,
    "E4b": _e4b,
    "E5a": _e5a,
    "E5b": _e5b,
    "E6a": _e6a,
    "E6b": _e6b,
    "E6c": _e6c,
    "E7": _e7,
    "E8": _e8,
    "E9": _e9,
    "E10": _e10,
    "E11": _e11,
}
