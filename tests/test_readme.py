"""The README does what it says: its code runs as it stands, its learning path is the one in the notebooks."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import ltkit

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))


def section(title: str) -> str:
    found = re.search(rf"^(?:## |\*\*){re.escape(title)}.*?(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[0]


def blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LTKIT_STORE", str(tmp_path / "runs"))
    return {"__name__": "__main__"}


def run(text: str, space: dict[str, Any]) -> None:
    """Runs the blocks of code; one that begins with a comment like `# mynet.py` is that file."""
    for block in blocks(text):
        if file := re.match(r"# (\w+\.py)\n", block):
            Path(file[1]).write_text(block)
        else:
            exec(block, space)


def test_ones_own_parts_take_ten_lines_each(space: dict[str, Any]):
    text = section("Your own")
    assert all(len(block.strip().splitlines()) <= 18 for block in blocks(text))
    run(text, space)
    lab, dense = space["lab"], space["dense"]
    ran = lab.table([({}, run) for run in (dense, space["narrow"], space["mine"], space["scattered"])])
    assert (ran["accuracy"] > 90).all(), ran
    assert sum(int(mask.sum()) for mask in lab.mask(space["mine"]).values()) == 1_000
    assert {name: int(mask.sum()) for name, mask in lab.mask(space["scattered"]).items()} == space["kept"]
    steps = 4 * (360 // 32)  # a tenth of 400 images is held out
    assert len(space["lengths"]) == steps + 1
    assert space["lengths"][-1] == pytest.approx(float(lab.weights(dense)["fc1.weight"].norm()), rel=1e-5)


def test_the_example_from_python_runs(space: dict[str, Any], capsys: pytest.CaptureFixture[str]):
    run(section("From Python"), space)
    said = capsys.readouterr().out
    assert "10 runs: 10 trained" in said
    assert len(space["winners"]) == 5


def steps(text: str) -> list[tuple[str, int]]:
    """The learning path: notebooks and their minutes."""
    return [
        (stem, int(minutes)) for stem, minutes in re.findall(r"^\| \d+ \| \[(\w+)\]\(\S+\) \| (\d+) \|", text, re.M)
    ]


def test_the_learning_path_is_the_same_everywhere():
    path = steps(section("Start here"))
    assert sorted(stem for stem, _ in path) == [notebook.stem for notebook in NOTEBOOKS]
    first = json.loads((ROOT / f"notebooks/{path[0][0]}.ipynb").read_text())["cells"][0]
    assert steps("".join(first["source"])) == path
    for stem, minutes in path:
        text = (ROOT / f"notebooks/{stem}.ipynb").read_text()
        assert re.findall(r"About (\d+) minutes to read", text) == [str(minutes)], stem


def test_an_evening_is_enough_for_the_files_to_read_first():
    first = re.findall(r"^ {4}(\S+\.py) ", ltkit.__doc__ or "", re.MULTILINE)
    assert len(first) == 11
    assert "eleven files" in section("Reading the code")
    lines = [len((ROOT / "ltkit" / name).read_text().splitlines()) for name in first]
    assert sum(lines) < 3_000


def test_links_to_files_lead_somewhere():
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
