"""`ltkit report`: a toy scale with a study that ends well and one that doesn't, executed, rendered, listed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from ltkit.errors import UserError
from ltkit.show import jobs, outlook, pages, render, result
from ltkit.show.execute import Failure
from ltkit.show.index import worded, write_index
from ltkit.show.report import Report, report

TOY = """
from ltkit.params import Parameters
from ltkit.spec import Seed

class Params(Parameters):
    seeds: tuple[Seed, ...]
    lr: float
"""

PARAMETERS = "seeds: list[int] = [0]  # one training each\nlr: float = 0.1  # learning rate"
VALIDATE = "from report_toy import Params\nparams = Params.here(globals())"
PICTURE = """
import base64, os, sys, time
from IPython.display import HTML, display
class Picture:
    def _repr_mimebundle_(self, **_):
        return {"image/png": "iVBORw0KGgo=", "text/plain": "a picture"}
print("\\r1/3 runs\\r2/3 runs", file=sys.stderr, flush=True)
time.sleep(0.3)  # what comes later is another output of the cell
print("3/3 runs", file=sys.stderr, flush=True)
display(Picture())
print("a sentence")
"""
VERDICTS = """
from ltkit.show import result
one = {"claim": "A1a", "paper": "existence", "verdict": "supported", "effect": 1.25, "low": 0.5, "high": 2.0,
       "margin": 0.5, "n": 5, "unit": "accuracy points", "setting": "LeNet <digits>", "published": "no clear gap"}
two = {"claim": "A2", "paper": "existence", "verdict": "untested", "effect": float("nan"), "n": 0,
       "reason": "too small"}
result.save([one, two], params, runs={"needed": 5, "trained": 3}, device="cpu")
HTML("<table border='1'><tr><td>" + os.getcwd() + "</td><td>" + os.environ["LTKIT_STORE"] + "</td></tr></table>"
     "<script src='https://example.org/x.js'></script>")
"""
GOOD_PROSE = "# Do toys win?\n\n## Question\n\nDoes *it* run?\n\n## Evidence\n"
READING = "The **curve** stays [flat](https://example.org). And more."


def study(home: Path, name: str, *cells: Any) -> None:
    parameters = new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"ltkit": {"params": "report_toy:Params"}, "kernelspec": kernel}
    book = new_notebook(cells=[parameters, new_code_cell(VALIDATE), *cells], metadata=metadata)
    nbformat.write(book, home / f"{name}.ipynb")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project's folders: notebooks, and a scale's parameters."""
    place = tmp_path_factory.mktemp("project")
    (place / "notebooks").mkdir()
    (place / "params" / "tiny").mkdir(parents=True)
    (place / "report_toy.py").write_text(TOY)
    prose, reading = new_markdown_cell(GOOD_PROSE), new_markdown_cell(READING)
    shown = [prose, new_code_cell(PICTURE), reading, new_code_cell(VERDICTS)]
    study(place / "notebooks", "good", *shown)
    study(place / "notebooks", "sad", new_code_cell("1 / 0"), new_code_cell("print('never')"))
    (place / "params/tiny/good.yaml").write_text("seeds: [0, 1, 2, 3, 4]\nlr: 1e-3\n")
    (place / "params/tiny/sad.yaml").write_text("lr: 0.5\n")
    return place


def run(place: Path, **options: Any) -> Report:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(place))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(place), os.environ.get("PYTHONPATH", "")]))
        folders = {"out": place / "reports", "store": place / "runs", "notebooks": place / "notebooks"}
        return report(place / "params/tiny", **folders, **options)


@pytest.fixture(scope="module")
def made(place: Path) -> Report:
    before = dict(os.environ)
    lines: list[str] = []
    made = run(place, say=lines.append)
    assert dict(os.environ) == before  # the kernel's settings don't stay
    assert "good: done after" in lines[1]
    assert lines[1].endswith("; 3 runs trained, 2 found in the store")
    assert "sad: failed after" in lines[3]
    return made


