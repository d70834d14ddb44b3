"""Masks and networks that a user brings along: named by their content, checked when they are read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ltkit import models
from ltkit.errors import UserError
from ltkit.models import own
from ltkit.notebook import combine
from ltkit.prune import tickets
from ltkit.prune.given import given, read
from ltkit.spec import Given, Grown, Init, Network, Recipe, Run, Shuffled

SHAPE, CLASSES = (1, 8, 8), 4
NARROW = """
import torch.nn.functional as F
from torch import nn
from ltkit.models.layers import Linear

class Narrow(nn.Module):
    def __init__(self, network, shape, classes, members):
        super().__init__()
        self.first = Linear(shape[0] * shape[1] * shape[2], round(10 * network.width), members)
        self.last = Linear(round(10 * network.width), classes, members, role="end")

    def forward(self, x):
        return self.last(F.relu(self.first(x.flatten(2))))
"""
SHAPES = {"a": (2, 3), "b": (4,)}


@pytest.fixture
def mask():
    return {"a": torch.tensor([[1, 0, 1], [0, 0, 1]], dtype=torch.bool), "b": torch.tensor([True, False, True, True])}


@pytest.fixture
def narrow(tmp_path):
    file = tmp_path / "mynet.py"
    file.write_text(NARROW)
    own._load.cache_clear()
    return f"py:{file}:Narrow"


def dense_of(tiny, **network):
    recipe = Recipe(lr=0.05, epochs=2, batch_size=16)
    return Run(task=tiny, network=Network(**network), recipe=recipe, start=Init(seed=1))


def test_a_given_mask_is_read_as_it_was_written(mask, tmp_path):
    spec = given(mask, tmp_path / "folder" / "mask.safetensors")
    found = read(spec, SHAPES)
    assert list(found) == ["a", "b"]
    assert all(torch.equal(found[name], mask[name]) for name in mask)
    assert read(given({"b": mask["b"]}, tmp_path / "part"), SHAPES).keys() == {"b"}


def test_a_given_mask_is_known_by_its_content(mask, tmp_path, tiny):
    dense = dense_of(tiny, width=0.1)
    one, two = (dense.replace(mask=given(mask, tmp_path / name)) for name in ("one", "two"))
    other = dense.replace(mask=given({**mask, "b": ~mask["b"]}, tmp_path / "three"))
    assert one == two
    assert one.kind == "given"
    assert len({dense, one, other}) == 3
    with pytest.raises(UserError, match=r"mask .*nowhere: can't read it"):
        dense.replace(mask=Given(file=f"file:{tmp_path / 'nowhere'}")).identity  # noqa: B018


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({"c": torch.ones(4, dtype=torch.bool)}, "no prunable weight 'c'; it has a, b"),
        ({"b": torch.ones(5, dtype=torch.bool)}, r"b must be bool \(4,\), not bool \(5,\)"),
        ({"b": torch.ones(4)}, r"b must be bool \(4,\), not float32 \(4,\)"),
    ],
)
def test_a_mask_of_another_network_is_refused(tensors, says, tmp_path):
    save_file(tensors, tmp_path / "mask")
    with pytest.raises(UserError, match=says):
        read(Given(file=f"file:{tmp_path / 'mask'}"), SHAPES)


def test_a_given_mask_may_lie_at_home(mask, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    spec = Given(file=given(mask, "~/mask").file.replace(str(tmp_path), "~"))
    assert spec.file == "file:~/mask"
    assert read(spec, SHAPES).keys() == mask.keys()


@pytest.mark.parametrize(
    "around",
    [
        lambda mask: mask,
        lambda mask: Shuffled(mask=mask),
        lambda mask: Grown(method="set", mask=Shuffled(mask=mask), every=3),
    ],
    ids=["alone", "shuffled", "grown"],
)
def test_a_mask_that_was_written_over_is_refused(around, tiny, lab, tmp_path):
    """Or it would be trained and stored under the name of the first."""
    dense = dense_of(tiny, width=0.1)
    first, second = (
        dense.replace(mask=around(given({"fc1.weight": torch.rand(30, 64) < density}, tmp_path / "mask")))
        for density in (0.3, 0.6)
    )
    assert first != second
    with pytest.raises(UserError, match=rf"mask changed after {first.name} was named .* or make the run anew"):
        lab.run([first])
    assert lab.store.names() == []
    assert lab.run([second]).trained == 1


def test_what_is_no_mask_is_refused(mask, tmp_path):
    with pytest.raises(ValueError, match="made of bool tensors, b isn't"):
        given({**mask, "b": mask["b"].float()}, tmp_path / "mask")
    (tmp_path / "text").write_text("no tensors")
    with pytest.raises(UserError, match="no safetensors file"):
        read(Given(file=f"file:{tmp_path / 'text'}"), SHAPES)
    with pytest.raises(UserError, match="can't read it"):
        read(Given(file=f"file:{tmp_path / 'nowhere'}"), SHAPES)
    with pytest.raises(UserError, match="pattern"):
        Given(file="mask")


def test_a_given_mask_trains_with_its_controls(tiny, lab, tmp_path):
    dense = dense_of(tiny, width=0.1)
    start = lab.weights(dense, epoch=0)
    kept = {name: start[name] > 0 for name in models.prunable(dense.network, SHAPE, CLASSES)}
    mine = dense.replace(mask=given(kept, tmp_path / "mine"))
    shuffled, fresh = tickets.shuffled(mine), tickets.reinit(mine)
    lab.run([mine, shuffled, fresh])
    final = lab.weights(mine)
    for name, mask in kept.items():
        assert torch.equal(lab.mask(mine)[name], mask)
        assert torch.equal(lab.weights(mine, epoch=0)[name], start[name] * mask)
        assert (final[name][~mask] == 0).all()
        assert lab.mask(shuffled)[name].sum() == mask.sum()
        assert torch.equal(lab.mask(fresh)[name], mask)


def test_an_own_network_is_built_pruned_and_trained_like_any_other(narrow, tiny, lab):
    network = Network(arch=narrow, width=0.5)
    assert models.prunable(network, SHAPE, CLASSES) == ["first.weight"]
    assert models.prunable(network, SHAPE, CLASSES, "all") == ["first.weight", "last.weight"]
    assert models.count(network, SHAPE, CLASSES) == 64 * 5 + 5 + 5 * 4 + 4
    assert models.build(network, SHAPE, CLASSES, 3)(torch.zeros(3, 2, 1, 8, 8)).shape == (3, 2, CLASSES)
    dense = dense_of(tiny, arch=narrow)
    *_, winner = tickets.imp(dense, rounds=2, rate=0.5)
    lab.run([winner, tickets.reinit(winner)])
    assert int(lab.mask(winner)["first.weight"].sum()) == 64 * 10 // 4
    assert lab.store.done(winner.name)["outcome"] == "finished"


def test_an_own_network_is_known_by_its_files_content(narrow, tiny, tmp_path):
    copy = tmp_path / "copy.py"
    copy.write_text(NARROW)
    longer = tmp_path / "longer.py"
    longer.write_text(NARROW + "# more\n")
    first = dense_of(tiny, arch=narrow)
    assert dense_of(tiny, arch=f"py:{copy}:Narrow") == first
    assert dense_of(tiny, arch=f"py:{longer}:Narrow") != first
    assert dense_of(tiny, arch=f"py:{copy}:Other") != first


def test_a_file_that_changed_after_it_was_loaded_is_refused(narrow):
    network, file = Network(arch=narrow), Path(narrow.removeprefix("py:").removesuffix(":Narrow"))
    models.build(network, SHAPE, CLASSES)
    file.write_text(NARROW.replace("10", "1000"))
    with pytest.raises(UserError, match=r"has changed since it was loaded: restart Python"):
        models.build(network, SHAPE, CLASSES)


@pytest.mark.parametrize(
    ("arch", "says"),
    [
        ("py:mynet.py", "py:PATH:CLASS, not 'py:mynet.py'"),
        ("py::Narrow", "py:PATH:CLASS"),
        ("py:mynet.py:", "py:PATH:CLASS"),
    ],
)
def test_a_name_that_is_none_is_refused_at_once(arch, says):
    with pytest.raises(UserError, match=says):
        Network(arch=arch)


def test_a_file_or_class_that_is_not_there_is_named(narrow, tmp_path):
    with pytest.raises(UserError, match=r"network py:.*nowhere.py: can't read it"):
        models.build(Network(arch=f"py:{tmp_path / 'nowhere.py'}:Narrow"), SHAPE, CLASSES)
    with pytest.raises(UserError, match=r"has no network 'Narow' \(did you mean 'Narrow'\?\)"):
        models.build(Network(arch=narrow.replace(":Narrow", ":Narow")), SHAPE, CLASSES)
    (tmp_path / "net.txt").write_text(NARROW)
    with pytest.raises(UserError, match="is no Python file"):
        models.build(Network(arch=f"py:{tmp_path / 'net.txt'}:Narrow"), SHAPE, CLASSES)


def test_a_notebook_takes_an_own_network_from_wherever_it_was_typed(narrow, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notebook = Path(__file__).resolve().parents[1] / "notebooks/existence.ipynb"
    assert combine(notebook, {"networks": ["py:mynet.py:Narrow*0.5"]}, "")["networks"] == [f"{narrow}*0.5"]
