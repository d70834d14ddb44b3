"""A ticket from the inside: the table says what the store holds, the figure what the table says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from ltkit import params
from ltkit.errors import UserError
from ltkit.lab import Lab
from ltkit.prune import tickets
from ltkit.show import existence as figures
from ltkit.show.existence_ticket import percent
from ltkit.spec import Task
from ltkit.studies import existence, existence_ticket
from ltkit.studies.existence import Params

mpl.use("Agg")

ROOT = Path(__file__).resolve().parents[1]
NETWORK, GOOD, BAD = "lenet_300_100*0.05", 0.02, 100.0


@pytest.fixture(scope="module")
def setting(tiny: Task) -> Params:
    """Two rounds of a tiny LeNet, at a learning rate that trains and at one that diverges."""
    smoke = params.load(ROOT / "params/smoke/existence.yaml", Params).model_dump()
    own = {"data": tiny.data, "networks": [NETWORK], "contrasts": [], "claim_network": NETWORK, "lrs": [GOOD, BAD]}
    own |= {"batch_size": 16, "weight_decay": 0.3}  # large steps of much decay end in infinity
    levels = {"levels": [2], "contrast_levels": [2], "claim_level": 2, "overlap_level": 2}
    return Params(**{**smoke, **own, **levels, "lr_small": GOOD, "lr_large": BAD, "rewind_epoch": 0})


@pytest.fixture(scope="module")
def lab(setting: Params, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    made = Lab(tmp_path_factory.mktemp("ticket"), device="cpu", progress=False, compile="never")
    made.run(run for lr in setting.lrs for seed in setting.seeds for _, run in arms(setting, lr, seed))
    return made


@pytest.fixture(scope="module")
def table(setting: Params, lab: Lab) -> pd.DataFrame:
    return existence_ticket.ticket(setting, lab)


def arms(setting: Params, lr: float, seed: int) -> Iterator[tuple[tuple[str, int], Any]]:
    whole = existence.dense(setting, NETWORK, lr, seed)
    one, two = tickets.imp(whole, rounds=2, rate=setting.rate)
    yield from ((("dense", 0), whole), (("lt_imp", 1), one), (("lt_imp", 2), two), (("rr_imp", 2), tickets.reinit(two)))


def test_layers_are_the_masks_share_of_each(setting: Params, lab: Lab, table: pd.DataFrame):
    rows = table[(table["what"] == "layer") & (table["lr"] == GOOD)]
    assert set(rows["seed"]) == {setting.seeds[0]}
    assert (rows[rows["level"] == 0]["value"] == 1).all()
    runs = dict(arms(setting, GOOD, setting.seeds[0]))
    for level in (1, 2):
        mask = lab.mask(runs["lt_imp", level])
        mine = rows[rows["level"] == level]
        assert list(mine["name"]) == ["fc1.weight", "fc2.weight", "fc3.weight"]
        assert list(mine["value"]) == [int(m.sum()) / m.numel() for m in mask.values()]
        kept = sum(share * m.numel() for share, m in zip(mine["value"], mask.values(), strict=True))
        assert kept / sum(m.numel() for m in mask.values()) == pytest.approx(0.7**level, abs=0.002)
        assert set(mine["density"]) == {float(f"{0.7**level:.3g}")}


def test_histograms_are_those_of_the_kept_weights(setting: Params, lab: Lab, table: pd.DataFrame):
    rows = table[(table["what"] == "weights") & (table["lr"] == GOOD)]
    run = dict(arms(setting, GOOD, setting.seeds[0]))["lt_imp", 2]
    mask = lab.mask(run)
    for moment, state in (("start", lab.weights(run, 0)), ("end", lab.weights(run))):
        values = np.concatenate([state[name].numpy()[m.numpy()] for name, m in mask.items()])
        mine = rows[(rows["level"] == 2) & (rows["name"] == moment)]
        for row in mine.itertuples():
            inside = ((values >= row.low) & (values < row.high)).sum() / len(values)
            assert row.value * (row.high - row.low) == pytest.approx(inside, abs=2 / len(values))
        assert (mine["value"] * (mine["high"] - mine["low"])).sum() > 0.95  # the bins reach the 99 % quantile
    ends = rows.groupby(["level", "name"]).agg({"low": "min", "high": "max"})
    assert len(ends.drop_duplicates()) == 1, "one axis for all rounds"


def test_accuracies_are_those_of_all_seeds(setting: Params, lab: Lab, table: pd.DataFrame):
    rows = table[(table["what"] == "accuracy") & (table["lr"] == GOOD)]
    assert len(rows) == 4 * len(setting.seeds)
    for seed in setting.seeds:
        for (name, level), run in arms(setting, GOOD, seed):
            mine = rows[(rows["name"] == name) & (rows["level"] == level) & (rows["seed"] == seed)]
            assert list(mine["value"]) == [lab.table([({}, run)])["accuracy"].item()]


def test_what_diverged_has_no_inside(table: pd.DataFrame):
    rows = table[table["lr"] == BAD]
    assert set(rows["what"]) == {"accuracy"}
    assert rows["value"].isna().all()
    figure = figures.ticket_plot(table, 0.49, NETWORK, BAD)
    assert "diverged" in figure.axes[0].texts[0].get_text()


# The figure, on a table made by hand


@pytest.fixture
def made() -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for level, density in enumerate((1.0, 0.5, 0.25)):
        at = {"network": "lenet_300_100", "lr": 0.1, "level": level, "density": density}
        for name, share in (("fc1.weight", 0.9 * density), ("fc2.weight", min(1.0, 2 * density))):
            rows.append({**at, "seed": 3, "what": "layer", "name": name, "value": share})
        for moment in ("start", "end"):
            for low in (-1.0, 0.0):
                bins = {"low": low, "high": low + 1, "value": 0.5 + 0.1 * level * (moment == "end")}
                rows.append({**at, "seed": 3, "what": "weights", "name": moment, **bins})
        for seed in (3, 4):
            for name in ["dense"] if level == 0 else ["lt_imp", "rr_imp"]:
                value = 97 - level - (name == "rr_imp") + 0.1 * seed
                rows.append({**at, "seed": seed, "what": "accuracy", "name": name, "value": value})
    return pd.DataFrame(rows, columns=list(existence_ticket.COLUMNS))


def by_gid(axes: Any) -> dict[str, Any]:
    return {artist.get_gid(): artist for artist in axes.get_children() if artist.get_gid()}


def test_the_figure_says_what_the_table_says(made: pd.DataFrame):
    figure = figures.ticket_plot(made, 0.5, "lenet_300_100", 0.1)
    layers, weights, accuracy = figure.axes
    assert [bar.get_width() for bar in layers.patches] == [0.45, 1.0]
    assert [label.get_text() for label in layers.get_yticklabels()] == ["fc1", "fc2"]
    assert [text.get_text() for text in layers.texts] == ["45 %", "100 %"]
    assert list(by_gid(layers)["all"].get_xdata()) == [0.5, 0.5]
    for moment, height in (("start", 0.5), ("end", 0.6)):
        values, edges, _ = by_gid(weights)[f"weights:{moment}"].get_data()
        assert list(values) == [height, height]
        assert list(edges) == [-1, 0, 1]
    assert by_gid(accuracy)["mean:lt_imp"].get_ydata().tolist() == pytest.approx([95.35, 96.35])  # at .25 and .5
    assert by_gid(accuracy)["mean:rr_imp"].get_ydata().tolist() == pytest.approx([94.35, 95.35])
    assert list(by_gid(accuracy)["here"].get_xdata()) == [0.5, 0.5]
    assert figure.get_suptitle() == "LeNet-300-100, learning rate 0.1, density 0.5 (masks and weights of seed 3)"
    assert figure.png().startswith(b"\x89PNG")


def test_the_slider_goes_from_dense_to_sparse_and_every_place_can_be_drawn(made: pd.DataFrame):
    choices = figures.ticket_choices(made)
    assert choices == {
        "density": [1.0, 0.5, 0.25],
        "network": {"LeNet-300-100": "lenet_300_100"},
        "lr": {"0.1": 0.1},
    }
    drawn = [figures.ticket_plot(made, density, "lenet_300_100", 0.1) for density in choices["density"]]
    assert len({figure.get_suptitle() for figure in drawn}) == 3
    assert drawn[0].get_suptitle().startswith("LeNet-300-100, learning rate 0.1, dense")


def test_what_is_not_there_is_said(made: pd.DataFrame):
    assert "no such ticket" in figures.ticket_plot(made, 0.1, "lenet_300_100", 0.1).axes[0].texts[0].get_text()
    assert "no such ticket" in figures.ticket_plot(made, 0.5, "lenet_300_100", 0.03).axes[0].texts[0].get_text()
    with pytest.raises(UserError, match=r"no network 'lenet_5' in the table"):
        figures.ticket_plot(made, 0.5, "lenet_5", 0.1)


@pytest.mark.parametrize(("share", "word"), [(1, "100 %"), (0.341, "34 %"), (0.028, "2.8 %"), (0.00045, "0.045 %")])
def test_shares_are_exact_enough_for_few_weights(share: float, word: str):
    assert percent(share) == word
