"""The GPU's benchmark, tried out on a CPU."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

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
