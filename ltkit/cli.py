"""The command line. torch and the other heavy packages are imported by the commands that need them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import click

from .errors import UserError, nearest
from .version import __version__

store_option = click.option(
    "--store", type=click.Path(), help="The store of runs (default: LTKIT_STORE, else ./runs beside the project)."
)
data_option = click.option(
    "--data", type=click.Path(), help="The folder of data sets, in torchvision's layout (default: LTKIT_DATA)."
)


class Commands(click.Group):
    """Names the nearest command for a misspelt one."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            raise UserError(f"no command '{args[0]}'{nearest(args[0], self.commands)}; `ltkit --help` lists them")
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ltkit")
def cli() -> None:
    """A study kit for the lottery ticket hypothesis: claims with verdicts, and one store of trained networks.

    Begin with `ltkit report params/quick`.
    """


@cli.command()
@click.argument("params_dir", type=click.Path())
@click.option("--only", multiple=True, metavar="STUDY", help="Only this study; may be given several times.")
@click.option(
    "--out", type=click.Path(), help="Where the reports go, as OUT/<scale>/ (default: ./reports beside the project)."
)
@click.option("--notebooks", type=click.Path(), help="The folder of notebooks (default: the project's).")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="So many notebooks side by side, each with its share of the threads (OMP_NUM_THREADS, else the cores). Two "
    "that need the same run at the same time train it once.",
)
@click.option(
    "--cluster",
    metavar="NAME",
    help="Train on a Dask cluster: local (a process a core, or a GPU), slurm or slurm:FILE (settings: slurm.yaml), or "
    "a scheduler's address such as tcp://host:8786. Its nodes must share the store.",
)
@store_option
@data_option
def report(
    params_dir: str,
    only: Sequence[str],
    out: str | None,
    notebooks: str | None,
    jobs: int,
    cluster: str | None,
    store: str | None,
    data: str | None,
) -> None:
    """Run the notebooks of a scale, a folder of one YAML file a study, and render them as web pages.

    Last comes the board of all claims, made from this report and the kept reference reports; it needs no YAML file,
    and `--only verdicts` makes it alone.
    """
    from .show.pages import counts
    from .show.report import report as make
    from .show.result import WORDS

    with _on(cluster):
        made = make(params_dir, only, out, store, data, notebooks, click.echo, jobs, progress=_note, log=_note)
    wide = max(len(record["study"]) for record in made.records)
    click.echo("\n" + " " * wide + "".join(f"{word:>12}" for word in WORDS))
    for record in made.records:
        found = counts(record["verdicts"])
        note = "" if record["status"] == "done" else f"   {record['status']}"
        click.echo(f"{record['study']:<{wide}}" + "".join(f"{found[word]:>12}" for word in WORDS) + note)
    click.echo(f"\nReport: {made.index}")
    for name, failure in made.failures.items():
        _say(f"{name}: {failure}")
    if made.failures:
        sys.exit(2 if all(failure.users for failure in made.failures.values()) else 1)


@cli.command()
@click.argument("params_dir", type=click.Path())
@click.option("--only", multiple=True, metavar="STUDY", help="Only this study; may be given several times.")
@click.option("--no-measure", is_flag=True, help="Leave out the hours, and the minute of training that they come from.")
@store_option
@data_option
def plan(params_dir: str, only: Sequence[str], no_measure: bool, store: str | None, data: str | None) -> None:
    """Say what a report would take: runs, epochs, hours on this machine, room in the store. Trains nothing to keep.

    The last row counts runs that studies share once. The data sets needn't be there.
    """
    from .show.plan import plan as table

    click.echo(table(params_dir, only, store, data, not no_measure, _note))


@cli.command()
@click.argument("notebook", type=click.Path())
@click.option("-f", "--file", type=click.Path(), help="A YAML file of parameters.")
@click.option(
    "-p",
    "--parameter",
    "pairs",
    nargs=2,
    multiple=True,
    metavar="KEY VALUE",
    help="One parameter; wins over the file's.",
)
@click.option(
    "-o", "--output", type=click.Path(), help="The executed notebook (default: <name>.out.ipynb in this folder)."
)
@store_option
@data_option
def run(
    notebook: str,
    file: str | None,
    pairs: Sequence[tuple[str, str]],
    output: str | None,
    store: str | None,
    data: str | None,
) -> None:
    """Execute one notebook with checked parameters. NOTEBOOK is a path, or the name of one of the project's."""
    from . import notebook as read
    from . import params
    from .show.execute import execute
    from .show.report import find_notebook
    from .show.study import places

    path = find_notebook(notebook)
    given = params.read(file) if file else {}
    given |= {key: params.parse(value, f"-p {key}") for key, value in pairs}
    checked = read.combine(path, given, file if file and not pairs else "parameters")
    target = Path(output or f"{path.stem}.out.ipynb").absolute()
    if target == path.resolve():
        raise UserError(f"{target} is the notebook itself; name another output with -o")
    if not target.parent.is_dir():
        raise UserError(f"{target.parent}: no such folder")
    failure = execute(path, target, checked, places(store, data))
    click.echo(f"executed notebook: {target}")
    if failure:
        _say(f"{path.name}: {failure}")
        sys.exit(2 if failure.users else 1)


