"""Parameters: every way in is checked, and what is wrong is one line with the nearest right name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from ltkit import notebook
from ltkit.errors import UserError
from ltkit.params import Parameters, load, parse
from ltkit.spec import Density, Seed


class Toy(Parameters):
    seeds: tuple[Seed, ...]
    densities: tuple[Density, ...]
    epochs: Annotated[int, Field(ge=1)]
    lr: float = 0.1
    schedule: Literal["constant", "cosine"] = "constant"
    flip: bool = False
    extras: Annotated[tuple[str, ...], Field(min_length=0)] = ("a",)


GOOD = "seeds: [0, 1]\ndensities: [0.5, 0.1]\nepochs: 3\n"


def yaml(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "toy.yaml"
    path.write_text(text)
    return path


def test_a_good_file(tmp_path: Path) -> None:
    read = load(yaml(tmp_path, GOOD + "lr: 1e-3\n"), Toy)  # YAML 1.1 reads 1e-3 as a word
    assert read == Toy(seeds=(0, 1), densities=(0.5, 0.1), epochs=3, lr=0.001)
    assert load(yaml(tmp_path, GOOD + "flip: yes\nextras: []\n"), Toy).extras == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + "epoch: 4\n", "unknown key 'epoch' (did you mean 'epochs'?)"),
        (GOOD + "epochs: 4\n", "line 4, column 1: 'epochs' is there twice"),
        (GOOD + "lr: fast\n", "lr: input should be a valid number, unable to parse string as a number, not 'fast'"),
        (GOOD + "lr: .nan\n", "lr: input should be a finite number"),
        (GOOD + "lr: true\n", "lr: True is a yes or no"),
        (GOOD + "schedule: cosin\n", "schedule: input should be 'constant' or 'cosine', not 'cosin'"),
        ("seeds: [0, no]\ndensities: [1]\nepochs: 3\n", "seeds: [0, False] is a yes or no"),
        ("seeds: [0]\ndensities: [1]\nepochs: 2.5\n", "epochs: input should be a valid integer"),
        ("seeds: [0]\ndensities: [1]\nepochs: 0\n", "epochs: input should be greater than or equal to 1, not 0"),
        (
            "seeds: [0]\ndensities: [0.5, 1.5]\nepochs: 3\n",
            "densities.1: input should be less than or equal to 1, not 1.5",
        ),
        ("seeds: [0]\ndensities: [0]\nepochs: 3\n", "densities.0: input should be greater than 0, not 0"),
        ("seeds: [0]\ndensities: []\nepochs: 3\n", "densities: an empty grid"),
        ("seeds: [3, 1, 3]\ndensities: [1]\nepochs: 3\n", "seeds: [3, 1, 3] names a seed twice"),
        ("seeds: [0]\ndensities: [1]\n", "'epochs' is missing"),
        ("- 1\n- 2\n", "a mapping of parameter names to values is wanted"),
        ("epochs", "a mapping of parameter names to values is wanted"),
        ("1: 2\n", "a mapping of parameter names to values is wanted"),
        ("seeds: [0\n", "line 2, column 1: expected ',' or ']'"),
        ("seeds: &all [0]\n", "line 1, column 8: anchors and aliases (& and *) are not allowed"),
        ("a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "anchors and aliases (& and *) are not allowed"),
        ("seeds: !!python/object/apply:os.getcwd []\n", "line 1, column 8: could not determine a constructor"),
        ("--- 1\n--- 2\n", "but found another document"),
        ("? [1]\n: 2\n", "line 1, column 3: found unhashable key"),
        ("seeds: " + "[" * 5000 + "\n", "not a readable YAML file"),
        ("epochs: " + "9" * 5000 + "\n", "not a readable YAML file"),
        ("epochs: 2020-13-45\n", "not a readable YAML file"),
        ("\x00", "not a readable YAML file"),
    ],
)
def test_a_bad_file_is_one_line_that_names_the_place(tmp_path: Path, text: str, said: str) -> None:
    path = yaml(tmp_path, text)
    with pytest.raises(UserError) as error:
        load(path, Toy)
    assert str(error.value).startswith(str(path))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load(tmp_path / "nothing.yaml", Toy)
    with pytest.raises(UserError, match="is a directory"):
        load(tmp_path, Toy)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        load(yaml(tmp_path, "seeds: [0]\ndensities: [2]\nepoch: 3\n"), Toy)
    assert all(word in str(error.value) for word in ("densities.0", "'epochs' is missing", "'epoch'"))


def test_values_of_the_command_line() -> None:
    assert parse("[0.1, 0.2]", "-p") == [0.1, 0.2]
    assert parse("3", "-p") == 3
    assert parse("digits", "-p") == "digits"
    with pytest.raises(UserError, match=r"^-p x, line 1, column 4"):
        parse("[1,", "-p x")


# In a notebook: `Parameters.here(globals())`


def namespace(*cells: str, **names: Any) -> dict[str, Any]:
    """What `globals()` holds in a notebook that ran these cells."""
    defaults = {"lr": 0.1, "schedule": "constant", "flip": False, "extras": []}
    return {"In": ["", *cells], "seeds": [0], "densities": [1.0], "epochs": 3, **defaults, "other": object(), **names}


def test_here_takes_the_notebooks_globals() -> None:
    found = Toy.here(namespace("lr = 0.1", epochs=5))
    assert found.epochs == 5


def test_here_wants_every_field() -> None:
    names = namespace()
    del names["flip"], names["epochs"]
    with pytest.raises(UserError, match=r"^parameters: 'epochs' is missing; 'flip' is missing$"):
        Toy.here(names)


def test_here_finds_what_papermill_injected_beside_the_model() -> None:
    with pytest.raises(UserError, match=r"^parameters: unknown name 'epoch' \(did you mean 'epochs'\?\)$"):
        Toy.here(namespace("# Parameters\nepochs: int = 3", "# Parameters\nepoch = 9\nlr = 0.1\n"))
    assert Toy.here(namespace("# Parameters\nepochs = 3\nlr = 0.1")).epochs == 3


def test_here_looks_at_the_last_marked_cell_only() -> None:
    """Someone who mends a misspelt name in JupyterLab and runs the cell again needn't restart the kernel."""
    assert Toy.here(namespace("# Parameters\nepoch = 9", "# Parameters\nepochs = 9")).epochs == 3


