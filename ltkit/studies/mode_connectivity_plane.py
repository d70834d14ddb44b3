"""The plane through three solutions of the mode-connectivity study: a picture, from which no verdict is taken."""

from __future__ import annotations

import pandas as pd

from .. import models
from ..analyze.path import error, scores
from ..analyze.plane import plane, surface
from ..lab import Lab
from ..lab.measured import measured
from ..prune import masks, tickets
from ..spec import Run
from ..train.evaluate import Score
from .mode_connectivity import dense, every_run, twin
from .mode_connectivity_params import Params
from .mode_connectivity_paths import _batch_norm, _images

NAMES = ("masked dense", "ticket", "its twin")


def solutions(params: Params, lab: Lab, text: str, points: int = 13) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Test error and loss on the plane through dense network, ticket and the ticket's twin of the first seed.

    A grid of points × points states (columns x, y, error, loss), and the three solutions (label, x, y, error), all
    under the ticket's mask at the claim level. Empty tables where one of them diverged, or all lie on one line.
    """
    both = _solutions(params, lab, text, points)
    marked = both["label"] != ""
    grid, marks = both.loc[~marked, ["x", "y", "error", "loss"]], both.loc[marked, ["label", "x", "y", "error"]]
    return grid.reset_index(drop=True), marks.reset_index(drop=True)


def _runs(params: Params, text: str) -> tuple[Run, Run, Run]:
    whole = dense(params, params.claim_network, text, params.seeds[0])
    chain = tickets.imp(whole, rounds=params.claim_level, rate=params.rate, prunable="all")
    return whole, chain[-1], twin(chain[-1], 1)


@measured(every_run)
def _solutions(params: Params, lab: Lab, text: str, points: int) -> pd.DataFrame:
    runs = _runs(params, text)
    none = pd.DataFrame(columns=["label", "x", "y", "error", "loss"])
    if any((lab.store.done(run.name) or {}).get("outcome") != "finished" for run in runs):
        return none
    whole, ticket, _ = runs
    dataset, splits = _images(whole.task, lab.root, params.calibration)
    frame = (whole.network, dataset.shape, dataset.classes)
    states = [masks.apply(lab.weights(run), lab.mask(ticket)) for run in runs]
    try:
        on = plane(states[0], states[1], states[2], models.prunable(*frame, "all"))
    except ValueError:  # a mask that keeps next to nothing
        return none
    again = _batch_norm(params, whole) != "none"  # outside the triangle a running variance could fall below 0

    def score(members: object) -> list[Score]:
        way = {"batch_norm": "recompute", "calibration": splits["train"][0]} if again else {}
        return scores(*frame, members, *splits["test"], device=lab.device, **way)  # type: ignore[arg-type]

    ends = [error(one) for one in score(iter(states))]
    marks = [{"label": n, "x": x, "y": y, "error": e} for n, (x, y), e in zip(NAMES, on.points, ends, strict=True)]
    return pd.concat([surface(on, score, points).assign(label=""), pd.DataFrame(marks)], ignore_index=True)
