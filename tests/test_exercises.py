"""Exercises: right answers are told so, wrong ones what is off, and untouched cells run. At smoke scale."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import pytest
from filelock import FileLock

from ltkit.prune import checks, tickets
from ltkit.prune.greedy_stops import Budget

mpl.use("Agg")

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = {path.stem: path for path in sorted(ROOT.glob("notebooks/*.ipynb"))}
BLANK = re.compile(r"^(\w+(?:, \w+)*) = None.*$", re.MULTILINE)

# For each exercise a right answer and wrong ones, as expressions that may use whatever its notebook has by then.
ANSWERS: dict[str, list[tuple[str, list[str]]]] = {
    "existence": [
        ("11", ["10", "12"]),
        (
            "winner.replace(start=winner.start.replace(draw=1))",
            ["winner", "winner.replace(order=9)", "winner.replace(start=winner.start.replace(seed=9))"],
        ),
        ("first_failing(boards[network])", ["first_failing(boards[network]) + 1", "7"]),
    ],
    "gradient_flow": [
        ("5.0", ["25", "0.2"]),
        ("3", ["13**0.5", "2"]),
        (
            "study.moving(params, whole, 'rigl', mask, params.start, draw=0)",
            ["fresh", "study.moving(params, whole, 'set', mask, params.start, draw=0)"],
        ),
    ],
    "greedy_bounds": [
        ("1 / 8", ["1 / 4", "0"]),
        ("(0.5, 1.0)", ["(1.0, 1.0)", "(0.5, 2.0)"]),
        (
            "whole.prune(given, 'negative', Budget(0.5, 'neurons'))",
            [
                "whole.prune(given, 'local', Budget(0.5, 'neurons'))",
                "whole.prune(given, 'negative', Budget(0.3, 'neurons'))",
            ],
        ),
    ],
    "mode_connectivity": [
        ("46.5", ["53", "0"]),
        ("True", ["False"]),
        ("highest(barriers, params)", ["('nowhere', 1.0)", "(highest(barriers, params)[0], 0.001)"]),
    ],
    "sanity_checks": [
        ("2.5", ["50", "5"]),
        (
            "tickets.reinit(destroy.corrupted(snip, pixels=False))",
            [
                "snip.replace(mask=snip.mask.replace(task=snip.mask.task.replace(labels='random')))",
                "tickets.reinit(snip)",
            ],
        ),
        ("loses_most(matrix, name)", ["loses_least(matrix, name)"]),
    ],
    "verdicts": [
        ("'undecided'", ["'supported'", "'refuted'"]),
        ("split(frame, board)", ["set()", "{'A1a', 'B1'}"]),
        ("roomiest(frame[scale])", ["'nothing'", "narrowest(frame[scale])"]),
    ],
    "weight_correlation": [
        ("0.61", ["0.39", "0.0"]),
        (
            "tickets.ticket(large, study.one_shot(params, small, params.claim_level))",
            [
                "tickets.ticket(large, study.one_shot(params, large, params.claim_level))",
                "tickets.ticket(small, study.one_shot(params, small, params.claim_level))",
                "tickets.ticket(large, study.one_shot(params, small, params.claim_level + 1))",
            ],
        ),
        ("strongest(sides)", ["weakest(sides)"]),
    ],
}


def first_failing(board: pd.DataFrame) -> int:
    states = [board.iloc[-1][f"c{k}"] for k in range(1, 6)]
    return next((k for k, state in enumerate(states, 1) if state != "true"), 0)


def highest(barriers: pd.DataFrame, params: Any) -> tuple[str, float]:
    wanted = {"kind": "rounds", "split": "test", "network": params.claim_network, "endpoint_mask": params.endpoint_mask}
    rows = barriers[(barriers[list(wanted)] == list(wanted.values())).all(axis=1)]
    return rows.groupby(["setting", "density"])["barrier"].mean().idxmax()


def losses(matrix: pd.DataFrame, name: str) -> pd.Series:
    return matrix[matrix["network"] == name].groupby(["method", "check"])["effect"].max().dropna()


def overlaps(sides: pd.DataFrame) -> pd.Series:
    rows = sides[sides["question"].str.startswith("change")]
    return rows.groupby("where")["overlap"].max().abs()


def split(frame: pd.DataFrame, board: Any) -> list[str]:
    words = pd.DataFrame({scale: frame[scale, "verdict"] for scale in board.scales(frame)})
    return [name for name, row in words.iterrows() if {"supported", "refuted"} <= set(row)]


def roominess(part: pd.DataFrame) -> pd.Series:
    rows = part[(part["verdict"] == "supported") & (part["low"] > part["margin"])]
    return ((rows["low"] - rows["margin"]) / (rows["high"] - rows["low"])).astype(float)


HELP: dict[str, Callable[..., Any]] = {
    "first_failing": first_failing,
    "highest": highest,
    "loses_most": lambda matrix, name: losses(matrix, name).idxmax(),
    "loses_least": lambda matrix, name: losses(matrix, name).idxmin(),
    "strongest": lambda sides: overlaps(sides).idxmax(),
    "weakest": lambda sides: overlaps(sides).idxmin(),
    "split": split,
    "roomiest": lambda part: roominess(part).idxmax(),
    "narrowest": lambda part: roominess(part).idxmin(),
    "Budget": Budget,
    "destroy": checks,
    "tickets": tickets,
}


def sources(path: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """A notebook's code above the exercises, its parameters first; and the words and the code of each exercise."""
    cells = json.loads(path.read_text())["cells"]
    told = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    at = next(place for place, (kind, text) in enumerate(told) if kind == "markdown" and "## Try it" in text)
    first = [place for place, cell in enumerate(cells) if "parameters" in cell["metadata"].get("tags", [])]
    above = [told[place][1] for place in range(at) if told[place][0] == "code" and place not in first]
    below = [(text, code) for (kind, text), (_, code) in pairwise(told[at:]) if kind == "markdown"]
    return [*(told[place][1] for place in first), *above], below


