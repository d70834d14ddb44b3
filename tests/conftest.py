"""Shared by all tests: one thread, a store far from the project, a task so tiny that a run takes a moment."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch

from ltkit.lab import Lab
from ltkit.spec import Task


@pytest.fixture(scope="session", autouse=True)
def quiet_machine(tmp_path_factory):
    """One thread (sums are then added in one order), and no test writes beside the project by accident."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LTKIT_STORE", str(tmp_path_factory.mktemp("default_store")))
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Four classes of noisy 8x8 images: 144 for training, 16 held out for validation, 80 for the test."""
    draw = np.random.default_rng(0)
    prototypes = draw.integers(60, 196, (4, 8, 8))
    labels = np.arange(240) % 4
    images = np.clip(prototypes[labels] + draw.normal(0, 60, (240, 8, 8)), 0, 255).astype(np.uint8)
    path = tmp_path_factory.mktemp("data") / "tiny.npz"
    np.savez(path, x_train=images[:160], y_train=labels[:160], x_test=images[160:], y_test=labels[160:])
    return Task(data=f"npz:{path}")


@pytest.fixture(scope="session")
def smoke_store(tmp_path_factory):
    """A store for the notebooks at smoke scale, the same one for all workers of a test run: one of them trains."""
    own = tmp_path_factory.getbasetemp()
    return (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "smoke_store"


@pytest.fixture
def make_lab(tmp_path):
    """Labs on stores of this test's own: the same name is the same store."""

    def make(name="runs", **options):
        return Lab(tmp_path / name, device="cpu", **{"progress": False, "compile": "never", **options})

    return make


@pytest.fixture
def lab(make_lab):
    return make_lab()