def test_here_refuses_wrong_values() -> None:
    with pytest.raises(UserError, match=r"^parameters: densities\.0: input should be less than or equal to 1"):
        Toy.here(namespace(densities=[1.5]))


def test_here_reads_a_list_that_papermill_took_for_a_word() -> None:
    """README: papermill ... -p seeds '[0, 1, 2]'."""
    found = Toy.here(namespace(seeds="[0, 1, 2]", densities="[0.5]", schedule="constant"))
    assert (found.seeds, found.densities, found.schedule) == ((0, 1, 2), (0.5,), "constant")
    for wrong in ("[0, 1", "0", "{a: 1}", ""):
        with pytest.raises(UserError, match=r"^parameters: seeds: input should be a valid tuple, not "):
            Toy.here(namespace(seeds=wrong))
    with pytest.raises(UserError, match=r"^parameters: seeds: .* names a seed twice"):
        Toy.here(namespace(seeds="[1, 1]"))


# What a notebook says of itself


def write(path: Path, cells: list[tuple[str, str, list[str]]], **metadata: Any) -> Path:
    listed = [{"cell_type": kind, "source": source, "metadata": {"tags": tags}} for kind, source, tags in cells]
    path.write_text(json.dumps({"cells": listed, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}))
    return path


PARAMETERS = """\
seeds: list[int] = [0, 1]  # one training each
densities = [
    0.5,
    0.1,
]  # fractions kept; '#' is no comment in a string
epochs: int = 3
data = "a#b"  # θ, where it comes from
"""


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    prose = "# A title\n\nFirst words.\n\n## Question\n\nIs it *so*,\nor not?\n\nMore."
    cells = [("markdown", prose, []), ("code", PARAMETERS, ["parameters"])]
    return write(tmp_path / "toy.ipynb", cells, ltkit={"params": f"{__name__}:Toy"})


def test_defaults_and_meanings(toy: Path) -> None:
    assert notebook.defaults(toy) == {"seeds": [0, 1], "densities": [0.5, 0.1], "epochs": 3, "data": "a#b"}
    meanings = notebook.meanings(toy)
    assert meanings["seeds"] == "one training each"
    assert meanings["densities"] == "fractions kept; '#' is no comment in a string"
    assert meanings["epochs"] == ""
    assert meanings["data"] == "θ, where it comes from"


def test_heading(toy: Path, tmp_path: Path) -> None:
    assert notebook.heading(toy) == ("A title", "Is it *so*, or not?")
    assert notebook.heading(write(tmp_path / "a.ipynb", [("markdown", "# T\n\nWords.\n\nMore", [])])) == ("T", "Words.")
    assert notebook.heading(write(tmp_path / "b.ipynb", [], ltkit={"question": "Why?"})) == ("b", "Why?")


def test_the_model_is_named_by_the_metadata(toy: Path, tmp_path: Path) -> None:
    assert notebook.model_of(toy) is Toy
    for label, said in [
        ({}, "name no parameter model"),
        ({"study": "nothing_like_it"}, "no parameter model ltkit.studies.nothing_like_it_params:Params"),
        ({"params": f"{__name__}:Absent"}, "no parameter model"),
        ({"params": "json:loads"}, "no subclass of ltkit.params.Parameters"),
    ]:
        with pytest.raises(UserError, match=said):
            notebook.model_of(write(tmp_path / "x.ipynb", [], ltkit=label))


def test_combine_checks_the_given_with_the_rest(tmp_path: Path) -> None:
    cell = ("code", "seeds = [0]\ndensities = [1.0]\nepochs = 1", ["parameters"])
    path = write(tmp_path / "n.ipynb", [cell], ltkit={"params": f"{__name__}:Toy"})
    assert notebook.combine(path, {"lr": "1e-3", "epochs": 2}, "x.yaml") == {"lr": 0.001, "epochs": 2}
    with pytest.raises(UserError, match=r"^x\.yaml: unknown key 'epoch' \(did you mean 'epochs'\?\)$"):
        notebook.combine(path, {"epoch": 2}, "x.yaml")


def test_paths_of_images_are_settled_before_a_kernel_starts_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cell = ("code", "seeds = [0]\ndensities = [1.0]\nepochs = 1", ["parameters"])
    path = write(tmp_path / "n.ipynb", [cell], ltkit={"params": f"{__name__}:Toy"})
    assert notebook.combine(path, {"extras": ["npz:a.npz", "b"]}, "") == {"extras": [f"npz:{tmp_path}/a.npz", "b"]}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cells": [{}]}', "\u00ff"])
def test_no_notebook(tmp_path: Path, text: str) -> None:
    path = tmp_path / "n.ipynb"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match="not a Jupyter notebook"):
        notebook.defaults(path)


def test_no_parameters_cell_and_no_literals(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no cell is tagged 'parameters'"):
        notebook.defaults(write(tmp_path / "n.ipynb", [("code", "a = 1", [])]))
    with pytest.raises(UserError, match="must hold literals only"):
        notebook.defaults(write(tmp_path / "n.ipynb", [("code", "a = b", ["parameters"])]))
