"""What the existence study's table says: the five conditions, claims A1a to A16, the effect of each factor.

Nothing here trains: the input is the table of `existence.collect` and the points of `existence.overlap`. Margins, kinds
and published values come with the claims (`ltkit.verdict.EXISTENCE`); what each value is stands in the claim's note.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pandas as pd

from ..verdict import EXISTENCE, Claim, Verdict, conditions, estimate, judge, judge_prize, tau_sim
from .answers import answered, judged
from .existence_params import Params, network
from .tables import gap, pick

ARMS = {"dense": "dense", "lt_imp": "lt", "rr_imp": "rr", "sdt": "sdt"}
NONTRIVIAL = 0.41  # densities from here down: the paper's s >= .59
FLOOR = 0.005  # an overlap this near to chance counts as chance however narrow the null is (weight_correlation.md E4b)


class Evidence:
    """The table of a study with the questions that the claims ask of it."""

    def __init__(self, params: Params, table: pd.DataFrame, overlap: pd.DataFrame) -> None:
        self.params, self.table, self.overlap = params, table, overlap
        self.name, self.small, self.large = params.claim_network, params.lr_small, params.lr_large
        self.level = params.claim_level

    def at(self, arm: str, lr: float, level: int | None = None, name: str | None = None, **more: Any) -> pd.DataFrame:
        """Runs of an arm at a learning rate and level (None: the claim level) of a network, fully trained."""
        name = name or self.name
        level = 0 if arm.startswith("dense") else (level or self.level)
        more = {"epochs": self.params.epochs_of(name), **more}
        return pick(self.table, network=name, arm=arm, lr=lr, level=level, **more)

    def density(self, level: int) -> float:
        """Nominal density of a level."""
        return self.params.density(level)

    def levels(self, above: float = 0.0, name: str | None = None) -> list[int]:
        """Levels with controls whose density is at most NONTRIVIAL."""
        return [k for k in self.params.levels_of(name or self.name) if above < self.density(k) <= NONTRIVIAL]

    def best(self, arm: str, level: int | None = None, name: str | None = None) -> float:
        """The learning rate at which an arm does best, by mean validation accuracy unless `select` is test."""
        column = "validation" if self.params.select == "validation" else "accuracy"
        lrs = self.params.lrs_of(name or self.name)
        return max(lrs, key=lambda lr: self.at(arm, lr, level, name)[column].mean())

    def setting(self, *more: str) -> str:
        """Network, data and what else a verdict should name."""
        return ", ".join([self.name, self.params.data, *more])

    def level_of(self, name: str) -> int:
        """The level at which claims are judged on a network: the claim level, or a contrast's sparsest one."""
        return self.level if name == self.name else max(self.params.levels_of(name))

    def pairs(self) -> list[str]:
        """The networks that the study has with and without their residual connections."""
        every = self.params.networks + self.params.contrasts
        return [name for name in every if f"{name}-plain" in every]

    def conditions(self, name: str, lrs: Iterable[float] | None = None, **options: Any) -> pd.DataFrame:
        """The paper's five conditions for a network, a row a density that has all controls."""
        rows = pick(self.table, network=name, epochs=self.params.epochs_of(name))
        rows = rows[rows["arm"].isin(ARMS) & rows["level"].isin([0, *self.params.levels_of(name)])]
        rows = rows[rows["lr"].isin(list(lrs or self.params.lrs_of(name)))]
        given = {"condition_3": self.params.condition_3, "select": self.params.select} | options
        tau = tau_sim(self.params.data)
        return conditions(rows.assign(arm=rows["arm"].map(ARMS)), tau_sim=tau, **given)


def verdicts(params: Params, table: pd.DataFrame, overlap: pd.DataFrame) -> list[Verdict]:
    """A verdict on every claim of the paper, in the sheet's order; what the grid can't test says why."""
    return answered(EXISTENCE, TESTS, Evidence(params, table, overlap), params.scale)


