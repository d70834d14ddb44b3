"""Prizes from the five conditions: of one density, of a network, and as a verdict on a claim of presence or absence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import pandas as pd

from .arms import State, all_of, opposite
from .claims import Claim
from .judge import Verdict, untested

Prize = Literal["jackpot", "secondary"]


def prize(states: Sequence[State]) -> str:
    """Jackpot, secondary, none or undecided, from the states of conditions ① to ⑤."""
    for name in ("jackpot", "secondary"):
        if has(states, name) == "true":
            return name
    return "none" if "false" in states[:4] else "undecided"


def has(states: Sequence[State], wanted: str) -> State:
    """Is it this prize? A jackpot is ①–⑤, a secondary prize ①–④ and not ⑤."""
    return all_of((*states[:4], states[4] if wanted == "jackpot" else opposite(states[4])))


def network_prize(table: pd.DataFrame) -> str:
    """The prize of a network, from the rows of `conditions`: one non-trivial sparsity that has it is enough.

    Jackpot before secondary before undecided before none; undecided too where no sparsity was non-trivial (①).
    """
    found = set(table["prize"])
    for name in ("jackpot", "secondary", "undecided"):
        if name in found:
            return name
    return "none" if (table["c1"] == "true").any() else "undecided"


def judge_prize(
    claim: Claim,
    table: pd.DataFrame,
    *,
    wanted: Prize,
    absent: bool = False,
    scale: str,
    setting: str,
    runs: Iterable[str] = (),
) -> Verdict:
    """The verdict on "some sparsity holds the `wanted` prize", or with `absent` on "none does", from `conditions`.

    Present: some row has all that the prize asks for. Absent: each row misses something for sure. Everything else is
    undecided, and so is an absence where a `cell` (optional column: a network and data set) has no non-trivial
    sparsity. The effect is the gap that decides: the prize's last condition where it is won, else the first one that
    fails or is open, at the sparsity that comes closest. The paper's rule is "any non-trivial sparsity", with no
    correction for how many were tried; asking four or five conditions of one sparsity leans the other way.
    """
    if wanted not in ("jackpot", "secondary"):
        raise ValueError(f"a prize is jackpot or secondary, not '{wanted}'")
    rows = table.reset_index(drop=True)
    tested = rows[rows["c1"] == "true"]
    if tested.empty:
        return untested(claim, scale, "no density is sparse enough, trained long enough, to count (condition 1)")
    states = {index: [row[f"c{number}"] for number in range(1, 6)] for index, row in tested.iterrows()}
    having = {index: has(found, wanted) for index, found in states.items()}
    complete = "cell" not in rows.columns or set(rows["cell"]) == set(tested["cell"])
    word: State = "undecided"
    if "true" in having.values():
        word = "true"
    elif complete and set(having.values()) == {"false"}:
        word = "false"
    nearest_to_it = {"true": 2, "undecided": 1, "false": 0}
    index = max(having, key=lambda key: (nearest_to_it[having[key]], -_asked(states[key], wanted).count("false")))
    asked = _asked(states[index], wanted)
    number = (5 if wanted == "jackpot" else 4) if having[index] == "true" else asked.index(having[index]) + 1
    row: Any = tested.loc[index]
    place = [setting, str(row["cell"]) if "cell" in rows.columns else "", f"density {row['density']:.3g}"]
    reason = None
    if word == "undecided":
        reason = f"condition {number} is {states[index][number - 1]}" + (f" ({row['reason']})" if row["reason"] else "")
        if not complete:
            reason += "; " + ", ".join(sorted(set(rows["cell"]) - set(tested["cell"]))) + " has no non-trivial sparsity"
    return Verdict(
        claim=claim.id,
        paper=claim.paper,
        scale=scale,
        verdict={"true": "supported", "false": "refuted", "undecided": "undecided"}[opposite(word) if absent else word],
        effect=float(row[f"gap_{number}"]) if number > 1 else math.nan,
        low=float(row[f"gap_{number}_low"]) if number > 1 else math.nan,
        high=float(row[f"gap_{number}_high"]) if number > 1 else math.nan,
        margin=claim.margin,
        n=int(row["n"]),
        unit=claim.unit,
        setting="; ".join(part for part in (*place, f"condition {number}") if part),
        published=claim.published,
        runs=list(runs),
        reason=reason,
    )


def _asked(states: Sequence[State], wanted: str) -> list[State]:
    return [*states[:4], states[4] if wanted == "jackpot" else opposite(states[4])]
