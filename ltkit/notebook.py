"""What a notebook says of itself, read without starting a kernel: parameters, model, meanings, title, question."""

from __future__ import annotations

import ast
import contextlib
import importlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import UserError
from .params import Parameters, assigned


def cells(notebook: str | Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A notebook's cells (their `source` as one text) and metadata; raises `UserError` when it can't be read."""
    try:
        content = json.loads(Path(notebook).read_text(encoding="utf-8"))
        found = [{**cell, "source": "".join(cell["source"])} for cell in content["cells"]]
        metadata = dict(content.get("metadata", {}))
        return found, {**metadata, "ltkit": dict(metadata.get("ltkit", {}))}
    except OSError as error:
        raise UserError(f"{notebook}: {(error.strerror or 'not readable').lower()}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(f"{notebook}: not a Jupyter notebook of format 4") from None


def model_of(notebook: str | Path) -> type[Parameters]:
    """The parameter model of a notebook, which its metadata name.

    `"ltkit": {"study": "existence"}` means `ltkit.studies.existence_params.Params`; `{"params": "module:Class"}` any
    other.
    """
    label = cells(notebook)[1].get("ltkit", {})
    place = label.get("params") or (f"ltkit.studies.{label['study']}_params:Params" if "study" in label else "")
    module, _, name = place.partition(":")
    if not name:
        raise UserError(f'{notebook}: its metadata name no parameter model; "ltkit": {{"study": "NAME"}} is wanted')
    try:
        model = getattr(importlib.import_module(module), name)
    except (ModuleNotFoundError, AttributeError) as error:
        raise UserError(f"{notebook}: no parameter model {place} ({error})") from None
    if not (isinstance(model, type) and issubclass(model, Parameters)):
        raise UserError(f"{notebook}: {place} is no subclass of ltkit.params.Parameters")
    return model


def defaults(notebook: str | Path) -> dict[str, Any]:
    """The values in a notebook's cell tagged `parameters`, which holds nothing but literals."""
    for cell in cells(notebook)[0]:
        if "parameters" in cell.get("metadata", {}).get("tags", []):
            try:
                return {name: ast.literal_eval(value) for name, value in assigned(cell["source"]).items()}
            except (SyntaxError, ValueError):
                raise UserError(f"{notebook}: the cell tagged 'parameters' must hold literals only") from None
    raise UserError(f"{notebook}: no cell is tagged 'parameters'")


def meanings(notebook: str | Path) -> dict[str, str]:
    """What the comment behind each parameter says, from the cell tagged `parameters`."""
    found = {}
    for cell in cells(notebook)[0]:
        if "parameters" in cell.get("metadata", {}).get("tags", []):
            lines = cell["source"].splitlines()
            for name, value in assigned(cell["source"]).items():
                behind = lines[(value.end_lineno or 1) - 1].encode()[value.end_col_offset or 0 :].decode()
                found[name] = behind.partition("#")[2].strip()
    return found


def heading(notebook: str | Path) -> tuple[str, str]:
    """A notebook's title and question: its first heading; its metadata's, or the first paragraph under `Question`."""
    found, metadata = cells(notebook)
    text = "\n\n".join(cell["source"] for cell in found if cell["cell_type"] == "markdown")
    title = re.search(r"^#+\s+(.+)$", text, re.MULTILINE)
    under = re.search(r"^#+\s+Question\s*$\s*(.+?)(?:\n\s*\n|\Z)", text, re.MULTILINE | re.DOTALL)
    first = re.search(r"^(?!\s*[#>|\-*<])(\S.+?)(?:\n\s*\n|\Z)", text, re.MULTILINE | re.DOTALL)
    paragraph = under or first
    question = metadata.get("ltkit", {}).get("question") or (paragraph[1] if paragraph else "")
    plain = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", str(question))  # links lead nowhere from where this is shown
    return (title[1] if title else Path(notebook).stem).strip(), " ".join(plain.split())


def combine(notebook: str | Path, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What to pass to papermill: the given values, checked together with the notebook's own for the rest."""
    whole = model_of(notebook).check({**defaults(notebook), **given}, where)
    checked = whole.model_dump(mode="json")
    return {key: _settled(checked[key]) for key in given}


def _settled(value: Any) -> Any:
    # A kernel works in another folder than the one where the path was typed.
    if isinstance(value, str) and value.startswith(("npz:", "py:")):
        kind, _, path = value.partition(":")
        with contextlib.suppress(RuntimeError):  # `~nobody/x`: whoever reads it says so
            return f"{kind}:{Path(path).expanduser().absolute()}"  # py:PATH:CLASS too
    return [_settled(item) for item in value] if isinstance(value, list) else value
