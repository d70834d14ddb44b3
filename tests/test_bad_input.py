"""Whatever a parameter file, a spec, a name or an .npz file holds: one clear line or a valid value, and nothing else.

A thousand generated parameter files and specs, always the same ones; then what somebody would try on purpose.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ltkit import cli, data, notebook, params
from ltkit.data import npz
from ltkit.errors import UserError, one_line, shown
from ltkit.prune import tickets
from ltkit.show.runs import description, listing
from ltkit.spec import (
    Admm,
    Anchor,
    From,
    Given,
    Gradual,
    Grown,
    Init,
    Network,
    Random,
    Recipe,
    Repel,
    Run,
    Scored,
    Shuffled,
    Task,
    plain,
)
from ltkit.store import Damaged, Store, open_store
from ltkit.store.files import dump, sha256

ROOT = Path(__file__).resolve().parents[1]
STUDIES = sorted(path.stem for path in (ROOT / "params" / "smoke").glob("*.yaml"))
LIMIT = 10.0  # seconds of computing for one input; all are done in a fraction of one

HOSTILE = (
    *("../../x", "~", "~nobody-here/x", "/dev/zero", "npz:../../x", "npz:/dev/zero", "npz:~nobody-here/x", "npz:"),
    *("npz:a\0b", "npz:a\nb", "npz:" + "x" * 5000, "file:../../x", "py:/etc/passwd:Net", "py:x", "a\0b", "\x1b[2J"),
    *("\n", "é" * 300, "x" * 5000, "$(touch x)", "; touch x", "lenet_300_100*1e308", "lenet_300_100*nan", "resnet8*-1"),
    *("vgg19*64", "resnet110*64-plain", "lenet_5*0.3+bn", "64/0.02/wd1e400", "1/1e-300", "0x1/1", "-plain", "*"),
)
NUMBERS = (0, -1, 1, 2, 10**9, 10**30, -(10**30), 2**31, 1e-300, 5e-324, 1e308, 0.999999999999, float("nan"))
WORDS = st.sampled_from(HOSTILE) | st.text(max_size=8)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from((*NUMBERS, float("inf"), -float("inf"))),
    WORDS,
)
JUNK = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=6
)


def kind(value: Any) -> str:
    """A test's name: the values themselves are no fit for a terminal."""
    return type(value).__name__


def always(examples: int) -> settings:
    quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(derandomize=True, database=None, deadline=None, max_examples=examples, suppress_health_check=quiet)


# What may not happen: another exception, a hang, a write elsewhere, a second line

WRITES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "subprocess.Popen")
watched: list[tuple[str, str]] | None = None


def _watch(event: str, args: tuple[Any, ...]) -> None:
    if watched is None:
        return
    opened = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if opened or event in WRITES:
        watched.append((event, str(args[0])))
    elif event in ("os.system", "os.exec", "os.posix_spawn", "socket.connect"):
        watched.append((event, str(args)))


sys.addaudithook(_watch)  # it can't be taken away again; outside `harmless` it does nothing


@contextmanager
def harmless(place: Path) -> Iterator[None]:
    """Nothing is written but below `place`, nothing is started, nobody is called, and it takes no time."""
    global watched
    watched, begun = [], time.process_time()
    try:
        yield
    finally:
        seen, watched = watched, None
    mine = (str(place), "/dev/null")
    assert [what for what in seen if not what[1].startswith(mine) and "__pycache__" not in what[1]] == []
    assert time.process_time() - begun < LIMIT


def clear(error: UserError, *strip: str) -> str:
    """An error's text, which is one short line that any terminal can show."""
    text = str(error)
    for word in strip:
        text = text.replace(word, "")
    assert text.isprintable(), text
    assert 10 < len(text) < 500, text
    return text


