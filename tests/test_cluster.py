"""Training on a Dask cluster: a scheduler and two workers in processes of their own, and what may become of them."""

import _thread
import contextlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import yaml

import ltkit.lab.lab as module
from ltkit.cli import _on
from ltkit.errors import UserError
from ltkit.lab import Lab, clusters
from ltkit.lab.cluster import Told, _hear
from ltkit.lab.progress import Progress
from ltkit.prune import tickets
from ltkit.spec import Init, Network, Recipe, Run
from ltkit.studies import existence, existence_claims
from ltkit.version import project_root

pytest.importorskip("distributed", reason="a cluster needs Dask: pip install 'ltkit[cluster]'")

from distributed import Client

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LONG = Recipe(epochs=60, lr=0.1, batch_size=8)


def start(folder):
    """A scheduler and two workers, the latter restarted by their nannies; their address."""
    file, log = folder / "scheduler.json", (folder / "log").open("w")
    words = {"env": {**os.environ, "PYTHONWARNINGS": "default"}, "stdout": log, "stderr": log}
    common = ["--scheduler-file", str(file)]
    scheduler = ["dask_scheduler", *common, "--port", "0", "--no-dashboard", "--host", "127.0.0.1"]
    worker = ["dask_worker", *common, "--nthreads", "1", "--no-dashboard", "--local-directory", str(folder)]
    worker += ["--memory-limit", "0"]  # else a share of the machine's, and on a small one the nanny kills it
    started = [
        subprocess.Popen([sys.executable, "-m", f"distributed.cli.{name}", *more], **words)
        for name, *more in (scheduler, worker, worker)
    ]
    log.close()
    until = time.monotonic() + 120
    while not file.exists():
        assert time.monotonic() < until, (folder / "log").read_text()
        time.sleep(0.1)
    return started, json.loads(file.read_text())["address"]


@contextlib.contextmanager
def running(folder):
    started, address = start(folder)
    try:
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=120)
        yield address, started[0]
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with running(tmp_path_factory.mktemp("cluster")) as (address, _):
        yield address


@pytest.fixture
def there(make_lab, cluster):
    return make_lab("there", executor=cluster, save_seconds=0.0)


def dense(task, seed=0, recipe=LONG):
    return Run(task=task, network=Network(width=0.1), recipe=recipe, start=Init(seed=seed), order=seed)


def same(one, two):
    assert one.store.names() == two.store.names()
    for name in one.store.names():
        for file in ("weights.safetensors", "mask.safetensors", "metrics.csv"):
            assert one.store.content(name, file) == two.store.content(name, file), name


class Watched(Progress):
    """A bar that does something once, at its n-th epoch."""

    at, act, epochs_told = 10**9, None, 0

    def epoch(self, networks, accuracy, earlier=0):
        super().epoch(networks, accuracy, earlier)
        type(self).epochs_told += networks
        if type(self).act and self.done_epochs >= self.at:
            act, type(self).act = type(self).act, None
            act()


def test_a_worker_tells_of_epochs_that_a_state_brought_along(monkeypatch):
    """Two networks of ten epochs, taken up after three: fourteen network-epochs are left, two of them done."""
    events = []
    worker = SimpleNamespace(log_event=lambda topic, message: events.append((topic, json.loads(json.dumps(message)))))
    monkeypatch.setattr("distributed.get_worker", lambda: worker)
    told, bar = Told("study"), Progress(2, 20, show=False)
    told.epoch(2, 50.0, 3)
    told.close()
    assert [topic for topic, _ in events] == ["study"]
    _hear(SimpleNamespace(bar=bar), (0.0, events[0][1]))
    assert (bar.done_epochs, bar.epochs) == (2, 14)


@pytest.fixture
def watch(monkeypatch):
    def watched(at, act):
        bar = type("Bar", (Watched,), {"at": at, "act": staticmethod(act)})
        monkeypatch.setattr(module, "Progress", bar)
        return bar

    return watched


