"""The board of verdicts: which report counts, what is missing, the disputes between papers, README's small copy."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import IPython.display
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from ltkit import notebook
from ltkit.errors import UserError
from ltkit.show import board_places as places
from ltkit.show import board_views, disputes
from ltkit.show.board import EVERY, FIELDS, board, chosen, counts, nowhere, scales, show_board
from ltkit.verdict import EXISTENCE, WEIGHT_CORRELATION

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import board as tool  # noqa: E402


def verdict(claim: str, word: str, paper: str = "existence", **more: Any) -> dict[str, Any]:
    numbers = {"effect": 1.25, "low": 0.5, "high": 2.0, "margin": 0.5, "n": 5, "unit": "accuracy points"}
    if word == "untested":
        numbers = {"effect": None, "low": None, "high": None, "margin": 0.5, "n": 0, "unit": "accuracy points"}
        more = {"reason": "no vgg16 here", "setting": "", **more}
    told = {"setting": "resnet8*0.5, digits", "runs": ["dense-1", "ticket-2"] if numbers["n"] else [], "published": 4.5}
    return {"claim": claim, "paper": paper, "scale": "quick", "verdict": word, **numbers, **told, **more}


def folder(path: Path, *verdicts: dict[str, Any], **states: dict[str, Any]) -> Path:
    """A report folder with these verdicts, and a record for each study of `states`."""
    path.mkdir(parents=True)
    (path / "verdicts.json").write_text(json.dumps(verdicts))
    for study, more in states.items():
        made = {"environment": {"date": "2026-11-21T10:20:05+00:00", "commit": "abc"}, "seconds": 61.0}
        record = {"study": study, "scale": "quick", "status": "done", "error": None, "verdicts": [], **made, **more}
        (path / f"{study}.result.json").write_text(json.dumps(record))
    return path


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    failed = {"status": "failed", "error": "UserError: no <data>"}
    one = verdict("A1a", "refuted", effect=-3.0)
    return folder(tmp_path / "out" / "quick", one, existence={}, sanity_checks=failed)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    listed = [verdict("A1a", "supported"), verdict("A2", "untested"), verdict("B1", "undecided", "sanity_checks")]
    return folder(tmp_path / "kept" / "quick", *listed, existence={}, sanity_checks={}, verdicts={})


@pytest.fixture
def large(tmp_path: Path) -> Path:
    return folder(tmp_path / "kept" / "mnist", verdict("A2", "supported", scale="mnist", runs=["dense-9"]))


# Reading


def test_a_row_a_claim_of_six_papers_and_a_group_a_scale(old: Path, large: Path) -> None:
    frame = board([large, old])
    assert scales(frame) == ["quick", "mnist"]  # from small to large, however they were given
    assert list(frame.index[:2]) == ["A1a", "A1b"]
    assert list(dict.fromkeys(frame["claim", "paper"])) == list(places.PAPERS)
    assert len(frame) == sum(map(len, places.PAPERS.values()))
    assert [what for scale, what in frame.columns if scale == "quick"] == list(FIELDS)
    cell = frame.loc["A1a", "quick"]
    assert (cell["verdict"], cell["effect"], cell["low"], cell["high"]) == ("supported", 1.25, 0.5, 2.0)
    assert (cell["margin"], cell["n"], cell["unit"], cell["runs"]) == (
        0.5,
        5,
        "accuracy points",
        ["dense-1", "ticket-2"],
    )
    assert frame.loc["A1a", ("claim", "published")] == "no clear gap"
    assert frame.loc["A2", ("claim", "published")] == "4.5 (derived)"


def test_what_has_no_record_is_not_run(old: Path, large: Path) -> None:
    frame = board([old, large])
    empty = frame.loc["A1a", "mnist"]
    assert empty["verdict"] == "not run"
    assert math.isnan(empty["effect"])
    assert (empty["n"], empty["runs"], empty["reason"]) == (0, [], "")
    assert frame.loc["A2", "quick"]["reason"] == "no vgg16 here"
    assert set(frame.loc[frame["claim", "paper"] == "greedy_bounds", ("quick", "verdict")]) == {"not run"}


def test_the_first_place_wins_claim_by_claim_and_says_which_it_is(fresh: Path, old: Path) -> None:
    frame = board([fresh, old])
    assert frame.loc["A1a", ("quick", "verdict")] == "refuted"
    assert frame.loc["A1a", ("quick", "source")] == "out/quick"  # two parts: no folder of this machine
    assert frame.loc["B1", ("quick", "verdict")] == "undecided"
    assert frame.loc["B1", ("quick", "source")] == "kept/quick"
    assert board([old, fresh]).loc["A1a", ("quick", "verdict")] == "supported"


def test_a_place_of_the_checkout_is_named_from_there() -> None:
    assert places.label(ROOT / "reports" / "reference" / "quick" / "verdicts.json") == "reports/reference/quick"


def test_claims_that_the_kit_does_not_know_come_last(tmp_path: Path) -> None:
    frame = board([folder(tmp_path / "own", verdict("Z9", "supported", "mine", published="by me", scale="zoo"))])
    assert frame.index[-1] == "Z9"
    assert frame.loc["Z9", ("claim", "paper")] == "mine"
    assert scales(frame) == ["zoo"]
    assert counts(frame).loc["mine", ("zoo", "supported")] == 1


def test_a_scale_where_everything_failed_is_on_the_board(tmp_path: Path) -> None:
    frame = board([folder(tmp_path / "quick", existence={"status": "failed", "error": "x"})])
    assert scales(frame) == ["quick"]
    assert set(frame["quick", "verdict"]) == {"not run"}


def test_a_board_of_nothing() -> None:
    frame = board([])
    assert scales(frame) == []
    assert len(nowhere(frame)) == len(frame)
    assert counts(frame).shape == (6, 0)
    assert "A1a" in show_board(frame).data


def test_how_studies_ended(fresh: Path, old: Path, large: Path) -> None:
    table = places.states([fresh, old, large])
    rows = [tuple(row) for row in table[["scale", "study", "status", "source"]].itertuples(index=False)]
    assert rows[:4] == [
        ("quick", "existence", "done", "out/quick"),
        ("quick", "sanity_checks", "failed", "out/quick"),
        ("quick", "sanity_checks", "done", "kept/quick"),  # its verdicts are the ones on the board
        ("quick", "mode_connectivity", "not run", None),
    ]
    assert ("mnist", "existence", "done", "kept/mnist") in rows  # no record there, but verdicts
    assert table["error"].dropna().tolist() == ["UserError: no <data>"]
    assert "verdicts" not in set(table["study"])
    page = board_views.show_states([fresh, old, large]).data
    assert "no &lt;data&gt;" in page
    assert "out/quick, 2026-11-21, commit abc" in page


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "holds no verdicts.json; `ltkit report` writes one"),
        ("{", "not JSON"),
        (
            "{}",
            "not a list of verdicts, each with a 'claim' and a 'verdict' of supported, refuted, undecided, untested",
        ),
        ('[{"claim": "A1a", "verdict": "true"}]', "not a list of verdicts"),
        ('[{"claim": "A2", "verdict": "refuted"}, {"claim": "A2", "verdict": "refuted"}]', "A2 is there twice"),
    ],
)
def test_a_place_without_verdicts(tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "verdicts.json").write_text(content)
    with pytest.raises(UserError) as error:
        places.read_verdicts(tmp_path)
    assert said in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_a_place_that_is_not_there_or_one_too_high(old: Path) -> None:
    with pytest.raises(UserError, match="no such report folder"):
        places.read_verdicts(old / "absent")
    with pytest.raises(UserError, match=r"did you mean '.*kept/quick'\?"):
        places.read_verdicts(old.parent)


def test_the_scale_of_verdicts_that_do_not_name_it_is_their_folder(tmp_path: Path) -> None:
    path = folder(tmp_path / "quick", {"claim": "A2", "verdict": "refuted"})
    assert places.read_verdicts(path)[0]["scale"] == "quick"


def test_which_folders_are_read(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LTKIT_REPORTS", raising=False)
    kept = places.kept()
    assert {"mnist", "quick"} <= {path.name for path in kept}
    assert places.folders() == kept
    monkeypatch.setenv("LTKIT_REPORTS", str(fresh))
    assert places.folders() == [fresh, *kept]
    assert places.folders(["here"]) == [Path("here")]


def test_parameters_name_folders_wherever_the_kernel_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = ROOT / "notebooks" / "verdicts.ipynb"
    monkeypatch.chdir(tmp_path)
    assert notebook.combine(path, {"reports": ["x"]}, "p") == {"reports": [str(tmp_path / "x")]}
    assert notebook.defaults(path) == {"reports": []}


# Counting and choosing


def test_counts_by_hand(old: Path, large: Path) -> None:
    table = counts(board([old, large]))
    assert list(table.columns.get_level_values(1)) == [*EVERY, *EVERY]
    assert table.loc["existence", "quick"].tolist() == [1, 0, 0, 1, len(EXISTENCE) - 2]
    assert table.loc["sanity_checks", "quick"].tolist() == [0, 0, 1, 0, 15]
    assert table.loc["existence", "mnist"].tolist() == [1, 0, 0, 0, len(EXISTENCE) - 1]
    page = BeautifulSoup(board_views.show_counts(board([old, large])).data, "html.parser")
    first = [cell.get_text() for cell in page.select("tbody tr")[0].select("th, td")]
    assert first == ["existence (21)", "1 ✓ supported 1 – untested 19 not run", "1 ✓ supported 20 not run"]


def test_what_no_scale_has_tested(old: Path, large: Path) -> None:
    both = nowhere(board([old, large])).index
    assert not {"A1a", "A2", "B1"} & set(both)  # untested at quick, but tested at mnist
    assert "A2" in nowhere(board([old])).index


def test_choosing(old: Path, large: Path) -> None:
    frame = board([old, large])
    assert set(chosen(frame, paper="existence")["claim", "paper"]) == {"existence"}
    assert list(chosen(frame, verdict="supported").index) == ["A1a", "A2"]
    assert list(chosen(frame, verdict="supported", scale="mnist").index) == ["A2"]
    assert scales(chosen(frame, scale="mnist")) == ["mnist"]
    assert chosen(frame, "sanity_checks", "refuted").empty
    for wrong, said in (
        ({"paper": "existenc"}, r"no paper 'existenc' \(did you mean 'existence'\?\)"),
        ({"verdict": "true"}, "no verdict 'true'"),
        ({"scale": "paper"}, "no scale 'paper'; there are quick, mnist"),
    ):
        with pytest.raises(UserError, match=said):
            chosen(frame, **wrong)


# Showing


def test_the_board_as_a_table(fresh: Path, old: Path, large: Path) -> None:
    soup = BeautifulSoup(show_board(board([fresh, old, large]), paper="existence").data, "html.parser")
    assert [head.get_text(" ") for head in soup.select("thead th")][:3] == [
        "Claim",
        "What the paper says",
        "quick out/quick kept/quick",
    ]
    first, second = soup.select("tbody tr")[0], soup.select("tbody tr")[2]
    quick, mnist = first.select("td.effect")
    assert quick["data-label"] == "quick"  # what a phone shows instead of the head
    for part in ("✕ refuted", "−3.00", "(+0.50 to +2.00)", "accuracy points; margin 0.5, n 5", "ResNet-8 ×0.5, digits"):
        assert part in quick.get_text(), part
    assert "from out/quick" in quick.get_text()
    assert quick.select_one("details summary").get_text() == "2 runs"
    assert quick.select_one("details .note").get_text() == "dense-1, ticket-2"
    assert mnist.get_text() == "not run"
    assert second.select("td.effect")[0].get_text() == "– untestedno VGG-16 herefrom kept/quick"
    assert "1 run" in second.select("td.effect")[1].get_text()
    assert "published: 4.5 (derived)" in second.get_text()
    assert not soup.select("script, [onclick]")


def test_everything_in_the_table_is_escaped(tmp_path: Path) -> None:
    bad = "<script>x</script>"
    one = verdict("A1a", "refuted", setting=bad, unit=bad, reason=bad, runs=[bad])
    assert "<script" not in show_board(board([folder(tmp_path / "q", one)])).data


def test_a_choice_without_claims_says_so(old: Path) -> None:
    assert "No claim is like that" in show_board(board([old]), "sanity_checks", "refuted").data


def test_the_explorer_filters_and_a_headless_run_has_none(
    old: Path, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(IPython.display, "display", lambda *given, **_: shown.extend(given))
    frame = board([old, large])
    monkeypatch.setenv("LTKIT_HEADLESS", "1")
    assert board_views.explore_board(frame) is None
    monkeypatch.delenv("LTKIT_HEADLESS")
    box = board_views.explore_board(frame)
    paper, word, scale = box.children[0].children
    assert len(shown) == 1
    assert "A1a" in shown[-1].data
    paper.value = "sanity_checks"
    assert "A1a" not in shown[-1].data
    word.value = "supported"
    assert "No claim is like that" in shown[-1].data
    paper.value = ""
    assert 'data-label="quick"' in shown[-1].data
    scale.value = "mnist"
    assert 'data-label="quick"' not in shown[-1].data
    assert len(shown) == 5


# Disputes

ONE = disputes.Dispute(
    "one", "Which?", disputes.Side("one", "yes", ("A1a", "A2")), disputes.Side("two", "no", ("B1",)), "that"
)
CAUSE = disputes.Dispute(
    "cause", "Why?", disputes.Side("three", "so", ("E10",)), disputes.Side("four", "not so", denies=("E10",)), "this"
)


@pytest.mark.parametrize(
    ("a1a", "a2", "b1", "said"),
    [
        ("supported", "supported", "supported", "both held"),
        ("supported", "untested", "refuted", "only one held"),
        ("refuted", "supported", "supported", "only two held"),
        ("refuted", "undecided", "refuted", "neither held"),
        ("supported", "undecided", "refuted", "undecided"),
        ("supported", "supported", "undecided", "undecided"),
        ("supported", "supported", "untested", "not both tested"),
        ("untested", "not run", "supported", "not both tested"),
        ("untested", "not run", "not run", "not tested"),
    ],
)
def test_outcomes_by_hand(a1a: str, a2: str, b1: str, said: str) -> None:
    assert disputes.outcome(ONE, {"A1a": a1a, "A2": a2, "B1": b1}) == said


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("supported", "only three held"),
        ("refuted", "only four held"),
        ("undecided", "undecided"),
        ("untested", "not tested"),
        (None, "not tested"),
    ],
)
def test_a_side_that_only_denies_a_claim(word: str | None, said: str) -> None:
    assert disputes.outcome(CAUSE, {"E10": word} if word else {}) == said


def test_disputes_are_about_claims_that_exist_and_sides_of_different_papers() -> None:
    known = {claim.id: claim.paper for claims in places.PAPERS.values() for claim in claims}
    assert len({dispute.name for dispute in disputes.DISPUTES}) == len(disputes.DISPUTES)
    for dispute in disputes.DISPUTES:
        for side in (dispute.first, dispute.second):
            assert side.claims or side.denies or side.who not in known.values()
            assert set(side.claims) | set(side.denies) <= set(known)
            assert {known[id] for id in side.claims} <= {side.who}
        assert dispute.first.who != dispute.second.who
    asked = {id for dispute in disputes.DISPUTES for side in (dispute.first, dispute.second) for id in side.claims}
    assert {"A6b", "E7", "C16", "C17", "D15", "A8", "E11", "E10", "E6a", "F15"} <= asked


def test_the_disputes_of_a_board(tmp_path: Path) -> None:
    listed = [
        verdict("A8", "refuted", effect=-16.0),
        verdict("E11", "supported", "weight_correlation"),
        verdict("E10", "refuted", "weight_correlation"),
        verdict("C16", "supported", "mode_connectivity"),
        verdict("C17", "untested", "mode_connectivity"),
        verdict("D15", "supported", "gradient_flow"),
    ]
    frame = board([folder(tmp_path / "quick", *listed)])
    table = disputes.shown(frame).set_index("dispute")
    assert table["outcome"].to_dict() == {
        "imp_omp": "not tested",
        "basin": "both held",
        "learning_rate": "only weight_correlation held",
        "correlation": "not both tested",
        "fine_tuning": "not tested",
        "from_scratch": "not tested",
    }
    assert table.loc["basin", "first_claims"] == "C16 supported, C17 untested"
    soup = BeautifulSoup(disputes.show_disputes(frame).data, "html.parser")
    assert [h.get_text() for h in soup.select("h4")] == [dispute.question for dispute in disputes.DISPUTES]
    row = soup.select("table")[2].select_one("tbody tr")
    assert "A8 ✕ refuted −16.00 (+0.50 to +2.00) accuracy points, n 5" in row.get_text()
    assert row.select("td")[-1].get_text() == "only weight_correlation held"
    told = soup.select("table")[3].get_text()
    assert "E10 ✕ refuted" in told
    assert "no claim here tests it" in told
    assert "against F15 not run" in soup.select("table")[5].get_text()
    assert len(soup.select("tbody tr")) == len(disputes.DISPUTES)


def test_a_dispute_over_a_claim_that_a_board_lacks(tmp_path: Path) -> None:
    side = disputes.Side("x", "y", ("Q1",))
    odd = disputes.Dispute("odd", "?", side, disputes.Side("z", "n", denies=("Q1",)), "")
    frame = board([folder(tmp_path / "quick", verdict("A8", "refuted"))])
    assert disputes.shown(frame, [odd])["outcome"].tolist() == ["not tested"]
    assert "not run" in disputes.show_disputes(frame, [odd]).data


# The kept reports and README


def test_the_kept_reports_are_on_the_board() -> None:
    frame = board(places.kept())
    assert {"quick", "mnist"} <= set(scales(frame))
    for scale in scales(frame):
        listed = json.loads((ROOT / "reports" / "reference" / scale / "verdicts.json").read_text())
        assert int((frame[scale, "verdict"] != "not run").sum()) == len(listed)
    assert (frame["claim", "sentence"] != "").all()
    assert set(frame.index[frame["claim", "paper"] == "weight_correlation"]) == {one.id for one in WEIGHT_CORRELATION}


def test_readmes_figure_is_that_of_the_kept_report() -> None:
    assert tool.FIGURE.read_bytes() == tool.figure(tool.PAGE.read_text("utf-8")), "run .venv/bin/python tools/board.py"
    assert f"]({tool.FIGURE.relative_to(ROOT)})" in (ROOT / "README.md").read_text()
    with pytest.raises(ValueError, match="no picture"):
        tool.figure("<p>nothing</p>")


def test_readme_has_the_board_of_the_kept_reports() -> None:
    readme = (ROOT / "README.md").read_text()
    assert readme == tool.written(readme, tool.text(board(places.kept()))), "run .venv/bin/python tools/board.py"


def test_the_small_board(old: Path, large: Path) -> None:
    lines = tool.text(board([old, large])).splitlines()
    assert lines[0].startswith("What came out so far, as supported / refuted / undecided / untested.")
    assert lines[3].startswith("| paper | claims | [`quick`](reports/reference/quick/index.html) | [`mnist`]")
    assert lines[5] == "| existence | 21 | 1 / 0 / 0 / 1 (19 not run) | 1 / 0 / 0 / 0 (20 not run) |"
    assert lines[7] == "| mode connectivity | 28 | not run | not run |"
    total = len(board([old]))
    assert lines[-1] == f"| all | {total} | 1 / 0 / 1 / 1 ({total - 3} not run) | 1 / 0 / 0 / 0 ({total - 1} not run) |"


def test_only_what_stands_between_the_marks_changes() -> None:
    text = f"a\n{tool.BEGIN}\nold\n{tool.END}\nb\n"
    assert tool.written(text, "new\n") == f"a\n{tool.BEGIN}\n\nnew\n\n{tool.END}\nb\n"
    assert tool.written(tool.written(text, "new\n"), "new\n") == tool.written(text, "new\n")
    for bad in ("none", f"{tool.END}{tool.BEGIN}", text + text):
        with pytest.raises(ValueError, match=r"README.md needs"):
            tool.written(bad, "new")


def test_columns_survive_a_round_through_the_long_form(old: Path, large: Path) -> None:
    frame = board([old, large])
    words = frame.xs("verdict", axis=1, level="what")
    assert list(words.columns) == ["quick", "mnist"]
    assert isinstance(words, pd.DataFrame)
    assert words.loc["A2"].tolist() == ["untested", "supported"]
