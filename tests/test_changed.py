"""A reader changes a parameter: the notebooks' own last cells check what came out, and nothing ends in a traceback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cells
import pytest

CHANGES: list[tuple[str, dict[str, Any]]] = [
    # All densities above those that claims speak of.
    ("existence", {"levels": [1], "contrast_levels": [1], "claim_level": 1, "overlap_level": 1}),
    # Networks that diverge, at one of the rates or always.
    ("existence", {"lrs": [0.01, 100.0], "lr_large": 100.0}),
    ("existence", {"lrs": [0.0001, 100.0], "lr_small": 0.0001, "lr_large": 100.0, "schedule": "constant"}),
    ("gradient_flow", {"lr": 100.0}),
    ("greedy_bounds", {"lr": 100.0, "tune_lr": 100.0}),
    ("greedy_bounds", {"lr": 100.0, "tune_lr": 100.0, "contrasts": []}),  # not one network
    ("mode_connectivity", {"settings": ["64/100.0", "16/100.0"], "stable": "64/100.0", "unstable": "16/100.0"}),
    ("weight_correlation", {"lrs": [0.01, 100.0], "lr_large": 100.0}),
    ("sanity_checks", {"lr": 100.0}),
    # Masks that keep next to nothing; the other treatment of BatchNorm; a single seed.
    ("mode_connectivity", {"rate": 0.9}),
    ("mode_connectivity", {"batch_norm": "interpolate"}),
    ("weight_correlation", {"seeds": [0]}),
    ("greedy_bounds", {"seeds": [0]}),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("changed")


@pytest.mark.slow
@pytest.mark.parametrize(("study", "changed"), CHANGES)
def test_a_study_with_changed_parameters(
    study: str, changed: dict[str, Any], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, _ = cells.run(study, store, monkeypatch, **changed)
    told = {verdict.claim: verdict for verdict in names["found"]}
    assert len(told) > 15
    assert all(verdict.reason for verdict in told.values() if verdict.verdict == "untested")
