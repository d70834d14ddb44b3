"""The five conditions of a winning ticket (Ma et al. 2021, arXiv 2107.00166), as one function of a table.

With s the sparsity, A_X(η) the accuracy of arm X at learning rate η, and M_X the best over η:
  ① s is non-trivial and the training long enough        s > s_min
  ② the ticket beats a small dense network               M_LT − M_SDT > τ_gap
  ③ the ticket beats its mask on fresh weights           M_LT − M_RR > τ_gap  (or both at one η)
  ④ the ticket matches dense at some η that both use     ∃η: A_dense(η) − A_LT(η) ≤ τ_sim
  ⑤ the ticket matches the well-trained dense network    M_dense − M_LT ≤ τ_sim
All five: a jackpot. ①–④ without ⑤: a secondary prize.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd

from ..errors import UserError, nearest
from .arms import Answer, Arm, Option, State, best_above, both, clearly_above, exists, opposite, similar
from .prize import prize
from .rules import TOLERANCE

ARMS = ("dense", "lt", "rr", "sdt")

# Published for CIFAR, Tiny-ImageNet and ImageNet; for digits, the MNIST kind and own data it is ltkit's convention.
TAU_SIM = {
    **{"digits": 0.5, "mnist": 0.5, "fashion_mnist": 0.5},
    **{"cifar10": 0.5, "cifar100": 1.0, "tiny_imagenet": 1.0, "imagenet": 1.5},
}
OWN = 0.5  # the strictest of them

GAPS = ("gap_2", "gap_3", "gap_4", "gap_5")
ENDS = {"": "mean", "_low": "low", "_high": "high"}
COLUMNS = (
    *("density", "c1", "c2", "c3", "c4", "c5", "prize"),
    *(gap + end for gap in GAPS for end in ENDS),
    *("lr_lt", "lr_rr", "lr_dense", "lr_sdt", "lr_4", "n", "reason"),
)


def tau_sim(data: str) -> float:
    """How many accuracy points below dense still count as similar, for a data set; npz:PATH is one of one's own."""
    if data.startswith("npz:"):
        return OWN
    if data not in TAU_SIM:
        raise UserError(f"no tau_sim is known for data '{data}'{nearest(data, TAU_SIM)}; known: {', '.join(TAU_SIM)}")
    return TAU_SIM[data]


def conditions(
    table: pd.DataFrame,
    *,
    sparsity_min: float = 0.60,
    enough_epochs: bool = True,
    tau_sim: float = 0.5,
    tau_gap: float = 0.5,
    condition_3: Literal["max", "same_lr"] = "max",
    link_3_4: bool = False,
    decide: Literal["interval", "mean"] = "interval",
    select: Literal["validation", "test"] = "validation",
) -> pd.DataFrame:
    """One row a density: is each condition true, false or undecided, and which prize follows.

    `table` has a row a run: `arm` (dense, lt, rr, sdt), `lr`, `density` (1 for dense; for sdt that of the ticket whose
    size it has), `seed`, `accuracy` in percent, and maybe `validation` in percent. The answer's columns: `density`,
    `c1`..`c5`, `prize`, the gaps of test accuracy `gap_2`..`gap_5` (oriented as in ②–⑤) each with `_low` and `_high`,
    the best η `lr_lt`, `lr_rr`, `lr_dense`, `lr_sdt`, the η of ④ `lr_4`, the seeds `n` and what is missing, `reason`.

    The options are readings that the paper leaves open. `condition_3`: ③ compares the bests, or the arms at the same η
    (then `lr_rr` is that η). `link_3_4`: ④ must hold at an η at which the ticket fulfils ③ too. `decide`: by the 95 %
    interval of the differences paired by seed, or by their mean. `select`: each η is chosen by mean validation accuracy
    where that column is filled, or by the test accuracy, and then ∃η is corrected by Holm. `enough_epochs` False makes
    ① false: a reduced training is the insufficient one that the paper warns of.

    A missing arm, or an η that only one of two arms has tried, leaves a condition undecided rather than true. An η at
    which every run diverged (NaN) is never chosen; one at which some did counts as not tried.
    """
    _known("condition_3", condition_3, ("max", "same_lr"))
    _known("decide", decide, ("interval", "mean"))
    _known("select", select, ("validation", "test"))
    rows = _checked(table)
    validated = select == "validation" and "validation" in rows.columns and bool(rows["validation"].notna().any())
    reading = _Reading(tau_sim, tau_gap, condition_3 == "same_lr", link_3_4, decide == "interval", validated)
    tickets, answers = rows[rows["arm"] != "dense"], []
    for density in sorted(tickets["density"].unique(), reverse=True):
        nontrivial = enough_epochs and 1 - density > sparsity_min + TOLERANCE
        found = rows[(rows["density"] == density) | (rows["arm"] == "dense")]
        answers.append({"density": float(density), **_row("true" if nontrivial else "false", found, reading)})
    return pd.DataFrame(answers, columns=list(COLUMNS))


