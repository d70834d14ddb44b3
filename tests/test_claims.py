"""The claims as data: complete, with the margins that were fixed beforehand, and published values that add up."""

from __future__ import annotations

import dataclasses

import pytest

from ltkit.errors import UserError
from ltkit.verdict import EXISTENCE, Claim, find
from ltkit.verdict.claims import KINDS

# Written out a second time, from the paper's claims and not from the code.
MARGINS = {
    "A1a": ("equivalence", 0.5),
    "A1b": ("difference", 0.5),
    "A2": ("difference", 0.5),
    "A3a": ("ordering", None),
    "A3b": ("ordering", None),
    "A4": ("difference", 0.5),
    "A5": ("difference", 0.5),
    "A6a": ("ordering", None),
    "A6b": ("equivalence", 0.5),
    "A7": ("ordering", None),
    "A8": ("ordering", None),
    "A9": ("equivalence", 1.0),
    "A10a": ("existence", None),
    "A10b": ("trend", None),
    "A11": ("difference", 3.0),
    "A12": ("ordering", None),
    "A13a": ("equivalence", 0.5),
    "A13b": ("equivalence", 0.5),
    "A14": ("ordering", None),
    "A15": ("equivalence", 0.5),
    "A16": ("existence", None),
}

# ResNet-20 on CIFAR-10 at s = .914, in percent (paper A): dense, ticket and fresh weights by epochs at η = .005; dense
# by η; best tickets by the η of the mask and of the ticket.
SHORT, LONG = {"dense": 88.0, "lt": 87.1, "rr": 80.3}, {"dense": 89.6, "lt": 87.4, "rr": 82.9}
DENSE = {0.01: 90.3, 0.1: 92.4}
IMP = {0.01: {0.001: 87.5, 0.005: 89.7, 0.01: 89.4, 0.05: 87.9}, 0.1: {0.01: 85.3, 0.05: 86.6, 0.1: 87.3, 0.15: 86.7}}


def test_every_claim_with_its_kind_and_margin():
    assert {claim.id: (claim.kind, claim.margin) for claim in EXISTENCE} == MARGINS
    assert [claim.id for claim in EXISTENCE] == list(MARGINS)


def test_published_differences_are_derived_from_published_accuracies():
    derived = {
        "A1b": DENSE[0.1] - IMP[0.1][0.1],
        "A2": LONG["lt"] - LONG["rr"],
        "A3a": (LONG["dense"] - LONG["lt"]) - (SHORT["dense"] - SHORT["lt"]),
        "A3b": (SHORT["lt"] - SHORT["rr"]) - (LONG["lt"] - LONG["rr"]),
        "A4": max(DENSE.values()) - max(IMP[0.01].values()),
        "A5": DENSE[0.1] - DENSE[0.01],
    }
    published = {claim.id: claim.published for claim in EXISTENCE if isinstance(claim.published, float)}
    assert published == pytest.approx(derived)


def test_every_claim_can_be_read():
    for claim in EXISTENCE:
        assert claim.paper == "existence"
        assert claim.sentence.endswith(".")
        assert claim.published is not None
        assert claim.published_mark
        assert claim.note
    assert len({claim.sentence for claim in EXISTENCE}) == len(EXISTENCE)


def test_find_names_the_nearest_claim():
    assert find(EXISTENCE, "A4").margin == 0.5
    with pytest.raises(UserError, match=r"no claim 'A1c'.*did you mean 'A1"):
        find(EXISTENCE, "A1c")


def test_a_claim_is_a_frozen_value():
    claim = EXISTENCE[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        claim.margin = 2.0  # type: ignore[misc]
    assert claim == dataclasses.replace(claim)


def test_threshold_is_zero_without_a_margin():
    assert Claim("X", "p", "S.", "ordering").threshold == 0
    assert Claim("X", "p", "S.", "difference", margin=-0.5).threshold == -0.5  # non-inferiority


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "diference", "margin": 1.0}, "did you mean 'difference'"),
        ({"kind": "difference"}, "needs a margin"),
        ({"kind": "equivalence"}, "needs a margin"),
        ({"kind": "ordering", "margin": 0.5}, "takes no margin"),
        ({"kind": "bound", "margin": 0.5}, "takes no margin"),
        ({"kind": "equivalence", "margin": -0.5}, "no margin for"),
        ({"kind": "difference", "margin": float("nan")}, "no margin for"),
        ({"kind": "ordering", "published_mark": "papers"}, "unknown marks"),
    ],
)
def test_a_claim_that_makes_no_sense_is_refused(fields, said):
    with pytest.raises(ValueError, match=said):
        Claim("X", "p", "S.", **fields)


def test_all_kinds_can_be_claimed():
    for kind in KINDS:
        assert Claim("X", "p", "S.", kind, margin=0.5 if kind in ("difference", "equivalence") else None).kind == kind