def test_a_study_has_the_runs_and_the_verdicts_of_one_process(make_lab, there, watch):
    given = yaml.safe_load((project_root() / "params/smoke/existence.yaml").read_text())
    params, found = existence.Params(**given), []
    here = make_lab("here", workers=1)
    bar = watch(10**9, None)
    for lab in (here, there):
        table, overlap = existence.collect(params, lab), existence.overlap(params, lab)
        found.append([str(verdict) for verdict in existence_claims.verdicts(params, table, overlap)])
    assert found[0] == found[1]
    assert there.tally.trained == here.tally.trained > 0
    assert bar.epochs_told > here.tally.trained  # both were told how far it was
    same(here, there)
    assert existence.collect(params, there) is not None
    assert there.tally.trained == here.tally.trained  # nothing was trained again


def test_a_killed_worker_costs_no_more_than_what_it_hadnt_saved(make_lab, there, cluster, watch, tiny):
    def kill():
        with Client(cluster, set_as_default=False) as client:
            busy = [worker for worker, tasks in client.processing().items() if tasks]
            os.kill(client.run(os.getpid, workers=busy)[busy[0]], signal.SIGKILL)

    bar = watch(10, lambda: _thread.start_new_thread(kill, ()))
    run = dense(tiny, recipe=LONG.replace(epochs=400))
    assert there.run([run]).trained == 1
    assert bar.act is None
    assert bar.epochs_told < 2 * 400  # it went on from where it was
    here = make_lab("here")
    here.run([run])
    same(here, there)
    assert list((there.store.path / "leases").iterdir()) == []


def test_ctrl_c_ends_the_workers_too_and_the_next_call_goes_on(there, watch, tiny, request):
    runs = [dense(tiny, seed, LONG.replace(epochs=3000)) for seed in range(3)]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    watch(10, _thread.interrupt_main)
    with pytest.raises(KeyboardInterrupt):
        Lab(there.store.path, members=1, progress=False, executor=there.executor, save_seconds=0.0).run(runs)
    until = time.monotonic() + 60
    while leases := list((there.store.path / "leases").iterdir()):
        assert time.monotonic() < until, leases
        time.sleep(0.1)
    assert there.store.names() == []
    short = [run.replace(recipe=LONG) for run in runs]
    assert there.run(short).trained == 3  # the workers are free


def test_what_fails_is_said_once_and_all_else_is_finished(there, cluster, tiny, caplog):
    whole = dense(tiny, recipe=LONG.replace(epochs=2))
    bad, good = (tickets.imp(whole, rounds=3, rate=rate) for rate in (0.9995, 0.5))
    careful = Lab(there.store.path, members=1, progress=False, executor=cluster, collapse="refuse")
    with caplog.at_level(logging.ERROR, "ltkit"), pytest.raises(UserError, match="layer collapse") as caught:
        careful.run([*bad, *good])
    assert str(caught.value).endswith("(1 runs couldn't be trained; 2 that wait for them are left out)")
    assert [record.message.split(":")[0] for record in caplog.records] == [f"couldn't train {bad[0].name}"]
    assert there.store.names() == sorted(run.name for run in (whole, *good))
    assert there.run(bad).trained == 3  # a lab that doesn't mind


def test_a_damaged_parent_is_trained_again(there, tiny, caplog):
    parent = dense(tiny, recipe=LONG.replace(epochs=2))
    (ticket,) = tickets.imp(parent, rounds=1, rate=0.5)
    there.run([parent])
    file = there.store.folder(parent.name) / "weights.safetensors"
    content = file.read_bytes()
    file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    there.run([ticket])
    assert "it will be trained again" in caplog.text
    assert [there.store.verify(run.name) for run in (parent, ticket)] == [None, None]


def test_a_scheduler_that_is_killed_loses_nothing_that_was_finished(make_lab, watch, tiny, tmp_path):
    runs = [dense(tiny, seed) for seed in range(30)]
    with running(tmp_path) as (address, scheduler):
        watch(150, scheduler.kill)
        with pytest.raises(UserError, match="went away; finished runs are kept"):
            Lab(tmp_path / "store", members=1, progress=False, executor=address).run(runs)
    lab = Lab(tmp_path / "store", device="cpu", members=1, compile="never", progress=False)
    done = len(lab.store.names())
    assert 0 < done < 30
    assert lab.run(runs).trained == 30 - done