def page(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def assert_offline(soup: BeautifulSoup) -> None:
    """Nothing on the page makes a browser ask anyone for anything; links that a reader may click are fine."""
    assert not soup.select("script, iframe, object, embed")
    for element in soup.select("[src], link[href]"):
        assert str(element.get("src") or element.get("href")).startswith("data:"), element
    assert not re.search(r"url\(|@import", str(soup.select("style")))
    assert "default-src 'none'" in str(soup.select("meta[http-equiv]"))


def test_a_failing_notebook_stops_no_other_one(made: Report) -> None:
    assert list(made.failures) == ["sad"]
    assert str(made.failures["sad"]) == "ZeroDivisionError: division by zero"
    assert [record["status"] for record in made.records] == ["done", "failed"]


def test_the_folder_of_a_scale(made: Report, place: Path) -> None:
    folder = place / "reports" / "tiny"
    assert made.index == folder / "index.html"
    kinds = [f"{name}.{end}" for name in ("good", "sad") for end in ("html", "ipynb", "result.json")]
    assert sorted(path.name for path in folder.iterdir()) == sorted([*kinds, "index.html", "verdicts.json"])


def test_the_executed_notebook_names_no_folder_of_this_machine(made: Report, place: Path) -> None:
    book = nbformat.read(made.index.parent / "good.ipynb", as_version=4)
    assert book.metadata.papermill.input_path == "good.ipynb"
    assert book.metadata.papermill.output_path == "good.ipynb"
    assert "lr = 0.001" in next(c.source for c in book.cells if "injected-parameters" in c.metadata.get("tags", []))


def test_verdicts_are_one_list_in_designs_form(made: Report) -> None:
    verdicts = json.loads((made.index.parent / "verdicts.json").read_text())
    assert [verdict["claim"] for verdict in verdicts] == ["A1a", "A2"]
    assert verdicts[0]["effect"] == 1.25
    assert verdicts[0]["scale"] == "tiny"
    assert verdicts[1]["effect"] is None  # no NaN: other programs couldn't read it


def test_the_page_of_a_study(made: Report, place: Path) -> None:
    soup = page(made.index.parent / "good.html")
    assert_offline(soup)
    assert [h.get_text() for h in soup.select("h1")] == ["Do toys win?"]
    assert [a.get_text() for a in soup.select("nav.sections a")] == ["Question", "Evidence"]
    head = " ".join(soup.select_one("header").get_text(" ").split())
    for fact in ("tiny", "5 seeds: 0, 1, 2, 3, 4", "5 runs: 3 trained, 2 found", "cpu", "Python 3.", "learning rate"):
        assert fact in head, fact
    assert "0.001" in head
    picture = soup.select_one("img")
    assert picture["alt"] == "The curve stays flat."
    assert picture["src"] == "data:image/png;base64,iVBORw0KGgo="
    logs = [log.get_text() for log in soup.select("details.log pre")]
    assert logs == ["2/3 runs\n3/3 runs\n"]  # what the terminal showed in the end, as one log
    assert [said.get_text() for said in soup.select("pre.said")] == ["a sentence\n"]
    assert "pre.said { white-space: pre-wrap; }" in str(soup.select("style"))  # else its end is out of sight
    assert all(table.parent["class"] == ["scroll"] for table in soup.select("table"))
    assert "injected" not in str(soup)
    rows = [[cell.get_text() for cell in row.select("th, td")] for row in soup.select("main section tbody tr")]
    assert rows == [["seeds", "0, 1, 2, 3, 4", "one training each"], ["lr", "0.001", "learning rate"]]
    assert "lr: float = 0.1" not in soup.get_text()  # the defaults would only mislead
    assert all(details.get("open") is None for details in soup.select("details.code"))


def test_the_kernel_works_in_a_neutral_place_and_knows_the_store(made: Report, place: Path) -> None:
    where, store = [cell.get_text() for cell in page(made.index.parent / "good.html").select("main .output td")]
    assert Path(where).name.startswith("ltkit-")
    assert not Path(where).exists()
    assert store == str(place / "runs")


def test_the_page_of_a_failed_study_shows_the_error(made: Report) -> None:
    soup = page(made.index.parent / "sad.html")
    assert_offline(soup)
    assert "ZeroDivisionError: division by zero" in soup.select_one("[role=alert]").get_text()
    assert "ZeroDivisionError" in soup.select_one(".error pre").get_text()
    assert "1 seed: 0" in " ".join(soup.get_text(" ").split())


def test_the_index_lists_everything(made: Report) -> None:
    soup = page(made.index)
    assert_offline(soup)
    text = " ".join(soup.get_text(" ").split())
    assert "sad failed. ZeroDivisionError" in text
    assert [question.get_text() for question in soup.select(".question")] == ["Does it run?", ""]
    assert [badge.get_text() for badge in soup.select("header .badge")] == ["✓ 1 supported", "– 1 untested"]
    row = " ".join(soup.select("table.claims tr")[1].get_text(" ").split())
    for part in (
        "A1a",
        "iterative tickets end level",
        "LeNet <digits>",
        "+1.25 (+0.50 to +2.00)",
        "0.5",
        "no clear gap",
    ):
        assert part in row, part
    assert "too small" in soup.select("table.claims tr")[2].get_text()
    for link in soup.select("a[href]"):
        assert str(link["href"]).startswith("#") or (made.index.parent / str(link["href"])).exists()


def test_a_study_left_out_keeps_its_result(made: Report, place: Path) -> None:
    study(
        place / "notebooks", "sad", new_code_cell("from ltkit.errors import UserError\nraise UserError('no\\n data')")
    )
    again = run(place, only=["sad"])
    assert again.failures == {"sad": Failure("UserError", "no\n data")}
    assert str(again.failures["sad"]) == "no data"
    assert again.records[0] == made.records[0]
    assert len(json.loads((again.index.parent / "verdicts.json").read_text())) == 2
    soup = page(again.index.parent / "sad.html")
    assert soup.select_one(".error pre").get_text().strip() == "ltkit: no\n data"  # and no traceback


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("good.yaml", "learning_rate: 1\n", "good.yaml: unknown key 'learning_rate'"),
        ("good.yaml", "lr: [1]\n", "good.yaml: lr: input should be a valid number"),
        ("goood.yaml", "lr: 1\n", "(did you mean 'good'?)"),
    ],
)
def test_bad_parameters_stop_everything_before_a_kernel_starts(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, text: str, said: str
) -> None:
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.setattr("ltkit.show.study.execute", lambda *_: pytest.fail("a kernel was started"))
    (tmp_path / file).write_text(text)
    with pytest.raises(UserError) as error:
        report(tmp_path, notebooks=place / "notebooks", out=tmp_path / "out", store=tmp_path / "runs")
    assert said in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == [file]  # a mistake leaves nothing behind


