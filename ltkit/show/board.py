"""The board: every claim of the six papers, and what the runs of each scale say about it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..errors import UserError, nearest
from .board_places import NOT_RUN, PAPERS, Place, label, ordered, read_verdicts, states
from .pages import inline, number, signed
from .result import WORDS
from .style import VERDICTS, named
from .verdicts import BOX, SOFT, badge

if TYPE_CHECKING:
    from IPython.display import HTML

FIELDS = ("verdict", "effect", "low", "high", "unit", "margin", "n", "setting", "reason", "runs", "source")
ABOUT = "claim"  # the group of columns that holds for all scales: paper, sentence, published
EVERY = (*WORDS, NOT_RUN)


def board(places: Iterable[Place]) -> pd.DataFrame:
    """The board of one or more report folders (or verdicts.json files): a row a claim, a group of columns a scale.

    Columns are pairs: ("claim", "paper" | "sentence" | "published"), then (scale, field) for each of `FIELDS`, where
    `low` and `high` bound `effect` in `unit`, `runs` is the list of names behind it and `source` the place it is from.
    A claim without a record is "not run" there. Where two places have a claim at one scale, the first one counts.
    """
    read = list(places)
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for place in read:
        for one in read_verdicts(place):
            found.setdefault((one["scale"], one["claim"]), {**one, "source": label(place)})
    rows: dict[str, dict[tuple[str, str], Any]] = {}
    for claim in (claim for claims in PAPERS.values() for claim in claims):
        mark = claim.published_mark if claim.published is not None and claim.published_mark != "paper" else None
        published = number(claim.published) + (f" ({mark})" if mark else "")
        rows[claim.id] = _about(claim.paper, claim.sentence, published)
    for (_, id), one in found.items():  # a claim that the kit no longer has, or a study of one's own
        rows.setdefault(id, _about(str(one.get("paper") or ""), "", number(one.get("published"))))
    for scale in ordered([*states(read)["scale"], *(scale for scale, _ in found)]):  # also one where all has failed
        for id, row in rows.items():
            row |= {(scale, field): value for field, value in _cell(found.get((scale, id))).items()}
    columns = pd.MultiIndex.from_tuples(next(iter(rows.values())), names=["scale", "what"])
    frame = pd.DataFrame(list(rows.values()), index=pd.Index(rows, name="claim"), columns=columns)
    numbers = [column for column in frame.columns if column[1] in ("effect", "low", "high", "margin")]
    return frame.astype(dict.fromkeys(numbers, float))


def _about(paper: str, sentence: str, published: str) -> dict[tuple[str, str], Any]:
    return {(ABOUT, "paper"): paper, (ABOUT, "sentence"): sentence, (ABOUT, "published"): published}


def _cell(one: Mapping[str, Any] | None) -> dict[str, Any]:
    told = one or {"verdict": NOT_RUN}
    words = {field: told.get(field) or "" for field in ("unit", "setting", "reason", "source")}
    return (
        {field: told.get(field) for field in FIELDS} | words | {"n": told.get("n") or 0, "runs": told.get("runs") or []}
    )


def scales(frame: pd.DataFrame) -> list[str]:
    """The scales of a board, from small to large."""
    return [name for name in dict.fromkeys(frame.columns.get_level_values(0)) if name != ABOUT]


def counts(frame: pd.DataFrame) -> pd.DataFrame:
    """How many claims of each word: a row a paper, columns (scale, word), "not run" included."""
    papers = list(dict.fromkeys(frame[ABOUT, "paper"]))
    table = {
        (scale, word): [int((part[scale, "verdict"] == word).sum()) for _, part in _parts(frame, papers)]
        for scale in scales(frame)
        for word in EVERY
    }
    columns = pd.MultiIndex.from_product([scales(frame), EVERY], names=["scale", "verdict"])
    return pd.DataFrame(table, index=pd.Index(papers, name="paper"), columns=columns)


def _parts(frame: pd.DataFrame, papers: Iterable[str]) -> list[tuple[str, pd.DataFrame]]:
    return [(paper, frame[frame[ABOUT, "paper"] == paper]) for paper in papers]


def nowhere(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows whose claims no scale has tested: untested or not run in every one."""
    tested = [frame[scale, "verdict"].isin(("supported", "refuted", "undecided")) for scale in scales(frame)]
    return frame[~pd.concat(tested, axis=1).any(axis=1)] if tested else frame


