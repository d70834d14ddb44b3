"""Data and recipe of a dense network, from the parameters that all studies share."""

from __future__ import annotations

from typing import Any

from ..params import Parameters
from ..spec import Recipe, Task

SHARED = ("momentum", "weight_decay", "batch_size", "schedule", "milestones", "precision")


def recipe(params: Parameters, lr: float, epochs: int, **other: Any) -> Recipe:
    """The study's recipe at a learning rate over so many epochs; `other` replaces or adds fields."""
    given = {name: getattr(params, name) for name in SHARED if name not in other}
    return Recipe(lr=lr, epochs=epochs, **given, **other)


def task(params: Any) -> Task:
    """The study's data: split, crop and flip."""
    return Task(data=params.data, validation=params.validation, crop=params.crop, flip=params.flip)
