"""One list of dependencies, versions that hold for every supported Python, a Makefile that installs once."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WANTED = [Requirement(item) for item in sum(PROJECT["optional-dependencies"].values(), PROJECT["dependencies"])]
DISTRIBUTIONS = {
    "PIL": "pillow",
    "yaml": "pyyaml",
    "sklearn": "scikit-learn",
    "bs4": "beautifulsoup4",
    "IPython": "ipython",
    "dask_jobqueue": "dask-jobqueue",
}

sys.path.insert(0, str(ROOT / "tools"))

import constraints as constraints_tool  # noqa: E402
import environment as environment_tool  # noqa: E402


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_the_conda_environment_follows_pyproject() -> None:
    assert (ROOT / "environment.yml").read_text() == environment_tool.environment(PROJECT)
    assert environment_tool.conda("torch>=2.11") == "pytorch>=2.11"
    assert environment_tool.conda("pandas >= 2.2") == "pandas>=2.2"


def test_every_dependency_is_pinned_within_its_range() -> None:
    pinned = pins()
    for wanted in WANTED:
        assert wanted.specifier.contains(pinned[canonicalize_name(wanted.name)]), wanted


def test_nothing_in_the_constraints_belongs_to_one_platform() -> None:
    assert not [name for name in pins() if name.startswith(("nvidia", "cuda", "triton", "ltkit"))]
    assert not [version for version in pins().values() if "+" in version]  # a local build that PyPI doesn't have


def test_pins_that_do_not_hold_for_every_python_are_left_out() -> None:
    assert constraints_tool.pin("Some_Thing", "1.2", ">=3.10") == "some-thing==1.2"
    assert constraints_tool.pin("torch", "2.15.0+cpu", ">=3.10") == "torch==2.15.0"
    assert constraints_tool.pin("thing", "1.2", ">=3.12") is None
    assert constraints_tool.pin("thing", "1.2", "<3.13") is None
    assert constraints_tool.pin("nvidia-cublas", "13.4", ">=3") is None
    pinned = pins()
    for found in importlib.metadata.distributions():
        if pinned.get(canonicalize_name(found.metadata["Name"])) == found.version:
            pythons = SpecifierSet(dict(found.metadata).get("Requires-Python") or "")
            assert all(python in pythons for python in constraints_tool.PYTHONS), found.metadata["Name"]


def test_everything_that_is_imported_is_a_declared_dependency() -> None:
    extra = {canonicalize_name(item) for item in PROJECT["optional-dependencies"]["cluster"]}
    always = {canonicalize_name(Requirement(item).name) for item in PROJECT["dependencies"]}
    missing = set()
    for path in (ROOT / "ltkit").rglob("*.py"):
        declared = always | (extra if path.stem in ("cluster", "clusters") else set())
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level:
                continue
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            tops = {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) - {"ltkit"}
            wanted = {canonicalize_name(DISTRIBUTIONS.get(top, top)) for top in tops}
            missing |= {f"{path.name}: {name}" for name in wanted - declared}
    assert not missing


def test_templates_travel_with_the_package() -> None:
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["ltkit"]
    travelling = {path for pattern in patterns for path in (ROOT / "ltkit").glob(pattern)}
    other = {p for p in (ROOT / "ltkit").rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")}
    assert other <= travelling


def test_license_and_supported_pythons() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert PROJECT["license"] == "Apache-2.0"
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert PROJECT["requires-python"] == ">=3.11"


# The Makefile, with a Python that only notes what it is asked for

FAKE = """#!/bin/sh
# python -c CHECK | python -m venv DIR | python -m pip ARGS
case "$2" in
  venv) mkdir -p "$3/bin"; for name in python ltkit ruff mypy; do cp "$0" "$3/bin/$name"; done ;;
  pip) [ "$3" = --version ] || echo "pip $*" >> "$NOTES" ;;
  params/quick) echo "ltkit $*" >> "$NOTES" ;;
  pytest) echo "pytest $*" >> "$NOTES"; echo "browser: $LTKIT_NO_BROWSER" >> "$NOTES"; echo "1 passed" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if shutil.which("make") is None:
        pytest.skip("make isn't installed")
    folder = tmp_path / "a checkout" / "ltkit"  # a path with a blank in it
    (folder / ".ci").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt", ".ci/run"):
        shutil.copy(ROOT / name, folder / name)
    fake = folder.parent / "bin" / "python3"
    fake.parent.mkdir()
    fake.write_text(FAKE)
    fake.chmod(0o755)
    apt = fake.parent / "apt-get"
    apt.write_text('#!/bin/sh\necho "apt-get $*" >> "$NOTES"\necho "E: no such luck" >&2\nexit 100\n')
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    for name in ("MAKEFLAGS", "PYTHON", "LTKIT_DATA", "LTKIT_NO_BROWSER"):
        monkeypatch.delenv(name, raising=False)
    return folder


