"""What the mode-connectivity study's tables say: claims C1 to C24 and L1 to L4, the controls, papers C and D together.

Nothing here trains: the input is the table of `mode_connectivity.collect` and what `mode_connectivity_paths` measures.
What the paper says of batch sizes is read at the scale's `stable` and `unstable` setting (batch 2048 and 128 in the
paper). These are names until measured: where tickets at `stable` aren't stable, or those at `unstable` are, claims
about such training are untested. Instability is read on the test set, barriers between rounds on training images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from ..verdict import MODE_CONNECTIVITY, Claim, Verdict, estimate, judge, untested
from .existence_claims import gap, pick
from .mode_connectivity import Params, recipe

STABLE = 2.0  # points of error (mode_connectivity.md section 2)
MATCHING = 0.2  # accuracy points (section 2)
LEAD = 1.0  # accuracy points from which a ticket's lead counts as one (claim C6)
LARGE = 10.0  # points of error of a barrier that can't be overlooked (claims C16, C17, C19)
PUSHED = 0.8  # right angles that repelled rounds must be apart; the paper's are about .9, and its λ is just enough
TWINS, ROUNDS = "test", "train"  # the split on which each kind of barrier is judged

Rows: TypeAlias = pd.DataFrame  # seed, value, runs, cell, and perhaps kind and margin, as `judge` takes them


class Evidence:
    """The tables of a study with the questions that the claims ask of them."""

    def __init__(
        self,
        params: Params,
        table: pd.DataFrame,
        barriers: pd.DataFrame,
        distances: pd.DataFrame,
        weights: pd.DataFrame,
    ) -> None:
        self.params, self.table, self.distances, self.weights = params, table, distances, weights
        self.barriers = pick(barriers, endpoint_mask=params.endpoint_mask)
        self.name, self.level = params.claim_network, params.claim_level
        self.stable, self.unstable = params.stable, params.unstable

    def at(self, arm: str, setting: str, level: int = 0, name: str | None = None) -> pd.DataFrame:
        """The runs of an arm at a setting and level in the study's own data order, a row a seed."""
        return pick(self.table, network=name or self.name, setting=setting, arm=arm, level=level, twin=0, rewind=0)

    def lead(
        self, setting: str, level: int, name: str | None = None, arms: tuple[str, str] = ("imp", "reinit")
    ) -> Rows:
        """The first arm's accuracy minus the second's."""
        label = self.place(setting, level, name)
        first, second = (self.at(arm, setting, level, name) for arm in arms)
        return gap(first, second, label)

    def barrier(
        self, kind: str, setting: str, level: int = 0, rewind: int = 0, name: str | None = None, column: str = "barrier"
    ) -> Rows:
        """A kind of barrier, the mean over the pairs of a seed, on the split where it is judged."""
        split = TWINS if kind.startswith("twins") else ROUNDS
        where: dict[str, Any] = {"kind": kind, "level": level, "rewind": rewind, "split": split}
        rows = pick(self.barriers, network=name or self.name, setting=setting, **where)
        return _by_seed(rows, column, self.place(setting, level, name))

    def instability(self, setting: str, level: int | None = None, name: str | None = None) -> Rows:
        """The barrier between two trainings of a ticket, at the claim level unless told."""
        return self.barrier("twins_imp", setting, self.level if level is None else level, name=name)

    def distance(
        self, arm: str, setting: str, a: int, b: int, name: str | None = None, column: str = "distance"
    ) -> Rows:
        """The distance of rounds a and b of a chain, or its null."""
        rows = pick(self.distances, network=name or self.name, setting=setting, arm=arm, a=a, b=b)
        return _by_seed(rows, column, f"{self.place(setting, a, name)}, rounds {a} and {b}")

    def weight(self, arm: str, setting: str, level: int, column: str) -> Rows:
        """What a round's weights look like."""
        rows = pick(self.weights, network=self.name, setting=setting, arm=arm, level=level)
        return _by_seed(rows.assign(runs=[(run,) for run in rows["run"]]), column, self.place(setting, level))

    def place(self, setting: str, level: int, name: str | None = None) -> str:
        """Network, setting and density in words."""
        return f"{name or self.name}, {setting}, density {self.params.density(level):.3g}"

    def round_near(self, density: float) -> int:
        """The round of IMP, from 1 on, whose density is closest to this one, as a ratio."""
        return min(range(1, self.params.rounds + 1), key=lambda r: abs(np.log(self.params.density(r) / density)))

    def roles(self) -> Iterator[tuple[str, str]]:
        """Each network with its stable setting, and with its unstable one if it has one."""
        for name in self.params.networks:
            yield name, self.params.stable_of(name)
            if unstable := self.params.unstable_of(name):
                yield name, unstable

    def between(self, word: str) -> Iterator[tuple[str, str]]:
        """Settings between stable and unstable that the study has with a word and without: (without, with)."""
        for setting in self.params.settings:
            if f"{setting}/{word}" in self.params.settings and setting not in (self.stable, self.unstable):
                yield setting, f"{setting}/{word}"

    def amiss(self, role: str, name: str | None = None) -> str | None:
        """Why training at the setting that is to be stable (unstable) isn't so; None where it is."""
        name = name or self.name
        setting = self.params.stable_of(name) if role == "stable" else self.params.unstable_of(name)
        if setting is None:
            return f"{name} has no unstable setting"
        seen = self.instability(setting, name=name)["value"].mean()
        if (seen < STABLE) if role == "stable" else (seen >= STABLE):
            return None
        where = self.place(setting, self.level, name)
        return f"training isn't {role}: {where} has an instability of {seen:.1f} points of error"