@cli.command()
@click.argument("a", metavar="A", type=click.Path())
@click.argument("b", metavar="B", type=click.Path())
@click.option("--all", "everything", is_flag=True, help="List every claim, not only those whose verdict changed.")
def compare(a: str, b: str, everything: bool) -> None:
    """Say which verdicts differ between A and B, and what differs with them.

    Both are report folders or verdicts.json files: two scales, two stores, or before and after a change.
    """
    from .show import compare as sides

    for line in sides.told(sides.compare(a, b), everything):
        click.echo(line)


@cli.command()
@click.argument("kind", required=False)
@store_option
def ls(kind: str | None, store: str | None) -> None:
    """List the finished runs, all or of one KIND (dense, ticket, reinit, ...)."""
    from .show.runs import listing
    from .store import open_store

    click.echo(listing(open_store(store), kind))


@cli.command()
@click.argument("run_id", metavar="ID")
@store_option
def show(run_id: str, store: str | None) -> None:
    """Show one run: what it is, what it reached, what made it. ID may be shortened."""
    from .show.runs import description
    from .store import open_store

    opened = open_store(store)
    click.echo(description(opened.read(opened.find(run_id))))


@cli.command()
@store_option
def verify(store: str | None) -> None:
    """Check every byte of every run against its checksum; exit status 1 when something is damaged."""
    from .store import open_store

    opened = open_store(store)
    names = opened.names()
    faults = [fault for fault in map(opened.verify, names) if fault]
    for fault in faults:
        click.echo(fault)
    click.echo(f"{len(names)} runs in {opened.path}: {len(names) - len(faults)} sound, {len(faults)} damaged")
    if faults:
        click.echo("A damaged run is trained again when a study next needs it; `ltkit gc --yes` removes it now.")
        sys.exit(1)


@cli.command()
@click.option("--yes", is_flag=True, help="Remove; without it the leftovers are only listed.")
@store_option
def gc(yes: bool, store: str | None) -> None:
    """List or remove what killed trainings and replaced runs left behind. Sound runs always stay."""
    from .show.runs import size
    from .store import open_store

    opened = open_store(store)
    found = opened.sweep(yes)
    for path, amount, why in found:
        click.echo(f"{path.name}  {size(amount)}  {why}")
    total = size(sum(amount for _, amount, _ in found))
    if not found:
        click.echo(f"nothing to remove in {opened.path}")
    else:
        click.echo(f"removed {total}" if yes else f"{total} in all; `ltkit gc --yes` removes them")


@cli.command()
@store_option
@data_option
def doctor(store: str | None, data: str | None) -> None:
    """Say what ltkit finds here: versions, device, compiler, data sets, store."""
    from .show.doctor import findings

    facts = findings(store, data)
    wide = max(len(name) for name, _ in facts)
    for name, fact in facts:
        click.echo(f"{name:<{wide}}  {fact}")


@contextmanager
def _on(cluster: str | None) -> Iterator[None]:
    """The labs of all notebooks train on this cluster; one that is started for that is ended after."""
    if cluster is None:
        yield
        return
    from .lab import clusters

    found = clusters.connect(cluster)
    if found is not None:
        _note(f"cluster: {found.address}, dashboard: {clusters.dashboard(found)}")
    before = os.environ.get("LTKIT_CLUSTER")
    os.environ["LTKIT_CLUSTER"] = found.address if found else cluster
    try:
        yield
    finally:
        os.environ.pop("LTKIT_CLUSTER")
        if before is not None:
            os.environ["LTKIT_CLUSTER"] = before
        clusters.close()


def _say(line: str) -> None:
    click.echo(f"ltkit: {line}", err=True)


def _note(line: str) -> None:
    click.echo(line, err=True)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Entry point: a user's mistake is one line and exit status 2; Ctrl-C is one line and 130."""
    try:
        code = cli.main(args=args, prog_name="ltkit", standalone_mode=False)
    except UserError as error:
        _say(" ".join(str(error).split()))
        code = 2
    except click.ClickException as error:
        _say(f"{error.format_message()} `ltkit --help` lists commands and options")
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        if args is None:  # this process is a command, and a second Ctrl-C has nothing left to end
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        _say("interrupted; finished runs are kept, and the same command goes on from there")
        code = 130
    except BrokenPipeError:  # the reader, say `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        _say(f"{error.filename or 'writing'}: {(error.strerror or '').lower()}")
        code = 2
    sys.exit(code if isinstance(code, int) else 0)
