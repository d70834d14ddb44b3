"""What every study keeps to: one list of parameters in notebook, model and YAML files, at all four scales."""

import importlib
from pathlib import Path

import pytest

from ltkit import notebook, params

ROOT = Path(__file__).resolve().parents[1]
STUDIES = sorted(path.stem for path in ROOT.glob("notebooks/*.ipynb") if path.stem != "verdicts")  # that is the board


def model(study):
    return importlib.import_module(f"ltkit.studies.{study}").Params


@pytest.mark.parametrize("study", STUDIES)
def test_every_scale_has_its_parameters(study):
    files = sorted(ROOT.glob(f"params/*/{study}.yaml"))
    assert [file.parent.name for file in files] == ["mnist", "paper", "quick", "smoke"]
    for file in files:
        assert params.load(file, model(study)).scale == file.parent.name
        assert set(params.read(file)) == set(model(study).model_fields)


@pytest.mark.parametrize("study", STUDIES)
def test_notebook_cell_model_and_smoke_file_are_one_list(study):
    path = ROOT / "notebooks" / f"{study}.ipynb"
    cell = notebook.defaults(path)
    assert list(cell) == list(params.read(ROOT / f"params/smoke/{study}.yaml"))
    assert set(cell) == set(model(study).model_fields)
    assert model(study)(**cell) == params.load(ROOT / f"params/smoke/{study}.yaml", model(study))
    assert all(notebook.meanings(path).values())


def test_no_parameter_file_without_a_notebook():
    assert {path.stem for path in ROOT.glob("params/*/*.yaml")} == set(STUDIES)