def test_an_unusable_store_stops_everything_before_a_kernel_starts(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.setattr("ltkit.show.study.execute", lambda *_: pytest.fail("a kernel was started"))
    (tmp_path / "store.json").write_text('{"schema": 99}')
    with pytest.raises(UserError, match="written by a newer ltkit"):
        report(place / "params/tiny", notebooks=place / "notebooks", out=tmp_path / "out", store=tmp_path)


def test_folders_that_are_not_there(place: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such folder of parameter files \(did you mean '.*tiny'\?\)"):
        report(place / "params" / "tiney")
    with pytest.raises(UserError, match="holds no parameter file"):
        report(tmp_path)
    with pytest.raises(UserError, match=r"no study 'goood' \(did you mean 'good'\?\); there are good, sad"):
        report(place / "params/tiny", only=["goood"])


def test_a_place_that_cannot_be_written(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(place))
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"not a directory; name another place with --out"):
        report(place / "params/tiny", notebooks=place / "notebooks", out=tmp_path / "file", store=tmp_path)


# Side by side, and the board

ONE = """
import os, sys
from ltkit.show import result
print("\\r1/2 runs\\r2/2 runs", file=sys.stderr, flush=True)
claim = {"claim": "A1a", "paper": "existence", "verdict": "supported"}
result.save([{**claim, "setting": os.environ["OMP_NUM_THREADS"] + " threads"}], params)
"""
KILLED = "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nos._exit(0)"
BOARD = """
import os, pathlib
from ltkit.show.board_places import read_verdicts
print("the board reads", [one["claim"] for one in read_verdicts(os.environ["LTKIT_REPORTS"])])
"""


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a study that ends well, one whose process is killed, one that isn't run, and a board."""
    place = tmp_path_factory.mktemp("wide")
    (place / "notebooks").mkdir()
    (place / "params" / "tiny").mkdir(parents=True)
    (place / "report_toy.py").write_text(TOY)
    for name, source in (("existence", ONE), ("killed", KILLED), ("later", "1"), ("verdicts", BOARD)):
        study(place / "notebooks", name, new_markdown_cell(f"# About {name}"), new_code_cell(source))
    for name in ("existence", "killed", "later"):
        (place / "params" / "tiny" / f"{name}.yaml").write_text("seeds: [3]\n")
    return place


@pytest.fixture(scope="module")
def both(wide: Path) -> tuple[Report, dict[str, list[str]]]:
    said: dict[str, list[str]] = {"say": [], "progress": [], "log": []}
    ears = {name: lines.append for name, lines in said.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "7")
        made = run(wide, only=["existence", "killed", "verdicts"], jobs=2, **ears)
    return made, said


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
def test_notebooks_side_by_side(both: tuple[Report, dict[str, list[str]]]) -> None:
    made, said = both
    assert [record["status"] for record in made.records] == ["done", "failed", "not run"]
    assert [line.partition(" after")[0].partition(" with")[0] for line in said["say"][:2]] == [
        "existence: running",
        "killed: running",
    ]
    assert "existence: done" in {line.partition(" after")[0] for line in said["say"][2:4]}
    (verdict,) = json.loads((made.index.parent / "verdicts.json").read_text())
    assert (verdict["claim"], verdict["setting"]) == ("A1a", "3 threads")  # its share of seven
    assert "existence | 2/2 runs" in said["log"]  # a bar's states as lines, after the study's name
    assert said["progress"][0] == "0 of 2 done; running existence, killed; no estimate yet"
    assert len(said["progress"]) == 2
    assert said["progress"][1].startswith("1 of 2 done")


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
def test_a_process_that_died_is_a_failed_study(both: tuple[Report, dict[str, list[str]]]) -> None:
    made, _ = both
    assert made.failures["killed"].kind == "JobDied"
    assert "exit status -9" in made.records[1]["error"]
    soup = page(made.index.parent / "killed.html")
    assert "exit status -9" in soup.select_one("[role=alert]").get_text()
    assert "killed failed. JobDied" in " ".join(page(made.index).get_text(" ").split())


def test_the_board_comes_last_and_is_linked_first(both: tuple[Report, dict[str, list[str]]]) -> None:
    made, said = both
    assert said["say"][-2] == "verdicts: running with this report and the kept ones"
    assert said["say"][-1].startswith("verdicts: done after")
    assert made.board is not None
    assert made.board["status"] == "done"
    assert "verdicts" not in [record["study"] for record in made.records]
    assert "the board reads ['A1a']" in page(made.index.parent / "verdicts.html").get_text()
    links = [a["href"] for a in page(made.index).select("main a[href$='.html']")]
    assert links == ["verdicts.html", "existence.html", "killed.html"]


def test_a_failing_board_hides_no_study(wide: Path, both: tuple[Report, dict[str, list[str]]]) -> None:
    study(wide / "notebooks", "verdicts", new_markdown_cell("# About verdicts"), new_code_cell("1 / 0"))
    again = run(wide, only=["verdicts"])
    assert list(again.failures) == ["verdicts"]
    assert again.records == both[0].records
    soup = page(again.index)
    assert "verdicts failed. ZeroDivisionError" in " ".join(soup.get_text(" ").split())
    assert [badge.get_text() for badge in soup.select(".study.first .badge")] == ["failed"]
    assert len(soup.select("article.study:not(.first)")) == 3
    assert "A1a" in soup.select_one("table.claims").get_text()


def test_the_board_is_made_alone_only_where_there_is_one(place: Path) -> None:
    with pytest.raises(UserError, match="no study 'verdicts'; there are good, sad"):
        report(place / "params/tiny", notebooks=place / "notebooks", only=["verdicts"])


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
def test_ctrl_c_stops_all_jobs(tmp_path: Path) -> None:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "params" / "tiny").mkdir(parents=True)
    (tmp_path / "report_toy.py").write_text(TOY)
    signs = [tmp_path / "one.sign", tmp_path / "two.sign"]
    for sign in signs:
        source = f"import os, time\nopen({str(sign)!r}, 'w').write(str(os.getpid()))\ntime.sleep(100)"
        study(tmp_path / "notebooks", sign.stem, new_code_cell(source))
        (tmp_path / "params" / "tiny" / f"{sign.stem}.yaml").write_text("lr: 0.5\n")
    words = ["report", "params/tiny", "--jobs", "2", "--out", "out", "--store", "runs", "--notebooks", "notebooks"]
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job ignores it
        f"from ltkit.cli import main; main({words!r})"
    )
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])])
    environment = {**os.environ, "PYTHONPATH": path}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment
    )
    deadline = time.monotonic() + 120
    while not all(sign.exists() and sign.read_text() for sign in signs) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    lines = err.strip().splitlines()
    assert lines[-1] == "ltkit: interrupted; finished runs are kept, and the same command goes on from there"
    assert "Traceback" not in err
    for sign in signs:
        with pytest.raises(ProcessLookupError):
            os.kill(int(sign.read_text()), 0)


