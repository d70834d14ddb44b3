"""The look of all pages: templates, style, and how numbers are written."""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .result import WORDS

TEMPLATES = Path(__file__).parent / "template"


@functools.cache
def _style() -> str:
    from pygments.formatters import HtmlFormatter

    light = HtmlFormatter(style="default").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    plain = ".highlight, .highlight pre { background: var(--tint); }"
    css = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    return f"{css}\n{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n{plain}"


def page(template: str, **values: Any) -> str:
    """A whole page, with nothing to load from elsewhere."""
    import jinja2
    from markupsafe import Markup

    loader = jinja2.FileSystemLoader(TEMPLATES)
    world = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, undefined=jinja2.ChainableUndefined)
    world.filters |= {"signed": signed, "number": number, "duration": duration, "shown": shown}
    world.filters |= {"day": lambda date: str(date)[:10], "inline": lambda text: Markup(inline(str(text)))}
    return world.get_template(template).render(css=Markup(_style()), words=WORDS, **values)


def counts(verdicts: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many verdicts of each word."""
    listed = [verdict["verdict"] for verdict in verdicts]
    return {word: listed.count(word) for word in WORDS}


def number(value: Any, digits: int = 6) -> str:
    """A given number as it was given, up to so many digits; other values as they are."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return f"{value:.{digits}g}".replace("-", "−") if is_number else "" if value is None else str(value)


def signed(value: Any) -> str:
    """A measured number with its sign, in two decimals, or more where it would be 0."""
    if not isinstance(value, (int, float)):
        return number(value)
    digits = 2 if value == 0 or abs(value) >= 0.005 else 4
    return f"{value:+.{digits}f}".replace("-", "−")


def duration(seconds: Any) -> str:
    """Seconds as a person says them."""
    whole = round(seconds or 0)
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 7200 else f"{whole // 3600} h {whole % 3600 // 60} min"


def shown(value: Any) -> str:
    """A parameter's value: a list without brackets and quotes."""
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)


def inline(text: str) -> str:
    """Markdown's emphasis, code and links (as their text) in one line, as safe HTML."""
    safe = html.escape(re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", text))
    safe = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", re.sub(r"`(.+?)`", r"<code>\1</code>", safe))
    return re.sub(r"(?<![*\w])[*_](\S.*?\S|\S)[*_](?![*\w])", r"<em>\1</em>", safe)
