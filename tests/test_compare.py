"""Two lists of verdicts side by side: what changed, what moved, what only one side has."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from ltkit import cli
from ltkit.errors import UserError
from ltkit.show.compare import COLUMNS, compare, differences, told

BASE: dict[str, Any] = {
    **{"verdict": "undecided", "effect": 1.0, "low": 0.0, "high": 2.0, "margin": 0.5, "n": 5, "unit": "nats"},
    **{"setting": "resnet8*0.5, lr 0.1", "reason": None, "runs": ["dense-1"], "scale": "quick", "published": 3},
}


def one(claim: str, paper: str = "existence", **more: Any) -> dict[str, Any]:
    return {"claim": claim, "paper": paper, **BASE, **more}


def written(path: Path, *verdicts: dict[str, Any]) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "verdicts.json").write_text(json.dumps(verdicts))
    return path


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    a = [one("A1a"), one("A2"), one("A4"), one("A5"), one("D1", "gradient_flow"), one("D2", "gradient_flow")]
    b = [
        one("B1", "sanity_checks"),
        one("A5", verdict="untested", effect=None, low=None, high=None, n=0, reason="no lenet_5 here"),
        one("A4", effect=1.5),
        one("A2", runs=["dense-2"], scale="mnist", published=None),  # another run with the same result
        one("A1a", verdict="supported", low=0.75, high=1.25, n=10),
    ]
    return written(tmp_path / "a", *a), written(tmp_path / "b", *({**row, "scale": "mnist"} for row in b))


def test_a_row_a_claim_in_the_papers_order(sides: tuple[Path, Path]) -> None:
    table = compare(*sides)
    assert list(table.columns) == list(COLUMNS)
    assert list(zip(table["claim"], table["change"], strict=True)) == [
        ("A1a", "changed"),
        ("A2", "same"),
        ("A4", "moved"),
        ("A5", "changed"),
        ("B1", "only B"),
        ("D1", "only A"),
        ("D2", "only A"),
    ]
    first = table.iloc[0]
    assert (first["verdict_a"], first["verdict_b"]) == ("undecided", "supported")
    assert first["sentence"].startswith("At η = 0.1")
    assert math.isnan(table.iloc[4]["effect_a"])
    assert table.iloc[4]["effect_b"] == 1.0


def test_why(sides: tuple[Path, Path]) -> None:
    why = compare(*sides).set_index("claim")["why"]
    assert why["A1a"] == "n 5 → 10; interval (+0.00 to +2.00) → (+0.75 to +1.25), 0.25 times as wide"
    assert why["A4"] == "effect +1.00 → +1.50"
    assert why["A5"] == "untested in B: no lenet_5 here"
    assert why["A2"] == why["D1"] == ""


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, []),
        ({"effect": 1.0 + 1e-12, "runs": []}, []),
        ({"margin": None}, ["margin 0.5 → none"]),
        ({"margin": 1, "n": 3}, ["margin 0.5 → 1", "n 5 → 3"]),
        ({"effect": None, "low": None, "high": None}, ["effect +1.00 → none", "interval (+0.00 to +2.00) → none"]),
        ({"high": 4.0}, ["interval (+0.00 to +2.00) → (+0.00 to +4.00), 2 times as wide"]),
        ({"low": 1.0, "high": 1.0}, ["interval (+0.00 to +2.00) → (+1.00 to +1.00), 0 times as wide"]),
        ({"unit": "points", "setting": ""}, ["unit nats → points", "setting ResNet-8 ×0.5, lr 0.1 → none"]),
        ({"reason": "too wide"}, ["reason in B: too wide"]),
    ],
)
def test_differences_by_hand(more: dict[str, Any], said: list[str]) -> None:
    assert differences(BASE, {**BASE, **more}) == said


def test_two_untested_verdicts_differ_by_their_reasons() -> None:
    a, b = ({**BASE, "verdict": "untested", "reason": reason} for reason in ("no data", "no network"))
    assert differences(a, b) == ["reason in A: no data", "reason in B: no network"]
    assert differences(a, BASE) == ["untested in A: no data"]


def test_an_interval_of_no_width_has_no_ratio() -> None:
    point = {**BASE, "low": 1.0, "high": 1.0}
    assert differences(point, BASE) == ["interval (+1.00 to +1.00) → (+0.00 to +2.00)"]


def test_a_claim_of_ones_own_comes_last(tmp_path: Path) -> None:
    a, b = written(tmp_path / "a", one("Z1", "mine"), one("A1a")), written(tmp_path / "b", one("A1a"))
    assert compare(a, b)["claim"].tolist() == ["A1a", "Z1"]
    assert compare(a, b)["paper"].tolist() == ["existence", "mine"]


def test_what_the_terminal_says(sides: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    lines = "\n".join(told(compare(*sides))).splitlines()
    assert lines[0] == "2 changed:"
    assert lines[1] == "  A1a   existence           undecided → supported"
    assert lines[2] == "        n 5 → 10; interval (+0.00 to +2.00) → (+0.75 to +1.25), 0.25 times as wide"
    assert lines[-5:] == [
        "2 equal verdicts, 1 of them in all that they say",
        "2 only in A",
        "  gradient_flow D1, D2",
        "1 only in B",
        "  sanity_checks B1",
    ]
    everything = "\n".join(told(compare(*sides), everything=True)).splitlines()
    assert "  A4    existence           undecided" in everything
    assert "        effect +1.00 → +1.50" in everything
    assert "  D2    gradient_flow       undecided" in everything
    named = [line.split()[0] for line in everything if line.startswith("  ") and line[2] != " "]
    assert sorted(named) == ["A1a", "A2", "A4", "A5", "B1", "D1", "D2"]


def test_the_same_twice(sides: tuple[Path, Path]) -> None:
    assert told(compare(sides[0], sides[0])) == [
        "0 changed",
        "6 equal verdicts, 6 of them in all that they say",
        "0 only in A",
        "0 only in B",
    ]


def test_a_side_of_two_scales(tmp_path: Path) -> None:
    mixed = written(tmp_path / "a", one("A1a"), one("A1a", scale="mnist"))
    with pytest.raises(UserError, match=r"verdicts of several scales \(quick, mnist\)"):
        compare(mixed, mixed)


def call(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, said.err


def test_the_command(sides: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "compare", sides[0], sides[1] / "verdicts.json")
    assert (code, err) == (0, "")
    assert out.startswith("2 changed:\n  A1a ")
    assert "  A4 " not in out
    assert "  A4 " in call(capsys, "compare", "--all", *sides)[1]


@pytest.mark.parametrize("content", [None, "{", "[1]"])
def test_the_command_says_what_it_cannot_read(
    sides: tuple[Path, Path], tmp_path: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad"
    if content:
        bad.mkdir()
        (bad / "verdicts.json").write_text(content)
    code, out, err = call(capsys, "compare", sides[0], bad)
    assert (code, out) == (2, "")
    assert err.startswith(f"ltkit: {bad}")
    assert err.count("\n") == 1