def call(folder: Path, *words: str) -> tuple[int, str, list[str]]:
    notes = Path(os.environ["NOTES"])
    notes.write_text("")
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr, notes.read_text().splitlines()


def test_a_second_report_installs_nothing(checkout: Path) -> None:
    code, said, notes = call(checkout, "make", "report")
    assert code == 0, said
    assert [note.split()[0] for note in notes] == ["pip", "ltkit"]
    assert "--constraint constraints.txt --editable ." in notes[0]
    assert "about 5 GB" in said

    code, said, notes = call(checkout, "make", "report")
    assert code == 0, said
    assert [note.split()[0] for note in notes] == ["ltkit"]
    assert "installing" not in said

    os.utime(checkout / "pyproject.toml", (2**31, 2**31))
    assert [note.split()[0] for note in call(checkout, "make", "report")[2]] == ["pip", "ltkit"]


def test_make_test_adds_the_extras_once(checkout: Path) -> None:
    assert call(checkout, "make", "report")[0] == 0
    code, said, notes = call(checkout, "make", "test")
    assert code == 0, said
    assert "--editable .[test,cluster]" in notes[0]
    assert "--nbval-lax" in notes[1]
    assert [note.split()[0] for note in call(checkout, "make", "test")[2]] == ["pytest", "browser:"]
    assert [note.split()[0] for note in call(checkout, "make", "report")[2]] == ["ltkit"]


@pytest.mark.parametrize("python", ["nothing-by-this-name", "false"])
def test_a_missing_or_old_python_is_one_clear_line(checkout: Path, python: str) -> None:
    code, said, notes = call(checkout, "make", f"PYTHON={python}", "report")
    assert code == 2
    assert f"ltkit needs Python 3.11 or newer; '{python}' is" in said
    assert not notes
    assert not (checkout / ".venv").exists()


def test_ci_ends_with_the_tests_summary_and_names_the_shared_data(checkout: Path) -> None:
    code, said, _ = call(checkout.parent, str(checkout / ".ci/run"))
    assert code == 0, said
    assert said.splitlines()[-1] == "1 passed"

    shared = checkout.parent / "shared" / "data"
    shared.mkdir(parents=True)
    (checkout / "Makefile").write_text('test:\n\t@echo "$$LTKIT_DATA"\n')
    assert call(checkout.parent, str(checkout / ".ci/run"))[1].strip() == str(shared)


def test_ci_tries_to_install_a_browser_and_goes_on_without(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = checkout.parent / "few"
    few.mkdir()
    for name in ("bash", "cat", "cp", "dirname", "make", "mkdir", "mktemp", "rm", "sh", "tail", "timeout", "touch"):
        (few / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", f"{checkout.parent / 'bin'}{os.pathsep}{few}")
    code, said, notes = call(checkout.parent, "bash", str(checkout / ".ci/run"))
    assert code == 0, said
    assert said.splitlines()[-1] == "1 passed"
    assert [note for note in notes if note.startswith("apt-get")] == ["apt-get -qq update"]
    assert notes[-1] == "browser: apt-get couldn't install it: E: no such luck"

    for name in ("chromium", "chromedriver"):
        (few / name).symlink_to(few / "sh")
    code, said, notes = call(checkout.parent, "bash", str(checkout / ".ci/run"))
    assert code == 0, said
    assert notes[-1] == "browser: "
    assert not [note for note in notes if "apt-get" in note]