def _judge(e: Evidence, claim: Claim, cells: Iterable[pd.DataFrame], *setting: str) -> Verdict | str:
    if not (found := list(cells)):
        return f"no density of {e.name} is low enough for it"
    return judge(claim, pd.concat(found, ignore_index=True), scale=e.params.scale, setting=e.setting(*setting))


def _a1a(e: Evidence, claim: Claim) -> Verdict | str:
    cells = [gap(e.at("lt_imp", e.large, k), e.at("rr_imp", e.large, k), _d(e, k)) for k in e.levels()]
    return _judge(e, claim, cells, f"lr {e.large}")


def _a1b(e: Evidence, claim: Claim) -> Verdict | str:
    levels = [k for k in range(1, max(e.params.levels_of(e.name)) + 1) if e.density(k) <= 0.5]
    cells = [gap(e.at("dense", e.large), e.at("lt_imp", e.large, k), _d(e, k)) for k in levels]
    return _judge(e, claim, cells, f"lr {e.large}")


def _a2(e: Evidence, claim: Claim) -> Verdict | str:
    cells = [gap(e.at("lt_imp", e.small, k), e.at("rr_imp", e.small, k), _d(e, k)) for k in e.levels()]
    return _judge(e, claim, cells, f"lr {e.small}")


def _a3(e: Evidence, claim: Claim, a: str, b: str, sign: int) -> Verdict | str:
    """Long minus short (or the other way round) of the gap a - b."""
    gaps, lr = {}, e.params.lr_short
    for epochs in (e.params.epochs_of(e.name), e.params.short_epochs):
        sides = (e.at(arm, lr, epochs=epochs) for arm in (a, b))
        gaps[epochs] = gap(*sides)
    long, short = gaps.values()
    change = long.assign(value=sign * (long["value"] - short["value"]), runs=long["runs"] + short["runs"])
    return _judge(e, claim, [change], f"lr {lr}, {_d(e, e.level)}", " against ".join(f"{n} epochs" for n in gaps))


def _a4(e: Evidence, claim: Claim) -> Verdict | str:
    def at_best(level: int) -> pd.DataFrame:
        return gap(e.at("dense", e.best("dense")), e.at("lt_imp", e.best("lt_imp", level), level), _d(e, level))

    close = [k for k in e.levels() if at_best(k)["value"].mean() <= tau_sim(e.params.data)]
    largest = (
        f"largest sparsity within {tau_sim(e.params.data)}: {1 - e.density(max(close)):.3f}"
        if close
        else ("no tested sparsity is within the tolerance")
    )
    return _judge(e, claim, [at_best(e.level)], f"lr {e.best('dense')} and {e.best('lt_imp')}", largest)


def _a5(e: Evidence, claim: Claim) -> Verdict | str:
    return _judge(e, claim, [gap(e.at("dense", e.large), e.at("dense", e.small))], f"lr {e.large} against {e.small}")


def _a6(e: Evidence, claim: Claim, lr: float) -> Verdict | str:
    names = [name for name in dict.fromkeys((e.name, *e.pairs())) if _skips(name)]
    if not names:
        return f"{e.name} has no residual connections"
    cells = [gap(*_masks(e, name, lr), f"{name}, {_d(e, e.level_of(name))}") for name in names]
    return _networks(e, claim, cells, f"lr {lr}")


def _skips(name: str) -> bool:
    return network(name).arch.startswith("resnet") and network(name).residual


