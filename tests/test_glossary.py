"""The glossary has every term that a notebook links to; a report, with no glossary beside it, shows plain words."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import nbformat
import pytest

from ltkit import notebook
from ltkit.show.environment import environment
from ltkit.show.render import render

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = {path.stem: path for path in sorted(ROOT.glob("notebooks/*.ipynb"))}
LINK = re.compile(r"\[([^\]]+)\]\(glossary\.md(?:#([^)]*))?\)")
ENTRIES = dict(re.findall(r"^### (.+)\n((?:.+\n)+)", (ROOT / "notebooks/glossary.md").read_text(), re.MULTILINE))


def links(stem: str) -> list[str]:
    cells = json.loads(NOTEBOOKS[stem].read_text())["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return [anchor for _, anchor in LINK.findall(text) if anchor]


def anchor(term: str) -> str:
    return term.replace(" ", "-")  # as JupyterLab makes it of a heading


def test_entries_are_two_lines_and_name_their_source():
    assert len(ENTRIES) > 30
    for term, text in ENTRIES.items():
        assert len(text.splitlines()) <= 3, term
        assert re.search(r"\*[^*]+\.\*\n$", text), f"{term}: where does it come from?"
    assert len({anchor(term).lower() for term in ENTRIES}) == len(ENTRIES)


@pytest.mark.parametrize("stem", NOTEBOOKS)
def test_every_term_that_is_linked_exists_and_is_linked_once(stem: str):
    found = Counter(links(stem))
    assert set(found) <= {anchor(term) for term in ENTRIES}
    assert not [term for term, count in found.items() if count > 1], "at its first use"
    assert len(found) >= 3


@pytest.mark.parametrize(
    "term", ["ticket", "mask", "density", "IMP", "OMP", "rewinding", "barrier", "instability", "ERK"]
)
def test_what_a_beginner_stumbles_over_is_there(term: str):
    assert term in ENTRIES


def test_a_notebooks_question_is_told_without_links(tmp_path: Path):
    cells = [
        nbformat.v4.new_markdown_cell("# Title\n\n## Question\n\nDoes a [ticket](glossary.md#ticket) win?\n\nMore.")
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "one.ipynb")
    assert notebook.heading(tmp_path / "one.ipynb") == ("Title", "Does a ticket win?")


def test_a_report_has_no_link_to_what_does_not_lie_beside_it(tmp_path: Path):
    text = "## Question\n\nA [ticket](glossary.md#ticket), [next](other.ipynb), [above](#Question), [paper](https://arxiv.org)."
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)]), tmp_path / "one.ipynb")
    told = {"study": "one", "title": "One", "scale": "smoke", "status": "done", "seconds": 1.0, "verdicts": []}
    record = {**told, "environment": environment(), "seeds": [], "params": {}, "meanings": {}}
    render(tmp_path / "one.ipynb", tmp_path / "one.html", record)
    prose = re.search(r'<section class="prose">.*?</section>', (tmp_path / "one.html").read_text(), re.DOTALL)
    assert prose
    targets = re.findall(r'href="([^"]+)"', prose[0])
    assert set(targets) == {"#Question", "https://arxiv.org"}
    assert "A ticket, next, " in prose[0]
