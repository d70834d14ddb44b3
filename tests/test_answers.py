"""What all studies share: recipes from parameters, verdicts from tests, and controls."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from ltkit.params import load
from ltkit.spec import Recipe
from ltkit.studies import existence
from ltkit.studies.answers import answered, judged
from ltkit.studies.expected import CONTROLS, control
from ltkit.studies.recipes import recipe, task
from ltkit.verdict import EXISTENCE, find

QUICK = Path(__file__).resolve().parents[1] / "params" / "quick" / "existence.yaml"
A1A, A1B = find(EXISTENCE, "A1a"), find(EXISTENCE, "A1b")


def rows(*values: float) -> pd.DataFrame:
    return pd.DataFrame({"seed": range(len(values)), "value": values, "runs": [()] * len(values), "cell": "one"})


@pytest.mark.parametrize(
    ("values", "ends", "expected", "holds"),
    [
        ((0.0, 0.0), (0, 0), "0", "yes"),
        ((0.0, 1e-9), (0, 0), "0", "no"),
        ((0.0,), (0, 0), "0", "open"),  # one seed has no interval
        ((1.0, 1.1, 1.05), (0,), "above 0", "yes"),
        ((-1.0, -1.1, -1.05), (0,), "above 0", "no"),
        ((-1.0, 1.0), (0,), "above 0", "open"),
        ((1.0, 1.1, 1.05), (-math.inf, 2), "below 2", "yes"),
        ((1.0, 1.1, 1.05), (-math.inf, 0.5), "below 0.5", "no"),
        ((1.0, 1.1, 1.05), (0, 2, " sd"), "0 to 2 sd", "yes"),
        ((3.0, 3.1, 3.05), (0, 2, " sd"), "0 to 2 sd", "no"),
        ((2.0, 2.1, 1.9), (0, 2, " sd"), "0 to 2 sd", "open"),
        ((1.0, math.nan, 3.0), (), "nothing", "reported"),
    ],
)
def test_a_control_by_its_interval(values: tuple[float, ...], ends: tuple[Any, ...], expected: str, holds: str) -> None:
    (told,) = control("what", rows(*values), *ends)
    assert list(told) == CONTROLS
    assert (told["control"], told["expected"], told["holds"]) == ("what", expected, holds)
    sound = [value for value in values if not math.isnan(value)]
    assert told["n"] == len(sound)
    assert told["effect"] == pytest.approx(sum(sound) / len(sound))


def test_a_control_without_values_has_no_row() -> None:
    assert control("what", rows()) == control("what", rows(math.nan)) == []


def test_verdicts_in_the_order_of_the_claims_and_why_there_is_none() -> None:
    tests = {
        "A1a": lambda e, claim: judged(claim, [rows(0.1, 0.2, 0.0), rows()], "smoke", (e, "", "lr 0.1")),
        "A1b": lambda e, claim: judged(claim, [rows()], "smoke", (e,), "no wide network here"),
    }
    one, other = answered([A1A, A1B], tests, "LeNet", "smoke")
    assert (one.claim, one.verdict, one.setting) == ("A1a", "supported", "LeNet, lr 0.1; one")
    assert (other.claim, other.verdict, other.reason) == ("A1b", "untested", "no wide network here")
    assert judged(A1A, [], "smoke", ()) == "no run of this scale tests it"


def test_a_recipe_has_what_studies_share_and_what_is_said() -> None:
    params = load(QUICK, existence.Params)
    told = recipe(params, 0.03, 7, weight_decay=0.25, warmup=2.0)
    shared = {name: getattr(params, name) for name in ("momentum", "batch_size", "schedule", "milestones", "precision")}
    assert told == Recipe(lr=0.03, epochs=7, weight_decay=0.25, warmup=2.0, **shared)
    data = SimpleNamespace(data="mnist", validation=0.2, crop=3, flip=True)
    assert task(data).model_dump(include={"data", "validation", "crop", "flip"}) == vars(data)