def test_the_share_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "cores", lambda: 16)
    for given, share in (("8", 2), ("2", 1), ("6,2", 2), ("", 5), ("many", 5)):
        monkeypatch.setenv("OMP_NUM_THREADS", given)
        assert jobs.threads(3) == share


@pytest.mark.parametrize(
    ("left", "running", "done", "before", "side", "seconds"),
    [
        (["a", "b"], {}, {}, {}, 1, None),  # nothing is known
        (["a", "b"], {}, {}, {"a": 10.0, "b": 5.0}, 1, 15.0),
        (["a", "b"], {}, {}, {"a": 10.0, "b": 5.0}, 2, 10.0),
        (["a", "b"], {}, {}, {"a": 10.0}, 1, 20.0),  # b as long as what is known
        (["b"], {"a": 4.0}, {}, {"a": 10.0, "b": 5.0}, 1, 11.0),
        (["b"], {"a": 14.0}, {}, {"a": 10.0, "b": 5.0}, 1, 5.0),  # overdue: any moment now
        (["c"], {"b": 1.0}, {"a": 30.0}, {"a": 10.0, "b": 5.0, "c": 2.0}, 1, 20.0),  # three times as slow as then
        (["c"], {"b": 1.0}, {"a": 30.0}, {"a": 10.0, "b": 5.0, "c": 2.0}, 2, 14.0),
        (["b"], {}, {"a": 30.0}, {}, 1, 30.0),
        ([], {}, {"a": 30.0}, {}, 1, 0.0),
        (["a", "b", "c"], {}, {}, {"a": 3.0, "b": 5.0, "c": 4.0}, 2, 7.0),  # c where a has ended
    ],
)
def test_how_long_it_will_take(
    left: list[str],
    running: dict[str, float],
    done: dict[str, float],
    before: dict[str, float],
    side: int,
    seconds: float | None,
) -> None:
    assert outlook.remaining(left, running, done, before, side) == pytest.approx(seconds)