@pytest.fixture(autouse=True)
def nothing_from_the_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unreachable(*words: Any, **options: Any) -> None:
        raise OSError("network unreachable")

    monkeypatch.setenv("LTKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("torchvision.datasets.utils._get_redirect_url", unreachable)
    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", unreachable)
    monkeypatch.chdir(tmp_path)


# Parameter files


class _NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def written(values: dict[Any, Any]) -> str:
    return yaml.dump(values, Dumper=_NoAliases, sort_keys=False, allow_unicode=False)


def read_like_the_command_line(study: str, file: Path) -> None:
    """What `ltkit run` and `ltkit report` do before they start a kernel, and what the kernel does first."""
    path = ROOT / "notebooks" / f"{study}.ipynb"
    given = params.read(file)
    notebook.combine(path, given, str(file))
    checked = notebook.model_of(path).check({**notebook.defaults(path), **given}, str(file))
    grid = importlib.import_module(f"ltkit.studies.{study}").grid(checked)
    assert len({run.name for _, run in grid}) > 0


@pytest.fixture(scope="module", params=STUDIES)
def study(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """A study's name and good parameters, read once so that everything is imported."""
    file = ROOT / "params" / "smoke" / f"{request.param}.yaml"
    read_like_the_command_line(request.param, file)
    return request.param, params.read(file)


@st.composite
def spoiled(draw: st.DrawFn, values: dict[str, Any]) -> str:
    """A parameter file with one to three things wrong with it, or only strange."""
    changed: dict[Any, Any] = dict(values)
    double = ""
    for _ in range(draw(st.integers(1, 3))):
        key = draw(st.sampled_from(sorted(values)))
        kind = draw(st.sampled_from(("value", "value", "element", "element", "drop", "misspell", "double", "nest")))
        if kind == "drop":
            changed.pop(key, None)
        elif kind == "value":
            changed[key] = draw(JUNK)
        elif kind == "element" and isinstance(changed.get(key), list):
            changed[key] = [*changed[key], draw(JUNK)]
        elif kind == "misspell":
            changed[draw(WORDS | st.just(key[:-1]))] = changed.pop(key, 1)
        elif kind == "double":
            double += f"{key}: {draw(st.integers(0, 9))}\n"
        else:
            changed[key] = {key: [changed.get(key)]}
    return written(changed) + double


@st.composite
def broken(draw: st.DrawFn, text: str) -> bytes:
    """A parameter file with some characters changed, put in or cut out."""
    pieces = list(text)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(pieces) - 1))
        cut = draw(st.sampled_from((0, 0, 1, 5, 10_000)))
        new = draw(st.sampled_from("\t\0:-?[]{},&*#!|>'\"%@`\n\x85\ufeff\x1b0~<=") | st.text(max_size=3))
        pieces[place : place + cut] = new
        pieces = pieces or ["x"]
    coding = draw(st.sampled_from(("utf-8", "utf-8", "utf-8", "utf-16", "latin-1")))
    return "".join(pieces).encode(coding, "replace")


def attempt(study: str, content: bytes, place: Path) -> str | None:
    """What is said of a parameter file; None for a good one."""
    file = place / "spoiled.yaml"
    file.write_bytes(content)
    with harmless(place):
        try:
            read_like_the_command_line(study, file)
        except UserError as error:
            return clear(error, str(file))
    return None


