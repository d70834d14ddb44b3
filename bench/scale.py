"""A store of 20,000 runs and a graph of 10,000: what listing, looking up and planning take.

    python bench/scale.py [--runs 20000] [--graph 10000] [--rounds 5] [--store FOLDER]

The store is made of small files in its own layout, published as the lab does, without waiting for the disk; nothing is
trained. With --store it is kept there, and used again. Everything is timed with the files in the system's memory; what
`ltkit ls` takes is that of a process of its own, from its start to its end. Beside the seconds that passed stand those
of the processor, which other work on the machine changes less. Aims are those of the kit.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

from ltkit.spec import Init, Magnitude, Network, Random, Recipe, Run, Task, plain
from ltkit.store import Store, open_store
from ltkit.store.files import dump

SPLITS = ("train", "validation", "test")
CHAIN = 20  # runs of a chain in the graph: a dense network and its rounds of pruning


def run(number: int) -> Run:
    """One of many runs, of two kinds in turns."""
    recipe = Recipe(lr=0.1, epochs=20, schedule="step", weight_decay=0.0001)
    whole = Run(task=Task(), network=Network(arch="resnet20"), recipe=recipe, start=Init(seed=number), order=number)
    return whole.replace(mask=Random(density=0.2, distribution="erk", seed=number)) if number % 2 else whole


def contents(one: Run) -> tuple[dict[str, bytes], dict[str, object]]:
    """The files of a run and the facts of its done.json, as long as real ones but for the weights."""
    rows = "".join(f"{epoch},{split},0.{epoch:016},1100,1297\n" for epoch in range(1, 21) for split in SPLITS)
    spec = {"schema": 1, "identity": one.identity, "kind": one.kind, "run": plain(one)}
    env = {"torch": torch_like(), "python": platform.python_version(), "system": "Linux x86_64", "threads": 2}
    found = {
        "spec.json": dump(spec),
        "metrics.csv": f"epoch,split,loss,correct,count\n{rows}".encode(),
        "weights.safetensors": b"w" * 1000,
        "mask.safetensors": b"m" * 250,
        "env.json": dump(env),
    }
    final = {split: {"loss": 0.123456789, "correct": 1100, "count": 1297} for split in SPLITS}
    kept = {f"stages.{stage}.{block}.conv{n}.weight": 2000 for stage in range(3) for block in range(3) for n in (1, 2)}
    facts = {"outcome": "finished", "diverged_epoch": None, "final": final, "density": 0.2, "kept": kept}
    return found, {**facts, "seconds": 1.25, "cohort": 8, "device": "cpu"}


def torch_like() -> str:
    """A version to write down: torch itself would take longer to import than all else here."""
    return "2.15.0"


def fill(store: Store, count: int) -> list[str]:
    """Publishes `count` runs; their names."""
    names: list[str] = []
    with mock.patch.object(os, "fsync"):
        for first in range(0, count, 500):
            some = [run(number) for number in range(first, min(first + 500, count))]
            store.publish({one.name: contents(one) for one in some})
            names += [one.name for one in some]
    return names


def graph(count: int) -> list[Run]:
    """`count` runs in chains: each round's mask is cut from the round before, all on one start."""
    found: list[Run] = []
    while len(found) < count:
        whole = run(2 * len(found))
        chain = [whole]
        while len(chain) < CHAIN:
            chain.append(whole.replace(mask=Magnitude(run=chain[-1], rate=0.2)))
        found += chain
    return found[:count]


Took = tuple[float, float, float]  # seconds: median, least, and the least of the processor, with what it started


def seconds(what: Callable[[], object], rounds: int) -> Took:
    """What a call takes."""
    found, used = [], []
    for _ in range(rounds):
        begun, before = time.perf_counter(), os.times()
        what()
        found.append(time.perf_counter() - begun)
        used.append(sum(os.times()[:4]) - sum(before[:4]))
    return statistics.median(found), min(found), min(used)


def peak() -> float:
    """MB that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


@contextlib.contextmanager
def folder(named: str | None) -> Iterator[Path]:
    if named:
        yield Path(named)
    else:
        with tempfile.TemporaryDirectory(prefix="ltkit-scale-") as temporary:
            yield Path(temporary)


def listings(count: int, rounds: int, named: str | None) -> list[tuple[str, ...]]:
    """Rows of what a store of `count` runs takes."""
    from ltkit.show.runs import KEPT, listing

    with folder(named) as place:
        store = open_store(place / "runs")
        begun = time.perf_counter()
        names = store.names() or fill(store, count)
        print(f"{len(names):,} runs made or found in {time.perf_counter() - begun:.0f} s", file=sys.stderr)
        words = [sys.executable, "-c", "from ltkit.cli import main; main()", "ls", "--store", str(store.path)]
        some = random.Random(0).sample(names, min(2000, len(names)))

        def anew() -> None:
            (store.path / KEPT).unlink(missing_ok=True)
            listing(store)

        def command() -> None:
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)

        found = [
            row("Store.names()", seconds(store.names, rounds), "under 1 s"),
            row("listing() that reads every run", seconds(anew, rounds), ""),
            row("listing() after that", seconds(lambda: listing(store), rounds), "under 1 s"),
            row("`ltkit ls`, the whole command, after that", seconds(command, rounds), "under 1 s"),
        ]
        median, least, used = (
            f"{1e6 * value / len(some):.0f} µs" for value in seconds(lambda: [store.done(n) for n in some], rounds)
        )
        return [*found, ("a lookup, Store.done()", median, least, used, "under 1 ms")]


def planning(count: int, rounds: int) -> list[tuple[str, ...]]:
    """Rows of what a graph of `count` runs takes, none of which is in the store."""
    from ltkit.lab.cohorts import compose
    from ltkit.lab.plan import Work, plan

    before = peak()
    runs: list[Run] = []
    todo: dict[str, Work] = {}
    with tempfile.TemporaryDirectory() as place:
        store = Store(Path(place))
        found = [
            row(f"a graph of {count:,} runs built", seconds(lambda: runs.extend(graph(count)), 1), ""),
            row("planned, identities included", seconds(lambda: todo.update(plan(runs, store)), 1), "under 5 s"),
            row("planned once more", seconds(lambda: plan(runs, store), rounds), "under 5 s"),
            row("shared out into cohorts", seconds(lambda: compose(todo, lambda _: 8), rounds), ""),
        ]
    assert len(todo) == count
    return [
        *found,
        (f"memory for all that, beside {before:.0f} MB", f"{peak() - before:.0f} MB", "", "", "under 500 MB"),
    ]


def row(what: str, took: Took, aim: str) -> tuple[str, ...]:
    """A line of the table."""
    return (what, *(f"{value:.2f} s" for value in took), aim)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--graph", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--store")
    given = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores\n")
    print(f"| {given.runs:,} runs in the store | median | least | of the processor | aim |\n|---|---|---|---|---|")
    for line in (*listings(given.runs, given.rounds, given.store), *planning(given.graph, given.rounds)):
        print("| " + " | ".join(line) + " |")


if __name__ == "__main__":
    main()