def test_the_line_of_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)
    monkeypatch.setattr(time, "localtime", time.gmtime)
    line = outlook.line(["c", "d"], {"b": 3.0}, {"a": 60.0}, 1, 3900.0)
    assert line == "1 of 4 done (1 failed); running b; left c, d; about 65 min 0 s to go, until 01:05"
    assert outlook.line([], {}, {"a": 60.0}, 0, 0.0) == "1 of 1 done"


# The parts


def test_save_writes_only_where_it_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LTKIT_RESULT", raising=False)
    result.save([{"claim": "A1", "verdict": "supported"}])
    monkeypatch.setenv("LTKIT_RESULT", str(tmp_path / "result.json"))
    result.save([{"claim": "A1", "verdict": "supported"}], {"seeds": [1]}, runs={"needed": 3, "trained": 1})
    read = result.read(tmp_path / "result.json")
    assert read is not None
    assert read["seeds"] == [1]
    assert read["runs"] == {"needed": 3, "trained": 1, "reused": 2}
    assert read["environment"]["versions"]["torch"]
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_save_refuses_what_is_no_verdict() -> None:
    for bad in ({"claim": "A1"}, {"verdict": "supported"}, {"claim": "A1", "verdict": "true"}, "A1"):
        with pytest.raises(ValueError, match="needs a 'claim' and a 'verdict' of supported"):
            result.save([bad])


