"""What the greedy-bounds study's tables say about claims F1 to F24.

Nothing here selects or trains. Margins, kinds and published values come with `ltkit.verdict.GREEDY_BOUNDS`; what each
value is stands in the claim's note. Claims about a network are judged on the architectures that they name
where there are such, else on all that were pruned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np

from ..verdict import GREEDY_BOUNDS, Claim, Verdict
from .answers import answered, judged
from .gradient_flow_measures import Rows
from .greedy_bounds_curves import SIZES
from .greedy_bounds_evidence import (
    ABUNDANT,
    CHOSEN,
    FLOOR,
    SCARCE,
    Evidence,
    Tables,
    log10,
    mean,
    means,
    minus,
    told,
)
from .greedy_bounds_layers import FRESH, METHODS, SYNTHETIC
from .greedy_bounds_params import ORIGINAL, Params
from .tables import pick

LIST = 10  # neurons of F18's shortlist
SAME = 1e-5  # F24's unit
LOW, HIGH = 5, 40  # dimensions of F10


def verdicts(params: Params, tables: Tables) -> list[Verdict]:
    """A verdict on every claim of the paper, in the sheet's order; what the grid can't test says why."""
    return answered(GREEDY_BOUNDS, TESTS, Evidence(params, tables), params.scale)


def _judge(e: Evidence, claim: Claim, cells: Iterable[Rows], *setting: str, needs: str = "") -> Verdict | str:
    return judged(claim, cells, e.params.scale, setting, needs)


def _layers(e: Evidence) -> str:
    return f"synthetic layers and {', '.join(e.params.every)} on {e.params.data}"


def _wide(e: Evidence) -> str:
    return f"two-layer networks, N = {e.params.neurons}"


# What is proved


def _bound(e: Evidence, claim: Claim, column: str, *setting: str, less: float = 0.0) -> Verdict | str:
    rows = e.tables.holds
    return _judge(e, claim, e.worst(rows, rows[column] - less), _layers(e), *setting, needs="no layer")


def _f1(e: Evidence, claim: Claim) -> Verdict | str:
    known = e.tables.holds["radius"].notna()
    return _bound(e, claim, "b1", f"r is known of {known.sum()} of {len(known)} layers")


def _f2(e: Evidence, claim: Claim) -> Verdict | str:
    return _bound(e, claim, "b2")


def _f3(e: Evidence, claim: Claim) -> Verdict | str:
    return _bound(e, claim, "b3")


def _f4(e: Evidence, claim: Claim) -> Verdict | str:
    return _bound(e, claim, "b4", less=1.0)


def _f5(e: Evidence, claim: Claim) -> Verdict | str:
    rows = e.tables.orthonormal
    cell = told(rows["width"], rows["worst"] / 1e-12 - 1).assign(cell=rows["selector"].to_numpy())
    return _judge(e, claim, [cell], "N = " + ", ".join(map(str, dict.fromkeys(rows["width"]))))


def _f6(e: Evidence, claim: Claim) -> Verdict | str:
    rows = e.tables.weights
    rows = rows[rows["relative"] > FLOOR]
    worst = e.worst(rows, rows["least_squares"] / rows["relative"] - 1)
    return _judge(e, claim, worst, _layers(e), f"{len(METHODS)} selectors, up to {max(SIZES)} neurons")


def _f7(e: Evidence, claim: Claim) -> Verdict | str:
    """Layers are independent draws: their standard errors add up as such, to one value a seed."""
    cells = []
    for source, own in e.tables.holds.groupby("source", sort=False):
        rows = means(own.assign(value=own["b7"]))
        layers = own.groupby("seed", sort=False).size().to_numpy()
        cells.append(rows.assign(value=rows["value"].to_numpy() * np.sqrt(layers), cell=source))
    return _judge(e, claim, cells, _layers(e), "1000 draws of up to ten neurons a layer and seed")


# How fast the error falls


def _gain(e: Evidence, rows: Rows, label: str) -> Rows:
    return minus(e.rate("line", "semilog_r2", rows), e.rate("line", "loglog_r2", rows), label)


def _f8(e: Evidence, claim: Claim) -> Verdict | str:
    dimensions = e.dimensions(least=ABUNDANT)
    cells = [_gain(e, e.synthetic(e.tables.rates, m), f"M = {m}") for m in dimensions]
    return _judge(e, claim, cells, _wide(e), needs=f"needs {ABUNDANT} neurons a dimension")


def _f9(e: Evidence, claim: Claim) -> Verdict | str:
    cells = [_gain(e, e.synthetic(e.tables.rates, m), f"M = {m}") for m in e.dimensions(most=SCARCE)]
    cells.append(_gain(e, e.many(e.tables.rates), f"N = {e.params.few_neurons}, M = {e.params.many_dimensions}"))
    cells = [cell.assign(value=-cell["value"]) for cell in cells]
    return _judge(e, claim, cells, _wide(e), needs=f"needs at most {SCARCE} neurons a dimension")


def _f10(e: Evidence, claim: Claim) -> Verdict | str:
    cells = []
    for m, slope in ((LOW, 2.0), (HIGH, 1.0)):
        rows = e.rate("one_over_k", "loglog", e.synthetic(e.tables.rates, m))
        cells.append(rows.assign(value=rows["value"] + slope, cell=f"M = {m}, slope + {slope:g}"))
    if any(cell.empty for cell in cells):
        return f"needs dimensions {LOW} and {HIGH}"
    return _judge(e, claim, cells, _wide(e))


def _f11(e: Evidence, claim: Claim) -> Verdict | str:
    cells = []
    for m in e.dimensions(least=ABUNDANT):
        rows = e.synthetic(e.tables.rates, m)
        without, repeats = (e.rate(method, "loglog", rows) for method in ("no_repeats", "one_over_k"))
        cells.append(minus(without, repeats, f"M = {m}"))
    for m in e.dimensions(most=SCARCE):
        rows = e.synthetic(e.tables.curves, m)
        ratio = minus(e.error(rows, "no_repeats"), e.error(rows, "one_over_k"), f"M = {m}, log10 of the errors' ratio")
        cells.append(ratio.assign(kind="equivalence", margin=math.log10(1.5)))
    return _judge(e, claim, cells, _wide(e))


def _f12(e: Evidence, claim: Claim) -> Verdict | str:
    cells = []
    for m in e.dimensions(least=ABUNDANT)[-1:]:
        cells += _ahead(e, e.synthetic(e.tables.weights, m), f"M = {m}")
    cells += _ahead(e, e.many(e.tables.weights), f"N = {e.params.few_neurons}, M = {e.params.many_dimensions}")
    return _judge(e, claim, cells, _wide(e), f"{CHOSEN} neurons")


def _ahead(e: Evidence, rows: Rows, label: str) -> list[Rows]:
    line = e.chosen(rows, "line")
    return [minus(e.chosen(rows, name), line, f"{label}, {name}") for name in ("random", "norm", "backward")]


def _f13(e: Evidence, claim: Claim) -> Verdict | str:
    def lead(rows: Rows, label: str = "") -> Rows:
        return minus(e.error(rows, "one_over_k"), e.error(rows, "line"), label)

    cells = [lead(e.synthetic(e.tables.curves, m), f"M = {m}") for m in e.dimensions(least=ABUNDANT)]
    many = f"{mean(lead(e.many(e.tables.curves)))} at N = {e.params.few_neurons}, M = {e.params.many_dimensions}"
    return _judge(e, claim, cells, _wide(e), many, needs=f"needs {ABUNDANT} neurons a dimension")


def _f14(e: Evidence, claim: Claim) -> Verdict | str:
    rows = e.tables.crossover()
    if rows.empty:
        return "no toy was trained"
    small, large = rows["size"].min(), rows["size"].max()

    def lead(size: int, picked: str) -> Rows:
        own = pick(rows, size=size)
        return told(own["seed"], np.log(own["trained_loss"]) - np.log(own[picked]))

    low, high = lead(small, "picked_loss"), lead(large, "picked_loss")
    cells = [high.assign(cell=f"n = {large}"), low.assign(value=-low["value"], cell=f"n = {small}, reversed")]
    step = [f"{mean(lead(size, 'picked_one_over_k_loss'))} at {size}" for size in (large, small)]
    return _judge(e, claim, cells, "two-layer toy, line search", f"picked with the step 1/k {', '.join(step)}")


# Whole networks


def _f15(e: Evidence, claim: Claim) -> Verdict | str:
    names, other = e.family("mobilenet")
    against = {"scratch": "as long as tuning", "scratch_full": "as long as dense and tuned"}
    cells = [
        minus(e.slim(name, rule, "tuned"), e.slim(name, rule, column), f"{name}, {rule}, scratch {words}")
        for name in names
        for rule in ("local", "label_loss")
        for column, words in against.items()
    ]
    return _judge(e, claim, cells, _place(e), other)


def _place(e: Evidence) -> str:
    return f"{e.params.data}, {e.params.budgets[0]:g} of the multiply-adds"


def _f16(e: Evidence, claim: Claim) -> Verdict | str:
    names, other = e.family("vgg")
    cells = [e.lead(name, "global", rule, "before") for name in names for rule in ("local", ORIGINAL)]
    passes = [e.slim(name, "global", "passes")["value"].mean() for name in names]
    counted = f"{np.mean(passes):,.0f} forward passes" if np.isfinite(passes).any() else ""
    return _judge(e, claim, cells, _place(e), _asked(e), other, counted, needs=UNEQUAL)


def _asked(e: Evidence) -> str:
    """How the rules that ask the network do it: not as the paper does, and claim F18 says how far from it."""
    return f"global by the {e.params.shortlist} lowest slopes of a layer"


UNEQUAL = "the rules didn't leave networks of the same cost"


def _f17(e: Evidence, claim: Claim) -> Verdict | str:
    names, other = e.family("resnet", "mobilenet")
    cells = [e.lead(name, "better", rule, "tuned") for name in names for rule in ("local", "global")]
    before = [e.lead(name, "better", rule, "before") for name in names for rule in ("local", "global")]
    said = f"{mean(before)} before tuning" if any(len(cell) for cell in before) else ""
    return _judge(e, claim, cells, _place(e), _asked(e), other, "fine-tuned", said, needs=UNEQUAL)


def _f18(e: Evidence, claim: Claim) -> Verdict | str:
    cells, widths = [], []
    for name, own in e.tables.shortlist.groupby("network", sort=False):
        hits = own.assign(value=(own["rank"] <= LIST).astype(float))
        cells.append(means(hits).assign(cell=name))
        widths += list(own.drop_duplicates("layer")["width"])
    if not cells:
        return "needs a layer of 40 neurons or more"
    rows = e.tables.shortlist
    late = (rows.loc[rows["step"] > 0.8 * rows["step"].max(), "rank"] <= LIST).mean()
    chance = f"by chance {np.mean([LIST / width for width in widths]):.2f}"
    where = f"the first {rows['step'].max()} picks, {late:.2f} in their last fifth"
    return _judge(e, claim, cells, e.params.data, where, chance)


def _f19(e: Evidence, claim: Claim) -> Verdict | str:
    rows = e.tables.weights
    rows = rows[rows["least_squares"] > FLOOR]  # as many neurons as dimensions leave nothing
    gains = rows.assign(value=log10(rows["relative"]) - log10(rows["least_squares"]))
    cells = [
        means(own).assign(cell=f"{source}, {method}")
        for (source, method), own in gains.groupby(["source", "method"], sort=False)
    ]
    slim = e.tables.slim
    after = (slim["reweighted"] - slim["before"]).dropna()
    accuracy = f"accuracy {after.mean():+.1f} points over {len(after)} networks" if len(after) else ""
    return _judge(e, claim, cells, _layers(e), f"up to {max(SIZES)} neurons", accuracy)


def _f20(e: Evidence, claim: Claim) -> Verdict | str:
    names, other = e.family("resnet", "mobilenet")
    cells = [e.lead(name, "better", "label_loss", "tuned") for name in names]
    before = [e.lead(name, "better", "label_loss", "before") for name in names]
    said = f"{mean(before)} before tuning" if any(len(cell) for cell in before) else ""
    both = f"F: better of local and global, {_asked(e)}, label loss alike"
    return _judge(e, claim, cells, _place(e), other, both, said, needs=UNEQUAL)


def _f21(e: Evidence, claim: Claim) -> Verdict | str:
    groups = [(SYNTHETIC, name, rows) for name, rows in _cells(e)]
    fresh = pick(e.tables.weights, source=FRESH)
    groups += [(FRESH, str(name), rows) for name, rows in fresh.groupby("network", sort=False)]
    cells = [
        minus(e.chosen(rows, "random"), e.chosen(rows, "line"), f"{source}, {name}") for source, name, rows in groups
    ]
    return _judge(e, claim, cells, f"{CHOSEN} neurons", "layers of 20 neurons or more")


def _cells(e: Evidence) -> list[tuple[str, Rows]]:
    found = [(f"N = {e.params.neurons}, M = {m}", e.synthetic(e.tables.weights, m)) for m in e.params.dimensions]
    return [*found, (f"N = {e.params.few_neurons}, M = {e.params.many_dimensions}", e.many(e.tables.weights))]


def _f22(e: Evidence, claim: Claim) -> Verdict | str:
    rows = e.tables.shuffled
    cells = []
    for rule in ("local", "global"):
        own = pick(rows, rule=rule)
        cells.append(told(own["seed"], own["differ"], own["run"]).assign(cell=rule))
    own = pick(rows, rule="label_loss")
    changed = f"by label loss {own['differ'].mean():.0f} picks change" if len(own) else ""
    return _judge(e, claim, cells, ", ".join(dict.fromkeys(rows["network"])), e.params.data, changed)


def _f23(e: Evidence, claim: Claim) -> Verdict | str:
    cells = []
    for column, least in (("seconds", 0.0), ("passes", 1 / e.params.picks)):
        rows = e.tables.costs
        rows = rows.assign(value=np.log10(rows[column].clip(lower=least)))
        whole, gram = (means(pick(rows, form=form)) for form in ("global", "gram"))
        cells.append(minus(whole, gram, column))
    widest = e.tables.costs.drop_duplicates(["network", "layer"])
    where = ", ".join(f"{row.network} {row.layer} ({row.width} neurons)" for row in widest.itertuples())
    return _judge(e, claim, cells, where, e.params.data)


def _f24(e: Evidence, claim: Claim) -> Verdict | str:
    """Relative to the largest logit where that is above 1, as `ltkit.prune.slim` has it: so precise is float32."""
    rows = e.tables.slim
    rows = rows.assign(value=rows["difference"] / rows["logit"].clip(lower=1) / SAME - 1)
    cells = [
        means(own.assign(value=own.groupby("seed")["value"].transform("max"))).assign(cell=name)
        for name, own in rows.groupby("network", sort=False)
    ]
    worst = rows.loc[rows["difference"].idxmax()] if rows["difference"].notna().any() else None
    said = f"at most {worst['difference']:.1e} of logits up to {worst['logit']:.3g}" if worst is not None else ""
    return _judge(e, claim, cells, e.params.data, "every rule and budget", said)


TESTS: dict[str, Callable[[Evidence, Claim], Verdict | str]] = {
    f"F{number}": test
    for number, test in enumerate(
        (
            *(_f1, _f2, _f3, _f4, _f5, _f6, _f7, _f8, _f9, _f10, _f11, _f12),
            *(_f13, _f14, _f15, _f16, _f17, _f18, _f19, _f20, _f21, _f22, _f23, _f24),
        ),
        start=1,
    )
}
