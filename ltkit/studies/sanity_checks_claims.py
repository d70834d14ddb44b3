"""What the sanity-check study's table says: the matrix of methods and checks, and claims B1 to B12.

Nothing here trains: the input is the table of `sanity_checks.collect` and the counts of `sanity_checks.layers`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pandas as pd

from ..verdict import SANITY_CHECKS, Claim, Verdict, estimate
from .answers import answered, judged
from .sanity_checks_params import CHECKS, METHODS, Params
from .tables import gap, pick

MARGIN = 0.3  # accuracy points (sanity_checks.md section 2)
SPARSE, SPARSE_MARGIN = 0.05, 0.6  # below this density the sheet asks for a larger margin without a number: twice
EXTREME = 0.014  # claim B11 speaks of densities up to here
EDGE = 0.02  # and claim B12 of this one
AT_INIT = ("snip", "grasp", "synflow", "magnitude")
INITIAL = ("snip", "grasp", "lt")  # the paper's initial tickets
AFTER = "lr_rewinding"  # magnitude pruning after training: the positive control

Cells = list[pd.DataFrame]


def margin(density: float) -> float:
    """How many accuracy points count as a difference at a density."""
    return MARGIN if density >= SPARSE else SPARSE_MARGIN


class Evidence:
    """The table of a study with the questions that the claims ask of it."""

    def __init__(self, params: Params, table: pd.DataFrame, layers: pd.DataFrame) -> None:
        self.params, self.table, self.layers = params, table, layers
        self.names = params.networks + params.contrasts

    def at(self, network: str, density: float, method: str, check: str = "none") -> pd.DataFrame:
        """The runs of one method under one check, a row a seed."""
        return pick(self.table, network=network, density=density, method=method, check=check)

    def places(self) -> Iterator[tuple[str, float]]:
        """Each network with each of its densities."""
        yield from ((name, density) for name in self.names for density in self.params.densities_of(name))

    def with_empty_layer(self) -> set[str]:
        """The runs whose masks leave nothing of some layer."""
        return set(self.layers.loc[self.layers["kept"] == 0, "run"])

    def differences(self, pairs: Iterable[tuple[str, str, str, str]], *, sign: int = 1, extreme: bool = False) -> Cells:
        """A cell for each network, density and pair (method, check, method, check): first minus second, by seed.

        Margins are `margin(density)` with this sign; where a side wasn't run there is no cell. Densities up to
        `EXTREME` belong to claim B11 alone, which says that they are another regime.
        """
        cells = []
        for name, density in self.places():
            if (density <= EXTREME) != extreme:
                continue
            for a, a_check, b, b_check in pairs:
                rows = gap(self.at(name, density, a, a_check), self.at(name, density, b, b_check))
                if not rows.empty:
                    told = [one if check == "none" else f"{one} {check}" for one, check in ((a, a_check), (b, b_check))]
                    label = f"{name}, density {density:g}: {' - '.join(told)}"
                    cells.append(rows.assign(cell=label, margin=sign * margin(density)))
        return cells


def verdicts(params: Params, table: pd.DataFrame, layers: pd.DataFrame) -> list[Verdict]:
    """A verdict on every claim of the paper, in the sheet's order; what the grid can't test says why."""
    return answered(SANITY_CHECKS, TESTS, Evidence(params, table, layers), params.scale)


def _judge(e: Evidence, claim: Claim, cells: Cells, *setting: str, needs: str = "") -> Verdict | str:
    needs = needs or "no network and density of this scale has both arms"
    return judged(claim, cells, e.params.scale, (e.params.data, *setting), needs)


def _unhurt(check: str) -> Callable[[Evidence, Claim], Verdict | str]:
    """B1, B2: the original minus the check, for the paper's initial tickets."""

    def test(e: Evidence, claim: Claim) -> Verdict | str:
        pairs = [(method, "none", method, check) for method in INITIAL]
        return _judge(e, claim, e.differences(pairs), f"lr {e.params.lr}")

    return test


def _b3(e: Evidence, claim: Claim) -> Verdict | str:
    return _judge(e, claim, e.differences([("smart", "none", method, "none") for method in INITIAL], sign=-1))


def _partial(check: str) -> Callable[[Evidence, Claim], Verdict | str]:
    """B4a, B4b: the original minus the check, for partially-trained tickets."""

    def test(e: Evidence, claim: Claim) -> Verdict | str:
        pairs = [(method, "none", method, check) for method in ("weight_rewinding", AFTER)]
        return _judge(e, claim, e.differences(pairs), _length(e))

    return test


