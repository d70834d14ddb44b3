"""Where the papers contradict one another: both sides of each question, and what the kit's own runs say to them.

After the notes on other papers in the fact sheets (shared/papers: existence 6, gradient_flow 7.12, mode_connectivity
7.10, weight_correlation 6, greedy_bounds 6). No outcome is written down here: each is computed from the board.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from .board import effect_text, scales, word
from .board_places import NOT_RUN
from .pages import inline
from .style import named
from .verdicts import BOX, SOFT

if TYPE_CHECKING:
    from IPython.display import HTML

COLUMNS = ("dispute", "question", "scale", "first", "first_claims", "second", "second_claims", "outcome")


@dataclass(frozen=True)
class Side:
    """Who says what. It held where all its `claims` are supported and all that it `denies` are refuted.

    Without either no claim of the kit tests it.
    """

    who: str
    says: str
    claims: tuple[str, ...] = ()
    denies: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dispute:
    """A question with two answers; `mind` says what the two sides don't have in common."""

    name: str
    question: str
    first: Side
    second: Side
    mind: str


DISPUTES = (
    Dispute(
        "imp_omp",
        "At a large learning rate, are iterative masks (IMP) better than one-shot masks (OMP)?",
        Side("existence", "no, level with them where the network has residual connections", ("A6b",)),
        Side("weight_correlation", "yes, and ADMM's masks are better still", ("E7",)),
        "existence cuts masks over all layers at once, weight correlation layer by layer; E7 asks for ADMM too.",
    ),
    Dispute(
        "basin",
        "Does a ticket train into the basin of the network that it was cut from?",
        Side("mode_connectivity", "not in the first rounds, and not when few weights are left", ("C16", "C17")),
        Side("gradient_flow", "yes, ticket and pruned solution are linearly connected", ("D15",)),
        "C16 and C17 go from round to round, each end under its own mask, in points of error; D15 goes from ticket to "
        "pruned solution under one mask, in nats.",
    ),
    Dispute(
        "learning_rate",
        "Do the best tickets need a small learning rate or a large one?",
        Side("existence", "a small one where there are residual connections, a large one without them", ("A8",)),
        Side("weight_correlation", "a large one, sparse networks end higher there too", ("E11",)),
        "A8 is at one high sparsity and asks networks with and without residual connections, E11 is over all "
        "sparsities: a crossover would make both right.",
    ),
    Dispute(
        "correlation",
        "Do tickets win because their initial and trained weights correlate?",
        Side("weight_correlation", "yes, more overlap makes more lead", ("E10",)),
        Side("a replication of it", "no, tickets win with an overlap at chance too"),
        "the paper only observes; E10 is judged by interventions, whose slopes its setting gives by learning rate. "
        "More overlap may help, and tickets win without it all the same: no claim here asks for the second.",
    ),
    Dispute(
        "fine_tuning",
        "Is going on from trained weights better than the ticket?",
        Side("weight_correlation", "yes, at a large learning rate and at every sparsity", ("E6a",)),
        Side("gradient_flow", "no, the ticket matches the pruned network", ("D20",)),
        "E6a's fine-tuned network has had the dense training too, D20's is cut while it trains. D20 says level with: a "
        "ticket that is ahead is against it as well, and so is one that isn't a point ahead of scratch training, which "
        "this question doesn't ask; the setting names the cell.",
    ),
    Dispute(
        "from_scratch",
        "Is fine-tuning what was kept better than training the small network from scratch?",
        Side("greedy_bounds", "yes, at least as good", ("F15",)),
        Side("Rethinking the Value of Network Pruning", "no", denies=("F15",)),
        "the second paper isn't among the six; equal budgets decide this one.",
    ),
)


def state(side: Side, verdicts: dict[str, str]) -> str:
    """held, failed, open or untested, from the words of claims at one scale; claims that nothing tests are left out.

    Held: every tested claim is supported (a denied one refuted). Failed: one of them is the opposite.
    """
    other = {"supported": "refuted", "refuted": "supported"}
    found = [verdicts.get(id, NOT_RUN) for id in side.claims]
    found += [other.get(verdicts.get(id, NOT_RUN), verdicts.get(id, NOT_RUN)) for id in side.denies]
    tested = [one for one in found if one not in ("untested", NOT_RUN)]
    if not tested:
        return "untested"
    return "failed" if "refuted" in tested else "held" if set(tested) == {"supported"} else "open"


