"""Did two networks learn the same function? Disagreement and ensembles of many networks (gradient_flow.md P11).

All of it starts from logits (R, N, classes) of R members for the same N images, as `ltkit.analyze.outputs.logits` gives
them, and labels y (N,). A member with an answer that is no number (it diverged) disagrees NaN, has accuracy NaN and
makes the ensemble's NaN. Accuracies are percent, gains percentage points, disagreements fractions.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from ..errors import UserError, nearest

AVERAGES = ("probabilities", "logits")


def predictions(logits: Tensor) -> Tensor:
    """The class of each image by each member, (R, N); of equal logits the lower class. -1 for answers not a number."""
    return logits.argmax(2).masked_fill(logits.isnan().any(2), -1)


def disagreement(logits: Tensor) -> Tensor:
    """The fraction of images that two members put into different classes: (R, R) float64, symmetric, 0 with oneself."""
    return disagreement_with(logits, logits)


def disagreement_with(logits: Tensor, others: Tensor) -> Tensor:
    """The disagreement (R, S), float64, of R members with S others, such as tickets with the pruned network."""
    ours, theirs = predictions(logits), predictions(others)
    found = torch.stack([(one != theirs).double().mean(1) for one in ours])
    found[(ours < 0).any(1)] = math.nan
    found[:, (theirs < 0).any(1)] = math.nan
    return found


def accuracies(logits: Tensor, y: Tensor) -> Tensor:
    """Each member's accuracy in percent, (R,) float64."""
    chosen = predictions(logits)
    found = 100 * (chosen == y).double().mean(1)
    return found.masked_fill((chosen < 0).any(1), math.nan)


def ensemble_accuracy(
    logits: Tensor, y: Tensor, average: Literal["probabilities", "logits"] = "probabilities"
) -> float:
    """Accuracy in percent of the argmax of the members' averaged probabilities or logits.

    Which of the two paper D averages isn't known (sheet, P11); kit: probabilities. UserError for another `average`.
    """
    if average not in AVERAGES:
        raise UserError(f"unknown average '{average}'{nearest(average, AVERAGES)}; known: {', '.join(AVERAGES)}")
    answers = logits.double().softmax(2) if average == "probabilities" else logits.double()
    return float(accuracies(answers.mean(0, keepdim=True), y))


def gain(logits: Tensor, y: Tensor, average: Literal["probabilities", "logits"] = "probabilities") -> float:
    """What the ensemble is better than its mean member, in percentage points (D19)."""
    return ensemble_accuracy(logits, y, average) - float(accuracies(logits, y).mean())


def independent_disagreement(a: float, b: float, classes: int) -> float:
    """The expected disagreement of two unrelated classifiers with accuracies `a` and `b` (percent), a fraction.

    The control for accuracy (D18). Null model: whether one is right on an image is independent of whether the other is,
    and a wrong answer is each of the other classes alike. So they agree where both are right, and on one in
    classes - 1 of the images that both get wrong: 1 - pq - (1 - p)(1 - q) / (classes - 1), p = a / 100, q = b / 100.
    Trained networks share their hard images and their confusions, so even unrelated ones usually disagree less: what
    counts is the ratio to this, against that of independently trained networks. ValueError for fewer than 2 classes.
    """
    if classes < 2:
        raise ValueError(f"disagreement needs at least 2 classes, not {classes}")
    p, q = a / 100, b / 100
    return 1 - p * q - (1 - p) * (1 - q) / (classes - 1)
