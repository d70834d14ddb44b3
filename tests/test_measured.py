"""Kept tables: read back as they were, never older than what they are made from."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from pydantic import BaseModel

from ltkit import version
from ltkit.lab import Lab
from ltkit.lab.measured import measured
from ltkit.spec import Init, Network, Recipe, Run, Task
from ltkit.store import open_store


class Params(BaseModel):
    seeds: list[int] = [0, 1]
    lr: float = 0.1


def run(seed: int, lr: float = 0.1) -> Run:
    return Run(
        task=Task(data="digits"),
        network=Network(arch="lenet_300_100", width=0.05),
        recipe=Recipe(lr=lr, epochs=1, batch_size=512),
        start=Init(seed=seed),
        order=seed,
    )


calls: list[int] = []


@measured(lambda params, root: [run(seed, params.lr) for seed in params.seeds])
def table(params: Params, lab: Lab, factor: float = 1.0) -> pd.DataFrame:
    calls.append(1)
    rows = [
        {
            "seed": seed,
            "value": factor / (3 + seed),
            "word": "a" if seed else None,
            "runs": ("x", f"y{seed}"),
            "good": seed == 0,
            "hole": math.nan if seed else 0.1,
        }
        for seed in params.seeds
    ]
    return pd.DataFrame(rows, index=range(5, 5 + len(rows)))


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    calls.clear()
    return Lab(tmp_path / "store", progress=False)


def kept(lab: Lab) -> list[Path]:
    return sorted((lab.store.path / "measured").iterdir())


def test_a_table_is_computed_once_and_read_back_bit_for_bit(lab: Lab) -> None:
    first = table(Params(), lab)
    again = table(Params(), lab)
    assert len(calls) == 1
    assert_frame_equal(first, again, check_exact=True)
    assert again["runs"].tolist() == [("x", "y0"), ("x", "y1")]
    assert again.index.tolist() == [0, 1]


def test_parameters_arguments_and_runs_are_part_of_what_it_is(lab: Lab) -> None:
    table(Params(), lab)
    assert table(Params(), lab, factor=2.0)["value"].tolist() == [2 / 3, 2 / 4]
    table(Params(seeds=[0]), lab)
    assert len(calls) == 3
    lab.run([run(0)])  # what was missing is there
    table(Params(), lab)
    assert len(calls) == 4
    table(Params(), lab)
    assert len(calls) == 4


def test_another_source_measures_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    table(Params(), lab)
    monkeypatch.setattr("ltkit.lab.measured.source", lambda: "f" * 64)
    table(Params(), lab)
    assert len(calls) == 2
    assert len(kept(lab)) == 2


DAMAGED = {  # with names of their own: gzip's header has the time, which no two processes share
    "empty": b"",
    "no gzip": b"no gzip",
    "nothing in it": gzip.compress(b"{}"),
    "a wrong checksum": gzip.compress(b'{"sha256": 1, "table": []}'),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_file_is_measured_again(lab: Lab, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    first = table(Params(), lab)
    (path,) = kept(lab)
    whole = path.read_bytes()
    path.write_bytes(content)
    assert_frame_equal(table(Params(), lab), first, check_exact=True)
    assert "measured again" in caplog.text
    assert path.read_bytes() == whole


def test_a_flipped_digit_is_seen(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    first = table(Params(), lab)
    (path,) = kept(lab)
    text = gzip.decompress(path.read_bytes())
    assert b"0.25" in text
    path.write_bytes(gzip.compress(text.replace(b"0.25", b"0.35")))
    assert_frame_equal(table(Params(), lab), first, check_exact=True)
    assert "damaged" in caplog.text


def test_a_table_that_would_come_back_otherwise_is_refused(lab: Lab) -> None:
    @measured(lambda params, root: [])
    def lists(params: Params, lab: Lab) -> pd.DataFrame:
        return pd.DataFrame({"a": [{1, 2}]})

    with pytest.raises(TypeError):
        lists(Params(), lab)


def test_gc_removes_tables_of_another_source(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    table(Params(), lab)
    store = open_store(lab.store.path)
    assert store.sweep(apply=True) == []
    monkeypatch.setattr("ltkit.store.store.source", lambda: "0" * 64)
    ((path, size, why),) = store.sweep(apply=True)
    assert size > 0
    assert "another" in why
    assert not path.exists()


def test_source_is_of_what_decides_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def digest() -> str:
        version.source.cache_clear()
        return version.source()

    monkeypatch.setattr(version, "__file__", str(tmp_path / "version.py"))
    (tmp_path / "show").mkdir()
    (tmp_path / "a.py").write_text("1")
    before = digest()
    (tmp_path / "show" / "b.py").write_text("1")
    assert digest() == before
    (tmp_path / "a.py").write_text("2")
    assert digest() != before
    version.source.cache_clear()
