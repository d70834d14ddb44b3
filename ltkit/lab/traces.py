"""What was traced of a training, as an entry of its own beside the run: `<run>@trace-<12 hex>` with trace.csv."""

from __future__ import annotations

import csv
import io
from typing import Any

import pandas as pd
from safetensors.torch import save
from torch import Tensor

from ..errors import UserError
from ..spec import SCHEMA, Run, Trace, plain
from ..store.files import dump
from ..store.tensors import load
from ..train.trace import COLUMNS, Record


def name(run: Run, trace: Trace) -> str:
    """The entry's name in the store."""
    return f"{run.name}@{trace.name}"


def files(
    run: Run, trace: Trace, record: Record, environment: dict[str, Any]
) -> dict[str, tuple[dict[str, bytes], dict[str, Any]]]:
    """What is published of a record, by name."""
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(record.rows)
    spec = {"schema": SCHEMA, "identity": run.identity, "kind": run.kind, "run": plain(run), "trace": plain(trace)}
    contents = {
        "spec.json": dump(spec),
        "trace.csv": table.getvalue().encode(),
        "weights.safetensors": save(record.tensors),
        "env.json": dump(environment),
    }
    return {name(run, trace): (contents, {"outcome": "trace", "rows": len(record.rows)})}


def read(content: bytes) -> pd.DataFrame:
    """trace.csv as a frame with `ltkit.train.trace.COLUMNS`, every number as it was."""
    types = {"step": int, "kept": int, **dict.fromkeys(("loss", "gradient_norm", "dense_norm", "gain"), float)}
    lines = csv.DictReader(io.StringIO(content.decode()))
    rows = [{key: types.get(key, str)(value) for key, value in line.items()} for line in lines]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(types)


def at(content: bytes, step: int, moment: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights (buffers too) and mask of one snapshot in a weights file; UserError when there is no such snapshot."""
    tensors = load(content)
    parts: dict[str, dict[str, Tensor]] = {"weights": {}, "mask": {}}
    for key, tensor in tensors.items():
        when, at_moment, part, own = key.split("/", 3)
        if (int(when), at_moment) == (step, moment):
            parts[part][own] = tensor
    if not parts["weights"]:
        taken = sorted({(int(key.split("/")[0]), key.split("/")[1]) for key in tensors})
        there = ", ".join(f"{when} ({at_moment})" for when, at_moment in taken) or "none"
        raise UserError(f"no snapshot of step {step} ({moment}) was taken; there are: {there}")
    return parts["weights"], parts["mask"]