def _masks(e: Evidence, name: str, lr: float, level: int | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A network's tickets of iterative and of one-shot masks."""
    level = level or e.level_of(name)
    return e.at("lt_imp", lr, level, name), e.at("lt_omp", lr, level, name)


def _networks(e: Evidence, claim: Claim, cells: list[pd.DataFrame], *setting: str) -> Verdict | str:
    """The verdict over cells of several networks, which their labels name."""
    return judged(claim, cells, e.params.scale, (e.params.data, *setting))


def _a7(e: Evidence, claim: Claim) -> Verdict | str:
    if not e.pairs():
        return f"needs {e.name} with and without residual connections"
    cells = []
    for name in e.pairs():
        for lr in (e.small, e.large):
            imp, omp = _masks(e, f"{name}-plain", lr, e.level_of(name))
            cells.append(gap(omp, imp, f"{name}-plain, lr {lr}, {_d(e, e.level_of(name))}"))
    return _networks(e, claim, cells, "no residual connections")


def _a8(e: Evidence, claim: Claim) -> Verdict | str:
    if not e.pairs():
        return f"needs {e.name} with and without residual connections"
    column = "validation" if e.params.select == "validation" else "accuracy"
    cells = []
    for whole in e.pairs():
        level = e.level_of(whole)
        for name, one, other in ((whole, e.small, e.large), (f"{whole}-plain", e.large, e.small)):
            reached = {
                arm: e.at(arm, e.best(arm, level, name), level, name)[column].mean() for arm in ("lt_imp", "lt_omp")
            }
            arm = max(reached, key=lambda one: reached[one])
            better, rest = (e.at(arm, lr, level, name) for lr in (one, other))
            cells.append(gap(better, rest, f"{name}, {_d(e, level)}, {arm}: {one} - {other}"))
    return _networks(e, claim, cells)


def _a9(e: Evidence, claim: Claim) -> Verdict | str:
    column, cells = "validation" if e.params.select == "validation" else "accuracy", []
    for arm in ("lt_decoupled_imp", "lt_decoupled_omp"):
        for mask_lr in (e.small, e.large):
            by_lr = {lr: e.at(arm, lr, mask_lr=mask_lr) for lr in e.params.lrs_of(e.name)}
            best = max((float(rows[column].mean()), lr) for lr, rows in by_lr.items())[1]
            label = f"{arm[-3:]} mask from lr {mask_lr}, best ticket lr {best}"
            cells.append(gap(by_lr[best], by_lr[mask_lr], label))
    return _judge(e, claim, cells, _d(e, e.level))


def _a10a(e: Evidence, claim: Claim) -> Verdict:
    runs = pick(e.table, network=e.name)["run"]
    rows, where = e.conditions(e.name), e.setting(_length(e, [e.name]))
    return judge_prize(claim, rows, wanted="secondary", scale=e.params.scale, setting=where, runs=runs)


def _length(e: Evidence, names: Iterable[str]) -> str:
    """How long networks are trained: condition ① asks for enough, which no reduced scale has."""
    return " and ".join(f"{n}" for n in dict.fromkeys(map(e.params.epochs_of, names))) + " epochs"


def _a10b(e: Evidence, claim: Claim) -> Verdict | str:
    """Over networks that are trained equally long, at the levels that all of them have."""
    alike: dict[int, list[str]] = {}
    for name in filter(lambda one: network(one).residual, e.params.networks + e.params.contrasts):
        alike.setdefault(e.params.epochs_of(name), []).append(name)
    names = max(alike.values(), key=len)
    sizes = [math.log2(pick(e.table, network=name)["prunable"].iloc[0]) for name in names]
    if len(set(sizes)) < 3:
        return "needs at least three networks of different size that are trained equally long"
    levels = set.intersection(*(set(e.params.levels_of(name)) for name in names))
    densities = {round(e.density(level), 9) for level in levels}
    slopes = []
    for seed in e.params.seeds:
        one, limits = Evidence(e.params, pick(e.table, seed=seed), e.overlap), []
        for name in names:
            rows = one.conditions(name, (e.small, e.large), decide="mean")
            limits.append(_largest_winning(rows[rows["density"].round(9).isin(densities)]))
        slopes.append({"seed": seed, "value": _slope(sizes, limits), "top": max(limits)})
    rows = pd.DataFrame(slopes)
    if rows["top"].max() == 0:
        return f"none of {', '.join(names)} won a prize at any tested sparsity: there is no limit to compare"
    runs = [r for name in names for r in pick(e.table, network=name)["run"]]
    rows["runs"] = [tuple(runs)] * len(rows)
    where = f"{', '.join(names)}, {e.params.data}, {_length(e, names)}, a seed at a time, conditions 1 to 4"
    return judge(claim, rows, scale=e.params.scale, setting=where)


def _largest_winning(rows: pd.DataFrame) -> float:
    """The largest sparsity at which conditions 1 to 4 hold; 0 when there is none."""
    won = rows[(rows[["c1", "c2", "c3", "c4"]] == "true").all(axis=1)]
    return 0.0 if won.empty else 1 - float(won["density"].min())


def _slope(x: list[float], y: list[float]) -> float:
    mx, my = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / sum((a - mx) ** 2 for a in x)


def _a11(e: Evidence, claim: Claim) -> Verdict | str:
    cells = []
    for start in ("own", "fresh"):
        for lr in (e.small, e.large):
            rows = pick(e.overlap, network=e.name, start=start, lr=lr)
            wins = start == "own" and lr == e.small
            cells.append(
                rows.assign(
                    value=(rows["ratio"] - rows["p"]) / rows["null_sd"],
                    cell=f"{start} start, lr {lr}",
                    kind="difference" if wins else "equivalence",
                    margin=max(3.0, FLOOR / rows["null_sd"].max()),
                )[["seed", "value", "cell", "kind", "margin", "runs"]]
            )
    return _judge(e, claim, cells, f"p .1, {_d(e, e.params.overlap_level)}")


def _a12(e: Evidence, claim: Claim) -> Verdict | str:
    if not e.params.rewind_epoch:
        return "rewind_epoch is 0"
    cells, tested = [], []
    for name in e.params.networks + e.params.contrasts:
        for lr in e.params.lrs_of(name):
            for k in e.params.levels_of(name):
                rewound, ticket = (e.at(arm, lr, k, name) for arm in ("lt_rewound", "lt_imp"))
                if not rewound.empty:
                    tested.append((name, k))
                    cells.append(gap(rewound, ticket, f"{name}, lr {lr}, {_d(e, k)}"))
    names = ", ".join(dict.fromkeys(name for name, _ in tested))
    rule = f"{names}, {e.params.data}, rewound to epoch {e.params.rewind_epoch}"
    return judge(claim, pd.concat(cells, ignore_index=True), scale=e.params.scale, setting=rule)


def _a13(e: Evidence, claim: Claim, arch: str, level: int, centre: float) -> Verdict | str:
    name = next((n for n in e.params.networks + e.params.contrasts if network(n).arch == arch), None)
    if name is None:
        return f"no {arch} in this scale's grid"
    lr = e.best("lt_imp", level, name)
    dense, ticket, fresh = (e.at(arm, lr, level, name) for arm in ("dense", "lt_imp", "rr_imp"))
    cells = [gap(dense, ticket, "dense - ticket"), gap(ticket, fresh, "ticket - fresh weights")]
    cells = [cell.assign(value=cell["value"] - centre) for cell in cells]
    rows = pd.concat(cells, ignore_index=True)
    setting = f"{name}, {e.params.data}, lr {lr}, no warm-up, {_d(e, level)}"
    return judge(claim, rows, scale=e.params.scale, setting=setting)


def _a14(e: Evidence, claim: Claim) -> str:
    return "Tiny-ImageNet and ImageNet are not among the kit's data sets"


def _a15(e: Evidence, claim: Claim) -> Verdict | str:
    column, cells = "validation" if e.params.select == "validation" else "accuracy", []
    for name in e.params.networks + e.params.contrasts:
        for k in e.levels(name=name):
            small, large = (e.at("lt_imp", lr, k, name)[column].mean() for lr in (e.small, e.large))
            if large > small:
                ticket, fresh = (e.at(arm, e.large, k, name) for arm in ("lt_imp", "rr_imp"))
                cells.append(gap(ticket, fresh, f"{name}, {_d(e, k)}"))
    if not cells:
        return "no network and density prefers the large learning rate"
    rows = pd.concat(cells, ignore_index=True)
    return judge(
        claim, rows, scale=e.params.scale, setting=f"{e.params.data}, lr {e.large}, where it is the better one"
    )


def _a16(e: Evidence, claim: Claim) -> Verdict:
    names = e.params.networks + e.params.contrasts
    rows = pd.concat([e.conditions(name).assign(cell=name) for name in names], ignore_index=True)
    setting, runs = f"{e.params.data}, {_length(e, names)}", e.table["run"]
    return judge_prize(claim, rows, wanted="jackpot", absent=True, scale=e.params.scale, setting=setting, runs=runs)


def _d(e: Evidence, level: int) -> str:
    return f"density {e.density(level):.3g}"


Test = Callable[[Evidence, Claim], "Verdict | str"]
TESTS: dict[str, Test] = {
    "A1a": _a1a,
    "A1b": _a1b,
    "A2": _a2,
    "A3a": partial(_a3, a="dense", b="lt_imp", sign=1),
    "A3b": partial(_a3, a="lt_imp", b="rr_imp", sign=-1),
    "A4": _a4,
    "A5": _a5,
    "A6a": lambda e, claim: _a6(e, claim, e.small),
    "A6b": lambda e, claim: _a6(e, claim, e.large),
    "A7": _a7,
    "A8": _a8,
    "A9": _a9,
    "A10a": _a10a,
    "A10b": _a10b,
    "A11": _a11,
    "A12": _a12,
    "A13a": lambda e, claim: _a13(e, claim, "vgg16", e.level, 0.0),
    "A13b": lambda e, claim: _a13(e, claim, "mobilenet_v1", e.params.overlap_level, 0.5),
    "A14": _a14,
    "A15": _a15,
    "A16": _a16,
}


def effects(params: Params, table: pd.DataFrame) -> pd.DataFrame:
    """How much each factor moves a ticket's two numbers, paired by seed: columns factor, contrast, outcome, mean, ...

    Outcomes: `advantage` is LT - RR, `shortfall` dense - LT, both in accuracy points at the claim level.
    """
    e, rows = Evidence(params, table, pd.DataFrame()), []

    def outcomes(lr: float, name: str, level: int | None = None, warm: bool = False, **more: Any) -> dict[str, Any]:
        dense, ticket, fresh = ("dense_warm", "lt_warm", "rr_warm") if warm else ("dense", "lt_imp", "rr_imp")
        sides = {arm: e.at(arm, lr, level, name, **more) for arm in (dense, ticket, fresh)}
        return {"advantage": gap(sides[ticket], sides[fresh]), "shortfall": gap(sides[dense], sides[ticket])}

    def contrast(factor: str, label: str, a: dict[str, Any], b: dict[str, Any]) -> None:
        for outcome in a:
            if not (a[outcome].empty or b[outcome].empty):
                change = a[outcome].set_index("seed")["value"] - b[outcome].set_index("seed")["value"]
                told = estimate(change.dropna())
                row = {"factor": factor, "contrast": label, "outcome": outcome}
                spread = {"low": told.low, "high": told.high, "n": told.n, "values": tuple(change.dropna())}
                rows.append({**row, "mean": told.mean, **spread})

    every = params.networks + params.contrasts
    for name in every:
        label = f"{name}: lr {e.large} - {e.small}"
        contrast("learning rate", label, outcomes(e.large, name), outcomes(e.small, name))
        first = min(params.levels_of(name))
        if first < e.level:
            label = f"{name}: density {e.density(e.level):.2g} - {e.density(first):.2g}"
            contrast("density", label, outcomes(e.small, name), outcomes(e.small, name, first))
    label = f"{e.name}: {params.epochs_of(e.name)} - {params.short_epochs} epochs"
    short = outcomes(params.lr_short, e.name, epochs=params.short_epochs)
    contrast("training length", label, outcomes(params.lr_short, e.name), short)
    if params.warmup_control:
        label = f"{e.name}: warm-up - none at lr {e.large}"
        contrast("warm-up", label, outcomes(e.large, e.name, warm=True), outcomes(e.large, e.name))
    for lr in (e.small, e.large) if e.name in e.pairs() else ():
        label = f"{e.name}: residual - plain at lr {lr}"
        contrast("residual connections", label, outcomes(lr, e.name), outcomes(lr, f"{e.name}-plain"))
    families: dict[tuple[Any, ...], list[str]] = {}  # what differs in width alone, trained equally long
    for name in every:
        families.setdefault((network(name).replace(width=1.0), params.epochs_of(name)), []).append(name)
    for names in families.values():
        least, wide = (choose(names, key=lambda n: network(n).width) for choose in (min, max))
        for lr in (e.small, e.large) if least != wide else ():
            contrast("capacity", f"{wide} - {least} at lr {lr}", outcomes(lr, wide), outcomes(lr, least))
    return pd.DataFrame(rows)


def controls(params: Params, table: pd.DataFrame) -> pd.DataFrame:
    """What must come out one way if the bench works: columns control, expected, effect, low, high, n, holds.

    `holds` is yes or no when the interval says so, else open; `reported` where the papers disagree.
    """
    e, rows = Evidence(params, table, pd.DataFrame()), []

    def add(name: str, expected: str, values: pd.DataFrame, holds: Callable[[float, float], bool | None]) -> None:
        told = estimate(values["value"].dropna())
        word = {True: "yes", False: "no", None: "open"}[holds(told.low, told.high)] if expected else "reported"
        interval = {"effect": told.mean, "low": told.low, "high": told.high, "n": told.n}
        rows.append({"control": name, "expected": expected or "disputed", **interval, "holds": word})

    def above(low: float, high: float) -> bool | None:
        return True if low > 0 else False if high < 0 else None

    def near(low: float, high: float) -> bool | None:
        return True if low > -1 and high < 1 else False if low > 1 or high < -1 else None

    for name in dict.fromkeys((*params.networks, params.claim_network)):
        for lr in (e.small, e.large):
            first = gap(e.at("lt_imp", lr, 1, name), e.at("dense", lr, name=name))
            add(f"{name}, lr {lr}: ticket of round 1 - dense", "within 1 point", first, near)
        shuffled = gap(e.at("lt_imp", e.small, name=name), e.at("lt_shuffled", e.small, name=name))
        if not shuffled.empty:
            add(f"{name}, lr {e.small}: ticket - shuffled mask, {_d(e, e.level)}", "above 0", shuffled, above)
    if params.warmup_control:
        sides = (e.at(arm, e.large, epochs=params.epochs_of(e.name)) for arm in ("lt_warm", "rr_warm"))
        label = f"{e.name}, lr {e.large} with warm-up: ticket - fresh weights, {_d(e, e.level)}"
        add(label, "", gap(*sides), above)
    return pd.DataFrame(rows)


def untrained(params: Params, table: pd.DataFrame, below: float = 70.0) -> pd.DataFrame:
    """Cells whose mean test accuracy is below `below` percent: a gap to an arm that didn't train says little."""
    keys = ["network", "lr", "arm", "density"]
    means = table[table["epochs"] == table["network"].map(params.epochs_of)].groupby(keys)["accuracy"].mean()
    return means[means < below].rename("mean accuracy").reset_index()


GUIDELINE = (
    ("Residual connections and little data: prefer IMP over OMP", ("A6a", "A6b", "A7")),
    ("Residual connections and little data: prefer a small learning rate", ("A8",)),
    ("A large network for its data: expect sparser tickets", ("A10b",)),
    ("Where a large learning rate is best: initial values don't matter", ("A15",)),
)


def guideline(found: Iterable[Verdict]) -> pd.DataFrame:
    """The paper's guideline, sentence by sentence, beside the verdicts that bear on it."""
    words = {verdict.claim: verdict.verdict for verdict in found}
    return pd.DataFrame(
        [{"guideline": text, "checked by": ", ".join(f"{c}: {words[c]}" for c in ids)} for text, ids in GUIDELINE]
    )
