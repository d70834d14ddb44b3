"""Ranks of exact picks among first-order scores, against finite differences, and what a pick costs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, fx

from ltkit import models
from ltkit.analyze import greedy_costs
from ltkit.models.plain import torch_module
from ltkit.prune.channels import Group, groups
from ltkit.prune.slim import folded
from ltkit.seeds import generator
from ltkit.spec import Init, Network


def network(arch: str = "lenet_300_100", width: float = 0.05) -> tuple[fx.GraphModule, Tensor]:
    """Biases are shaken: with those of 0, what a dead neuron gives lies on the next ReLU's kink."""
    known, draw = Network(arch=arch, width=width), generator("costs")
    fresh = models.init(known, (1, 8, 8), 5, Init())
    state = {name: t + (0.1 * torch.rand(t.shape, generator=draw) if t.dim() == 1 else 0) for name, t in fresh.items()}
    module = torch_module(known, (1, 8, 8), 5, state).double()
    return module, torch.randn(12, 1, 8, 8, generator=draw, dtype=torch.float64)


@torch.no_grad()
def discrepancy(module: fx.GraphModule, group: Group, x: Tensor, weights: np.ndarray) -> float:
    whole = module(x)
    with folded(module, group, weights):
        return float((module(x) - whole).square().sum(1).mean())


@pytest.mark.parametrize(("arch", "width", "which"), [("lenet_300_100", 0.05, 0), ("resnet8", 0.5, 1)])
def test_ranks_are_those_of_the_whole_network(arch: str, width: float, which: int) -> None:
    """Every neuron tried and every slope taken by a small difference, in the network run as a whole."""
    module, x = network(arch, width)
    group = groups(module)[which]
    every, tiny = np.eye(group.channels), 1e-5
    found = greedy_costs.shortlist_ranks(module, group, x, 5)
    assert found.columns.tolist() == ["step", "pick", "rank"]
    assert found["step"].tolist() == [2, 3, 4, 5]
    weights = every[np.argmin([discrepancy(module, group, x, e) for e in every])]
    for step, pick, rank in found.itertuples(index=False):
        after = [discrepancy(module, group, x, weights + (e - weights) / step) for e in every]
        assert pick == np.argmin(after)
        here = discrepancy(module, group, x, weights)
        slopes = [(discrepancy(module, group, x, weights + (e - weights) * tiny) - here) / tiny for e in every]
        assert rank == 1 + sum(slope < slopes[pick] for slope in slopes)
        weights = weights + (every[pick] - weights) / step
    assert found["rank"].nunique() > 1


def test_a_pick_costs_passes_by_its_form() -> None:
    module, x = network()
    group = groups(module)[0]
    table = greedy_costs.costs(module, group, x, 4).set_index("form")
    assert table.columns.tolist() == ["seconds", "passes"]
    assert (table["seconds"] > 0).all()
    assert table["passes"]["gram"] == table["passes"]["direct"] == 1 / 4
    assert 15 < table["passes"]["global"] <= 16  # all 15 neurons, and the share of the one pass before
    for form, shortlist in (("global", None), ("shortlist", 10)):
        made = len(_path(module, group, x, shortlist))
        each = 15 if shortlist is None else 12  # a gradient is two
        assert table["passes"][form] == pytest.approx((1 + 15 + each * (made - 1)) / made)


def _path(module: fx.GraphModule, group: Group, x: Tensor, shortlist: int | None) -> list[int]:
    answers = greedy_costs._answers(module, group, x)
    return greedy_costs.imitate(answers, group.channels, 4, shortlist=shortlist).picks.tolist()


def test_contributions_too_large_to_hold_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    module, x = network()
    monkeypatch.setattr(greedy_costs, "LARGEST", 15 * 12 * 5 - 1)  # the layer has 15 neurons and 5 readers
    monkeypatch.setattr(greedy_costs, "contributions", None)
    group = groups(module)[0]
    table = greedy_costs.costs(module, group, x, 3).set_index("form")
    assert table.loc["direct"].isna().all()
    assert table.drop(index="direct").notna().all(axis=None)