@dataclass(frozen=True)
class _Reading:
    tau_sim: float
    tau_gap: float
    same_lr: bool
    link: bool
    interval: bool
    validated: bool


def _row(first: State, rows: pd.DataFrame, reading: _Reading) -> dict[str, Any]:
    arms = [Arm.of(rows, name, "validation" if reading.validated else "accuracy") for name in ARMS]
    dense, lt, rr, sdt = arms
    second = best_above(lt, sdt, reading.tau_gap, reading.interval)
    third = _third(lt, rr, reading)
    fourth = _fourth(lt, rr, dense, reading)
    fifth = best_above(dense, lt, reading.tau_sim, reading.interval)
    states = (first, second.state, third.state, fourth.state, opposite(fifth.state))
    gaps = [answer.gap for answer in (second, third, fourth, fifth)]
    seeds = min((gap.n for gap in gaps if gap.n), default=0)
    return {
        **{f"c{number}": state for number, state in enumerate(states, 1)},
        "prize": prize(states),
        **{name + end: getattr(gap, key) for name, gap in zip(GAPS, gaps, strict=True) for end, key in ENDS.items()},
        **{"lr_lt": lt.best, "lr_rr": third.lr if reading.same_lr else rr.best, "lr_dense": dense.best},
        **{"lr_sdt": sdt.best, "lr_4": fourth.lr, "n": seeds, "reason": _reason(arms, seeds, reading)},
    }


def _third(lt: Arm, rr: Arm, reading: _Reading) -> Answer:
    if not reading.same_lr:
        return best_above(lt, rr, reading.tau_gap, reading.interval)
    options = [option for lr in lt.accuracy if (option := _beats(lt, rr, lr, reading))]
    return exists(options, complete=lt.tried == rr.tried, interval=reading.interval, validated=reading.validated)


def _fourth(lt: Arm, rr: Arm, dense: Arm, reading: _Reading) -> Answer:
    shared = [lr for lr in lt.accuracy if lr in dense.accuracy]
    options = [similar(lt, dense, lr, reading.tau_sim, reading.interval) for lr in shared]
    complete = lt.tried == dense.tried
    if reading.link:
        thirds = [_beats(lt, rr, lr, reading) for lr in shared]
        options = [both(option, third) for option, third in zip(options, thirds, strict=True) if third]
        complete = complete and (lt.tried == rr.tried if reading.same_lr else lt.tried >= rr.tried)
    return exists(options, complete=complete, interval=reading.interval, validated=reading.validated)


def _beats(lt: Arm, rr: Arm, lr: float, reading: _Reading) -> Option | None:
    """③ at one η of the ticket; None where fresh weights have nothing to compare with."""
    other = lr if reading.same_lr else rr.best
    if other is None or other not in rr.accuracy:
        return None
    option = clearly_above(lt, rr, lr, other, reading.tau_gap, reading.interval)
    if option.state == "true" and not reading.same_lr and lt.tried - rr.tried:  # one of these might be rr's best
        return replace(option, state="undecided", p=1.0)
    return option


def _reason(arms: Iterable[Arm], seeds: int, reading: _Reading) -> str:
    """What keeps conditions undecided; empty where nothing is missing."""
    found = [trouble for arm in arms for trouble in arm.troubles]
    grid = frozenset[float]().union(*(arm.tried for arm in arms))
    for arm in arms:
        if arm.tried and (lacking := grid - arm.tried):
            found.append(f"{arm.name} lacks lr {', '.join(f'{lr:g}' for lr in sorted(lacking))}")
    if reading.interval and seeds == 1:
        found.append("an interval needs 2 seeds")
    return "; ".join(found)


def _known(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UserError(f"{name} is one of {', '.join(known)}, not '{value}'{nearest(value, known)}")


def _checked(table: pd.DataFrame) -> pd.DataFrame:
    """The table with densities rounded, so that floats of one density meet; ValueError for one that can't be read."""
    needed = ("arm", "lr", "density", "seed", "accuracy")
    if missing := [name for name in needed if name not in table.columns]:
        raise ValueError(f"conditions need the columns {missing}; the table has {list(table.columns)}")
    if unknown := sorted(set(table["arm"]) - set(ARMS)):
        raise ValueError(f"unknown arms {unknown}; known: {', '.join(ARMS)}")
    rows = table.assign(density=table["density"].astype(float).round(9), lr=table["lr"].astype(float))
    if not rows["density"].between(0, 1, inclusive="right").all():
        raise ValueError("a density is a fraction kept, above 0 and at most 1")
    if (rows.loc[rows["arm"] == "dense", "density"] != 1).any():
        raise ValueError("dense rows have density 1")
    keys = ["arm", "lr", "density", "seed"]
    if rows.duplicated(keys).any():
        raise ValueError(f"several rows for one run: {rows.loc[rows.duplicated(keys), keys].to_numpy().tolist()}")
    if 0 < rows["accuracy"].max() <= 1:
        raise ValueError("accuracy is in percent, and no value is above 1")
    return rows