def test_a_spoiled_parameter_file_is_one_line_or_good(study: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    name, values = study
    said: list[str | None] = []

    @always(90)
    @given(text=spoiled(values))
    def one(text: str) -> None:
        said.append(attempt(name, text.encode(), tmp_path))

    one()
    assert len(said) >= 90
    assert 0 < len([line for line in said if line is None]) < len(said) / 2


def test_broken_yaml_is_one_line_or_good(study: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    name, values = study
    text = written(values)

    @always(30)
    @given(content=broken(text))
    def one(content: bytes) -> None:
        attempt(name, content, tmp_path)

    one()


def test_each_key_is_named_when_its_value_makes_no_sense(study: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    name, values = study
    for key in values:
        for wrong in ({"a": [1]}, None):
            line = attempt(name, written({**values, key: wrong}).encode(), tmp_path)
            assert line is not None
            assert key in line
        line = attempt(name, written({k: v for k, v in values.items() if k != key} | {f"{key}x": 1}).encode(), tmp_path)
        assert line is not None
        assert f"unknown key '{key}x' (did you mean '{key}'?)" in line


BOMBS = {
    "billion laughs": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
    "merged laughs": "a: &a {x: 1}\nb: &b {<<: [*a, *a]}\n",
    "an object": "seeds: !!python/object/apply:os.system ['touch x']\n",
    "a module": "seeds: !!python/module:antigravity\n",
    "a new object": "seeds: !!python/object/new:pathlib.Path [x]\n",
    "deep": "seeds: " + "[" * 10_000 + "]" * 10_000,
    "deep maps": "".join(" " * n + "a:\n" for n in range(400)),
    "less deep": "seeds: " + "[" * 150 + "]" * 150,
    "long": "seeds: [" + "1," * 50_000 + "]\n",
    "many keys": "".join(f"k{n}: 1\n" for n in range(10_000)),
    "many doubles": "{" + "seeds: 1, " * 9_000 + "}",
    "a number": "epochs: 0x" + "f" * 50_000,
    "base 60": "epochs: 1" + ":1" * 20_000,
    "a real number": "lr: 1" + "0" * 400 + ".0",
    "a word": "data: " + "d" * 90_000,
    "a key": "? " + "k" * 1000 + "\n: 1\n",
    "self": "self: 1\n",
    "model_config": "model_config: {extra: allow}\n__class__: 1\n",
    "a bad date": "seeds: !!timestamp x\n",
    "no number": 'seeds: !!int ""\n',
    "no truth": "seeds: !!bool x\n",
    "bytes": "epochs: !!binary AAECAw==\n",
    "half a character": 'data: "\\ud800"\n"\\udc00": 1\n',
    "colours": '"\\e[31mseeds": 1\n',
    "an eternal line": 'data: "\\n\\r\\x85\\u2028"\n',
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_refused_at_once(bomb: str, tmp_path: Path) -> None:
    begun = time.process_time()
    assert attempt("greedy_bounds", BOMBS[bomb].encode(), tmp_path) is not None
    assert time.process_time() - begun < 5


def test_what_has_no_end_is_no_parameter_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"more than 100,000 bytes are no parameter file"):
        params.read("/dev/zero")


@pytest.mark.parametrize(
    "value", [10**5000, [10**5000], "x" * 10**6, "\x1b[2J\n\0", float("nan"), "\ud800", [[]] * 999], ids=kind
)
def test_a_value_is_shown_in_few_words(value: Any) -> None:
    text = shown(value)
    assert text.isprintable()
    assert 0 < len(text) <= 100


def test_a_long_line_lacks_its_middle() -> None:
    assert one_line("a  b\n c") == "a b c"
    line = one_line("start" + "x" * 1000 + "end")
    assert len(line) <= 480
    assert line.startswith("startx")
    assert line.endswith("xend")


# Specs

NETWORK = Network(width=0.1)
DENSE = Run(task=Task(), network=NETWORK, recipe=Recipe(epochs=3))
TICKET = tickets.imp(DENSE, rounds=2, rewind=1)[-1]
RANDOM = Random(density=0.5)
SCORED = Scored(method="snip", start=Init(), task=Task(), density=0.5)
RUNS = (
    DENSE,
    TICKET,
    tickets.shuffled(tickets.imp(DENSE, rounds=1)[0]),
    tickets.fine_tune(DENSE, RANDOM),
    DENSE.replace(mask=Grown(method="set", mask=RANDOM, every=3)),
    DENSE.replace(mask=Gradual(density=0.5, every=2)),
    DENSE.replace(mask=SCORED),
    DENSE.replace(mask=Shuffled(mask=RANDOM)),
    DENSE.replace(mask=Given(file=f"file:{ROOT / 'pyproject.toml'}")),
    DENSE.replace(extra=Repel(runs=(TICKET, DENSE.replace(order=1)), strength=2)),
    DENSE.replace(extra=Anchor(run=DENSE, strength=-1), start=From(run=DENSE, epoch=1)),
    DENSE.replace(extra=Admm(runs=(DENSE,), density=0.5, strength=1)),
)


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something lies in a JSON value, from the top."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(path for key, item in inner for path in paths(item, (*here, key)))]


def spoil(value: Any, path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> None:
    for key in path[:-1]:
        value = value[key]
    change(value, path[-1])


@st.composite
def spoiled_json(draw: st.DrawFn, good: Any) -> Any:
    """A JSON value with one to three things changed, dropped or put in."""
    value = json.loads(json.dumps(good))
    for _ in range(draw(st.integers(1, 3))):
        places = [path for path in paths(value) if path]
        if not places:
            return value
        path, kind = draw(st.sampled_from(places)), draw(st.sampled_from(("set", "set", "drop", "add", "swap")))
        new = value if kind == "swap" else draw(JUNK)
        if kind == "swap":
            for key in draw(st.sampled_from(places)):
                new = new[key]
            new = json.loads(json.dumps(new))
        if kind == "drop":
            spoil(value, path, lambda parent, key: parent.pop(key))
        elif kind == "add":
            word = draw(WORDS)
            spoil(value, path, lambda p, k, w=word, n=new: p.update({w: n}) if isinstance(p, dict) else p.append(n))
        else:
            spoil(value, path, lambda parent, key, n=new: parent.__setitem__(key, n))
    return value


def test_a_good_spec_comes_back_the_same() -> None:
    for run in RUNS:
        again = Run(**json.loads(run.model_dump_json()))
        assert (again, again.name, again.kind) == (run, run.name, run.kind)


@pytest.mark.parametrize("number", range(len(RUNS)))
def test_a_spoiled_spec_is_one_line_or_a_run(number: int, tmp_path: Path) -> None:
    good = json.loads(RUNS[number].model_dump_json())

    @always(15)
    @given(values=spoiled_json(good))
    def one(values: Any) -> None:
        if not isinstance(values, dict):
            return
        with harmless(tmp_path):
            try:
                run = Run(**values)
                again = Run(**json.loads(run.model_dump_json()))
                assert (again.name, again.identity) == (run.name, run.identity)
            except UserError as error:
                clear(error)

    one()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"order": "../../x"}, "order: input should be a valid integer, unable to parse string as an integer"),
        ({"order": 10**5000}, "order: "),
        ({"self": 1}, "unknown key 'self'"),
        ({"extra": {"kind": "repell"}}, "extra: "),
        (
            {"mask": {"kind": "magnitude", "run": "ticket-0123456789ab", "density": 0.5}},
            "Magnitude: run: input should be",
        ),
        ({"task": {"data": "npz:a\0b"}}, r"npz:a\x00b: can't read it ("),
        ({"task": {"data": "npz:a\0b"}}, "embedded null"),  # byte, or character: Pythons differ
        ({"task": {"data": "npz:~nobody-here/x"}}, "npz:~nobody-here/x: can't read it (Could not determine home"),
        ({"task": {"data": "npz:/dev/zero"}}, "npz:/dev/zero: can't read it (it is no regular file)"),
        ({"task": {"data": "npz:" + "x" * 5000}}, "File name too long"),
        ({"task": {"data": "npz:../../x\n\x1b[2J"}}, r"../../x \x1b[2J: can't read it (No such file or directory)"),
        ({"mask": {"kind": "given", "file": "file:/dev/zero"}}, "mask /dev/zero: can't read it"),
        ({"mask": {"kind": "given", "file": "../../x"}}, "Given: file: string should match pattern"),
        ({"network": {"arch": "py:/dev/zero:Net"}}, "network py:/dev/zero: can't read it"),
    ],
    ids=kind,
)
def test_hostile_specs(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    with harmless(tmp_path), pytest.raises(UserError) as caught:
        Run(**{**json.loads(DENSE.model_dump_json()), **change}).name  # noqa: B018
    assert said in clear(caught.value)


# What lies in a store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(tmp_path / "runs")
    publish(store, DENSE.name, spec_of(DENSE))
    return store


def spec_of(run: Run) -> dict[str, Any]:
    return {"schema": 1, "identity": run.identity, "kind": run.kind, "run": plain(run)}


FACTS = {"outcome": "finished", "density": 1.0, "final": {"test": {"loss": 0.2, "correct": 4, "count": 5}}}
METRICS = b"epoch,split,loss,correct,count\n3,test,0.2,4,5\n"


def publish(store: Store, name: str, spec: Any, facts: Any = FACTS, metrics: bytes = METRICS) -> None:
    """A run whose checksums are right, whatever it holds."""
    folder = store.folder(name)
    folder.mkdir(exist_ok=True)
    files = {"spec.json": json.dumps(spec).encode(), "metrics.csv": metrics, "env.json": b"{}"}
    for file, content in files.items():
        (folder / file).write_bytes(content)
    sums = {file: {"sha256": sha256(content), "bytes": len(content)} for file, content in files.items()}
    done = {**facts, "schema": 1, "files": sums}
    done["digest"] = sha256(dump(done))
    (folder / "done.json").write_bytes(dump(done))


NAME = "ticket-0123456789ab"


def seen(store: Store, name: str) -> str:
    """What `ltkit ls` and `ltkit show` say of a run; the list never fails for one bad run."""
    lines = listing(store).split("\n")
    assert len(lines) == 4
    assert "".join(lines).isprintable()
    try:
        return description(store.read(name))
    except Damaged as error:
        return clear(error)


def test_a_spoiled_spec_in_the_store_is_shown_or_said_to_be_damaged(store: Store, tmp_path: Path) -> None:
    @always(100)
    @given(spec=spoiled_json(spec_of(TICKET)) | JUNK)
    def one(spec: Any) -> None:
        publish(store, NAME, spec)
        with harmless(tmp_path):
            seen(store, NAME)

    one()


def finite(value: Any) -> bool:
    try:
        dump(value)
    except ValueError:
        return False
    return True


def test_spoiled_facts_in_the_store_are_shown_or_said_to_be_damaged(store: Store, tmp_path: Path) -> None:
    @always(60)
    @given(facts=spoiled_json(FACTS).filter(lambda facts: isinstance(facts, dict) and finite(facts)))
    def one(facts: dict[str, Any]) -> None:
        publish(store, NAME, spec_of(TICKET), facts)
        with harmless(tmp_path):
            seen(store, NAME)

    one()


def test_a_spec_with_a_list_or_a_terminals_codes_for_data(store: Store) -> None:
    for wrong, said in ([], "damaged: "), ("\x1b[2J\n", r"\x1b[2J"):
        run = {**plain(TICKET), "task": {"data": wrong}}
        publish(store, NAME, {**spec_of(TICKET), "run": run})
        seen(store, NAME)
        assert said in listing(store)


@pytest.mark.parametrize(
    "metrics",
    [b"", b"\n", b"a,b\n1,2\n", b"\0", b'epoch,split\n"', b"epoch\n1,2,3\n1\n", b"epoch\n1\n", b"\xff"],
    ids=kind,
)
def test_metrics_that_are_none(metrics: bytes, store: Store) -> None:
    publish(store, NAME, spec_of(TICKET), metrics=metrics)
    assert "metrics.csv can't be read" in seen(store, NAME)


@pytest.mark.parametrize("file", ["../../outside", "/etc/hostname", "..", "a/../../../outside", "a\0b", ""], ids=kind)
def test_a_run_has_no_files_elsewhere(file: str, store: Store, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("x")
    done = {**FACTS, "schema": 1, "files": {file: {"sha256": sha256(b"x"), "bytes": 1}}}
    done["digest"] = sha256(dump(done))
    (store.folder(DENSE.name) / "done.json").write_bytes(dump(done))
    for read in (lambda: store.content(DENSE.name, file), lambda: store.read(DENSE.name)):
        with pytest.raises(Damaged):
            read()
    assert store.verify(DENSE.name) is not None


@pytest.mark.parametrize(
    "name",
    [
        *("../../etc", f"{NAME}/../..", f"{NAME}@../x", f"{NAME}\n", f"{NAME}@1/../../x", f"/{NAME}", "~", "a\0b"),
        *(
            "ticket-0123456789AB",
            "ticket-" + "0" * 5000,
            "",
            ".",
            ".tmp-x",
            "leases",
            f"{NAME}@trace-x",
            "-0123456789ab",
        ),
    ],
    ids=kind,
)
def test_hostile_run_names(name: str, store: Store, tmp_path: Path) -> None:
    with harmless(tmp_path):
        for use in (store.folder, store.done, store.read, store.verify, store.discard, store.find):
            with pytest.raises(UserError) as caught:
                use(name)
            clear(caught.value, str(store.path))


def test_a_store_of_nonsense_is_one_line(tmp_path: Path) -> None:
    for label in (b"[]", b"{}", b'{"schema": "x"}', b'{"schema": 1e999}', b"\0", b"[" * 9999, b'{"schema": null}', b""):
        (tmp_path / "store.json").write_bytes(label)
        with pytest.raises(UserError, match=r"store\.json can't be read"):
            open_store(tmp_path)


# The command line

LONG = "x" * 5000


@pytest.mark.parametrize(
    "words",
    [
        *(["show", "../../etc"], ["show", f"{NAME}/../.."], ["show", LONG], ["ls", "../x"], ["ls", LONG]),
        *(["report", "{params}", "--only", "../x"], ["report", "{params}", "--only", LONG], ["report", LONG]),
        *(["report", "{params}/greedy_bounds.yaml"], ["run", LONG], ["run", "../../etc/passwd"], ["run", "/dev/null"]),
        *(["run", "existence", "-f", "/dev/zero"], ["run", "existence", "-f", LONG], ["run", "existence", "-f", "/"]),
        *(["run", "existence", "-p", LONG, "1"], ["run", "existence", "-p", "epochs", "*a"], ["ls", "--store", LONG]),
        *(["run", "existence", "-p", "data", "npz:../../x\x1b[2J"], ["run", "existence", "-p", "seeds", "[" * 10_000]),
        ["run", "existence", "-p", "self", "1"],
    ],
    ids=kind,
)
def test_hostile_words_are_one_line_and_status_2(
    words: list[str], store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def started(*words: Any) -> None:
        raise AssertionError("a notebook was started")

    monkeypatch.setattr("ltkit.show.study.execute", started)  # first: imported now, it would keep the other for good
    monkeypatch.setattr("ltkit.show.execute.execute", started)
    monkeypatch.setenv("LTKIT_STORE", str(store.path))
    told = [word.replace("{params}", str(ROOT / "params" / "smoke")) for word in words]
    out = [] if words[0] != "report" else ["--out", str(tmp_path / "reports")]
    with harmless(tmp_path), pytest.raises(SystemExit) as end:
        cli.main([*told, *out])
    said = capsys.readouterr()
    assert end.value.code == 2
    assert said.out == ""
    assert said.err.startswith("ltkit: ")
    assert said.err.endswith("\n")
    assert said.err[:-1].isprintable()
    assert "Traceback" not in said.err


# npz files; what numpy itself can tell is in test_data.py


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(f"{name}.npy", content)
    return path


def header(shape: tuple[int, ...], kind: str = "|u1") -> bytes:
    text = repr({"descr": kind, "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (header((10**6, 1000, 1000)) + b"x" * 100, "x_train is damaged or cut off"),
        (header((10**12,)) + b"x", "x_train is damaged or cut off"),
        (header((10**30,)) + b"x", "x_train is damaged or cut off"),
        (header((-1, 2, 2)) + b"x", "x_train is damaged or cut off|x_train must have shape"),
        (header((2, 2, 2), "|O") + b"cos\nsystem\n(S'touch x'\ntR.", "pickled Python objects, which are never loaded"),
        (b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 60_000, "x_train is damaged or cut off"),
        (b"cos\nsystem\n(S'touch x'\ntR.", "x_train is(n't an array| damaged)"),
        (b"", "x_train is(n't an array| damaged)"),
    ],
    ids=kind,
)
def test_an_array_that_lies_is_refused_at_once(content: bytes, said: str, tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", x_train=content, y_train=b"", x_test=b"", y_test=b"")
    with harmless(tmp_path), pytest.raises(UserError, match=said) as caught:
        npz.read(path)
    clear(caught.value, str(path))


def test_an_array_larger_than_the_memory_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.zeros((50, 300, 300), np.uint8)
    np.savez_compressed(tmp_path / "a.npz", x_train=images, y_train=images, x_test=images, y_test=images)
    assert (tmp_path / "a.npz").stat().st_size < 50_000  # of 18 MB
    assert npz.memory() > 10**8
    monkeypatch.setattr(npz, "memory", lambda: 10**6)
    with pytest.raises(UserError, match=r"x_train unpacks to 0\.0 GB, and this machine has 0\.0 GB"):
        npz.read(tmp_path / "a.npz")


def test_many_members_are_not_listed(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", **{f"name{n}\n\x1b": b"" for n in range(2000)})
    with pytest.raises(UserError, match="key 'x_train' is missing") as caught:
        npz.read(path)
    clear(caught.value, str(path))


@pytest.mark.parametrize("name", [name for name in HOSTILE if name.startswith("npz:")], ids=kind)
def test_hostile_names_of_data(name: str, tmp_path: Path) -> None:
    with harmless(tmp_path), pytest.raises(UserError) as caught:
        data.load(Task(data=name))
    clear(caught.value)
