"""Notebooks side by side: a process each, with its share of the threads, and one stream of lines that can be read.

A job lives as long as its standard input is open: when the caller stops, by Ctrl-C or by a kill, the job interrupts
itself, ends its kernel, and what it trained so far stays in the store.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from .environment import cores
from .execute import Failure

PATIENCE = 30.0  # seconds that interrupted jobs get to end their kernels
Ended = Callable[[str, "dict[str, Any] | None", "Failure | None"], None]


def side_by_side(
    works: Mapping[str, Mapping[str, Any]],
    jobs: int,
    begin: Callable[[str], None],
    end: Ended,
    tell: Callable[[], None],
    log: Callable[[str], None],
) -> None:
    """Runs `works` (by study: the arguments of `study.run`, as JSON types), `jobs` at a time, in their order.

    `begin` hears of each start and `end` of each end, with the record and what failed; a process that died has a
    failure and no record. `tell` is called when all that can run does. `log` gets the lines that jobs write, after
    their study's name. All jobs are stopped before an exception leaves this function. Raises `UserError` for a place
    that a job can't write to.
    """
    waiting, wide = list(works), max(map(len, works), default=0)
    running: dict[str, subprocess.Popen[str]] = {}
    events: queue.Queue[tuple[str, str | None]] = queue.Queue()
    with tempfile.TemporaryDirectory(prefix="ltkit-") as scratch:
        try:
            news = True
            while waiting or running:
                while waiting and len(running) < jobs:
                    name = waiting.pop(0)
                    begin(name)
                    running[name] = _start(name, works[name], Path(scratch), threads(jobs), events)
                if news:
                    tell()
                name, text = events.get()
                news = text is None
                if text is None:
                    process = running.pop(name)
                    _hang_up(process)
                    end(name, *_outcome(Path(scratch) / f"{name}.outcome.json", process.returncode))
                else:
                    log(f"{name:<{wide}} | {text}")
        finally:
            _stop(list(running.values()))


def threads(jobs: int) -> int:
    """The threads of one job of `jobs`: its share of OMP_NUM_THREADS, or of the cores where that isn't set."""
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return max(1, (int(given) if given.isdecimal() else cores()) // jobs)


def _start(
    name: str, work: Mapping[str, Any], scratch: Path, share: int, events: queue.Queue[tuple[str, str | None]]
) -> subprocess.Popen[str]:
    task = scratch / f"{name}.json"
    task.write_text(json.dumps({**work, "outcome": str(scratch / f"{name}.outcome.json")}), encoding="utf-8")
    home = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        [sys.executable, "-m", "ltkit.show.jobs", str(task)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "OMP_NUM_THREADS": str(share), "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,  # a terminal's Ctrl-C reaches the caller alone, who then stops each job once
        encoding="utf-8",
        errors="replace",
    )
    threading.Thread(target=_listen, args=(name, process, events), daemon=True).start()
    return process


def _listen(name: str, process: subprocess.Popen[str], events: queue.Queue[tuple[str, str | None]]) -> None:
    def lines() -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:  # a carriage return ends a line too, so that bars come as lines
                if line.strip():
                    events.put((name, line.rstrip()))

    reader = threading.Thread(target=lines, daemon=True)
    reader.start()
    process.wait()
    reader.join(5)  # a kernel that outlives its job may hold the pipe for a moment
    events.put((name, None))


def _outcome(file: Path, code: int) -> tuple[dict[str, Any] | None, Failure | None]:
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None, Failure(
            "JobDied", f"its process ended by itself (exit status {code}); perhaps it was out of memory"
        )
    if "mistake" in told:
        raise UserError(told["mistake"])
    return told["record"], Failure(**told["failure"]) if told["failure"] else None


def _hang_up(process: subprocess.Popen[str]) -> None:
    if process.stdin:
        process.stdin.close()


def _stop(processes: Sequence[subprocess.Popen[str]]) -> None:
    for process in processes:
        _hang_up(process)
    try:
        for process in processes:
            process.wait(PATIENCE)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        for process in processes:
            process.kill()


# The job's own process


def main(task: Path) -> int:
    """Runs one notebook as the JSON file `task` says and leaves the outcome where it says; the exit status."""
    from .study import Study, run

    threading.Thread(target=_heed, daemon=True).start()
    told = json.loads(task.read_text(encoding="utf-8"))
    study = Study(told["name"], Path(told["notebook"]), Path(told["file"]), told["given"])
    try:
        record, failure = run(study, told["scale"], Path(told["target"]), told["store"], told["data"])
        outcome: dict[str, Any] = {"record": record, "failure": vars(failure) if failure else None}
    except UserError as error:
        outcome = {"mistake": str(error)}
    except OSError as error:
        outcome = {"mistake": f"report {told['target']}: {(error.strerror or str(error)).lower()}"}
    Path(told["outcome"]).write_text(json.dumps(outcome), encoding="utf-8")
    return 0


def _heed() -> None:
    os.read(0, 1)  # returns when the caller closes the pipe, or is gone
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        import _thread

        _thread.interrupt_main()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job of a background command would ignore it
    try:
        sys.exit(main(Path(sys.argv[1])))
    except KeyboardInterrupt:
        sys.exit(130)