def names(source: str, context: type[ast.expr_context]) -> set[str]:
    """Names that a cell reads, or binds."""
    tree = ast.parse(source)
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, context)}
    if context is ast.Store:
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        found |= {alias.asname or alias.name for node in imports for alias in node.names}
    return found


def needed(above: list[str], exercises: list[str]) -> list[str]:
    """The cells of `above` that the exercises need, in their order."""
    wanted = set().union(*(names(source, ast.Load) for source in exercises), {"params"})
    parameters, *others = above
    found: list[str] = []
    for source in reversed(others):
        if names(source, ast.Store) & wanted:
            wanted |= names(source, ast.Load)
            found.append(source)
    return [parameters, *reversed(found)]


def fill(source: str, answer: str) -> str:
    """The exercise with an answer in place of its None."""
    whole, count = BLANK.subn(lambda found: f"{found[1]} = {answer}", source)
    assert count == 1, "one answer a cell"
    return whole


@pytest.mark.parametrize("stem", sorted(NOTEBOOKS))
def test_the_exercises_have_one_form(stem: str):
    _, exercises = sources(NOTEBOOKS[stem])
    assert 2 <= len(exercises) <= 3
    for number, (text, code) in enumerate(exercises, 1):
        assert re.search(rf"^\*\*{number}\. \w.*\*\* \(\d+ minutes\)\. ", text, re.MULTILINE), text
        assert re.search(r"<details><summary>Hint</summary>\n\n.+\n\n</details>$", text, re.DOTALL), text
        assert re.search(r"^answer = None  # .+\n\nif answer is not None:\n", code, re.MULTILINE), code
        assert code.index("display(") < code.index("assert ") < code.index('print("right'), "a picture, then the check"


@pytest.mark.slow
@pytest.mark.parametrize("stem", sorted(NOTEBOOKS))
def test_right_answers_are_told_so_and_wrong_ones_what_is_off(
    stem: str, smoke_store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert stem in ANSWERS, "give right and wrong answers for its exercises"
    monkeypatch.setenv("LTKIT_STORE", str(smoke_store))
    monkeypatch.setenv("LTKIT_HEADLESS", "1")
    above, exercises = sources(NOTEBOOKS[stem])
    codes = [code for _, code in exercises][: len(ANSWERS[stem])]
    shown: list[Any] = []
    space: dict[str, Any] = {"__name__": "__main__", "display": shown.append}
    with FileLock(f"{smoke_store}.{stem}.lock"):  # one worker trains
        for source in needed(above, codes):
            exec(source, space)
    for code, (right, wrong) in zip(codes, ANSWERS[stem], strict=True):
        shown.clear()
        capsys.readouterr()
        exec(code, space)
        assert not shown
        assert capsys.readouterr().out == "", "untouched it says nothing"
        helped = {**HELP, **space}
        for answer in wrong:
            with pytest.raises(AssertionError, match=r"."):
                exec(fill(code, answer), {**helped})
        shown.clear()
        exec(fill(code, right), {**helped})
        assert capsys.readouterr().out.startswith("right")
        assert shown, "an answer is drawn"
