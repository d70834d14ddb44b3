"""What the mode-connectivity study's tables say: claims C1 to C24 and L1 to L4.

Nothing here trains: the input is the table of `mode_connectivity.collect` and what `mode_connectivity_paths` measures.
Where training that is to be stable or unstable isn't, claims about it are untested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from ..verdict import MODE_CONNECTIVITY, Claim, Verdict, decide, estimate
from .answers import answered, judged
from .mode_connectivity_evidence import PUSHED, STABLE, TWINS, Evidence, Rows, angles, by_seed, lenet, minus, runs_of
from .mode_connectivity_params import Params, recipe
from .tables import gap

MATCHING = 0.2  # accuracy points (section 2)
FEW = (0.03, 0.2)  # shares of a training that are its first few percent (claim L1: 3 %, and 20 % for ResNet-50)
LEAD = 1.0  # accuracy points from which a ticket's lead counts as one (claim C6)


def verdicts(
    params: Params, table: pd.DataFrame, barriers: pd.DataFrame, distances: pd.DataFrame, weights: pd.DataFrame
) -> list[Verdict]:
    """A verdict on every claim, in the sheet's order; what the grid can't test says why."""
    return answered(MODE_CONNECTIVITY, TESTS, Evidence(params, table, barriers, distances, weights), params.scale)


def _judge(e: Evidence, claim: Claim, cells: Iterable[Rows], *setting: str, needs: str = "", **how: Any) -> Any:
    """The verdict over all cells that have rows; what is `needs` where none has."""
    needs = needs or "no network and setting of this scale has the runs"
    return judged(claim, cells, e.params.scale, (e.params.data, *setting), needs, **how)


def _seen(e: Evidence, setting: str) -> str:
    return f"instability {e.instability(setting)['value'].mean():.1f} at {setting}"


def _c1(e: Evidence, claim: Claim) -> Verdict | str:
    return e.amiss("unstable") or _judge(e, claim, [e.lead(e.unstable, e.level)], _seen(e, e.unstable))


def _c2(e: Evidence, claim: Claim) -> Verdict | str:
    return e.amiss("stable") or _judge(e, claim, [e.lead(e.stable, e.level)], _seen(e, e.stable))


def _c3(e: Evidence, claim: Claim) -> Verdict | str:
    pairs = [(*pair, "difference") for pair in e.between("warm") if e.restless(pair[0])]
    if not pairs:
        return _settled(e, "warm", "with warm-up and without")
    if f"{e.stable}/warm" in e.params.settings:
        pairs.append((e.stable, f"{e.stable}/warm", "equivalence"))
    cells = []
    for plain, warm, kind in pairs:
        rows = gap(e.at("imp", warm, e.level), e.at("imp", plain, e.level), e.place(plain, e.level))
        cells.append(rows.assign(kind=kind))
    return _judge(e, claim, cells, f"warm-up of {e.params.warmup:g} epochs")


def _settled(e: Evidence, word: str, needs: str) -> str:
    """Why no setting is in the transition."""
    stable = [plain for plain, _ in e.between(word)]
    told = f": tickets at {', '.join(stable)} are stable as it is" if stable else ""
    return f"needs a setting between stable and unstable, {needs}{told}"


def _c4(e: Evidence, claim: Claim) -> Verdict | str:
    scores = {level: e.at("imp", e.stable, level)["validation"].mean() for level in range(1, e.params.rounds + 1)}
    if np.isnan(list(scores.values())).all():
        return "needs a validation split to choose the density on"
    best = max(scores, key=lambda level: (scores[level] == scores[level], scores[level]))
    ticket = e.at("imp", e.stable, best)
    cells = [
        gap(ticket, e.at("dense", e.stable), f"ticket - dense at {e.stable}"),
        gap(e.at("dense", e.unstable), ticket, f"dense at {e.unstable} - ticket"),
    ]
    return _judge(e, claim, cells, f"best ticket: {e.place(e.stable, best)}")


def _c5(e: Evidence, claim: Claim) -> Verdict | str:
    if lenet(e.name):
        return "LeNet-300-100 is stable at every batch size in the paper: needs a deeper network"
    level = e.params.level_near(0.107)
    collapsed = e.instability(e.stable, level).assign(kind="equivalence", margin=STABLE)
    return _judge(e, claim, [e.instability(e.unstable, level), collapsed])


def _c6(e: Evidence, claim: Claim) -> Verdict | str:
    def wins(name: str, setting: str, level: int) -> Rows:
        return e.lead(setting, level, name)

    known = [(name, setting, level) for name, setting in e.roles() for level in e.params.levels]
    between = [
        (e.name, setting, level)
        for setting in e.params.settings
        if setting not in (e.stable, e.unstable)
        for level in e.params.levels
    ]
    apart = [_answers(cell) for cell in _agreeing(e, between, wins, LEAD)]
    where = ", ".join(dict.fromkeys(setting for _, setting, _ in between))
    text = f", apart from them {where}: {apart.count('other')} of {len(apart)} differ" if apart else ""
    return _judge(e, claim, _agreeing(e, known, wins, LEAD), _places(known) + text)


def _agreeing(
    e: Evidence, places: Iterable[tuple[str, str, int]], gaps: Callable[[str, str, int], Rows], edge: float
) -> list[Rows]:
    """Cells that say whether the ticket is stable exactly where "the gap is above `edge`".

    Where the interval of the instability lies below 2 points the gap must be above `edge`, where it lies above them the
    gap, with its sign turned, above -`edge`. Where it is open the instability itself stands in the cell, which keeps
    the claim open. A yes or no of each seed would differ by chance wherever a gap is near its edge.
    """
    cells = []
    for name, setting, level in places:
        twins = e.instability(setting, level, name)
        both = gaps(name, setting, level).merge(twins, on="seed", suffixes=("", "_b"))
        if both.empty:
            continue
        both["runs"] = [runs_of(pair) for pair in zip(both["runs"], both["runs_b"], strict=True)]
        both["value"] = both["value"].where(both["value_b"].notna())
        seen, place = estimate(both["value_b"].dropna()), e.place(setting, level, name)
        if seen.high < STABLE:
            told = both.assign(margin=edge, cell=f"{place}: stable, the gap")
        elif seen.low > STABLE:
            told = both.assign(value=-both["value"], margin=-edge, cell=f"{place}: unstable, minus the gap")
        else:
            told = both.assign(value=both["value_b"], margin=STABLE, cell=f"{place}: open, the instability")
        cells.append(told.assign(kind="difference")[["seed", "value", "runs", "cell", "kind", "margin"]])
    return cells


def _answers(cell: Rows) -> str:
    """Whether both answers of a cell are the same, other ones, or open."""
    found, margin = estimate(cell["value"].dropna()), cell["margin"].iloc[0]
    return {"supported": "same", "refuted": "other"}.get(decide(found.low, found.high, margin, "difference"), "open")


def _places(places: list[tuple[str, str, int]]) -> str:
    where = dict.fromkeys(f"{name} at {setting}" for name, setting, _ in places)
    return f"{len(places)} cells of setting and density: {', '.join(where)}"


def _c7(e: Evidence, claim: Claim) -> Verdict | str:
    cells, weak = [], []
    for name in e.params.networks:
        setting = e.params.stable_of(name)
        for level in e.params.levels if e.amiss("stable", name) is None else ():
            rows = e.lead(setting, level, name, ("repelled", "reinit"))
            if rows.empty or not e.lead(setting, level, name)["value"].mean() > LEAD:
                continue
            text = f"{e.place(setting, level, name)}, {e.pushed(setting, level, name):.2f} from earlier rounds"
            if e.pushed(setting, level, name) >= PUSHED:
                cells.append(rows.assign(cell=text))
            else:
                weak.append(text)
    told = [f"λ {e.params.repel:g} is too weak: {'; '.join(weak)}"] if weak else []
    needs = "no network has stable training, repelled rounds and a ticket that leads by more than 1 point"
    return angles(e) or _judge(e, claim, cells, f"λ {e.params.repel:g}", *told, needs="".join(told) or needs)


def _c8(e: Evidence, claim: Claim) -> Verdict | str:
    pushed = {level: e.pushed(e.stable, level) for level in e.params.levels}
    cells = [
        e.lead(e.stable, level, arms=("repelled_reinit", "reinit"))
        for level in e.params.levels
        if pushed[level] >= PUSHED
    ]
    weak = "; ".join(f"{e.place(e.stable, k)}, {angle:.2f}" for k, angle in pushed.items() if angle < PUSHED)
    told = f"λ {e.params.repel:g} is too weak: {weak} from earlier rounds" if weak else ""
    where = (f"λ {e.params.repel:g}", told)
    return angles(e) or e.amiss("stable") or _judge(e, claim, cells, *where, needs=told or "repel is 0")


def _c9(e: Evidence, claim: Claim) -> Verdict | str:
    cells = [e.lead(e.unstable, e.level, arms=("attracted", "imp"))]
    return e.amiss("unstable") or _judge(e, claim, cells, f"λ {e.params.attract:g}", needs="attract is 0")


def _c10(e: Evidence, claim: Claim) -> Verdict | str:
    cells = [e.lead(e.unstable, e.level, arms=("reinit", "attracted_reinit"))]
    return e.amiss("unstable") or _judge(e, claim, cells, f"λ {e.params.attract:g}", needs="attract is 0")


def _c11(e: Evidence, claim: Claim) -> Verdict | str:
    cells, arm = [], "repelled_last"
    for name in filter(lenet, e.params.networks):
        setting = e.params.stable_of(name)
        rounds = [
            minus(e.distance(arm, setting, r - 1, r, name), e.distance(arm, setting, r - 2, r, name), "")
            for r in range(2, e.params.rounds + 1)
        ]
        if rounds:
            cells.append(by_seed(pd.concat(rounds), "value", f"{name}, {setting}, mean over rounds from 2 on"))
    needs = "needs a LeNet with two rounds at least that are pushed away from the last one"
    return angles(e) or _judge(e, claim, cells, f"λ {e.params.repel:g}", needs=needs)


def _c12(e: Evidence, claim: Claim) -> Verdict | str:
    if e.params.rounds < 2:
        return "needs two rounds"
    r = min(e.round_near(0.107), e.params.rounds - 1)
    near, null = (e.distance("imp", e.stable, r, r + 1, column=column) for column in ("distance", "null"))
    reinit = e.distance("reinit", e.stable, r, r + 1)
    cells = [minus(null, near, "null angle - ticket's"), minus(reinit, near, "reinit's angle - ticket's")]
    place = f"{e.place(e.stable, r)}, rounds {r} and {r + 1}"
    return angles(e) or e.amiss("stable") or _judge(e, claim, cells, place)


def _c13(e: Evidence, claim: Claim) -> Verdict | str:
    cells = []
    for r in range(e.params.rounds):
        if e.params.density(r) > 0.1:  # the paper's tenth round
            ticket, fresh = (e.distance(arm, e.unstable, r, r + 1) for arm in ("imp", "reinit"))
            cells.append(minus(ticket, fresh, f"{e.place(e.unstable, r)}, rounds {r} and {r + 1}"))
    return angles(e) or e.amiss("unstable") or _judge(e, claim, cells)


def _c14(e: Evidence, claim: Claim) -> Verdict | str:
    last = e.params.rounds - 1
    if e.params.density(last) > 0.02:
        return f"the paper's last pair is at density .0115, this scale's at {e.params.density(last):.3g}"
    pairs = [e.distance("imp", e.stable, r, r + 1) for r in range(last + 1)]
    lowest = int(np.argmin([rows["value"].mean() for rows in pairs]))
    cells = [minus(pairs[r], pairs[lowest], f"rounds {r} and {r + 1}") for r in (0, last)]
    text = f"{e.name}, {e.stable}, lowest at density {e.params.density(lowest):.3g}"
    return angles(e) or e.amiss("stable") or _judge(e, claim, cells, text)


def _c15(e: Evidence, claim: Claim) -> Verdict | str:
    density = e.params.density
    medium = [r for r in range(e.params.rounds) if density(r) < 0.52 and density(r + 1) > 0.035]
    needs = "no two rounds of this scale lie between densities .512 and .035"
    return e.amiss("stable") or _judge(e, claim, [e.barrier("rounds", e.stable, r) for r in medium], needs=needs)


def _c16(e: Evidence, claim: Claim) -> Verdict | str:
    cells, why = [], ""
    for name in e.params.networks:
        if not lenet(name):
            why = e.amiss("stable", name) or why
            if not e.amiss("stable", name):
                cells.append(e.barrier("rounds", e.params.stable_of(name), 0, name=name))
    return _judge(e, claim, cells, needs=why or "LeNet-300-100 is connected in the paper: needs a deeper network")


def _c17(e: Evidence, claim: Claim) -> Verdict | str:
    if lenet(e.name):
        return "LeNet-300-100 is connected in the paper: needs a deeper network"
    sparse = [r for r in range(e.params.rounds) if e.params.density(r) < 0.0145]
    cells = [e.barrier("rounds", e.stable, r) for r in sparse]
    excess = [e.barrier("rounds", e.stable, r, column="excess")["value"].mean() for r in sparse]
    text = f"excess over the chord {min(excess):.1f} at least" if excess else ""
    return e.amiss("stable") or _judge(e, claim, cells, text, needs="no round of this scale is as sparse as .0144")


def _rounds(e: Evidence, kind: str, names: Iterable[str]) -> list[Rows]:
    return [
        e.barrier(kind, e.params.stable_of(name), level, name=name)
        for name in names
        for level in range(e.params.rounds)
    ]


def _c18(e: Evidence, claim: Claim) -> Verdict | str:
    names = [name for name in e.params.networks if lenet(name)]
    return _judge(e, claim, _rounds(e, "rounds", names), needs="no LeNet in this scale's grid")


def _c19(e: Evidence, claim: Claim) -> Verdict | str:
    return _judge(e, claim, _rounds(e, "rounds_reinit", e.params.networks))


def _c20(e: Evidence, claim: Claim) -> Verdict | str:
    level = e.round_near(0.107)
    sides = [
        ("imp", e.stable, 1),
        ("reinit", e.stable, -1),
        *([] if e.amiss("unstable") else [("imp", e.unstable, -1)]),
    ]
    cells = []
    for arm, setting, sign in sides:
        rows = e.weight(arm, setting, level, "dip")
        cells.append(rows.assign(value=sign * (0.5 - rows["value"]), cell=f"{arm}, {e.place(setting, level)}"))
    return e.amiss("stable") or _judge(e, claim, cells)


def _c21(e: Evidence, claim: Claim) -> Verdict | str:
    level = e.round_near(0.134)
    sides = (e.weight(arm, e.stable, level, "threshold") for arm in ("imp", "reinit"))
    ticket, fresh = (rows.assign(value=np.log10(rows["value"].astype(float))) for rows in sides)
    return e.amiss("stable") or _judge(e, claim, [minus(ticket, fresh, e.place(e.stable, level))])


def _c22(e: Evidence, claim: Claim) -> Verdict | str:
    cells = []
    for with_decay, without in e.between("wd0"):
        if not e.restless(with_decay):
            continue
        label = f"{e.name}, {with_decay}: dense with - without"
        cells.append(gap(e.at("dense", with_decay), e.at("dense", without), label))
        for level in dict.fromkeys(e.round_near(density) for density in (0.134, 0.0352)):
            label = f"{e.place(with_decay, level)}: ticket without - with"
            cells.append(gap(e.at("imp", without, level), e.at("imp", with_decay, level), label))
    needs = _settled(e, "wd0", "with weight decay and without")
    return _judge(e, claim, cells, f"weight decay {e.params.weight_decay:g}", needs=needs)


def _c23(e: Evidence, claim: Claim) -> Verdict | str:
    cells, why = [], ""
    for name in e.params.networks:
        if not name.startswith("conv4"):
            continue
        if reason := e.amiss("stable", name) or e.amiss("unstable", name):
            why = reason
            continue
        setting = str(e.params.unstable_of(name))
        cells.append(e.lead(e.params.stable_of(name), e.level, name))
        cells.append(e.lead(setting, e.level, name).assign(kind="equivalence", margin=LEAD))
    return _judge(e, claim, cells, needs=why or "no Conv-4 in this scale's grid")


def _c24(e: Evidence, claim: Claim) -> str:
    return "ImageNet is not among the kit's data sets"


def _parted(e: Evidence, kind: str) -> dict[int, Rows]:
    """The instability of the claim network at its unstable setting by k, the epochs that both trainings share."""
    found = {k: e.barrier(kind, e.unstable, rewind=k) for k in sorted(e.params.rewind_epochs)}
    length = _length(e)
    return {k: rows.assign(cell=f"k {k / length:.0%} of training") for k, rows in found.items() if not rows.empty}


def _length(e: Evidence) -> int:
    return recipe(e.params, e.name, e.unstable).epochs or 1


def _l1(e: Evidence, claim: Claim) -> Verdict | str:
    parted = _parted(e, "twins_dense")
    shared = [k for k in parted if FEW[0] <= k / _length(e) <= FEW[1]]
    if 0 not in parted or not shared:
        return f"needs rewind_epochs of {FEW[0]:.0%} to {FEW[1]:.0%} of the training"
    if not parted[0]["value"].mean() >= STABLE:
        return f"the dense network is stable from the start: {parted[0]['value'].mean():.1f} points at {e.unstable}"
    fall = minus(parted[0], parted[shared[0]], f"k 0 - {parted[shared[0]]['cell'].iloc[0]}")
    cells = [*(parted[k] for k in shared), fall.assign(kind="trend", margin=0.0)]
    return _judge(e, claim, cells, e.place(e.unstable, 0))


def _l2(e: Evidence, claim: Claim) -> Verdict | str:
    def drop(name: str, setting: str, level: int) -> Rows:
        return gap(e.at("imp", setting, level, name), e.at("dense", setting, name=name))

    places = [(name, setting, level) for name, setting in e.roles() for level in e.params.levels]
    return _judge(e, claim, _agreeing(e, places, drop, -MATCHING), f"k = 0, {_places(places)}")


def _l3(e: Evidence, claim: Claim) -> Verdict | str:
    full, rest = (_parted(e, kind) for kind in ("twins_full", "twins_dense"))
    cells = [minus(full[k], rest[k], full[k]["cell"].iloc[0]) for k in full if k in rest]
    return _judge(e, claim, cells, e.place(e.unstable, 0), needs="needs rewind_epochs above 0")


def _l4(e: Evidence, claim: Claim) -> Verdict | str:
    cells = []
    twins = e.barriers[e.barriers["kind"].isin(("twins_dense", "twins_imp")) & (e.barriers["split"] == TWINS)]
    keys = ["network", "setting", "kind", "level", "rewind"]
    for (name, setting, kind, level, rewind), _ in twins.groupby(keys, sort=False):
        at = {"level": level, "rewind": rewind, "name": name}
        if e.barrier(kind, setting, **at)["value"].mean() < STABLE:
            rows = e.barrier(kind, setting, **at, column="apart")
            cells.append(rows.assign(cell=rows["cell"] + (f", k {rewind}" if rewind else "")))
    return _judge(e, claim, cells, needs="no twins of this scale are stable", quantifier="any")


Test = Callable[[Evidence, Claim], "Verdict | str"]
TESTS: dict[str, Test] = {
    "C1": _c1,
    "C2": _c2,
    "C3": _c3,
    "C4": _c4,
    "C5": _c5,
    "C6": _c6,
    "C7": _c7,
    "C8": _c8,
    "C9": _c9,
    "C10": _c10,
    "C11": _c11,
    "C12": _c12,
    "C13": _c13,
    "C14": _c14,
    "C15": _c15,
    "C16": _c16,
    "C17": _c17,
    "C18": _c18,
    "C19": _c19,
    "C20": _c20,
    "C21": _c21,
    "C22": _c22,
    "C23": _c23,
    "C24": _c24,
    "L1": _l1,
    "L2": _l2,
    "L3": _l3,
    "L4": _l4,
}
