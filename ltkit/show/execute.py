"""Runs one notebook from top to bottom through papermill's API, in a place of its own."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

TELLS_OF_START = ("Kernel didn't respond", "Kernel died before replying")  # jupyter_client, before any cell has run


@dataclass(frozen=True)
class Failure:
    """Why a notebook stopped. `users`: a `UserError`, whose message is all that is to say."""

    kind: str
    message: str

    @property
    def users(self) -> bool:
        return self.kind == "UserError"

    def __str__(self) -> str:
        line = " ".join(self.message.split())
        return line if self.users else f"{self.kind}: {line}".rstrip(": ")


def execute(
    notebook: Path,
    output: Path,
    parameters: Mapping[str, Any],
    settings: Mapping[str, str | None],
    meanwhile: Callable[[], object] | None = None,
) -> Failure | None:
    """Executes `notebook` into `output`, which is complete up to the first failing cell; None means all went well.

    `settings` are environment variables for the kernel (None: leave as it is). `meanwhile` is called in a thread while
    the kernel starts and works. The kernel works in a temporary folder,
    so that nothing hangs on where the command was typed, with this very package, and with nobody's IPython profile.
    """
    with tempfile.TemporaryDirectory(prefix="ltkit-", ignore_cleanup_errors=True) as scratch:
        variables = {
            "LTKIT_HEADLESS": "1",
            "IPYTHONDIR": scratch,
            "JUPYTER_RUNTIME_DIR": scratch,
            "PYTHONPATH": os.pathsep.join(filter(None, [_package_home(), os.environ.get("PYTHONPATH")])),
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            "TQDM_MININTERVAL": os.environ.get("TQDM_MININTERVAL", "5"),
            **{key: value for key, value in settings.items() if value is not None},
        }
        made = Path(scratch) / notebook.name  # so that an interrupted call leaves the earlier output alone
        with _environ(variables):
            failure = _attempt(notebook, made, parameters, scratch, meanwhile)
            if failure and failure.kind == "RuntimeError" and failure.message.startswith(TELLS_OF_START):
                failure = _attempt(notebook, made, parameters, scratch)  # a busy machine: once more
        _publish(made if made.exists() else notebook, output)
    return failure


def _attempt(
    notebook: Path,
    output: Path,
    parameters: Mapping[str, Any],
    scratch: str,
    meanwhile: Callable[[], object] | None = None,
) -> Failure | None:
    with _without("rfc3987_syntax"):  # jsonschema's check of addresses, two seconds to import; notebooks have none
        import papermill
        from nbclient.exceptions import DeadKernelError
        from papermill.engines import NBClientEngine, papermill_engines
        from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    # Unix sockets where there are any: no ports to race for, nothing for others to connect to.
    ipc = {"transport": "ipc"} if os.name == "posix" and len(scratch) < 50 else {}
    log = Path(scratch) / "kernel.log"  # what the kernel process itself says is for nobody, unless it dies
    with log.open("w") as kernel_log:
        papermill_engines.register("ltkit", _engine(NBClientEngine, kernel_log, meanwhile))
        try:
            papermill.execute_notebook(
                str(notebook),
                str(output),
                parameters=dict(parameters),
                engine_name="ltkit",
                cwd=scratch,
                progress_bar=False,
                request_save_on_cell_execute=False,  # nobody reads it before the end
                autosave_cell_every=0,
                stderr_file=sys.stderr,
                start_timeout=120,
                config=Config({"KernelManager": ipc, "AsyncKernelManager": ipc}),
            )
        except PapermillExecutionError as error:
            return Failure(error.ename, error.evalue)
        except KeyboardInterrupt:
            logging.getLogger("asyncio").setLevel(
                logging.CRITICAL
            )  # the cell's task dies with the kernel, as it should
            raise
        except DeadKernelError:
            last = log.read_text(errors="replace").strip().rpartition("\n")[2] or "perhaps it was out of memory"
            return Failure("KernelDied", f"the kernel's process ended by itself ({last})")
        except OSError:
            raise  # a full disk is no fault of the notebook
        except Exception as error:
            return Failure(type(error).__name__, str(error))
    return None


def _engine(base: Any, kernel_log: IO[str], meanwhile: Callable[[], object] | None) -> Any:
    """papermill's own engine, but for where the kernel process writes its own messages."""
    from papermill.clientwrap import PapermillNotebookClient

    class Engine(base):
        @classmethod
        def execute_managed_notebook(
            cls, nb_man: Any, kernel_name: str, *, start_timeout: int, stderr_file: Any, config: Any, **rest: Any
        ) -> Any:
            client = PapermillNotebookClient(
                nb_man, kernel_name=kernel_name, startup_timeout=start_timeout, stderr_file=stderr_file, config=config
            )
            if meanwhile is not None:
                threading.Thread(target=meanwhile).start()
            return client.execute(stderr=kernel_log)

    return Engine


@contextmanager
def _without(module: str) -> Iterator[None]:
    """Imports here go on as if `module`, which they can do without, were not installed."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]  # what the import system takes for "there is none"
    try:
        yield
    finally:
        del sys.modules[module]


def _package_home() -> str:
    return str(Path(__file__).resolve().parents[2])


@contextmanager
def _environ(variables: Mapping[str, str]) -> Iterator[None]:
    before = {key: os.environ.get(key) for key in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def _publish(made: Path, output: Path) -> None:
    """Writes the executed notebook, without the folders that papermill notes down: nobody else has them."""
    import nbformat

    notebook = nbformat.read(made, as_version=4)
    facts = notebook.metadata.get("papermill", {})
    for key in ("input_path", "output_path"):
        if facts.get(key):
            facts[key] = Path(facts[key]).name
    nbformat.write(notebook, output)
