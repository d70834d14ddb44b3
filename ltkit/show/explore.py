"""Explorers: controls over a pure plot of a table. They never train; a headless run leaves the static figures only."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.figure import Figure

from .panels import Picture

if TYPE_CHECKING:
    from ipywidgets import Widget

Choice = Sequence[Any] | Mapping[str, Any]


def headless() -> bool:
    """True where nobody can move a control: `ltkit report` sets LTKIT_HEADLESS."""
    return os.environ.get("LTKIT_HEADLESS", "") not in ("", "0")


def explorer(plot: Callable[..., Figure], table: pd.DataFrame, **choices: Choice) -> Widget | None:
    """Controls above `plot(table, **chosen)`, drawn anew at each change; None when headless or without any rows.

    A choice is a list of its values or a mapping from labels to values; the first one is chosen. Numbers get a slider,
    the rest a menu. ValueError for a choice without values.
    """
    if table.empty:
        print("Nothing to explore: the table has no rows.")
        return None
    if empty := [name for name, options in choices.items() if not len(options)]:
        raise ValueError(f"nothing to choose from for {', '.join(empty)}")
    if headless():
        return None
    import ipywidgets
    from IPython.display import display
    from matplotlib import pyplot

    controls = {name: control(name, options) for name, options in choices.items()}

    def draw(**chosen: Any) -> None:
        figure = plot(table, **chosen)
        said = ", ".join(f"{_words(name)} {controls[name].label}" for name in chosen)
        if isinstance(figure, Picture):
            figure.alt = f"Figure for {said}"
        display(figure)
        pyplot.close(figure)

    output = ipywidgets.interactive_output(draw, controls)
    row = ipywidgets.HBox(list(controls.values()), layout=ipywidgets.Layout(flex_flow="row wrap", grid_gap="4px 20px"))
    return ipywidgets.VBox([row, output])


def control(name: str, options: Choice) -> Widget:
    """One control with a label that a screen reader finds: a slider over several numbers, else a menu."""
    import ipywidgets

    pairs = list(options.items()) if isinstance(options, Mapping) else [(str(value), value) for value in options]
    numbers = [value for _, value in pairs if isinstance(value, (int, float)) and not isinstance(value, bool)]
    shared = {
        "options": pairs,
        "value": pairs[0][1],
        "description": _words(name),
        "tooltip": f"choose {_words(name)}",
        "style": {"description_width": "initial"},
    }
    if len(numbers) == len(pairs) > 1 and not isinstance(options, Mapping):
        return ipywidgets.SelectionSlider(continuous_update=False, **shared)
    return ipywidgets.Dropdown(layout=ipywidgets.Layout(width="max-content"), **shared)


def _words(name: str) -> str:
    return {"lr": "learning rate"}.get(name, name.replace("_", " "))
