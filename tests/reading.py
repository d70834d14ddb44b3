"""What tests read from a drawn figure."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from typing import Any

from matplotlib.text import Text

from ltkit.show.panels import Picture


def part(axes: Any, gid: str) -> Any:
    """The artist of an axes with this gid."""
    (artist,) = [child for child in axes.get_children() if child.get_gid() == gid]
    return artist


def gids(axes: Any, kind: str = "") -> set[str]:
    """The gids of an axes' artists that begin with `kind`."""
    found = (child.get_gid() for child in axes.get_children())
    return {gid for gid in found if gid and gid.startswith(kind)}


def titles(figure: Picture) -> list[str]:
    return [axes.get_title("left") for axes in figure.axes]


def texts(figure: Picture) -> list[str]:
    """The texts inside all axes."""
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def entries(legend: Any) -> list[str]:
    return [text.get_text() for text in legend.get_texts()]


def legends(figure: Picture) -> list[Any]:
    """Those of the figure and those inside its axes."""
    return [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]


def written(figure: Picture) -> Iterator[Text]:
    """All texts that a reader sees; of the ticks only those within their axis's view."""
    yield from (text for legend in legends(figure) for text in legend.get_texts())
    yield from figure.texts
    if figure._suptitle is not None:
        yield figure._suptitle
    for axes in figure.axes:
        yield from axes.texts
        if axes.axison:
            yield from (axes.xaxis.label, axes.yaxis.label, axes._left_title)
            for axis in (axes.xaxis, axes.yaxis):
                low, high = sorted(axis.get_view_interval())
                ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
                yield from (tick.label1 for tick in ticks if tick.label1.get_visible())


def assert_legible(figure: Picture, name: str, widest: float = 6.4) -> None:
    """Draws it: at most so many inches wide, letters of 10 points or more, and no text leaves it."""
    assert figure.get_figwidth() <= widest, name
    figure.draw_without_rendering()
    width, height = figure.bbox.width, figure.bbox.height
    for text in filter(Text.get_text, written(figure)):
        assert text.get_fontsize() >= 10, (name, text.get_text())
        box = text.get_window_extent()
        assert -1 < box.x0 < box.x1 < width + 1, (name, text.get_text())
        assert -1 < box.y0 < box.y1 < height + 1, (name, text.get_text())


def assert_texts_apart(figure: Picture, name: str) -> None:
    """Of a figure that was drawn: no two texts inside one axes overlap."""
    for axes in figure.axes:
        boxes = [(text.get_text(), Text.get_window_extent(text)) for text in axes.texts]
        for (text, box), (_, other) in combinations(boxes, 2):
            assert not box.overlaps(other), (name, text)


def assert_legends_apart(figure: Picture, name: str) -> None:
    """Of a figure that was drawn: no legend lies over an axes, but for axes that are there for a legend's sake."""
    drawn = [axes.get_window_extent() for axes in figure.axes if axes.axison]
    for legend in (*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.axison)):
        box = legend.get_window_extent() if legend else None
        assert box is None or not any(box.overlaps(other) for other in drawn), name


def assert_comes_without_torch(*modules: str) -> None:
    """Importing them, in a process of its own, doesn't import torch."""
    code = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
