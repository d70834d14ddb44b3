"""The one exception type for a user's mistake."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class UserError(Exception):
    """Something the user can put right; the message says what is wrong, where, and what would be right.

    The command line prints it as one line and exits with status 2; it never shows a traceback for it.
    """


def one_line(text: str, most: int = 480) -> str:
    """`text` as one line for a terminal: what can't be printed is escaped, and what is too long lacks its middle."""
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.split()))
    return line if len(line) <= most else f"{line[: 2 * most // 3]} ... {line[-most // 3 + 5 :]}"


def shown(value: Any) -> str:
    """`value` as a message repeats it: short, whatever it is."""
    try:
        return one_line(repr(value), 100)
    except (ValueError, RecursionError):  # an integer of more digits than Python writes out, a list of many levels
        return f"this {type(value).__name__}"


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the known name closest to `name`, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean '{close[0]}'?)" if close else ""