def chosen(
    frame: pd.DataFrame, paper: str | None = None, verdict: str | None = None, scale: str | None = None
) -> pd.DataFrame:
    """The part of a board: of one paper, at one scale, with one verdict (at this scale, or at any).

    Raises `UserError` for a name that the board doesn't have.
    """
    known = {"paper": [*dict.fromkeys(frame[ABOUT, "paper"])], "verdict": [*EVERY], "scale": scales(frame)}
    for kind, name in (("paper", paper), ("verdict", verdict), ("scale", scale)):
        if name is not None and name not in known[kind]:
            raise UserError(f"no {kind} '{name}'{nearest(name, known[kind])}; there are {', '.join(known[kind])}")
    part = frame[frame[ABOUT, "paper"] == paper] if paper is not None else frame
    if scale is not None:
        part = part.loc[:, part.columns.get_level_values(0).isin((ABOUT, scale))]
    if verdict is not None and scales(part):
        part = part[pd.concat([part[name, "verdict"] == verdict for name in scales(part)], axis=1).any(axis=1)]
    return part


def show_board(
    frame: pd.DataFrame, paper: str | None = None, verdict: str | None = None, scale: str | None = None
) -> HTML:
    """The board, or the part of it that `chosen` picks, as a table; a claim becomes a block on a phone."""
    from IPython.display import HTML

    part = chosen(frame, paper, verdict, scale)
    if part.empty:
        return HTML("<p>No claim is like that.</p>")
    heads = ["Claim", "What the paper says", *(_head(part, name) for name in scales(part))]
    top = "".join(f'<th style="{BOX}">{head}</th>' for head in heads)
    mixed = {name: len(_sources(part, name)) > 1 for name in scales(part)}
    body = "".join(_row(str(id), row, mixed) for id, row in part.iterrows())
    style = "border-collapse: collapse; table-layout: auto"
    table = f'<table class="claims board" style="{style}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>'
    return HTML(table)


def _head(part: pd.DataFrame, scale: str) -> str:
    sources = "<br>".join(map(inline, _sources(part, scale)))
    return f'{inline(scale)}<div class="note" style="{SOFT}; font-weight: normal">{sources}</div>'


def _sources(part: pd.DataFrame, scale: str) -> list[str]:
    return [name for name in part[scale, "source"].unique() if name]


def _row(id: str, row: pd.Series, mixed: Mapping[str, bool]) -> str:
    published = _note(f"published: {row[ABOUT, 'published']}") if row[ABOUT, "published"] else ""
    cells = "".join(
        f'<td class="effect" style="{BOX}" data-label="{inline(name)}">{_told(row[name], several)}</td>'
        for name, several in mixed.items()
    )
    return (
        f'<tr><th scope="row" style="{BOX}">{inline(id)}</th>'
        f'<td class="sentence" style="{BOX}">{inline(row[ABOUT, "sentence"])}{published}</td>{cells}</tr>'
    )


def _told(cell: Any, several: bool) -> str:
    """One claim at one scale: the word, the effect, and small print down to the runs; its source among `several`."""
    if cell["verdict"] == NOT_RUN:
        return word(NOT_RUN)
    notes = [named(cell["setting"]), named(cell["reason"]), f"from {cell['source']}" if several else ""]
    effect = ""
    if math.isfinite(cell["effect"]):
        effect = f" {effect_text(cell)}"
        margin = f"margin {number(cell['margin'], 3)}, " if math.isfinite(cell["margin"]) else ""
        notes.insert(0, f"{cell['unit']}; {margin}n {cell['n']}")
    return word(cell["verdict"]) + effect + "".join(_note(text) for text in notes if text) + _runs(cell["runs"])


def effect_text(cell: Any) -> str:
    """A cell's effect with its interval, as HTML; empty where there is none."""
    if not math.isfinite(cell["effect"]):
        return ""
    both = math.isfinite(cell["low"]) and math.isfinite(cell["high"])
    interval = f"({signed(cell['low'])} to {signed(cell['high'])})" if both else ""
    return f'<b>{signed(cell["effect"])}</b> <span style="white-space: nowrap">{interval}</span>'


def word(verdict: str) -> str:
    """A verdict's badge; "not run" has one too."""
    if verdict != NOT_RUN:
        return badge(verdict)
    grey = VERDICTS["untested"]
    colors = f"color: var(--untested, {grey.ink}); background: var(--untested-tint, {grey.tint})"
    return f'<span class="badge notrun" style="{colors}; padding: .05em .6em; border-radius: 1em">{NOT_RUN}</span>'


def _note(text: str) -> str:
    return f'<div class="note" style="{SOFT}">{inline(text)}</div>'


def _runs(names: list[str]) -> str:
    if not names:
        return ""
    count = f"{len(names)} run{'s' if len(names) > 1 else ''}"
    return f"<details><summary>{count}</summary>{_note(', '.join(names))}</details>"