def _by_seed(rows: pd.DataFrame, column: str, label: str) -> Rows:
    """One value a seed: the mean of its rows, NaN where one of them is."""
    found = [
        {"seed": seed, "value": own[column].mean(skipna=False), "runs": _runs(own["runs"]), "cell": label}
        for seed, own in rows.groupby("seed", sort=False)
    ]
    return pd.DataFrame(found, columns=["seed", "value", "runs", "cell"])


def _runs(many: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for names in many for name in names))


def _minus(a: Rows, b: Rows, label: str) -> Rows:
    """a - b by seed, empty where one side is."""
    both = a.merge(b, on="seed", suffixes=("", "_b"))
    runs = [_runs(pair) for pair in zip(both["runs"], both["runs_b"], strict=True)]
    return both.assign(value=both["value"] - both["value_b"], runs=runs, cell=label)[["seed", "value", "runs", "cell"]]


def verdicts(
    params: Params, table: pd.DataFrame, barriers: pd.DataFrame, distances: pd.DataFrame, weights: pd.DataFrame
) -> list[Verdict]:
    """A verdict on every claim, in the sheet's order; what the grid can't test says why."""
    evidence = Evidence(params, table, barriers, distances, weights)
    found = []
    for claim in MODE_CONNECTIVITY:
        told = TESTS[claim.id](evidence, claim)
        found.append(told if isinstance(told, Verdict) else untested(claim, params.scale, told))
    return found


def _judge(e: Evidence, claim: Claim, cells: Iterable[Rows], *setting: str, needs: str = "", **how: Any) -> Any:
    """The verdict over all cells that have rows; what is `needs` where none has."""
    cells = [cell for cell in cells if not cell.empty]
    if not cells:
        return needs or "no network and setting of this scale has the runs"
    rows = pd.concat(cells, ignore_index=True)
    text = ", ".join([e.params.data, *(part for part in setting if part)])
    return judge(claim, rows, scale=e.params.scale, setting=text, **how)


def _seen(e: Evidence, setting: str) -> str:
    return f"instability {e.instability(setting)['value'].mean():.1f} at {setting}"


def _lenet(name: str) -> bool:
    return name.startswith("lenet")


def _angles(e: Evidence) -> str | None:
    return None if e.params.measure == "angle" else f"measure is {e.params.measure}, the claim is about angles"


def _c1(e: Evidence, claim: Claim) -> Verdict | str:
    return e.amiss("unstable") or _judge(e, claim, [e.lead(e.unstable, e.level)], _seen(e, e.unstable))


def _c2(e: Evidence, claim: Claim) -> Verdict | str:
    return e.amiss("stable") or _judge(e, claim, [e.lead(e.stable, e.level)], _seen(e, e.stable))


