"""Around the board: how many verdicts of each word, which reports it was read from, and menus to look through it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pandas as pd

from .board import ABOUT, EVERY, counts, scales, show_board, word
from .board_places import NOT_RUN, Place, states
from .explore import control, headless
from .pages import duration, inline
from .verdicts import BOX, SOFT

if TYPE_CHECKING:
    from IPython.display import HTML
    from ipywidgets import Widget


def show_counts(frame: pd.DataFrame) -> HTML:
    """How many claims of each word, a row a paper and a column a scale."""
    table = counts(frame)
    rows = []
    for paper, row in table.iterrows():
        cells = [
            " ".join(
                f'<span style="white-space: nowrap">{row[scale, one]} {word(one)}</span>'
                for one in EVERY
                if row[scale, one]
            )
            for scale in scales(frame)
        ]
        rows.append([f"{inline(str(paper))} ({int(row[scales(frame)[0]].sum()) if scales(frame) else 0})", *cells])
    return _table(["Paper (claims)", *map(inline, scales(frame))], rows)


def show_states(places: Iterable[Place]) -> HTML:
    """Which reports the board is made of: how each study ended at each scale, where, when and from which commit."""
    rows = []
    for told in states(places).to_dict("records"):
        rows.append([inline(told["scale"]), inline(told["study"]), _ending(told), _origin(told)])
    return _table(["Scale", "Study", "Ended", "Read from"], rows)


def _ending(told: dict[str, Any]) -> str:
    if told["status"] == "done":
        return "done" + (f" in {duration(told['seconds'])}" if told["seconds"] is not None else "")
    if told["status"] == NOT_RUN:
        return word(NOT_RUN)
    return f'<b>failed</b><div class="note" style="{SOFT}">{inline(told["error"] or "")}</div>'


def _origin(told: dict[str, Any]) -> str:
    facts = [told["source"], told["date"], f"commit {told['commit']}" if told["commit"] else ""]
    return inline(", ".join(fact for fact in facts if fact))


def _table(heads: list[str], rows: list[list[str]]) -> HTML:
    from IPython.display import HTML

    top = "".join(f'<th style="{BOX}">{head}</th>' for head in heads)
    body = "".join(
        f'<tr><th scope="row" style="{BOX}">{first}</th>'
        + "".join(
            f'<td style="{BOX}" data-label="{head}">{cell}</td>' for head, cell in zip(heads[1:], rest, strict=True)
        )
        + "</tr>"
        for first, *rest in rows
    )
    style = "border-collapse: collapse; table-layout: auto"
    return HTML(f'<table class="claims" style="{style}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>')


def explore_board(frame: pd.DataFrame) -> Widget | None:
    """Menus for paper, verdict and scale above `show_board`; None when headless."""
    if headless():
        return None
    import ipywidgets
    from IPython.display import display

    names: dict[str, list[str]] = {
        "paper": [*dict.fromkeys(frame[ABOUT, "paper"])],
        "verdict": [*EVERY],
        "scale": scales(frame),
    }
    menus = {kind: control(kind, {f"every {kind}": "", **dict(zip(of, of, strict=True))}) for kind, of in names.items()}

    def draw(paper: str, verdict: str, scale: str) -> None:
        display(show_board(frame, paper or None, verdict or None, scale or None))

    output = ipywidgets.interactive_output(draw, menus)
    row = ipywidgets.HBox(list(menus.values()), layout=ipywidgets.Layout(flex_flow="row wrap", grid_gap="4px 20px"))
    return ipywidgets.VBox([row, output])
