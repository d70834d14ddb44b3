"""How long a report will still take: from what its notebooks took so far, and what they took the last time."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable, Mapping

from .pages import duration


def remaining(
    left: Iterable[str], running: Mapping[str, float], done: Mapping[str, float], before: Mapping[str, float], jobs: int
) -> float | None:
    """Seconds until all of `left` (in order, `jobs` side by side) and `running` (name: seconds so far) are done.

    `done` are the seconds of this report, `before` those of an earlier one. An earlier time counts times the pace of
    this report, which is what its notebooks took over what the same ones took then; a notebook without one takes the
    mean of all that are known. None where nothing is known.
    """
    both = [name for name in done if before.get(name)]
    pace = sum(done[name] for name in both) / sum(before[name] for name in both) if both else 1.0
    known = {**{name: seconds * pace for name, seconds in before.items()}, **done}
    if not known:
        return None
    mean = sum(known.values()) / len(known)
    ends = [max(0.0, known.get(name, mean) - seconds) for name, seconds in running.items()]
    ends += [0.0] * (jobs - len(ends))
    heapq.heapify(ends)
    for name in left:
        heapq.heappush(ends, heapq.heappop(ends) + known.get(name, mean))
    return max(ends)


def line(
    left: list[str], running: Mapping[str, float], done: Mapping[str, float], failed: int, seconds: float | None
) -> str:
    """The one line of progress: done, failed, running, left, and when all will be done."""
    total = len(left) + len(running) + len(done)
    parts = [f"{len(done)} of {total} done" + (f" ({failed} failed)" if failed else "")]
    if running:
        parts.append("running " + ", ".join(running))
    if left:
        parts.append("left " + ", ".join(left))
    if running or left:
        at = time.strftime("%H:%M", time.localtime(time.time() + seconds)) if seconds is not None else ""
        parts.append(f"about {duration(seconds)} to go, until {at}" if at else "no estimate yet")
    return "; ".join(parts)
