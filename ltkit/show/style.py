"""One look for all figures: sizes, colours that colour-blind readers can tell apart, and words for what is drawn."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
from matplotlib.rcsetup import cycler

P = ParamSpec("P")
T = TypeVar("T")

# Okabe and Ito 2008, with a dark yellow that can be seen on white.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE, YELLOW = "#0072B2", "#D55E00", "#CC79A7", "#B8A100"
WINE, GREY, INK, SOFT, LINE = "#882255", "#7A7A7A", "#1c2127", "#59636e", "#d8dee4"
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, WINE, YELLOW)
MARKERS = ("o", "s", "D", "P", "^", "v", "X", "p")

RC: Any = {
    **{"figure.dpi": 110, "figure.facecolor": "white", "savefig.facecolor": "white", "axes.facecolor": "white"},
    **{"font.family": ["DejaVu Sans"], "font.size": 12, "axes.titlesize": 12.5, "axes.labelsize": 12},
    **{"xtick.labelsize": 11, "ytick.labelsize": 11, "legend.fontsize": 11, "figure.titlesize": 13},
    **{"text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "axes.edgecolor": SOFT},
    **{"axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True},
    **{"axes.grid": True, "grid.color": "#e4e8ec", "grid.linewidth": 0.8, "grid.linestyle": "-", "grid.alpha": 1.0},
    **{"lines.linewidth": 1.7, "lines.markersize": 6.5, "legend.frameon": False, "legend.handlelength": 2.2},
    **{"axes.prop_cycle": cycler(color=CYCLE), "axes.unicode_minus": True, "axes.titlelocation": "left"},
}


def use() -> None:
    """Gives figures of one's own this look too. ltkit's figures have it anyhow."""
    mpl.rcParams.update(RC)


def styled(plot: Callable[P, T]) -> Callable[P, T]:
    """Draws in this look, whatever the session's settings are, and leaves those as they were."""

    @wraps(plot)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> T:
        with mpl.rc_context(RC):
            return plot(*args, **kwargs)

    return drawn


@dataclass(frozen=True)
class Look:
    """How something is drawn and what it is called."""

    label: str
    color: str
    marker: str = "o"
    line: str = "-"


ARMS: dict[str, Look] = {
    "dense": Look("dense network", BLACK, "s"),
    "lt_imp": Look("ticket (IMP)", BLUE, "o"),
    "rr_imp": Look("same mask, fresh weights", VERMILION, "s"),
    "lt_omp": Look("ticket (OMP)", SKY, "^", "--"),
    "rr_omp": Look("OMP mask, fresh weights", ORANGE, "v", "--"),
    "sdt": Look("small dense network", GREEN, "D"),
    "lt_shuffled": Look("ticket's weights, shuffled", PURPLE, "P"),
    "lt_rewound": Look("rewound ticket", WINE, "X"),
    "lt_decoupled_imp": Look("mask (IMP) from another lr", BLUE, "o", ":"),
    "lt_decoupled_omp": Look("mask (OMP) from another lr", SKY, "^", ":"),
    "dense_warm": Look("dense network, warm-up", GREY, "s", "--"),
    "lt_warm": Look("ticket (IMP), warm-up", BLUE, "o", "--"),
    "rr_warm": Look("same mask, fresh weights, warm-up", VERMILION, "s", "--"),
    "dense_more": Look("dense, trained once more", GREY, "", "--"),
    "lt": Look("ticket", BLUE, "o"),
    "rr": Look("fresh weights, same mask", VERMILION, "s"),
    "pft": Look("pruning & fine-tuning", GREEN, "D"),
    "rewind": Look("ticket, rewound", WINE, "X"),
    "lr_rewind": Look("LR rewinding", PURPLE, "P"),
    "lt_long": Look("ticket, twice as long", BLUE, "^", "--"),
    "shuffled": Look("mask rearranged in layers", ORANGE, "v", "--"),
    "permuted": Look("kept weights, shuffled", SKY, "p", "--"),
}


def arm(name: str) -> Look:
    """The look of an arm; grey, under its own name, where none is fixed."""
    return ARMS.get(name, Look(name, GREY))


def nth(number: int, label: str) -> Look:
    """The look of one of several things without a colour of their own, like networks."""
    again, at = divmod(number, len(CYCLE))
    return Look(label, CYCLE[at], MARKERS[(at + again) % len(MARKERS)], "--" if again else "-")


@dataclass(frozen=True)
class Word:
    """A word of the verdicts with its sign, so that nothing hangs on colour alone: ink on a tint."""

    sign: str
    ink: str
    tint: str


# The colours of template/page.css.
VERDICTS: dict[str, Word] = {
    "supported": Word("✓", "#0b4f8a", "#ddecf9"),
    "refuted": Word("✕", "#8f3400", "#fde5d6"),
    "undecided": Word("?", "#6b4e00", "#fdf0c4"),
    "untested": Word("–", "#59636e", "#eceff2"),
}
STATES: dict[str, Word] = {
    "true": VERDICTS["supported"],
    "false": VERDICTS["refuted"],
    "undecided": VERDICTS["undecided"],
}
PRIZES: dict[str, Word] = {
    "jackpot": Word("J", "#ffffff", "#0b4f8a"),
    "secondary": Word("S", "#0b4f8a", "#ddecf9"),
    "none": Word("–", "#8f3400", "#fde5d6"),
    "undecided": Word("?", "#6b4e00", "#fdf0c4"),
}

_HOUSES = {"lenet": "LeNet", "resnet": "ResNet", "vgg": "VGG", "mobilenet": "MobileNet", "conv": "Conv"}
_NORMS = {"bn": " with BatchNorm", "nobn": " without BatchNorm"}
_NETWORK = re.compile(r"\b(lenet|resnet|vgg|mobilenet|conv)_?(\w*?\d\w*)(?:\*([\d.]*\d))?(-plain)?(?:\+(bn|nobn)\b)?")


def named(text: str) -> str:
    """`text` with networks' names as people write them.

    resnet8*0.5-plain is ResNet-8 ×0.5 without residuals, lenet_5+bn LeNet-5 with BatchNorm.
    """

    def name(found: re.Match[str]) -> str:
        house, size, width, plain, norm = found.groups()
        whole = f"{_HOUSES[house]}-{size.replace('_', '-')}" + (f" ×{width}" if width else "")
        return whole + (" without residuals" if plain else "") + (_NORMS[norm] if norm else "")

    return _NETWORK.sub(name, text).replace(" - ", " − ")


def density(value: float) -> str:
    """A density as short as it can be read."""
    return f"{value:.2g}"
