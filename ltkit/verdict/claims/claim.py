"""A claim as data: what a paper says, what would show it, and by which margin, fixed before looking."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ...errors import UserError, nearest

KINDS = ("difference", "equivalence", "ordering", "trend", "existence", "bound")
NEED_MARGIN = ("difference", "equivalence")

# paper: its text or tables; paper-early: an earlier arXiv version only; code: what the authors' code does;
# derived: arithmetic on published numbers; replication: a third party; reading: an interpretation; kit: ltkit's own.
MARKS = ("paper", "paper-early", "code", "derived", "replication", "reading", "kit")


@dataclass(frozen=True)
class Claim:
    """One claim of one paper.

    `kind` says what the judged value must do: a difference lies above `margin` (a negative one: non-inferiority), an
    equivalence within ±`margin`, an ordering, a trend (its slope) and an existence above 0 or their margin, a bound's
    excess never above 0. `published` is the effect in `unit`, oriented like the judged value, or words where there is
    no single number; `published_mark` names its sources, of MARKS, with ", " between them.
    """

    id: str
    paper: str
    sentence: str
    kind: str
    margin: float | None = None
    unit: str = "accuracy points"
    published: float | str | None = None
    published_mark: str | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"claim {self.id}: unknown kind '{self.kind}'{nearest(self.kind, KINDS)}")
        if self.kind in NEED_MARGIN and self.margin is None:
            raise ValueError(f"claim {self.id}: {self.kind} needs a margin")
        if self.kind in ("ordering", "bound") and self.margin:
            raise ValueError(f"claim {self.id}: {self.kind} is judged against 0 and takes no margin")
        if not math.isfinite(self.threshold) or (self.kind == "equivalence" and self.threshold < 0):
            raise ValueError(f"claim {self.id}: {self.margin} is no margin for a {self.kind}")
        if unknown := set((self.published_mark or "paper").split(", ")) - set(MARKS):
            raise ValueError(f"claim {self.id}: unknown marks {sorted(unknown)}; known: {', '.join(MARKS)}")

    @property
    def threshold(self) -> float:
        """The margin as a number: 0 where there is none."""
        return self.margin or 0.0


def find(claims: Iterable[Claim], id: str) -> Claim:
    """The claim with this id; a UserError names the nearest one."""
    known = {claim.id: claim for claim in claims}
    if id not in known:
        raise UserError(f"no claim '{id}'{nearest(id, known)}; there are {', '.join(known)}")
    return known[id]
