"""The page that lists a scale's reports and claims, and the same list for programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..verdict import claims
from . import result
from .pages import counts, page


def write_index(folder: Path, scale: str, records: list[dict[str, Any]]) -> Path:
    """Writes `index.html` and `verdicts.json` from the records of a scale's studies; returns the page's path."""
    verdicts = [verdict for record in records for verdict in record["verdicts"]]
    result.write(folder / "verdicts.json", verdicts)
    listed = [{**record, "counts": counts(record["verdicts"])} for record in records]
    path = folder / "index.html"
    text = page(
        "index.html.j2", scale=scale, records=listed, claims=list(map(worded, verdicts)), counts=counts(verdicts)
    )
    path.write_text(text, encoding="utf-8")
    return path


def worded(verdict: dict[str, Any]) -> dict[str, Any]:
    """A verdict with the sentence of its claim, and where the published value comes from."""
    known = getattr(claims, str(verdict.get("paper")).upper(), ())
    texts = {claim.id: {"sentence": claim.sentence, "mark": claim.published_mark} for claim in known}
    return {**texts.get(verdict["claim"], {}), **verdict}
