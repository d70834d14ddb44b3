"""The page that lists a scale's reports and claims, and the same list for programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..verdict import claims
from . import result
from .board_places import NOT_RUN, PAPERS
from .pages import counts, page
from .result import BOARD


def write_index(folder: Path, scale: str, records: list[dict[str, Any]]) -> Path:
    """Writes `index.html` and `verdicts.json` from the records of a scale's studies; returns the page's path.

    A record of the board is no study: the page links it first. The page also lists the papers without a record, and
    the claims without a verdict of the papers that have a study here; verdicts.json holds verdicts only.
    """
    boards = [record for record in records if record["study"] == BOARD]
    studies = [record for record in records if record["study"] != BOARD]
    verdicts = [verdict for record in studies for verdict in record["verdicts"]]
    result.write(folder / "verdicts.json", verdicts)
    listed = [{**record, "counts": counts(record["verdicts"])} for record in studies]
    known = {record["study"] for record in studies}
    rows = [*map(worded, verdicts), *(row for record in studies for row in _without(record))] if verdicts else []
    path = folder / "index.html"
    text = page(
        "index.html.j2",
        scale=scale,
        records=listed,
        board=boards[0] if boards else None,
        missing=[{"paper": paper, "claims": len(of)} for paper, of in PAPERS.items() if paper not in known],
        claims=rows,
        counts=counts(verdicts),
        filters=_filters(rows),
    )
    path.write_text(text, encoding="utf-8")
    return path


def worded(verdict: dict[str, Any]) -> dict[str, Any]:
    """A verdict with the sentence of its claim, and where the published value comes from."""
    known = getattr(claims, str(verdict.get("paper")).upper(), ())
    texts = {claim.id: {"sentence": claim.sentence, "mark": claim.published_mark} for claim in known}
    return {**texts.get(verdict["claim"], {}), **verdict}


def _without(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows for the claims of a study's paper that it handed in no verdict on."""
    found = {verdict["claim"] for verdict in record["verdicts"]}
    why = {"failed": "the notebook failed", NOT_RUN: "the notebook has not been run yet"}.get(record["status"], "")
    ids = [claim.id for claim in PAPERS.get(record["study"], ()) if claim.id not in found]
    return [worded({"claim": id, "paper": record["study"], "verdict": NOT_RUN, "reason": why}) for id in ids]


def _filters(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the claims can be filtered by: papers, words, and the pairs of them that no claim has."""
    found = list(dict.fromkeys(str(row.get("paper") or "") for row in rows))
    papers = [*(paper for paper in PAPERS if paper in found), *(paper for paper in found if paper not in PAPERS)]
    words = [word for word in (*result.WORDS, NOT_RUN) if any(row["verdict"] == word for row in rows)]
    pairs = {(str(row.get("paper") or ""), row["verdict"]) for row in rows}
    return {
        "papers": papers,
        "words": words,
        "empty": [
            (place, words.index(word)) for place, of in enumerate(papers) for word in words if (of, word) not in pairs
        ],
    }
