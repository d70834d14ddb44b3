"""The rules behind a verdict: one cell by its interval, a grid of cells by a quantifier.

"All cells" needs each cell supported, which is an intersection-union test and needs no correction, while "some cell
refutes it" is a choice among many and is corrected by Holm; for "any cell" it is the other way round.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .claims import KINDS
from .stats import LEVEL, Estimate, detectable, estimate, holm, p_above, p_below

ALPHA = (1 - LEVEL) / 2  # one-sided, so that with a single cell the p-values and the interval say the same
TOLERANCE = 1e-9  # 90.4 - 90.1 is 0.3 accuracy points, whatever floats make of it


def decide(low: float, high: float, margin: float | None, kind: str) -> str:
    """Supported, refuted or undecided, from an interval of the value; a NaN bound is undecided.

    Difference, ordering, trend, existence: the value lies above the margin (None is 0). Equivalence: within ±margin,
    bounds included. Bound: `high` is the largest value seen and must not be above 0.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind '{kind}'; known: {', '.join(KINDS)}")
    if math.isnan(low) or math.isnan(high):
        return "undecided"
    edge = margin or 0.0
    if kind == "bound":
        return "supported" if high <= TOLERANCE else "refuted"
    if kind == "equivalence":
        inside = low >= -edge - TOLERANCE and high <= edge + TOLERANCE
        outside = low > edge + TOLERANCE or high < -edge - TOLERANCE
    else:
        inside, outside = low > edge + TOLERANCE, high < edge - TOLERANCE
    return "supported" if inside else "refuted" if outside else "undecided"


@dataclass(frozen=True)
class Cell:
    """What the seeds of one cell say."""

    label: str
    estimate: Estimate
    margin: float
    word: str
    p_for: float
    p_against: float
    room: float  # from the interval to the edge of what the claim allows; negative beyond it, -inf without an interval
    excess: float  # from the edge to an interval that lies wholly beyond it
    why: str | None  # where it is undecided


def cell(label: str, values: np.ndarray, margin: float, kind: str, unit: str) -> Cell:
    """The cell of `values`, one a seed; none is NaN."""
    if kind == "bound":
        return _bound(label, values)
    finite = values[np.isfinite(values)]
    found = estimate(finite)
    if gone := len(values) - len(finite):
        said = f"{gone} of {len(values)} values are infinite"
        return Cell(label, found, margin, "undecided", 1.0, 1.0, -math.inf, -math.inf, said)
    word = decide(found.low, found.high, margin, kind)
    why = None
    if found.n < 2:
        why = f"{found.n} seed{'' if found.n == 1 else 's'}, an interval needs 2"
    elif word == "undecided":
        seen = detectable(float(np.std(values, ddof=1)), found.n)
        why = f"the interval doesn't clear the margin; {found.n} seeds of this spread can show {seen:.2g} {unit}"
    if kind == "equivalence":
        p_for = max(p_below(values, margin + TOLERANCE), p_above(values, -margin - TOLERANCE))
        p_against = min(p_above(values, margin + TOLERANCE), p_below(values, -margin - TOLERANCE))
        room, excess = margin - max(-found.low, found.high), max(found.low - margin, -margin - found.high)
    else:
        p_for, p_against = p_above(values, margin + TOLERANCE), p_below(values, margin - TOLERANCE)
        room, excess = found.low - margin, margin - found.high
    room, excess = (-math.inf if math.isnan(number) else number for number in (room, excess))
    return Cell(label, found, margin, word, p_for, p_against, room, excess, why)


def _bound(label: str, values: np.ndarray) -> Cell:
    # One violation is enough, with whatever n; that none was seen needs two seeds like everything else.
    if len(values) == 0:
        return Cell(label, estimate(values), 0.0, "undecided", 1.0, 1.0, -math.inf, -math.inf, "no value")
    low, high = float(values.min()), float(values.max())
    size = float(np.abs(values[np.isfinite(values)]).max(initial=1.0))
    excess = high / size  # relative to the values' size, where that is above 1
    word = decide(low, excess, 0.0, "bound")
    why = "1 seed, a bound that never fails needs 2" if word == "supported" and len(values) < 2 else None
    word = "undecided" if why else word
    p = 0.0 if word == "refuted" else 1.0
    return Cell(label, Estimate(high, low, high, len(values)), 0.0, word, 1.0, p, -high, high, why)


def in_all(cells: list[Cell]) -> tuple[str, Cell, list[str]]:
    """The quantifier "all": the word, the worst cell, and the reasons where it is undecided."""
    refuted = _surviving(cells, "refuted", lambda one: one.p_against)
    if refuted:
        return "refuted", max(refuted, key=lambda one: one.excess), []
    if all(one.word == "supported" for one in cells):
        return "supported", min(cells, key=lambda one: one.room), []
    rest = [one for one in cells if one.word != "supported"]
    worst = min(rest, key=lambda one: (math.isinf(one.room), one.room))
    return "undecided", worst, _reasons(cells, rest, worst, "refuted")


def in_any(cells: list[Cell]) -> tuple[str, Cell, list[str]]:
    """The quantifier "any": the word, the best cell, and the reasons where it is undecided."""
    supported = _surviving(cells, "supported", lambda one: one.p_for)
    if supported:
        return "supported", max(supported, key=lambda one: one.room), []
    if all(one.word == "refuted" for one in cells):
        return "refuted", min(cells, key=lambda one: one.excess), []
    rest = [one for one in cells if one.word != "refuted"]
    best = max(rest, key=lambda one: one.room)
    return "undecided", best, _reasons(cells, rest, best, "supported")


def _surviving(cells: list[Cell], word: str, p: Callable[[Cell], float]) -> list[Cell]:
    adjusted = holm([p(one) for one in cells])
    return [one for one, value in zip(cells, adjusted, strict=True) if one.word == word and value <= ALPHA]


def _reasons(cells: list[Cell], rest: list[Cell], shown: Cell, word: str) -> list[str]:
    found = [shown.why] if shown.why else []
    if len(cells) > 1:
        found.append(f"open cells: {len(rest)} of {len(cells)}")
    if alone := sum(one.word == word for one in cells):
        found.append(f"{alone} {word} alone, but not after Holm's correction")
    return found
