"""What the cohorts of one call of `Lab.run` share."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Event
from typing import Protocol

from ..train import Trace
from .lease import Leases


class Ears(Protocol):
    """Who hears how far the training is: a `Progress`, or what tells one elsewhere."""

    def epoch(self, networks: int, accuracy: float, earlier: int = 0) -> None:
        """One more epoch of a cohort of so many networks, after so many `earlier` ones that needn't be done again."""

    def finished(self, runs: int) -> None:
        """So many more runs are in the store."""


@dataclass
class Session:
    """Who may train what (`leases`), who hears of it (`bar`), whether to end (`stop`), what is recorded (`trace`)."""

    leases: Leases
    bar: Ears
    trace: Trace | None
    stop: Event = field(default_factory=Event)
    made: set[str] = field(default_factory=set)  # names of what was trained here
