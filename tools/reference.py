"""Keeps a scale's reports for the repository: pages, verdicts and records, without the executed notebooks.

    python tools/reference.py reports/mnist

Studies that the folder doesn't have stay as they were kept before.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from ltkit.show import result
from ltkit.show.index import write_index

KEPT = Path(__file__).parents[1] / "reports" / "reference"


def keep(source: Path) -> Path:
    """Copies what is done in `source` and writes the index anew over all that is kept; its path."""
    target = KEPT / source.resolve().name
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.glob("*.result.json")):
        if (result.read(path) or {}).get("status") == "done":
            study = path.name.removesuffix(".result.json")
            shutil.copy(path, target)
            (target / f"{study}.html").write_text(unlinked((source / f"{study}.html").read_text("utf-8")), "utf-8")
    records = [record for path in sorted(target.glob("*.result.json")) if (record := result.read(path))]
    index = write_index(target, target.name, records)
    index.write_text(unlinked(index.read_text("utf-8")), "utf-8")
    return index


def unlinked(page: str) -> str:
    """The page without links to executed notebooks, which aren't kept."""
    return re.sub(r'(?:\s*·)?\s*<a[^>]*href="[^"]*\.ipynb"[^>]*>.*?</a>', "", page, flags=re.DOTALL)


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        print(keep(Path(folder)))
