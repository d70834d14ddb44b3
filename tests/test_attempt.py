"""Pictures of answers to exercises: the answer stands where it was given."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import pandas as pd
import pytest

from ltkit.show import attempt

mpl.use("Agg")


def by_gid(figure: Any) -> dict[str, Any]:
    return {artist.get_gid(): artist for artist in figure.axes[0].get_children() if artist.get_gid()}


def test_an_answer_is_a_place_or_a_level():
    drawn = by_gid(attempt.curve([0, 1, 2], [1.0, 0.5, 0.25], "rounds", "density", at=1.5, limit=0.3))
    assert drawn["curve"].get_ydata().tolist() == [1.0, 0.5, 0.25]
    assert list(drawn["answer"].get_xdata()) == [1.5, 1.5]
    assert list(drawn["limit"].get_ydata()) == [0.3, 0.3]
    figure = attempt.curve(range(3), range(3), "x", "y", level=2)
    assert list(by_gid(figure)["answer"].get_ydata()) == [2, 2]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["your answer"]
    assert figure.png().startswith(b"\x89PNG")


def test_an_interval_stands_beside_its_margin():
    drawn = by_gid(attempt.interval(0.05, 0.45, 0.3))
    assert drawn["interval"].get_xdata().tolist() == [0.05, 0.45]
    assert drawn["mean"].get_xdata().tolist() == [0.25]
    band = drawn["margin"].get_extents().transformed(drawn["margin"].axes.transData.inverted())
    assert (band.x0, band.x1) == pytest.approx((-0.3, 0.3))


def test_runs_stand_beside_each_other_and_a_missing_one_is_said_to_be():
    rows = [("ticket", 91.0, "finished"), ("yours", None, "missing"), ("other", None, "diverged")]
    figure = attempt.beside(pd.DataFrame(rows, columns=["name", "accuracy", "outcome"]))
    assert by_gid(figure)["run:ticket"].get_xdata().tolist() == [91.0]
    assert "run:yours" not in by_gid(figure)
    assert [text.get_text() for text in figure.axes[0].texts] == ["91.0 %", "not trained yet", "diverged"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["ticket", "yours", "other"]
    nothing = pd.DataFrame([("yours", float("nan"), "missing")], columns=["name", "accuracy", "outcome"])
    assert attempt.beside(nothing).png().startswith(b"\x89PNG")
