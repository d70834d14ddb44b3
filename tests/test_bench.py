"""The benchmarks for a GPU, tried out on a CPU."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ltkit.params import load
from ltkit.studies import mode_connectivity, weight_correlation

BENCH = Path(__file__).resolve().parents[1] / "bench"
SMALL = {
    "device": "cpu",
    "batch": 4,
    "images": 16,
    "members": 2,
    "plain-workers": 0,
    "rounds": 1,
    "steps": 1,
    "tests": 8,
    "profile": 2,
}


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCH))
    yield importlib.import_module("gpu")
    for name in ("gpu", "trainer"):
        sys.modules.pop(name, None)


def test_activations_by_hand(gpu: Any) -> None:
    """ResNet-20: 7 maps of 16 channels on 32x32, 6 and a shortcut of 32 on 16x16, of 64 on 8x8."""
    assert gpu.activations("resnet20") == 7 * 16 * 32**2 + 7 * 32 * 16**2 + 7 * 64 * 8**2


def test_the_table_of_a_network(gpu: Any, capsys: pytest.CaptureFixture[str]) -> None:
    words = [word for key, value in SMALL.items() for word in (f"--{key}", str(value))]
    gpu.main(["--only", "resnet20", "--compiled", *words])
    told = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in told if line.startswith("| ")]
    names = ["plain loop, 0 loader workers", "cohort of 1, fp32", "cohort of 1, bf16", "cohort of 2, bf16"]
    assert [row[0] for row in rows[1:]] == [*names, "cohort of 1, bf16"]
    for row in rows[1:]:
        middle, plain, floor = float(row[1]), float(row[3]), float(row[4])
        assert middle > 0
        assert plain == pytest.approx(float(rows[1][1]) / middle, abs=0.06)
        assert 0 <= floor < 1
    evaluations = [line for line in told if line.startswith("Evaluation of 8 images")]
    assert [line.split(", ")[1] for line in evaluations] == ["cohort of 1", "cohort of 2"]
    assert all(float(line.split()[-4]) > 0 for line in evaluations)
    assert "Kernels of a cohort of 2, bf16:" in told
    assert any("convolution_backward" in line for line in told)


def test_the_plain_loop_of_vgg_16(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu.trainer, "BATCH", 2)
    monkeypatch.setattr(gpu.trainer, "IMAGES", 4)
    assert gpu.plain(gpu.SETTINGS["vgg16"], torch.device("cpu"), 0)() == 2


@pytest.mark.parametrize("study", ["weight_correlation", "mode_connectivity"])
def test_accuracy_as_the_kit_trains_and_one_by_one(
    study: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two rates and seeds, in two calls: the second trains its own side and compares it with what the first left."""
    monkeypatch.syspath_prepend(str(BENCH))
    right = importlib.import_module("right")
    monkeypatch.delitem(sys.modules, "right")
    smoke = BENCH.parent / "params" / "smoke" / f"{study}.yaml"
    words = [
        *("--study", study),
        *("--params", str(smoke)),
        *("--store", str(tmp_path / "runs")),
        *("--precision", "fp32"),
    ]
    words += [*("--rates", "0.1", "0.001"), *("--seeds", "2"), *("--epochs", "1")]
    right.main([*words, "--side", "cohort"])
    told = capsys.readouterr().out
    assert "cohort: 4 runs: 4 trained in" in told
    assert "cohort - alone" not in told
    right.main(words)
    told = capsys.readouterr().out
    assert "cohort: 4 runs: 0 trained in" in told
    assert "alone: 4 runs: 4 trained in" in told
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in told.splitlines() if line.startswith("| 0.")]
    assert [row[:4] for row in rows] == [
        [rate, f"{side}, fp32", "cpu", "2 of 2"] for side in ("cohort", "alone") for rate in ("0.1", "0.001")
    ]
    means = {(row[0], row[1].split(",")[0]): float(row[4]) for row in rows}
    for rate in ("0.1", "0.001"):
        line = next(line for line in told.splitlines() if line.startswith(f"Rate {rate}: "))
        apart = means[rate, "cohort"] - means[rate, "alone"]
        assert float(line.split()[5]) == pytest.approx(apart, abs=0.011)
        assert abs(apart) <= 3 * 100 / 500  # products in fp32, in another order: a test image here and there
    assert all(row[7] == "" for row in rows), "published numbers are of another recipe"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["runs", "runs-alone"]


@pytest.mark.parametrize(
    "study", [weight_correlation, mode_connectivity], ids=["weight_correlation", "mode_connectivity"]
)
def test_the_paper_scale_finds_what_was_trained_for_its_accuracy(study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    right = importlib.import_module("right")
    monkeypatch.delitem(sys.modules, "right")
    name = study.__name__.rpartition(".")[2]
    params = load(BENCH.parent / "params" / "paper" / f"{name}.yaml", study.Params)
    known = {run.name for labels, run in study.grid(params) if labels["arm"] == "dense"}
    given = argparse.Namespace(study=name, epochs=None, data=None)
    assert known >= {right.dense(params, 0.1, seed, "bf16", given).name for seed in params.seeds}
