"""Writes README's board in miniature and its figure from the kept reference reports: `.venv/bin/python tools/board.py`.

A row a paper, a column a scale; the figure is the first one of the existence study's page. Run it after
tools/reference.py; a test fails while README says or shows something else.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pandas as pd

from ltkit.show.board import board, counts, scales
from ltkit.show.board_places import NOT_RUN, kept
from ltkit.show.result import WORDS

ROOT = Path(__file__).resolve().parents[1]
PAGE, FIGURE = ROOT / "reports/reference/quick/existence.html", ROOT / "reports/reference/existence.png"
BEGIN, END = "<!-- the board, made by tools/board.py -->", "<!-- end of the board -->"


def text(frame: pd.DataFrame) -> str:
    """The board as Markdown, its counts in the order of the words."""
    table = counts(frame)
    names = scales(frame)
    lines = [
        f"What came out so far, as {' / '.join(WORDS)}. A verdict holds for the setting that it names, not for the",
        "paper's; `notebooks/verdicts.ipynb` has all of them, and the papers' contradictions side by side.",
        "",
        "| paper | claims | " + " | ".join(f"[`{name}`](reports/reference/{name}/index.html)" for name in names) + " |",
        "|---|---|" + "---|" * len(names),
    ]
    for paper, row in table.iterrows():
        cells = [_cell(row[name]) for name in names]
        lines.append(
            f"| {str(paper).replace('_', ' ')} | {(frame['claim', 'paper'] == paper).sum()} | {' | '.join(cells)} |"
        )
    totals = [_cell(table[name].sum()) for name in names]
    lines.append(f"| all | {len(frame)} | {' | '.join(totals)} |")
    return "\n".join(lines) + "\n"


def _cell(row: pd.Series) -> str:
    counted = " / ".join(str(row[word]) for word in WORDS)
    if not row[list(WORDS)].sum():
        return NOT_RUN
    return f"{counted} ({row[NOT_RUN]} {NOT_RUN})" if row[NOT_RUN] else counted


def written(readme: str, board: str) -> str:
    """`readme` with what stands between the two marks replaced; ValueError where there aren't two."""
    if readme.count(BEGIN) != 1 or readme.count(END) != 1 or readme.index(END) < readme.index(BEGIN):
        raise ValueError(f"README.md needs '{BEGIN}' and, after it, '{END}', once each")
    before, after = readme.partition(BEGIN)[0], readme.partition(END)[2]
    return f"{before}{BEGIN}\n\n{board}\n{END}{after}"


def figure(page: str) -> bytes:
    """The first picture of a rendered page; ValueError where there is none."""
    found = re.search(r'src="data:image/png;base64,([^"]+)"', page)
    if not found:
        raise ValueError("no picture in this page")
    return base64.b64decode(found[1])


if __name__ == "__main__":
    FIGURE.write_bytes(figure(PAGE.read_text("utf-8")))
    file = ROOT / "README.md"
    file.write_text(written(file.read_text("utf-8"), text(board(kept()))), "utf-8")
