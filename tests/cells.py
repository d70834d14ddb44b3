"""A study's notebook, cell by cell in this process."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import nbformat
import pytest

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
STUDIES = ("existence", "sanity_checks", "mode_connectivity", "gradient_flow", "weight_correlation", "greedy_bounds")


def run(study: str, store: Path, patch: pytest.MonkeyPatch, **changed: Any) -> tuple[dict[str, Any], str]:
    """Runs all code cells with some parameters changed; gives the names that they leave and what they print."""
    patch.setenv("LTKIT_STORE", str(store))
    patch.chdir(NOTEBOOKS)
    cells = [cell for cell in nbformat.read(NOTEBOOKS / f"{study}.ipynb", 4).cells if cell.cell_type == "code"]
    names: dict[str, Any] = {"__name__": "__main__", "display": lambda *_: None}
    with mpl.rc_context({"backend": "agg"}), redirect_stdout(StringIO()) as told:
        for cell in cells:
            exec(compile(cell.source, study, "exec"), names)
            if "parameters" in cell.metadata.get("tags", []):
                names |= changed
            plt.close("all")
    return names, told.getvalue()