def outcome(dispute: Dispute, verdicts: dict[str, str]) -> str:
    """What the verdicts of one scale say to a dispute, in words."""
    first, second = state(dispute.first, verdicts), state(dispute.second, verdicts)
    if "untested" in (first, second):
        return "not both tested" if first != second else "not tested"
    if "open" in (first, second):
        return "undecided"
    if first == second:
        return "both held" if first == "held" else "neither held"
    return f"only {(dispute.first if first == 'held' else dispute.second).who} held"


def shown(board: pd.DataFrame, disputes: Iterable[Dispute] = DISPUTES) -> pd.DataFrame:
    """What the kit's own runs say: a row a dispute and scale of the board, with columns `COLUMNS`.

    `first` and `second` are each side's state, `first_claims` and `second_claims` its claims with their verdicts.
    """
    rows = []
    for dispute in disputes:
        for scale in scales(board):
            verdicts: dict[str, str] = board[scale, "verdict"].to_dict()
            told = [
                ", ".join(f"{id} {verdicts.get(id, NOT_RUN)}" for id in (*side.claims, *side.denies))
                for side in (dispute.first, dispute.second)
            ]
            states = [state(side, verdicts) for side in (dispute.first, dispute.second)]
            values = (states[0], told[0], states[1], told[1], outcome(dispute, verdicts))
            rows.append(dict(zip(COLUMNS, (dispute.name, dispute.question, scale, *values), strict=True)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def show_disputes(board: pd.DataFrame, disputes: Iterable[Dispute] = DISPUTES) -> HTML:
    """The disputes one below the other: the question, both sides, and a row a scale with the numbers of each side."""
    from IPython.display import HTML

    return HTML("".join(_one(board, dispute) for dispute in disputes))


def _one(board: pd.DataFrame, dispute: Dispute) -> str:
    sides = (dispute.first, dispute.second)
    said = "".join(f"<li><b>{inline(side.who)}</b>{_claims(side)}: {inline(side.says)}</li>" for side in sides)
    heads = "".join(f'<th style="{BOX}">{inline(head)}</th>' for head in ("Scale", *(s.who for s in sides), "Outcome"))
    found = shown(board, [dispute])
    rows = "".join(
        f'<tr><th scope="row" style="{BOX}">{inline(scale)}</th>'
        + "".join(_cell(board, scale, side) for side in sides)
        + f'<td style="{BOX}"><b>{inline(said)}</b></td></tr>'
        for scale, said in zip(found["scale"], found["outcome"], strict=True)
    )
    table = f'<table class="claims board"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'
    mind = f'<p class="note" style="{SOFT}">Mind: {inline(dispute.mind)}</p>'
    return f"<h4>{inline(dispute.question)}</h4><ul>{said}</ul>{table}{mind}"


def _claims(side: Side) -> str:
    claims = [*side.claims, *(f"denies {id}" for id in side.denies)]
    return f" ({', '.join(claims)})" if claims else ""


def _cell(board: pd.DataFrame, scale: str, side: Side) -> str:
    parts = []
    for id in (*side.claims, *side.denies):
        told = f"{'against ' if id in side.denies else ''}{id} "
        if id in board.index:
            cell: Any = board.loc[id, scale]
            effect = effect_text(cell)
            notes = [named(text) for text in (cell["setting"], cell["reason"]) if text]
            small = "".join(f'<div class="note" style="{SOFT}">{inline(text)}</div>' for text in notes)
            told += (
                word(cell["verdict"]) + (f" {effect} {inline(cell['unit'])}, n {cell['n']}" if effect else "") + small
            )
        else:
            told += word(NOT_RUN)
        parts.append(f"<div>{told}</div>")
    told = "".join(parts) or "<div>no claim here tests it</div>"
    return f'<td class="effect" style="{BOX}" data-label="{inline(side.who)}">{told}</td>'
