"""The command line: one line for a mistake, the right exit status, nothing heavy imported without need."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from ltkit import cli
from ltkit.errors import UserError
from ltkit.show import runs
from ltkit.show.execute import Failure
from ltkit.show.report import Report
from ltkit.spec import Init, Magnitude, Network, Recipe, Run, Task, plain
from ltkit.store import Store, open_store
from ltkit.store.files import dump

ROOT = Path(__file__).resolve().parents[1]
DENSE = Run(task=Task(), network=Network(), recipe=Recipe(epochs=3, lr=0.05), start=Init(seed=4), order=4)
TICKET = DENSE.model_copy(update={"mask": Magnitude(run=DENSE, density=0.134)})


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    return int(end.value.code or 0), said.out, said.err


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(tmp_path / "runs")
    for run, density, correct in ((DENSE, 1.0, 470), (TICKET, 0.134, 455)):
        metrics = f"epoch,split,loss,correct,count\n0,test,2.3,50,500\n3,test,0.2,{correct},500\n"
        spec = {"schema": 1, "identity": run.identity, "kind": run.kind, "run": plain(run)}
        files = {"spec.json": dump(spec), "metrics.csv": metrics.encode(), "env.json": dump({"torch": "2.15.0"})}
        final = {"test": {"loss": 0.2, "correct": correct, "count": 500}}
        store.publish({run.name: (files, {"outcome": "finished", "density": density, "final": final})})
    return store


def test_ls(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "ls", "--store", store.path)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split("  ")[0] == "run"
    assert lines[1].split() == [DENSE.name, "digits", "lenet_300_100", "0.05", "3", "epochs", "1", "4", "94.00", "%"]
    assert lines[2].split() == [
        TICKET.name,
        "digits",
        "lenet_300_100",
        "0.05",
        "3",
        "epochs",
        "0.134",
        "4",
        "91.00",
        "%",
    ]
    assert lines[3] == f"2 runs in {store.path}"
    assert call(capsys, "ls", "ticket", "--store", store.path)[1].count("digits") == 1
    code, _, err = call(capsys, "ls", "tickt", "--store", store.path)
    assert code == 2
    assert "(did you mean 'ticket'?); there are dense, ticket" in err


def test_ls_of_an_empty_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "ls", "--store", tmp_path)[:2] == (0, f"0 runs in {tmp_path}\n")


def test_how_a_run_ended() -> None:
    assert runs.accuracy({"outcome": "diverged", "final": {}}) == "diverged"
    assert runs.accuracy({"outcome": "finished", "final": {"test": {"correct": 1, "count": 3}}}) == "33.33 %"


def test_show_takes_the_beginning_of_a_name(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for prefix in (TICKET.name, "tick", TICKET.identity[:5]):
        code, out, _ = call(capsys, "show", prefix, "--store", store.path)
        assert code == 0
        assert TICKET.name in out
        assert "density: 0.134" in out
        assert "torch: 2.15.0" in out
        assert "455" in out.splitlines()[-1]
    code, _, err = call(capsys, "show", "ticket-0", "--store", store.path)
    assert code == 2
    assert err.startswith("ltkit: no run 'ticket-0'")
    assert err.count("\n") == 1


def test_verify_finds_damage_and_gc_removes_it(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "verify", "--store", store.path)[:2] == (0, f"2 runs in {store.path}: 2 sound, 0 damaged\n")
    assert call(capsys, "gc", "--store", store.path)[1] == f"nothing to remove in {store.path}\n"

    file = store.path / TICKET.name / "metrics.csv"
    file.write_bytes(file.read_bytes().replace(b"455", b"500"))
    code, out, _ = call(capsys, "verify", "--store", store.path)
    assert code == 1
    assert f"{TICKET.name}: metrics.csv isn't what was published (checksum)" in out
    assert "1 sound, 1 damaged" in out

    code, out, _ = call(capsys, "gc", "--store", store.path)
    assert "`ltkit gc --yes` removes them" in out
    assert file.exists()
    assert "removed" in call(capsys, "gc", "--yes", "--store", store.path)[1]
    assert not file.exists()
    assert call(capsys, "verify", "--store", store.path)[0] == 0


def test_ls_names_a_damaged_run(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    (store.path / DENSE.name / "spec.json").unlink()
    line = call(capsys, "ls", "--store", store.path)[1].splitlines()[1]
    assert line.split(maxsplit=1) == [DENSE.name, "damaged: a file is missing"]


def test_doctor(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte.gz").write_bytes(b"")
    code, out, _ = call(capsys, "doctor", "--store", store.path, "--data", tmp_path / "data")
    facts = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert code == 0
    assert facts["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"torch", "device", "cpu", "compiler", "commit"} <= set(facts)
    assert facts["mnist"] == f"found in {tmp_path / 'data'}"
    assert facts["digits"] == "comes with scikit-learn"
    assert facts["store"].startswith(f"{store.path}: 2 runs, ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["repor"], "no command 'repor' (did you mean 'report'?)"),
        (["report"], "Missing argument 'PARAMS_DIR'"),
        (["report", "x", "--onyl", "y"], "--only"),
        (["report", "x", "--jobs", "0"], "'--jobs': 0 is not in the range x>=1"),
        (["compare", "x"], "Missing argument 'B'"),
        (["compare", "nowhere/at/all", "{file}"], "nowhere/at/all: no such report folder or verdicts.json"),
        (["report", "nowhere/at/all"], "nowhere/at/all: no such folder of parameter files"),
        (["run", "no-such-notebook"], "no-such-notebook: no such notebook"),
        (["ls", "--store", "{file}"], "a file stands where the store's folder should be"),
        (["ls", "--store", "{file}/deeper"], "store {file}/deeper: "),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LTKIT_STORE", str(tmp_path / "runs"))
    file = tmp_path / "file"
    file.write_text("")
    code, out, err = call(capsys, *(word.replace("{file}", str(file)) for word in words))
    assert code == 2
    assert out == ""
    assert err.startswith("ltkit: ")
    assert said.replace("{file}", str(file)) in err
    assert err.count("\n") == 1


def test_a_store_of_a_newer_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "store.json").write_text('{"schema": 99}')
    code, _, err = call(capsys, "ls", "--store", tmp_path)
    assert code == 2
    assert "written by a newer ltkit" in err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UserError("no\n  such thing"), 2, "ltkit: no such thing\n"),
        (KeyboardInterrupt(), 130, "ltkit: interrupted; finished runs are kept"),
        (OSError(28, "No space left on device", "a/file"), 2, "ltkit: a/file: no space left on device\n"),
    ],
)
def test_how_commands_end(
    error: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("ltkit.store.open_store", broken)
    found, _, err = call(capsys, "ls")
    assert found == code
    assert said in err
    assert err.strip().count("\n") == 0


def test_report_hands_its_options_on_and_tells_what_came_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[Any] = []

    def make(*words: Any, progress: Any, log: Any) -> Report:
        given.extend(words)
        words[6]("one: running")
        progress("0 of 1 done")
        log("one | 1/2 runs")
        record = {"study": "one", "status": "done", "verdicts": [{"verdict": "refuted"}]}
        return Report(tmp_path / "index.html", [record], {"verdicts": Failure("ValueError", "no")})

    monkeypatch.setattr("ltkit.show.report.report", make)
    code, out, err = call(capsys, "report", "params/x", "--only", "one", "--jobs", "3")
    assert code == 1  # the board failed, by itself
    assert given[0] == "params/x"
    assert tuple(given[1]) == ("one",)
    assert given[7] == 3
    assert "one: running" in out
    assert err.splitlines() == ["0 of 1 done", "one | 1/2 runs", "ltkit: verdicts: ValueError: no"]
    words = " ".join(out.split())
    assert "supported refuted undecided untested one 0 1 0 0" in words


def test_nothing_heavy_is_imported_for_help_and_listings(store: Store) -> None:
    code = (
        "import sys\nfrom ltkit.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: print(*sorted({'torch', 'papermill', 'nbconvert', 'pandas', 'scipy'} & set(sys.modules)))"
    )

    def loaded(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True, cwd=ROOT
        )
        return done.stdout.splitlines()[-1]

    assert loaded("--help") == ""
    assert loaded("ls", "--store", str(store.path)) == ""


@pytest.mark.parametrize("study", sorted(path.stem for path in (ROOT / "params/smoke").glob("*.yaml")))
def test_a_slip_in_a_parameter_file_is_told_before_torch_is_loaded(study: str, tmp_path: Path) -> None:
    text = (ROOT / f"params/smoke/{study}.yaml").read_text()
    (tmp_path / f"{study}.yaml").write_text(text.replace("\nseeds:", "\nseed:"))
    code = "import sys\nfrom ltkit.cli import main\ntry: main(sys.argv[1:])\nfinally: print('torch' in sys.modules)"
    told = [sys.executable, "-c", code, "report", str(tmp_path), "--out", str(tmp_path / "out")]
    done = subprocess.run(told, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert "did you mean 'seeds'" in done.stderr
    assert done.stdout.split() == ["False"]


# One notebook

TOY = "from ltkit.params import Parameters\nclass Params(Parameters):\n    epochs: int\n    lr: float\n"


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "cli_toy.py").write_text(TOY)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    return tmp_path


def notebook(folder: Path, *cells: str) -> Path:
    parameters = new_code_cell("epochs: int = 1\nlr: float = 0.1", metadata={"tags": ["parameters"]})
    check = new_code_cell("from cli_toy import Params\nparams = Params.here(globals())")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"ltkit": {"params": "cli_toy:Params"}, "kernelspec": kernel}
    path = folder / "toy.ipynb"
    nbformat.write(new_notebook(cells=[parameters, check, *map(new_code_cell, cells)], metadata=metadata), path)
    return path


def test_running_a_notebook_loads_no_grammar_of_addresses_and_nothing_for_pages(toy: Path) -> None:
    path = notebook(toy)
    code = (
        "import sys\nfrom ltkit.cli import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit as end: print(end.code or 0)\n"
        "print(bool({'lark', 'bs4'} & set(sys.modules)))\nimport rfc3987_syntax"  # still there for whoever asks for it
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "run", path], cwd=toy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["0", "False"]


def test_run_checks_before_a_kernel_starts(
    toy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[Any] = []
    monkeypatch.setattr("ltkit.show.execute.execute", lambda *words: started.append(words))
    path = notebook(toy)
    (toy / "p.yaml").write_text("epochs: 7\nlr: 1e-3\n")

    for words, said in [
        (["-p", "epoch", "3"], "parameters: unknown key 'epoch' (did you mean 'epochs'?)"),
        (["-p", "epochs", "many"], "parameters: epochs: input should be a valid integer"),
        (["-p", "epochs", "[1,"], "-p epochs, line 1"),
        (["-f", toy / "q.yaml"], "q.yaml: no such file or directory"),
        (["-o", path], "is the notebook itself"),
        (["-o", toy / "absent" / "x.ipynb"], "no such folder"),
    ]:
        code, _, err = call(capsys, "run", path, *words)
        assert code == 2
        assert said in err
    assert not started

    monkeypatch.chdir(toy)
    assert call(capsys, "run", path, "-f", "p.yaml", "-p", "epochs", "9", "--data", "d")[0] == 0
    (given,) = started
    assert given[0] == path
    assert given[1] == toy / "toy.out.ipynb"
    assert given[2] == {"epochs": 9, "lr": 0.001}
    assert given[3]["LTKIT_DATA"] == str(toy / "d")


def test_plain_papermill_shows_one_line_for_a_misspelt_name(toy: Path) -> None:
    path = notebook(toy, "print('not reached')")
    words = [sys.executable, "-m", "papermill", path, toy / "out.ipynb", "-p", "epoch", "3", "--no-progress-bar"]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, cwd="/", timeout=120)
    assert done.returncode == 1
    line = "ltkit: parameters: unknown name 'epoch' (did you mean 'epochs'?)"
    assert line in done.stderr
    outputs = [
        output for cell in json.loads((toy / "out.ipynb").read_text())["cells"] for output in cell.get("outputs", [])
    ]
    assert [(output["ename"], output["traceback"]) for output in outputs] == [("UserError", [line])]


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
def test_ctrl_c_ends_the_kernel_and_leaves_earlier_results_alone(toy: Path) -> None:
    sign = toy / "sign"
    sleep = f"import os, time\nopen({str(sign)!r}, 'w').write(str(os.getpid()))\ntime.sleep(100)"
    path, out = notebook(toy, sleep), toy / "out.ipynb"
    out.write_text("earlier")
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job ignores it
        f"from ltkit.cli import main; main(['run', {str(path)!r}, '-o', {str(out)!r}])"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 180
    while not (sign.exists() and sign.read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip() == "ltkit: interrupted; finished runs are kept, and the same command goes on from there"
    assert out.read_text() == "earlier"
    with pytest.raises(ProcessLookupError):
        os.kill(int(sign.read_text()), 0)