def _b5(e: Evidence, claim: Claim) -> Verdict | str:
    return _judge(e, claim, e.differences([("hybrid", "none", AFTER, "none")]), _length(e))


def _b6(e: Evidence, claim: Claim) -> Verdict | str:
    cells = e.differences([("smart", "none", other, "none") for other in ("balanced", "ascending")])
    return _judge(e, claim, [cell.drop(columns="margin") for cell in cells])  # an ordering has none


def _b7(e: Evidence, claim: Claim) -> Verdict | str:
    others = ("linear", "cubic", "smart+2", "smart-1")
    return _judge(e, claim, e.differences([("smart", "none", other, "none") for other in others]))


def _harmless(check: str) -> Callable[[Evidence, Claim], Verdict | str]:
    """B8a, B8b: the check minus the original, for methods at initialization: not worse."""

    def test(e: Evidence, claim: Claim) -> Verdict | str:
        return _judge(e, claim, e.differences([(one, check, one, "none") for one in AT_INIT], sign=-1))

    return test


def _b8c(e: Evidence, claim: Claim) -> Verdict | str:
    return _judge(e, claim, e.differences([(AFTER, "none", AFTER, check) for check in ("rearranged", "reinit")]))


def _b9a(e: Evidence, claim: Claim) -> Verdict | str:
    return _judge(e, claim, e.differences([(method, "none", "random", "none") for method in AT_INIT]))


def _b9b(e: Evidence, claim: Claim) -> Verdict | str:
    cells = e.differences([(AFTER, "none", method, "none") for method in AT_INIT])
    return _judge(e, claim, cells, "epochs of the dense network and after pruning, against those of one training")


def _b10(e: Evidence, claim: Claim) -> Verdict | str:
    empty = collapsed(e.layers[e.layers["check"] == "inverted"])
    told = [f"{row.method}'s in {row.runs} of {row.of} at density {row.density:g}" for row in empty.itertuples()]
    words = f"inverted masks with an empty layer: {', '.join(told)}" if told else ""
    return _judge(e, claim, e.differences([(method, "none", method, "inverted") for method in AT_INIT]), words)


def _b11(e: Evidence, claim: Claim) -> Verdict | str:
    """Where a layer keeps nothing, the fall is no sign of what was learned: such pairs are left out."""
    pairs, empty = [(method, "none", "smart", "none") for method in ("imp", AFTER)], e.with_empty_layer()
    cells = e.differences(pairs, extreme=True)
    kept = [cell[[empty.isdisjoint(names) for names in cell["runs"]]].assign(margin=claim.threshold) for cell in cells]
    smart = e.table[(e.table["method"] == "smart") & (e.table["density"] <= EXTREME)]
    out = sum(map(len, cells)) - sum(map(len, kept))
    where = [f"smart reaches {smart['accuracy'].min():.0f} to {smart['accuracy'].max():.0f} %"]
    where += [f"{out} pairs left out for an empty layer"] if out else []
    needs = "every pair has an empty layer" if out else f"no density of {EXTREME} or less in this scale's grid"
    return _judge(e, claim, kept, *where, needs=needs)


def _b12(e: Evidence, claim: Claim) -> Verdict | str:
    fewest, cells, arms, empty = emptiest(e.layers).set_index("run"), [], 0, 0
    for name, density in e.places():
        rows = pick(e.table, network=name, density=density, method="snip")
        rows = rows[rows["check"].isin(("none", "rearranged", "corrupted"))]
        if not name.startswith("vgg") or density > EDGE or rows["check"].nunique() < 2:
            continue
        arms, empty = arms + len(rows), empty + int(rows["run"].isin(e.with_empty_layer()).sum())
        found = [_collapse(seed, own, fewest) for seed, own in rows.groupby("seed")]
        place = f"{name}, density {density:g}"
        cells.append(pd.DataFrame(found).assign(cell=f"{place}: fewer weights than units in the least accurate arm"))
        cells.append(cells[-1].assign(value=cells[-1]["apart"], cell=f"{place}: most - least accurate arm"))
    needs = f"needs a VGG network with SNIP, rearranged and corrupted at a density of {EDGE} or less"
    return _judge(e, claim, cells, f"a layer is empty in {empty} of {arms} masks", needs=needs)


