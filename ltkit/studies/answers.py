"""From a paper's claims to verdicts, the same way in every study."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import pandas as pd

from ..verdict import Claim, Verdict, judge, untested

Evidence = TypeVar("Evidence")


def answered(
    claims: Sequence[Claim],
    tests: Mapping[str, Callable[[Evidence, Claim], Verdict | str]],
    evidence: Evidence,
    scale: str,
) -> list[Verdict]:
    """A verdict on every claim, in their order; a test that answers in words says why its claim is untested."""
    found = [(claim, tests[claim.id](evidence, claim)) for claim in claims]
    return [answer if isinstance(answer, Verdict) else untested(claim, scale, answer) for claim, answer in found]


def judged(
    claim: Claim, cells: Iterable[pd.DataFrame], scale: str, setting: Iterable[str], needs: str = "", **how: Any
) -> Verdict | str:
    """The verdict over all cells that have rows, `needs` where none has; empty parts of the setting are left out."""
    rows = [cell for cell in cells if not cell.empty]
    if not rows:
        return needs or "no run of this scale tests it"
    where = ", ".join(part for part in setting if part)
    return judge(claim, pd.concat(rows, ignore_index=True), scale=scale, setting=where, **how)