def test_plain_values() -> None:
    import numpy as np

    values = {
        "a": np.float64(1.5),
        "b": np.arange(2),
        "c": (1, {2}),
        "d": float("inf"),
        3: Path("x"),
        "e": np.bool_(True),
    }
    assert result.plain(values) == {"a": 1.5, "b": [0, 1], "c": [1, [2]], "d": None, "3": "x", "e": True}


def test_a_record_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    (tmp_path / "y.json").write_text("[]")
    assert [result.read(tmp_path / name) for name in ("x.json", "y.json", "z.json")] == [None, None, None]


def test_numbers_for_the_eye() -> None:
    signs = {1.254: "+1.25", -3.0: "−3.00", 0.0: "+0.00", 0.001: "+0.0010", None: "", "some": "some"}
    assert {value: pages.signed(value) for value in signs} == signs
    given = {0.5: "0.5", -2: "−2", 10: "10", None: "", "0.2 to 0.4": "0.2 to 0.4", 0.134: "0.134"}
    assert {value: pages.number(value) for value in given} == given
    times = {0: "0 s", 119.4: "119 s", 120: "2 min 0 s", 7199: "119 min 59 s", 7260: "2 h 1 min"}
    assert {value: pages.duration(value) for value in times} == times


def test_inline_markdown_is_safe() -> None:
    text = "A *small* `lr` in [a paper](https://x.org), **θ_0⊙m** < 5 * 3 * 2 and snake_case_name"
    safe = "A <em>small</em> <code>lr</code> in a paper, <b>θ_0⊙m</b> &lt; 5 * 3 * 2 and snake_case_name"
    assert pages.inline(text) == safe
    assert pages.inline("<script>") == "&lt;script&gt;"


def test_alternative_texts() -> None:
    def figure(**metadata: Any) -> Any:
        output = nbformat.v4.new_output("display_data", {"image/png": "x"}, metadata=metadata)
        return new_code_cell("plot()", outputs=[output])

    book = new_notebook(
        cells=[new_markdown_cell("## Heat map"), figure(), figure(alt="Own."), new_markdown_cell("Low.")]
    )
    render.describe(book)
    texts = [c.outputs[0].metadata["image/png"]["alt"] for c in book.cells if c.cell_type == "code"]
    assert texts == ["Figure: Heat map", "Own."]


def test_overwritten_lines_settle() -> None:
    assert render.settled("a\rb\nc\r\nd\r") == "b\nc\nd"