def _c3(e: Evidence, claim: Claim) -> Verdict | str:
    pairs = [(*pair, "difference") for pair in e.between("warm")]
    if not pairs:
        return "needs a setting between stable and unstable, with warm-up and without"
    if f"{e.stable}/warm" in e.params.settings:
        pairs.append((e.stable, f"{e.stable}/warm", "equivalence"))
    cells = []
    for plain, warm, kind in pairs:
        rows = gap(e.at("imp", warm, e.level), e.at("imp", plain, e.level), e.place(plain, e.level))
        cells.append(rows.assign(kind=kind))
    return _judge(e, claim, cells, f"warm-up of {e.params.warmup:g} epochs")


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
    if _lenet(e.name):
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
    apart = _differing(e, between, wins, LEAD)["value"]
    text = f", apart from them {', '.join(dict.fromkeys(s for _, s, _ in between))}: {apart.mean():.2g}"
    return _judge(e, claim, [_differing(e, known, wins, LEAD)], _places(known) + (text if len(apart) else ""))


def _differing(
    e: Evidence, places: Iterable[tuple[str, str, int]], gaps: Callable[[str, str, int], Rows], edge: float
) -> Rows:
    """The share of places where "the gap is above `edge`" and "the ticket is stable" differ, a row a seed."""
    found = []
    for name, setting, level in places:
        both = gaps(name, setting, level).merge(e.instability(setting, level, name), on="seed", suffixes=("", "_b"))
        value = ((both["value"] > edge) != (both["value_b"] < STABLE)).astype(float)
        known = both["value"].notna() & both["value_b"].notna()
        runs = [_runs(pair) for pair in zip(both["runs"], both["runs_b"], strict=True)]
        found.append(both.assign(value=value.where(known), runs=runs)[["seed", "value", "runs"]])
    rows = pd.concat(found) if found else pd.DataFrame(columns=["seed", "value", "runs"])
    shares = [
        {"seed": seed, "value": own["value"].mean(), "runs": _runs(own["runs"]), "cell": ""}
        for seed, own in rows.groupby("seed", sort=False)
    ]
    return pd.DataFrame(shares, columns=["seed", "value", "runs", "cell"])


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
            angle = e.distance("repelled", setting, level - 1, level, name)["value"].mean()
            text = f"{e.place(setting, level, name)}, {angle:.2f} from the round before"
            if angle >= PUSHED:
                cells.append(rows.assign(cell=text))
            else:
                weak.append(text)
    told = f"λ {e.params.repel:g} is too weak: {'; '.join(weak)}" if weak else ""
    needs = told or "no network has stable training, repelled rounds and a ticket that leads by more than 1 point"
    return _angles(e) or _judge(e, claim, cells, f"λ {e.params.repel:g}", needs=needs)


def _c8(e: Evidence, claim: Claim) -> Verdict | str:
    cells = [e.lead(e.stable, level, arms=("repelled_reinit", "reinit")) for level in e.params.levels]
    return e.amiss("stable") or _judge(e, claim, cells, f"λ {e.params.repel:g}", needs="repel is 0")


def _c9(e: Evidence, claim: Claim) -> Verdict | str:
    cells = [e.lead(e.unstable, e.level, arms=("attracted", "imp"))]
    return e.amiss("unstable") or _judge(e, claim, cells, f"λ {e.params.attract:g}", needs="attract is 0")


def _c10(e: Evidence, claim: Claim) -> Verdict | str:
    cells = [e.lead(e.unstable, e.level, arms=("reinit", "attracted_reinit"))]
    return e.amiss("unstable") or _judge(e, claim, cells, f"λ {e.params.attract:g}", needs="attract is 0")


def _c11(e: Evidence, claim: Claim) -> Verdict | str:
    cells, arm = [], "repelled_last"
    for name in filter(_lenet, e.params.networks):
        setting = e.params.stable_of(name)
        rounds = [
            _minus(e.distance(arm, setting, r - 1, r, name), e.distance(arm, setting, r - 2, r, name), "")
            for r in range(2, e.params.rounds + 1)
        ]
        if rounds:
            cells.append(_by_seed(pd.concat(rounds), "value", f"{name}, {setting}, mean over rounds from 2 on"))
    needs = "needs a LeNet with two rounds at least that are pushed away from the last one"
    return _angles(e) or _judge(e, claim, cells, f"λ {e.params.repel:g}", needs=needs)


def _c12(e: Evidence, claim: Claim) -> Verdict | str:
    if e.params.rounds < 2:
        return "needs two rounds"
    r = min(e.round_near(0.107), e.params.rounds - 1)
    near, null = (e.distance("imp", e.stable, r, r + 1, column=column) for column in ("distance", "null"))
    reinit = e.distance("reinit", e.stable, r, r + 1)
    cells = [_minus(null, near, "null angle - ticket's"), _minus(reinit, near, "reinit's angle - ticket's")]
    place = f"{e.place(e.stable, r)}, rounds {r} and {r + 1}"
    return _angles(e) or e.amiss("stable") or _judge(e, claim, cells, place)


