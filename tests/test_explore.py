"""Explorers: every control changes the figure; headless there is none."""

from __future__ import annotations

from typing import Any

import IPython.display
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from ltkit.show import existence
from ltkit.show.explore import control, explorer, headless

mpl.use("Agg")


@pytest.fixture
def table() -> pd.DataFrame:
    random = np.random.default_rng(3)
    rows = [
        {"network": network, "lr": lr, "mask_lr": lr, "epochs": 5, "arm": arm, "level": level, "density": 0.5**level}
        | {"seed": seed, "train_loss": 0.1, "outcome": "finished", "run": "a"}
        | {"accuracy": 90 - level + random.random(), "validation": 91 - level}
        for network in ("lenet_300_100", "resnet8")
        for lr in (0.01, 0.1)
        for seed in range(3)
        for arm, levels in (("dense", (0,)), ("lt_imp", (1, 2)), ("rr_imp", (1, 2)), ("lt_omp", (1, 2)))
        for level in levels
    ]
    return pd.DataFrame(rows)


@pytest.fixture(autouse=True)
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was displayed, in order; a session without LTKIT_HEADLESS."""
    found: list[Any] = []
    monkeypatch.setattr(IPython.display, "display", lambda *given, **_: found.extend(given))
    monkeypatch.delenv("LTKIT_HEADLESS", raising=False)
    return found


def titles(figure: Any) -> list[str]:
    return [axes.get_title("left") for axes in figure.axes]


def test_every_control_changes_the_figure(table: pd.DataFrame, shown: list[Any]):
    choices = existence.explore_choices(table)
    box = explorer(existence.explore_plot, table, **choices)
    network, lr, arms, statistic = box.children[0].children
    assert len(shown) == 1
    assert shown[-1].get_suptitle() == "LeNet-300-100"
    assert titles(shown[-1]) == ["learning rate 0.01", "learning rate 0.1"]

    network.value = "resnet8"
    assert shown[-1].get_suptitle() == "ResNet-8"
    lr.value = 0.1
    assert titles(shown[-1]) == ["learning rate 0.1"]
    statistic.value = "training loss"
    assert shown[-1].axes[0].get_ylabel() == "training loss"
    arms.value = dict(arms.options)["IMP and OMP"]
    drawn = [text.get_text() for text in shown[-1].legends[0].get_texts()]
    assert "ticket (OMP)" in drawn
    assert "same mask, fresh weights" not in drawn
    assert shown[-1].alt == (
        "Figure for network ResNet-8, learning rate 0.1, arms IMP and OMP, statistic training loss"
    )
    assert len(shown) == 5  # one figure a change, and none twice


def test_every_combination_can_be_drawn(table: pd.DataFrame):
    partial = table[(table["network"] != "resnet8") | ((table["lr"] == 0.1) & (table["arm"] != "lt_omp"))]
    choices = existence.explore_choices(partial)
    for network in choices["network"].values():
        for lr in choices["lr"].values():
            for statistic in choices["statistic"]:
                arms = choices["arms"]["all of these"]
                assert existence.explore_plot(partial, network, lr, arms, statistic).axes


def test_choices_name_only_what_the_table_has(table: pd.DataFrame):
    choices = existence.explore_choices(table)
    assert choices["network"] == {"LeNet-300-100": "lenet_300_100", "ResNet-8": "resnet8"}
    assert choices["lr"] == {"all": "all", "0.01": 0.01, "0.1": 0.1}
    assert "ticket and fresh weights" in choices["arms"]
    fresh = existence.explore_choices(table[table["arm"].isin(["dense", "lt_omp"])])
    assert "both masks, fresh weights" not in fresh["arms"]


@pytest.mark.parametrize(
    ("options", "kind", "labels"),
    [
        ([0.01, 0.1], "SelectionSlider", ("0.01", "0.1")),
        (["a", "b"], "Dropdown", ("a", "b")),
        ([0.1], "Dropdown", ("0.1",)),
        ([True, False], "Dropdown", ("True", "False")),
        ({"small": 0.01, "large": 0.1}, "Dropdown", ("small", "large")),
    ],
)
def test_numbers_get_a_slider_and_the_rest_a_menu(options: Any, kind: str, labels: tuple[str, ...]):
    made = control("mask_lr", options)
    assert type(made).__name__ == kind
    assert tuple(label for label, _ in made.options) == labels
    assert made.description == "mask lr"
    assert made.tooltip == "choose mask lr"
    assert control("lr", options).description == "learning rate"


def test_figures_of_pyplot_are_closed(table: pd.DataFrame, shown: list[Any]):
    from matplotlib import pyplot

    def plot(rows: pd.DataFrame, level: int) -> Any:
        figure, axes = pyplot.subplots()
        axes.set_title(f"{len(rows)} rows, level {level}", loc="center")  # whatever style another test left
        return figure

    box = explorer(plot, table, level=[1, 2])
    box.children[0].children[0].value = 2
    assert [figure.axes[0].get_title() for figure in shown] == [f"{len(table)} rows, level {n}" for n in (1, 2)]
    assert pyplot.get_fignums() == []


def test_headless_there_is_no_explorer(table: pd.DataFrame, shown: list[Any], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LTKIT_HEADLESS", "1")
    assert headless()
    assert explorer(existence.explore_plot, table, **existence.explore_choices(table)) is None
    assert shown == []
    monkeypatch.setenv("LTKIT_HEADLESS", "0")
    assert not headless()


def test_an_empty_table_has_nothing_to_explore(table: pd.DataFrame, shown: list[Any], capsys: Any):
    nothing = table.iloc[:0]
    assert explorer(existence.explore_plot, nothing, **existence.explore_choices(nothing)) is None
    assert capsys.readouterr().out == "Nothing to explore: the table has no rows.\n"
    assert shown == []


def test_a_choice_of_nothing_is_named(table: pd.DataFrame):
    with pytest.raises(ValueError, match="nothing to choose from for lr"):
        explorer(existence.explore_plot, table, network=["lenet_300_100"], lr=[])
