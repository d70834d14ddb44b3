"""Writes environment.yml, the conda environment, from pyproject.toml: `python tools/environment.py`."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}  # where conda-forge's name differs from PyPI's
PYPI_ONLY = ("torch-pruning",)  # pip brings these along with the package itself

HEADER = """\
# Made from pyproject.toml by tools/environment.py; a test keeps the two equal.
#   conda env create -f environment.yml && conda activate ltkit && ltkit report params/quick
"""


def conda(requirement: str) -> str:
    """A requirement as conda-forge knows it: `torch>=2.11` -> `pytorch>=2.11`."""
    name, version = re.fullmatch(r"([A-Za-z0-9._-]+)\s*([^;\[\]]*)", requirement).groups()  # type: ignore[union-attr]
    return CONDA_NAMES.get(name, name) + version.replace(" ", "")


def environment(project: dict[str, Any]) -> str:
    """The text of environment.yml for pyproject's `[project]` table, all extras included."""
    wanted = sum(project["optional-dependencies"].values(), project["dependencies"])
    known = sorted(conda(item) for item in wanted if not item.startswith(PYPI_ONLY))
    lines = [f"python{project['requires-python']}", "pip", *known]
    body = "".join(f"  - {line}\n" for line in lines)
    return f"{HEADER}name: {project['name']}\nchannels:\n  - conda-forge\ndependencies:\n{body}  - pip:\n      - -e .\n"


if __name__ == "__main__":
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (ROOT / "environment.yml").write_text(environment(project))