def _collapse(seed: Any, arms: pd.DataFrame, fewest: pd.DataFrame) -> dict[str, Any]:
    """Of one seed: how far the least accurate arm's emptiest layer is below its units (`value`) and below that of the
    most accurate arm (`apart`), in powers of ten. NaN where an arm diverged."""
    ranked = arms.sort_values("accuracy", kind="stable")["run"]
    least, most = fewest.loc[ranked.iloc[0]], fewest.loc[ranked.iloc[-1]]
    kept, more = (math.log10(1 + layer["kept"]) for layer in (least, most))
    sound = 0.0 if arms["accuracy"].notna().all() else math.nan
    value, apart = math.log10(least["units"]) - kept + sound, more - kept + sound
    return {"seed": seed, "value": value, "apart": apart, "runs": tuple(ranked)}


def _length(e: Evidence) -> str:
    back = "the rest of the epochs" if e.params.partial_length == "rest" else "all epochs"
    return f"rewound to {e.params.rewind:g} of the training, then {back}"


Test = Callable[[Evidence, Claim], "Verdict | str"]
TESTS: dict[str, Test] = {
    "B1": _unhurt("corrupted"),
    "B2": _unhurt("rearranged"),
    "B3": _b3,
    "B4a": _partial("halved"),
    "B4b": _partial("weights"),
    "B5": _b5,
    "B6": _b6,
    "B7": _b7,
    "B8a": _harmless("rearranged"),
    "B8b": _harmless("reinit"),
    "B8c": _b8c,
    "B9a": _b9a,
    "B9b": _b9b,
    "B10": _b10,
    "B11": _b11,
    "B12": _b12,
}


def matrix(params: Params, table: pd.DataFrame) -> pd.DataFrame:
    """What each check costs each method: original minus check in accuracy points, paired by seed.

    Columns network, density, method, check, effect, low, high, n, margin, word, values. `word`: the method `passes`
    the check if it loses more than the margin (it used what was destroyed), `fails` if it changes by less, is `better`
    if it gains more, and is `undecided` where the interval says none of these (sanity_checks.md section 2).
    """
    e, rows = Evidence(params, table, pd.DataFrame()), []
    for name, density in e.places():
        for method in METHODS:
            for check in CHECKS:
                values = gap(e.at(name, density, method), e.at(name, density, method, check))["value"].dropna()
                if values.empty:
                    continue
                told, edge = estimate(values), margin(density)
                where = {"network": name, "density": density, "method": method, "check": check}
                what = {"effect": told.mean, "low": told.low, "high": told.high, "n": told.n, "margin": edge}
                rows.append({**where, **what, "word": word(told.low, told.high, edge), "values": tuple(values)})
    columns = ["network", "density", "method", "check", "effect", "low", "high", "n", "margin", "word", "values"]
    return pd.DataFrame(rows, columns=columns)


def word(low: float, high: float, edge: float) -> str:
    """passes, fails, better or undecided, from the interval of original minus check."""
    if low > edge:
        return "passes"
    if high < -edge:
        return "better"
    return "fails" if low >= -edge and high <= edge else "undecided"


def controls(found: pd.DataFrame) -> pd.DataFrame:
    """The rows of a `matrix` that must come out one way if the bench works, with what is expected and whether it holds.

    Magnitude pruning after training must pass when its mask is rearranged or its weights are drawn anew; uniformly
    random masks must not.
    """
    expected = {(AFTER, "rearranged"): "passes", (AFTER, "reinit"): "passes"}
    expected |= {("random", check): "fails" for check in ("rearranged", "reinit")}
    rows = []
    for row in found.to_dict("records"):
        want = expected.get((row["method"], row["check"]))
        if want:
            word = row["word"]
            holds = "open" if word == "undecided" else "yes" if word == want else "no"
            rows.append({**{key: row[key] for key in row if key != "values"}, "expected": want, "holds": holds})
    return pd.DataFrame(rows)


def emptiest(layers: pd.DataFrame) -> pd.DataFrame:
    """The layer of each run's mask that keeps the fewest weights: a row a run."""
    return layers.loc[layers.groupby("run", sort=False)["kept"].idxmin()]


def collapsed(layers: pd.DataFrame) -> pd.DataFrame:
    """Where a layer keeps nothing: network, method, check, density, layers, and how many of the seeds' runs."""
    keys = ["network", "method", "check", "density"]
    seeds = layers.groupby(keys)["run"].nunique()
    empty = layers[layers["kept"] == 0]
    rows = empty.groupby(keys).agg(
        layers=("layer", lambda names: ", ".join(dict.fromkeys(names))), runs=("run", "nunique")
    )
    return rows.assign(of=seeds.reindex(rows.index)).reset_index()
