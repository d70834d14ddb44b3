"""Two lists of verdicts side by side: which changed, and what changed with them."""

from __future__ import annotations

import math
import shutil
import textwrap
from typing import Any

import pandas as pd

from ..errors import UserError
from ..verdict import Claim
from .board_places import PAPERS, Place, read_verdicts
from .pages import number, signed
from .style import named

COLUMNS = ("claim", "paper", "sentence", "change", "verdict_a", "verdict_b", "effect_a", "effect_b", "why")
NUMBERS = ("margin", "n", "effect", "low", "high")
CHANGES = ("changed", "moved", "same", "only A", "only B")


def compare(a: Place, b: Place) -> pd.DataFrame:
    """The verdicts of two report folders or verdicts.json files, matched by claim: a row a claim, columns `COLUMNS`.

    `change` is "changed" where the words differ, "moved" where only numbers, unit, setting or reason do, "same", or
    "only A" and "only B" where the other side lacks the claim. `why` names what differs, in the order margin, n,
    effect, interval, unit, setting, reason: a margin or n that differs explains a word before an effect does. Scales,
    runs and published values may differ unsaid. Raises `UserError` for a side that can't be read, or that has several
    scales.
    """
    sides = [_side(place) for place in (a, b)]
    claims = {claim.id: claim for of in PAPERS.values() for claim in of}
    ids = [id for id in claims if id in sides[0] or id in sides[1]]
    ids += [id for id in dict.fromkeys([*sides[0], *sides[1]]) if id not in claims]
    return pd.DataFrame([_row(id, claims.get(id), *sides) for id in ids], columns=list(COLUMNS))


def _side(place: Place) -> dict[str, dict[str, Any]]:
    listed = read_verdicts(place)
    scales = list(dict.fromkeys(one["scale"] for one in listed))
    if len(scales) > 1:
        raise UserError(f"{place}: verdicts of several scales ({', '.join(scales)}); compare takes one scale a side")
    return {one["claim"]: one for one in listed}


def _row(id: str, claim: Claim | None, a: dict[str, dict[str, Any]], b: dict[str, dict[str, Any]]) -> dict[str, Any]:
    first, second = a.get(id, {}), b.get(id, {})
    paper = claim.paper if claim else str(first.get("paper") or second.get("paper") or "")
    parts = differences(first, second) if first and second else []
    change = "only B" if not first else "only A" if not second else "moved" if parts else "same"
    if first and second and first["verdict"] != second["verdict"]:
        change = "changed"
    return {
        "claim": id,
        "paper": paper,
        "sentence": claim.sentence if claim else "",
        "change": change,
        "verdict_a": first.get("verdict", ""),
        "verdict_b": second.get("verdict", ""),
        "effect_a": _float(first.get("effect")),
        "effect_b": _float(second.get("effect")),
        "why": "; ".join(parts),
    }


def differences(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """What differs between two verdicts on one claim, each as a few words; floats count as equal to 9 digits.

    Where only one of them is untested that says all, with its reason.
    """
    alone = [name for name, side in (("A", a), ("B", b)) if side["verdict"] == "untested"]
    if len(alone) == 1:
        return [f"untested in {alone[0]}: {(a if alone == ['A'] else b).get('reason') or 'no reason given'}"]
    parts = []
    differing = {key for key in NUMBERS if not _equal(a.get(key), b.get(key))}
    for key in ("margin", "n"):
        if key in differing:
            parts.append(f"{key} {_or_none(number(a.get(key)))} → {_or_none(number(b.get(key)))}")
    if "effect" in differing:
        parts.append(f"effect {_or_none(signed(a.get('effect')))} → {_or_none(signed(b.get('effect')))}")
    if differing & {"low", "high"}:
        widths = [_width(side) for side in (a, b)]
        wider = f", {widths[1] / widths[0]:.2g} times as wide" if all(map(math.isfinite, widths)) and widths[0] else ""
        parts.append(f"interval {_interval(a)} → {_interval(b)}{wider}")
    for key in ("unit", "setting"):
        texts = [named(str(side.get(key) or "")) for side in (a, b)]
        if texts[0] != texts[1]:
            parts.append(f"{key} {_or_none(texts[0])} → {_or_none(texts[1])}")
    if a.get("reason") != b.get("reason"):
        parts += [f"reason in {name}: {side['reason']}" for name, side in (("A", a), ("B", b)) if side.get("reason")]
    return parts


def _equal(a: Any, b: Any) -> bool:
    numbers = [value for value in (a, b) if isinstance(value, (int, float))]
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12) if len(numbers) == 2 else a == b


def _float(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def _width(side: dict[str, Any]) -> float:
    return _float(side.get("high")) - _float(side.get("low"))


def _interval(side: dict[str, Any]) -> str:
    known = math.isfinite(_width(side))
    return f"({signed(side['low'])} to {signed(side['high'])})" if known else "none"


def _or_none(text: str) -> str:
    return text or "none"


def told(table: pd.DataFrame, everything: bool = False) -> list[str]:
    """The comparison as lines for a terminal: the changed verdicts with their reasons, and how many are equal.

    `everything`: also those whose numbers moved, those that are the same, and the claims of one side each on a line.
    """
    count = table["change"].value_counts().to_dict()
    changed = table[table["change"] == "changed"]
    lines = [f"{len(changed)} changed" + (":" if len(changed) else "")]
    lines += [_line(row) for row in changed.to_dict("records")]
    equal = count.get("moved", 0) + count.get("same", 0)
    lines.append(f"{equal} equal verdicts, {count.get('same', 0)} of them in all that they say")
    for change in ("moved", "same") if everything else ():
        lines += [_line(row) for row in table[table["change"] == change].to_dict("records")]
    for change in ("only A", "only B"):
        alone = table[table["change"] == change]
        if not everything:
            names = [f"{paper} {', '.join(part['claim'])}" for paper, part in alone.groupby("paper", sort=False)]
            lines.append(f"{len(alone)} {change.replace('only', 'only in')}" + "".join(f"\n  {name}" for name in names))
        else:
            lines.append(f"{len(alone)} {change.replace('only', 'only in')}" + (":" if len(alone) else ""))
            lines += [_line(row) for row in alone.to_dict("records")]
    return lines


def _line(row: dict[str, Any]) -> str:
    words = [row["verdict_a"], row["verdict_b"]]
    change = " → ".join(words) if row["change"] == "changed" else words[0] or words[1]
    first = f"  {row['claim']:<5} {row['paper']:<19} {change}"
    wide = max(60, shutil.get_terminal_size((120, 24)).columns)
    return "\n".join([first, *textwrap.wrap(row["why"], wide, initial_indent=" " * 8, subsequent_indent=" " * 8)])
