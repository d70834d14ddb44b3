"""The notebooks as they lie in git, and one of them run the way a user runs it: papermill, HTML, verdicts."""

import ast
import itertools
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from ltkit.cli import cli
from ltkit.verdict import (
    EXISTENCE,
    GRADIENT_FLOW,
    GREEDY_BOUNDS,
    MODE_CONNECTIVITY,
    SANITY_CHECKS,
    WEIGHT_CORRELATION,
)

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
HEADINGS = "Question|Prediction|Parameters|Method|Evidence|Controls|Verdicts|Limits|Explore|Try it"
BOARD = "Question|Parameters|How to read a verdict|The board|Disputes|What is untested, and why|Limits|Explore|Try it"


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def cells(request):
    return json.loads(request.param.read_text())["cells"]


def tags(cell):
    return set(cell["metadata"].get("tags", []))


def test_only_checked_cells_keep_outputs(cells):
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    checked = [cell for cell in code if "nbval-check-output" in tags(cell)]
    assert checked, "nbval has something to compare"
    assert all(cell["outputs"] and cell["execution_count"] for cell in checked), (
        "without a count nbval compares nothing"
    )
    assert not [cell for cell in code if cell["outputs"] and "keep_output" not in tags(cell)]


def test_cells_are_short_and_narrate(cells):
    for cell in cells:
        if cell["cell_type"] != "code" or "parameters" in tags(cell):
            continue
        source = "".join(cell["source"])
        assert len(source.splitlines()) <= 14, source
        assert not [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.ClassDef)]


def test_the_story_has_its_headings_in_order(cells, request):
    wanted = BOARD if request.node.callspec.id == "verdicts" else HEADINGS  # the board is no study
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert "|".join(re.findall(r"^## (.+)$", text, re.MULTILINE)) == wanted


def test_every_figure_is_followed_by_a_reading_sentence(cells):
    for cell, following in itertools.pairwise(cells):
        if "figures." in "".join(cell["source"]) and cell["metadata"].get("alt"):
            assert following["cell_type"] == "markdown"


@pytest.mark.slow
def test_smoke_report_end_to_end(tmp_path, monkeypatch):
    """What `make report` does, at smoke scale: every claim in verdicts.json, a page that loads nothing from outside."""
    monkeypatch.chdir(tmp_path)
    words = ["report", str(ROOT / "params/smoke"), "--store", str(tmp_path / "store"), "--out", str(tmp_path / "out")]
    first = CliRunner().invoke(cli, words)
    assert first.exit_code == 0, first.output
    folder = tmp_path / "out" / "smoke"
    verdicts = json.loads((folder / "verdicts.json").read_text())
    every = (*EXISTENCE, *GRADIENT_FLOW, *GREEDY_BOUNDS, *MODE_CONNECTIVITY, *SANITY_CHECKS, *WEIGHT_CORRELATION)
    assert [v["claim"] for v in verdicts] == [claim.id for claim in every]
    fields = {
        "claim",
        "paper",
        "scale",
        "verdict",
        "effect",
        "low",
        "high",
        "margin",
        "n",
        "unit",
        "setting",
        "published",
    }
    assert all(fields | {"runs"} <= set(v) and v["scale"] == "smoke" for v in verdicts)
    most = {
        "existence": 7,
        "gradient_flow": 10,
        "greedy_bounds": 13,
        "mode_connectivity": 9,
        "sanity_checks": 5,
        "weight_correlation": 9,
    }
    for study, figures in most.items():
        page = (folder / f"{study}.html").read_text()
        assert page.count('<img alt="') >= figures
        assert not re.search(r'(?:src|href)="(?:https?:)?//', page)
    for file in folder.glob("*.html"):
        assert file.stat().st_size < 3_000_000
    second = CliRunner().invoke(cli, words)
    assert second.exit_code == 0, second.output
    assert "0 runs trained" in second.output
