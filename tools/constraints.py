"""Writes constraints.txt from what is installed: `.venv/bin/python tools/constraints.py`, after the tests passed.

Left out: what only torch's CUDA build or one platform needs, this project itself, and pins that don't hold for every
supported Python (pip then chooses).
"""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11.0", "3.12.0", "3.13.0")
LEFT_OUT = re.compile(r"(nvidia|cuda)-.*|triton|ltkit|pip|setuptools|wheel")

HEADER = """\
# The versions that the tests ran with; the Makefile installs under them. Made by tools/constraints.py.
"""


def pin(name: str, version: str, requires_python: str | None) -> str | None:
    """`name==version`, or None where that isn't for every machine and Python that we support."""
    if LEFT_OUT.fullmatch(name.lower()):
        return None
    if not all(python in SpecifierSet(requires_python or "") for python in PYTHONS):
        return None
    return f"{name.lower().replace('_', '-')}=={version.split('+')[0]}"


def constraints() -> str:
    """The text of constraints.txt for the environment that this runs in."""
    installed = importlib.metadata.distributions()
    pins = {pin(d.metadata["Name"], d.version, d.metadata["Requires-Python"]) for d in installed}
    return HEADER + "".join(f"{line}\n" for line in sorted(filter(None, pins)))


if __name__ == "__main__":
    (ROOT / "constraints.txt").write_text(constraints())
