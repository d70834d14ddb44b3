"""Arms of a lottery-ticket comparison over learning rates: their bests, and paired gaps as true, false or undecided."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import pandas as pd

from .rules import ALPHA, TOLERANCE
from .stats import Estimate, difference, estimate, holm, p_above, p_below

State = Literal["true", "false", "undecided"]


@dataclass(frozen=True)
class Arm:
    """The runs of one arm at one density. `tried` are the η about which all is known, whether or not they trained."""

    name: str
    accuracy: dict[float, pd.Series]  # η -> test accuracy by seed, where no run diverged
    score: dict[float, float]  # η -> mean of what η is chosen by
    tried: frozenset[float]
    troubles: tuple[str, ...]

    @classmethod
    def of(cls, rows: pd.DataFrame, name: str, score: str) -> Self:
        """The arm `name` of a table with columns arm, lr, seed, accuracy and `score`."""
        accuracy, scores, tried, troubles = {}, {}, set(), []
        mine = rows[rows["arm"] == name]
        if mine.empty:
            troubles.append(f"no {name} runs")
        lrs, seeds = mine["lr"].to_numpy(dtype=float), mine["seed"].to_numpy()
        reached, judged = (mine[column].to_numpy(dtype=float) for column in ("accuracy", score))
        for lr in np.unique(lrs):
            here = lrs == lr
            sound = np.isfinite(reached[here]) & np.isfinite(judged[here])
            if not sound.all():
                troubles.append(f"{(~sound).sum()} of {len(sound)} {name} runs diverged at lr {lr:g}")
            if sound.all() or not sound.any():
                tried.add(float(lr))
            if sound.all():
                accuracy[float(lr)] = pd.Series(reached[here], pd.Index(seeds[here], name="seed"), name="accuracy")
                scores[float(lr)] = float(judged[here].mean())
        return cls(name, accuracy, scores, frozenset(tried), tuple(troubles))

    @property
    def best(self) -> float | None:
        """The η with the highest mean score, the smaller one of equals; None without a sound run."""
        return max(self.score, key=lambda lr: self.score[lr], default=None)


@dataclass(frozen=True)
class Answer:
    """A condition's state, with the gap and the η that it was read from."""

    state: State
    gap: Estimate
    lr: float | None = None


UNKNOWN = Answer("undecided", Estimate(np.nan, np.nan, np.nan, 0))


@dataclass(frozen=True)
class Option:
    """One η at which something may hold: whether it does, how surely (`p`), and how amply by the score (`slack`)."""

    lr: float
    gap: Estimate
    state: State
    p: float
    slack: float


def minus(a: Arm, at_a: float, b: Arm, at_b: float) -> pd.Series:
    """Test accuracy of `a` minus that of `b`, by seed; ValueError where the seeds differ."""
    try:
        return difference(a.accuracy[at_a], b.accuracy[at_b])
    except ValueError as error:
        raise ValueError(f"{a.name} at lr {at_a:g} against {b.name} at lr {at_b:g}: {error}") from None


def above(gap: Estimate, tau: float, interval: bool) -> State:
    """Is the mean gap above `tau`? By its interval, or by the mean alone."""
    low, high = (gap.low, gap.high) if interval else (gap.mean, gap.mean)
    if low > tau + TOLERANCE:
        return "true"
    return "false" if high <= tau + TOLERANCE else "undecided"


def best_above(a: Arm, b: Arm, tau: float, interval: bool) -> Answer:
    """Is M_a - M_b above `tau`, each arm at its own best η?

    An η that only one arm has tried might have raised the other's best, so it can take a decision back.
    """
    if a.best is None or b.best is None:
        return UNKNOWN
    gap = estimate(minus(a, a.best, b, b.best))
    state = above(gap, tau, interval)
    if (state == "true" and a.tried - b.tried) or (state == "false" and b.tried - a.tried):
        state = "undecided"
    return Answer(state, gap)


def clearly_above(a: Arm, b: Arm, at_a: float, at_b: float, tau: float, interval: bool) -> Option:
    """The option at η = `at_a` that a - b is above `tau`."""
    values = minus(a, at_a, b, at_b)
    gap, slack = estimate(values), a.score[at_a] - b.score[at_b] - tau
    return Option(at_a, gap, above(gap, tau, interval), p_above(values, tau + TOLERANCE), slack)


def similar(lt: Arm, dense: Arm, lr: float, tau: float, interval: bool) -> Option:
    """The option at η = `lr` that the ticket is no more than `tau` below dense."""
    values = minus(dense, lr, lt, lr)
    gap, slack = estimate(values), tau - (dense.score[lr] - lt.score[lr])
    return Option(lr, gap, opposite(above(gap, tau, interval)), p_below(values, tau + TOLERANCE), slack)


def both(first: Option, second: Option) -> Option:
    """The option that both hold at the η and with the gap of the first one."""
    state = all_of((first.state, second.state))
    return Option(first.lr, first.gap, state, max(first.p, second.p), min(first.slack, second.slack))


def exists(options: list[Option], *, complete: bool, interval: bool, validated: bool) -> Answer:
    """Does some η hold? `complete` says whether the options are all η of the grid.

    By the mean alone, the η of the most slack decides. By intervals, true needs the η that validation chose, or one
    that survives Holm where the test accuracy itself chooses, and false needs every η to be false.
    """
    if not options:
        return UNKNOWN
    chosen = max(options, key=lambda option: option.slack)
    state = chosen.state
    if interval and not validated:
        adjusted = holm([option.p for option in options])
        sure = [o for o, p in zip(options, adjusted, strict=True) if o.state == "true" and p <= ALPHA]
        chosen = max(sure, key=lambda option: option.slack, default=chosen)
        state = "true" if sure else "undecided"
    if interval and state != "true":
        state = "false" if all(option.state == "false" for option in options) else "undecided"
    if state == "false" and not complete:
        state = "undecided"
    return Answer(state, chosen.gap, chosen.lr)


def opposite(state: State) -> State:
    """Not, in three values."""
    return {"true": "false", "false": "true", "undecided": "undecided"}[state]  # type: ignore[return-value]


def all_of(states: Iterable[State]) -> State:
    """And, in three values: one false is enough for false."""
    found = set(states)
    if "false" in found:
        return "false"
    return "undecided" if "undecided" in found else "true"