def _c13(e: Evidence, claim: Claim) -> Verdict | str:
    cells = []
    for r in range(e.params.rounds):
        if e.params.density(r) > 0.1:  # the paper's tenth round
            ticket, fresh = (e.distance(arm, e.unstable, r, r + 1) for arm in ("imp", "reinit"))
            cells.append(_minus(ticket, fresh, f"{e.place(e.unstable, r)}, rounds {r} and {r + 1}"))
    return _angles(e) or e.amiss("unstable") or _judge(e, claim, cells)


def _c14(e: Evidence, claim: Claim) -> Verdict | str:
    last = e.params.rounds - 1
    if e.params.density(last) > 0.02:
        return f"the paper's last pair is at density .0115, this scale's at {e.params.density(last):.3g}"
    pairs = [e.distance("imp", e.stable, r, r + 1) for r in range(last + 1)]
    lowest = int(np.argmin([rows["value"].mean() for rows in pairs]))
    cells = [_minus(pairs[r], pairs[lowest], f"rounds {r} and {r + 1}") for r in (0, last)]
    text = f"{e.name}, {e.stable}, lowest at density {e.params.density(lowest):.3g}"
    return _angles(e) or e.amiss("stable") or _judge(e, claim, cells, text)


def _c15(e: Evidence, claim: Claim) -> Verdict | str:
    density = e.params.density
    medium = [r for r in range(e.params.rounds) if density(r) < 0.52 and density(r + 1) > 0.035]
    needs = "no two rounds of this scale lie between densities .512 and .035"
    return e.amiss("stable") or _judge(e, claim, [e.barrier("rounds", e.stable, r) for r in medium], needs=needs)


def _c16(e: Evidence, claim: Claim) -> Verdict | str:
    cells, why = [], ""
    for name in e.params.networks:
        if not _lenet(name):
            why = e.amiss("stable", name) or why
            if not e.amiss("stable", name):
                cells.append(e.barrier("rounds", e.params.stable_of(name), 0, name=name))
    return _judge(e, claim, cells, needs=why or "LeNet-300-100 is connected in the paper: needs a deeper network")


def _c17(e: Evidence, claim: Claim) -> Verdict | str:
    if _lenet(e.name):
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
    names = [name for name in e.params.networks if _lenet(name)]
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
    return e.amiss("stable") or _judge(e, claim, [_minus(ticket, fresh, e.place(e.stable, level))])


def _c22(e: Evidence, claim: Claim) -> Verdict | str:
    cells = []
    for with_decay, without in e.between("wd0"):
        label = f"{e.name}, {with_decay}: dense with - without"
        cells.append(gap(e.at("dense", with_decay), e.at("dense", without), label))
        for level in dict.fromkeys(e.round_near(density) for density in (0.134, 0.0352)):
            label = f"{e.place(with_decay, level)}: ticket without - with"
            cells.append(gap(e.at("imp", without, level), e.at("imp", with_decay, level), label))
    decay, needs = f"weight decay {e.params.weight_decay:g}", "with weight decay and without"
    return _judge(e, claim, cells, decay, needs=f"needs a setting between stable and unstable, {needs}")


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
    shared = [k for k in parted if k >= 0.03 * _length(e)]
    if 0 not in parted or not shared:
        return "needs rewind_epochs of 3 % of the training or more"
    if not parted[0]["value"].mean() >= STABLE:
        return f"the dense network is stable from the start: {parted[0]['value'].mean():.1f} points at {e.unstable}"
    fall = _minus(parted[0], parted[shared[0]], f"k 0 - {parted[shared[0]]['cell'].iloc[0]}")
    cells = [*(parted[k] for k in shared), fall.assign(kind="trend", margin=0.0)]
    return _judge(e, claim, cells, e.place(e.unstable, 0))


def _l2(e: Evidence, claim: Claim) -> Verdict | str:
    def drop(name: str, setting: str, level: int) -> Rows:
        return gap(e.at("imp", setting, level, name), e.at("dense", setting, name=name))

    places = [(name, setting, level) for name, setting in e.roles() for level in e.params.levels]
    return _judge(e, claim, [_differing(e, places, drop, -MATCHING - 1e-9)], f"k = 0, {_places(places)}")