def test_the_labs_of_a_report_train_on_its_cluster(make_lab, tiny, capsys):
    with _on("local"):
        assert re.fullmatch(
            r"cluster: tcp://127\.0\.0\.1:\d+, dashboard: http://127\.0\.0\.1:\d+/status\n", capsys.readouterr().err
        )
        lab = make_lab()
        assert lab.executor.address == os.environ["LTKIT_CLUSTER"]
        assert lab.run([dense(tiny, recipe=LONG.replace(epochs=2))]).trained == 1
    assert not clusters._open
    assert "LTKIT_CLUSTER" not in os.environ


@pytest.mark.parametrize("name", ["locl", "tcp://127.0.0.1:1"])
def test_a_cluster_that_isnt_there_is_the_users_mistake(name, tmp_path, monkeypatch):
    monkeypatch.setattr("ltkit.lab.cluster.PATIENCE", 1)
    with pytest.raises(UserError, match=r"is no cluster|no Dask scheduler answers"):
        Lab(tmp_path, executor=name).executor.client  # noqa: B018


@pytest.mark.parametrize("name", ["local", "slurm", "tcp://127.0.0.1:1"])
def test_without_dask_one_line_says_what_to_install(name, monkeypatch):
    for missing in ("dask", "distributed", "dask_jobqueue", "dask_jobqueue.slurm"):
        monkeypatch.setitem(sys.modules, missing, None)
    clusters._started.cache_clear()
    with pytest.raises(UserError, match=r"pip install 'ltkit\[cluster\]'"):
        clusters.connect(name).client  # noqa: B018


def test_a_slurm_job_has_what_slurm_wants_to_know(monkeypatch, tmp_path):
    monkeypatch.setenv("LTKIT_STORE", "/shared/my runs")
    monkeypatch.chdir(tmp_path)
    given = yaml.safe_load((project_root() / "slurm.yaml").read_text())
    more = {"queue": "gpu", "account": "mine", "directives": ["--constraint=h100"], "prologue": ["module load cuda"]}
    (tmp_path / "slurm.yaml").write_text(yaml.safe_dump({**given, **more}))
    own = {"scheduler_options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}}
    before = signal.getsignal(signal.SIGINT)
    with clusters.slurm_class()(**clusters.job(clusters.settings()), **own) as made:
        lines = made.job_script().splitlines()
    for line in ("-p gpu", "-A mine", "-n 1", "--cpus-per-task=8", "--mem=30G", "-t 08:00:00", "--gres=gpu:1"):
        assert f"#SBATCH {line}" in lines
    assert "#SBATCH --constraint=h100" in lines
    assert signal.getsignal(signal.SIGINT) is before  # dask_jobqueue would make Ctrl-C an exit
    assert any(re.fullmatch(r"#SBATCH -o slurm-logs/.*%J\.out", line) for line in lines)
    at = [lines.index(line) for line in ("export LTKIT_STORE='/shared/my runs'", "module load cuda")]
    (command,) = (place for place, line in enumerate(lines) if "dask_worker" in line)
    assert max(at) < command
    assert "export OMP_NUM_THREADS=8" in lines
    assert "--nthreads 1 " in lines[command]  # one cohort at a time on one GPU


def test_without_gpus_a_slurm_job_trains_a_cohort_a_core():
    given = yaml.safe_load((project_root() / "slurm.yaml").read_text())
    job = clusters.job(clusters.Slurm.check({**given, "gpus": 0}, "slurm.yaml"))
    assert (job["cores"], job["job_cpu"], job["job_extra_directives"]) == (8, 8, [])
    assert "export OMP_NUM_THREADS=1" in job["job_script_prologue"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"wallime": "1:00:00"}, "wallime"),
        ({"walltime": 3600}, "walltime"),
        ({"gpus": 2}, "gpus"),
        ({"jobs": 0}, "jobs"),
    ],
)
def test_a_typo_in_slurm_yaml_is_one_clear_line(change, said, tmp_path):
    given = yaml.safe_load((project_root() / "slurm.yaml").read_text())
    file = tmp_path / "slurm.yaml"
    file.write_text(yaml.safe_dump({**given, **change}))
    with pytest.raises(UserError, match=said) as caught:
        clusters.settings(str(file))
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
