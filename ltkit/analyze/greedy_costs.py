"""What a pick costs, and whether a shortlist finds what an exact search would pick (greedy_bounds.md F18, F23)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from torch import Tensor, fx

from ..prune import greedy
from ..prune.channels import Group, contributions, patches, problem
from ..prune.flow import begin, logits, until
from ..prune.greedy_global import Answers, answers_of, by_logits, counted, gradient, imitate, step, stepped
from ..prune.greedy_problem import Selection, lowest, move

SHORTLIST = 10
LARGEST = 2**27  # numbers (1 GiB) of explicit contributions; the direct form isn't tried beyond


def shortlist_ranks(module: fx.GraphModule, group: Group, images: Tensor, steps: int) -> pd.DataFrame:
    """Where first-order scores rank the neuron that an exact global search picks: columns `step`, `pick`, `rank`.

    A row an iteration, 2 to `steps`, of global imitation that tries all neurons; rank 1 is the lowest slope along
    e_j − a, of equal slopes that of the lower index. The first pick has no row: nothing is picked yet to take slopes
    at, and in the full layer, a = 1/N, all are 0 (sheet P5). The network is put into eval mode.
    """
    answers, every = _answers(module, group, images), np.arange(group.channels)
    weights, here, rows = np.zeros(group.channels), None, []
    for k in range(1, steps + 1):
        pick = lowest(stepped(answers, here, every, 1 / k), 0.0)
        if here is not None:
            slopes = gradient(answers, here)
            order = np.argsort(slopes - float(slopes @ weights), kind="stable")
            rows.append((k, pick, int(np.flatnonzero(order == pick)[0]) + 1))
        move(weights, pick, 1 / k)
        here = step(answers, here, every[[pick]], 1 / k)
    return pd.DataFrame(rows, columns=["step", "pick", "rank"])


def costs(module: fx.GraphModule, group: Group, images: Tensor, steps: int) -> pd.DataFrame:
    """What a pick costs on the way to `steps` of them: a row a form, columns `form`, `seconds`, `passes`.

    Forms: "gram" and "direct" are local imitation (NaN where the direct form's contributions pass 1 GiB), "global"
    tries all neurons, "shortlist" the ten lowest slopes. Both columns are a pick's share of the whole way, setting up
    included, after a short way that doesn't count; `passes` in units of the calibration images going through the
    network once, a gradient being two. The network is put into eval mode.
    """
    rows = []
    for form, way in _FORMS.items():
        if form == "direct" and _numbers(module, group, images) > LARGEST:
            rows.append((form, math.nan, math.nan))
            continue
        way(module, group, images, 2, [])
        passes = [1]
        begun = time.perf_counter()
        made = len(way(module, group, images, steps, passes).picks)
        rows.append((form, (time.perf_counter() - begun) / made, sum(passes) / made))
    return pd.DataFrame(rows, columns=["form", "seconds", "passes"])


def _gram(module: fx.GraphModule, group: Group, images: Tensor, steps: int, passes: list[int]) -> Selection:
    return greedy.local_imitation(problem(module, group, images), steps, tol=0.0)


def _direct(module: fx.GraphModule, group: Group, images: Tensor, steps: int, passes: list[int]) -> Selection:
    return greedy.direct(contributions(module, group, images), steps, tol=0.0)


def _global(module: fx.GraphModule, group: Group, images: Tensor, steps: int, passes: list[int]) -> Selection:
    answers = counted(_answers(module, group, images), passes)
    return imitate(answers, group.channels, min(steps, group.channels))


def _short(module: fx.GraphModule, group: Group, images: Tensor, steps: int, passes: list[int]) -> Selection:
    answers = counted(_answers(module, group, images), passes)
    return imitate(answers, group.channels, min(steps, group.channels), shortlist=SHORTLIST)


_FORMS: dict[str, Callable[[fx.GraphModule, Group, Tensor, int, list[int]], Selection]] = {
    "gram": _gram,
    "direct": _direct,
    "global": _global,
    "shortlist": _short,
}


def _answers(module: fx.GraphModule, group: Group, images: Tensor) -> Answers:
    flow = until(module.eval(), begin(module, images), group.consumer)
    return answers_of(module, group, by_logits(logits(module, flow)), flow)


def _numbers(module: fx.GraphModule, group: Group, images: Tensor) -> int:
    rows, weight = patches(module, group, images)
    return group.channels * len(rows) * len(weight)
