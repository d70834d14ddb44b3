"""An executed notebook as one HTML page that opens anywhere: nothing to load, code folded, every figure described."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .pages import TEMPLATES, counts, page

HIDDEN_CELLS = {"injected-parameters", "papermill-error-cell-tag", "remove-cell"}
HIDDEN_CODE = {"hide-input", "remove-input"}
SHORT = 24  # characters of a table's cell that are better not broken into two lines
IMAGES = ("image/png", "image/jpeg", "image/svg+xml")


def render(executed: Path, target: Path, record: dict[str, Any]) -> None:
    """Writes the page of a study: a header from its record, then the notebook's cells."""
    import nbformat
    from markupsafe import Markup

    notebook = nbformat.read(executed, as_version=4)
    describe(notebook)
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            # The code holds the defaults; the reader wants what this run had.
            cell.update(cell_type="markdown", source='<div id="parameters-of-this-run"></div>')
    body, sections = _body(notebook, page("parameters.html.j2", record=record))
    text = page(
        "report.html.j2", record=record, counts=counts(record["verdicts"]), cells=Markup(body), sections=sections
    )
    target.write_text(text, encoding="utf-8")


def describe(notebook: Any) -> None:
    """Gives each figure that has none an alternative text: the first sentence under it, or the heading above it."""
    heading = "Figure"
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            titles = re.findall(r"^#+\s+(.+)$", cell.source, re.MULTILINE)
            heading = titles[-1] if titles else heading
            continue
        after = notebook.cells[place + 1] if place + 1 < len(notebook.cells) else None
        under = _sentence(after.source) if after is not None and after.cell_type == "markdown" else ""
        for output in cell.get("outputs", []):
            for kind in set(IMAGES) & set(output.get("data", {})):
                own = cell.metadata.get("alt") or output.metadata.get("alt") or output.metadata.get(kind, {}).get("alt")
                output.metadata.setdefault(kind, {})["alt"] = own or under or f"Figure: {heading}"


def _sentence(prose: str) -> str:
    text = " ".join(line for line in prose.splitlines() if not line.startswith("#"))
    text = re.sub(r"[*_`]|\[(?=[^\]]+\]\()|(?<=\])\([^)]*\)|\](?=\()", "", text).strip()
    return re.split(r"(?<=[.!?:])\s", text)[0]


def _body(notebook: Any, parameters: str) -> tuple[str, list[tuple[str, str]]]:
    """The cells as HTML, with the table of parameters in its place, and the sections as (anchor, title)."""
    from bs4 import BeautifulSoup
    from nbconvert import HTMLExporter
    from nbconvert.preprocessors import CoalesceStreamsPreprocessor

    cells = []
    for cell in notebook.cells:
        tags = set(cell.metadata.get("tags", []))
        if not tags & HIDDEN_CELLS:
            cell.metadata["transient"] = {"remove_source": cell.cell_type == "code" and bool(tags & HIDDEN_CODE)}
            cells.append(cell)
    notebook.cells = cells

    exporter = HTMLExporter(
        template_name="base",
        template_file=str(TEMPLATES / "cells.html.j2"),
        filters={"settled": settled},
        embed_images=True,
    )
    exporter.register_preprocessor(CoalesceStreamsPreprocessor, enabled=True)  # one log, not one a line of progress
    soup = BeautifulSoup(exporter.from_notebook_node(notebook)[0], "html.parser")
    for alien in soup.select("script, link, iframe, object, embed"):
        alien.decompose()
    for link in soup.select("section.prose a[href]"):
        if not re.match(r"[a-z]+:|#", str(link["href"])):
            link.unwrap()  # what lies beside the notebook doesn't lie beside the page
    for title in soup.select("h1")[:1]:
        title.decompose()  # the page's header has it
    for table in soup.select("table"):
        del table["border"], table["style"]
        for box in table.select("td"):
            if len(box.get_text()) <= SHORT:
                box["class"] = f"{' '.join(filter(None, box.get_attribute_list('class')))} short".strip()
        table.wrap(soup.new_tag("div", attrs={"class": "scroll", "tabindex": "0"}))
    for mark in soup.select("#parameters-of-this-run"):
        mark.replace_with(BeautifulSoup(parameters, "html.parser"))
    sections = [(str(h["id"]), h.get_text().rstrip("¶").strip()) for h in soup.select("h2[id]")]
    return str(soup), sections


def settled(text: str) -> str:
    """What a terminal would show in the end: of a line that was overwritten, only its last state."""
    return "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n"))