def _l3(e: Evidence, claim: Claim) -> Verdict | str:
    full, rest = (_parted(e, kind) for kind in ("twins_full", "twins_dense"))
    cells = [_minus(full[k], rest[k], full[k]["cell"].iloc[0]) for k in full if k in rest]
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


def controls(params: Params, table: pd.DataFrame, barriers: pd.DataFrame, distances: pd.DataFrame) -> pd.DataFrame:
    """What must come out one way if the bench works: columns control, expected, effect, low, high, n, holds.

    Barriers in points of error, angles in right angles. `holds` is yes or no where the interval says so, else open.
    """
    e, rows = Evidence(params, table, barriers, distances, pd.DataFrame()), []

    def add(name: str, values: Rows, low: float = -np.inf, high: float = np.inf) -> None:
        told = estimate(values["value"].dropna())
        if told.n == 0:
            return
        expected = f"above {low:g}" if high == np.inf else f"below {high:g}" if low == -np.inf else f"{low:g}"
        exact = low == high
        inside = told.low >= low and told.high <= high if exact else told.low > low and told.high < high
        outside = (told.low != low or told.high != high) if exact else told.high < low or told.low > high
        word = "open" if told.n < 2 or not (inside or outside) else "yes" if inside else "no"
        interval = {"effect": told.mean, "low": told.low, "high": told.high, "n": told.n}
        rows.append({"control": name, "expected": expected, **interval, "holds": word})

    for name in params.networks:
        stable, unstable = params.stable_of(name), params.unstable_of(name)
        for setting in filter(None, (stable, unstable)):
            place = f"{name}, {setting}"
            add(f"{place}: a network and itself", e.barrier("same_seed", setting, name=name), 0, 0)
            add(f"{place}: dense networks of two seeds", e.barrier("unrelated", setting, name=name), LARGE)
            add(f"{place}: hidden units permuted", e.barrier("permuted", setting, name=name), LARGE)
        place = e.place(stable, e.level, name)
        add(f"{place}: tickets are stable", e.instability(stable, name=name), high=STABLE)
        if _angles(e) is None:
            apart = e.distance("repelled", stable, e.level - 1, e.level, name)
            add(f"{place}: repelled from the round before", apart, PUSHED)
        if unstable is not None:
            place = e.place(unstable, e.level, name)
            add(f"{place}: tickets are unstable", e.instability(unstable, name=name), STABLE)
            start = e.barrier("twins_dense", unstable, name=name)
            add(f"{name}, {unstable}: dense networks from one start", start, LARGE)
    return pd.DataFrame(rows, columns=["control", "expected", "effect", "low", "high", "n", "holds"])


def disagreement(barriers: pd.DataFrame) -> pd.DataFrame:
    """What papers C and D measure, side by side on the same tickets (mode_connectivity.md section 7.10).

    A row a network, setting, split, ticket (level, density) and treatment of the ends' masks: the mean over seeds of
    the barrier from the dense network under the ticket's mask (dense_ticket) and from what was pruned and fine-tuned
    (finetuned_ticket) to the ticket, both ends under one mask whatever the treatment, and from the round before to it
    (rounds). The same with _excess: the rise above the chord. `n`: seeds.
    """
    kinds = ("dense_ticket", "finetuned_ticket", "rounds")
    at = ["network", "setting", "split", "level"]
    seeds = barriers.groupby([*at, "kind", "endpoint_mask", "seed"], sort=False)[["barrier", "excess"]].mean()
    means = seeds.groupby([*at, "kind", "endpoint_mask"], sort=False).mean().reset_index()
    sides = {
        kind: pick(means, kind=kind).rename(columns={"barrier": kind, "excess": f"{kind}_excess"}).drop(columns="kind")
        for kind in kinds
    }
    found = sides["rounds"].assign(level=sides["rounds"]["level"] + 1)  # told by the earlier of both rounds
    for kind in ("dense_ticket", "finetuned_ticket"):
        found = found.merge(sides[kind].drop(columns="endpoint_mask"), on=at, how="left")
    told = pick(barriers, kind="dense_ticket").groupby(at)
    about = told.agg(density=("density", "first"), n=("seed", "nunique")).reset_index()
    columns = [*kinds, *(f"{kind}_excess" for kind in kinds), "n"]
    return found.merge(about, on=at)[[*at, "density", "endpoint_mask", *columns]]