def test_a_claims_sentence_comes_from_its_paper() -> None:
    assert "iterative tickets end level" in worded({"claim": "A1a", "paper": "existence"})["sentence"]
    assert worded({"claim": "A1a", "paper": "existence", "sentence": "Mine."})["sentence"] == "Mine."
    assert worded({"claim": "Z9", "paper": "unheard_of"}) == {"claim": "Z9", "paper": "unheard_of"}


def test_an_index_of_nothing_yet(tmp_path: Path) -> None:
    record = {"study": "later", "title": "Later", "question": "When?", "status": "not run", "verdicts": []}
    text = write_index(tmp_path, "quick", [record]).read_text()
    assert "not run yet" in text
    assert "No study has handed in a verdict yet." in text
    assert "later.html" not in text


def test_the_index_lists_what_failed_and_what_is_missing(tmp_path: Path) -> None:
    shared = {"title": "T", "question": "?", "params": {}, "environment": {"versions": {}}}
    verdict = {"claim": "B1", "paper": "sanity_checks", "verdict": "refuted"}
    done = {"study": "sanity_checks", "status": "done", "verdicts": [verdict], **shared}
    failed = {"study": "existence", "status": "failed", "error": "UserError: no data", "verdicts": [], **shared}
    later = {"study": "greedy_bounds", "status": "not run", "verdicts": [], **shared}
    soup = page(write_index(tmp_path, "quick", [failed, later, done]))
    assert_offline(soup)
    rows = {row.select_one("th").get_text(): row.get_text(" ") for row in soup.select("table.claims tbody tr")}
    assert "not run" in rows["A1a"]
    assert "the notebook failed" in rows["A1a"]
    assert "the notebook has not been run yet" in rows["F1"]
    assert "the notebook" not in rows["B2"]  # it ran, and said nothing about this one
    assert "refuted" in rows["B1"]
    missing = next(note.get_text() for note in soup.select(".note") if note.get_text().startswith("Not at this scale"))
    assert missing == (
        "Not at this scale so far: mode_connectivity (28 claims), gradient_flow (27 claims), "
        "weight_correlation (17 claims)."
    )
    assert json.loads((tmp_path / "verdicts.json").read_text()) == [verdict]


def test_the_filter_of_the_index(tmp_path: Path) -> None:
    listed = [("A1a", "existence", "supported"), ("A2", "existence", "refuted"), ("Z1", "mine", "refuted")]
    verdicts = [dict(zip(("claim", "paper", "verdict"), one, strict=True)) for one in listed]
    shared = {"title": "T", "question": "?", "params": {}, "environment": {"versions": {}}}
    record = {"study": "s", "status": "done", "verdicts": verdicts, **shared}
    soup = page(write_index(tmp_path, "quick", [record]))
    assert_offline(soup)
    groups = [
        [label.get_text().strip() for label in fieldset.select("label")]
        for fieldset in soup.select(".filters fieldset")
    ]
    assert groups == [["all", "existence", "mine"], ["all", "supported", "refuted"]]
    assert [choice["id"] for choice in soup.select("input[checked]")] == ["paper-all", "word-all"]  # everything shows
    assert [row["class"] for row in soup.select("table.claims tbody tr")] == [
        ["paper-0", "word-0"],
        ["paper-0", "word-1"],
        ["paper-1", "word-1"],
    ]
    rules = str(soup.select("main style"))
    for choice in soup.select("input:not([checked])"):
        assert f"body:has(#{choice['id']}:checked) .claims tbody tr:not(.{choice['id']}) {{ display: none; }}" in rules
    assert rules.count(".nothing") == 1  # one pair has no claim: mine, supported
    assert "body:has(#paper-1:checked):has(#word-0:checked) .nothing" in rules


def test_reports_are_made_without_torch() -> None:
    boards = "ltkit.show.board_views, ltkit.show.disputes, ltkit.show.compare, ltkit.show.jobs"
    code = f"import sys, ltkit.show.report, ltkit.show.runs, ltkit.cli, {boards}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert done.stdout.strip() == "False"
