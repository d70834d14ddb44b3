"""Verdicts as a table: a DataFrame of texts, and the same as HTML for a notebook and its report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..verdict import Claim, Verdict
from .pages import inline, number, signed
from .result import plain
from .style import VERDICTS, named

if TYPE_CHECKING:
    from IPython.display import HTML

COLUMNS = (
    *("claim", "sentence", "verdict", "effect", "interval", "unit", "margin", "n", "published", "setting", "reason"),
)
# The report's page has these colours, also for dark rooms; JupyterLab takes what stands behind the comma.
SOFT = "color: var(--soft, inherit); font-size: .9em"
BOX = "text-align: left; vertical-align: top"


def verdict_frame(verdicts: Iterable[Verdict | Mapping[str, Any]], claims: Iterable[Claim]) -> pd.DataFrame:
    """A row a verdict (as computed, or an object of verdicts.json), as texts; `claims` give sentence and source."""
    known = {claim.id: claim for claim in claims}
    rows = []
    for verdict in verdicts:
        told = plain(verdict)
        claim = known.get(told["claim"])
        mark = claim.published_mark if claim else None
        low, high = told.get("low"), told.get("high")
        source = f" ({mark})" if mark and mark != "paper" and told.get("published") is not None else ""
        rows.append(
            {
                "claim": told["claim"],
                "sentence": claim.sentence if claim else "",
                "verdict": told["verdict"],
                "effect": signed(told.get("effect")),
                "interval": "" if low is None or high is None else f"{signed(low)} to {signed(high)}",
                "unit": told.get("unit") or "",
                "margin": number(told.get("margin"), 3),
                "n": str(told.get("n") or ""),
                "published": number(told.get("published")) + source,
                "setting": named(told.get("setting") or ""),
                "reason": told.get("reason") or "",
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def show_verdicts(frame: pd.DataFrame) -> HTML:
    """The frame as a table whose verdicts have a colour, a sign and a word. Everything in it is escaped."""
    from IPython.display import HTML

    heads = ("Claim", "What the paper says", "Verdict", "Effect and its interval", "Margin", "n", "Published")
    top = "".join(f'<th style="{BOX}">{head}</th>' for head in heads)
    body = "".join(_row(row) for row in frame.to_dict("records"))
    style = "border-collapse: collapse; table-layout: auto"
    return HTML(f'<table class="claims" style="{style}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>')


def _row(row: Mapping[str, str]) -> str:
    told = [inline(row[key]) for key in ("setting", "reason") if row[key]]
    notes = "".join(f'<div class="note" style="{SOFT}">{text}</div>' for text in told)
    interval = f' <span style="white-space: nowrap">({inline(row["interval"])})</span>' if row["interval"] else ""
    effect = f"<b>{inline(row['effect'])}</b>{interval}" if row["effect"] else ""
    unit = f'<div class="note" style="{SOFT}">{inline(row["unit"])}</div>' if row["effect"] else ""
    return (
        f'<tr><th scope="row" style="{BOX}">{inline(row["claim"])}</th>'
        f'<td class="sentence" style="{BOX}">{inline(row["sentence"])}{notes}</td>'
        f'<td style="{BOX}">{badge(row["verdict"])}</td>'
        f'<td class="effect" style="{BOX}">{effect}{unit}</td>'
        f'<td class="number" style="{BOX}" data-label="margin">{inline(row["margin"])}</td>'
        f'<td class="number" style="{BOX}" data-label="n">{inline(row["n"])}</td>'
        f'<td style="{BOX}" data-label="published">{inline(row["published"])}</td></tr>'
    )


def badge(verdict: str) -> str:
    """A verdict's word with its sign, on its colour."""
    word = VERDICTS[verdict]
    colors = f"color: var(--{verdict}, {word.ink}); background: var(--{verdict}-tint, {word.tint})"
    style = f"{colors}; padding: .05em .6em; border-radius: 1em; font-weight: 600; white-space: nowrap"
    return f'<span class="badge {verdict}" style="{style}">{word.sign} {verdict}</span>'
