"""Dask clusters by name: one on this machine, one of Slurm jobs, or one that somebody has started."""

from __future__ import annotations

import atexit
import functools
import logging
import os
import shlex
import signal
import threading
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field

from .. import params
from ..errors import UserError
from ..params import Parameters
from ..version import project_root
from .cluster import HERE, NEEDED, Cluster

SETTINGS = "slurm.yaml"  # in the project, or in the folder where the command is called
HANDED = ("LTKIT_STORE", "LTKIT_DATA")  # what jobs learn of the caller's environment


class Slurm(Parameters):
    """What a Slurm cluster asks for, a job: the keys of `slurm.yaml`, which says what each means."""

    jobs: Annotated[int, Field(ge=1)]
    walltime: Annotated[str, Field(pattern=r"^(\d+-)?\d{1,2}:\d{2}:\d{2}$")]
    memory: Annotated[str, Field(pattern=r"^\d+(\.\d+)? ?[KMGT]?i?B$")]
    cores: Annotated[int, Field(ge=1)]
    gpus: Annotated[int, Field(ge=0, le=1)]
    queue: str | None = None
    account: str | None = None
    interface: str | None = None
    python: str | None = None
    log_directory: str = "slurm-logs"
    directives: tuple[str, ...] = Field(default=(), min_length=0)
    prologue: tuple[str, ...] = Field(default=(), min_length=0)


def connect(name: str | Cluster) -> Cluster | None:
    """The cluster of a name: "local", "slurm", "slurm:FILE" or a scheduler's address; None for "here", this process.

    A cluster that is started here lives until this process ends. UserError for a name or file that can't be used.
    """
    if isinstance(name, Cluster):
        return name
    if name == HERE:
        return None
    if name == "local" or name.partition(":")[0] == "slurm":
        return _started(name, os.getpid())
    if ":" not in name:
        raise UserError(f"'{name}' is no cluster: local, slurm, or a scheduler's address like tcp://host:8786")
    return Cluster(name)


@functools.cache
def _started(name: str, process: int) -> Cluster:
    cluster = local() if name == "local" else slurm(settings(name.partition(":")[2] or None))
    found = Cluster(cluster.scheduler_address)
    _open[found] = cluster
    return found


_open: dict[Cluster, Any] = {}


@atexit.register  # the last moment; Dask would rather be closed before, as `ltkit report` does
def close() -> None:
    """Ends the clusters that this process has started, and their workers."""
    while _open:
        found, cluster = _open.popitem()
        found.client.close()
        cluster.close()
    _started.cache_clear()


def dashboard(cluster: Cluster) -> str:
    """The address of a cluster's web page, which shows its tasks."""
    return str(cluster.client.dashboard_link)


def local(workers: int | None = None) -> Any:
    """A `LocalCluster` with a worker a GPU, else a worker a thread of this process, each a process of its own."""
    try:
        import dask
        from distributed import LocalCluster
    except ImportError:
        raise UserError(NEEDED) from None
    count = workers or torch.cuda.device_count() or torch.get_num_threads()
    # Dask's own limit would kill a worker; ltkit halves the cohort that doesn't fit.
    quiet = {"silence_logs": logging.ERROR, "dashboard_address": "127.0.0.1:0"}
    with dask.config.set({"distributed.worker.profile.enabled": False}):  # it takes time from training
        return LocalCluster(n_workers=count, threads_per_worker=1, memory_limit=0, **quiet)


def settings(file: str | None = None) -> Slurm:
    """The settings of a file, by default slurm.yaml here or in the project."""
    places = [Path(file)] if file else [Path.cwd() / SETTINGS, (project_root() or Path.cwd()) / SETTINGS]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise UserError(f"no {places[0]}: it says what a Slurm job asks for")
    return Slurm.check(params.read(found), str(found))


def slurm(wanted: Slurm) -> Any:
    """A `SLURMCluster`, its jobs asked for: each a worker that trains one cohort on its GPU, or one on each core."""
    cluster = slurm_class()(**job(wanted))
    cluster.scale(jobs=wanted.jobs)
    return cluster


def slurm_class() -> Any:
    """`dask_jobqueue.SLURMCluster`; importing it makes Ctrl-C a plain exit, which is undone here."""
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(one) for one in signals]
    try:
        from dask_jobqueue.slurm import SLURMCluster
    except ImportError:
        raise UserError(NEEDED) from None
    finally:
        if threading.current_thread() is threading.main_thread():
            for one, handler in zip(signals, before, strict=True):
                signal.signal(one, handler)
    return SLURMCluster


def job(wanted: Slurm) -> dict[str, Any]:
    """What a job is, as `dask_jobqueue.SLURMCluster` takes it."""
    gpu = [f"--gres=gpu:{wanted.gpus}"] if wanted.gpus else []
    handed = [f"export {name}={shlex.quote(os.environ[name])}" for name in HANDED if os.environ.get(name)]
    there = {
        "OMP_NUM_THREADS": wanted.cores if wanted.gpus else 1,
        "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": False,
    }
    exports = [f"export {name}={value}" for name, value in there.items()]
    named = {name: getattr(wanted, name) for name in ("queue", "account", "interface", "python")}
    return {
        "cores": 1 if wanted.gpus else wanted.cores,  # tasks at a time
        "job_cpu": wanted.cores,
        "processes": 1,
        "memory": wanted.memory,
        "walltime": wanted.walltime,
        "log_directory": wanted.log_directory,
        "job_extra_directives": [*gpu, *wanted.directives],
        "job_script_prologue": [*handed, *exports, *wanted.prologue],
        **{name: value for name, value in named.items() if value is not None},
    }
