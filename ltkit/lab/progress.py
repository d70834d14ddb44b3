"""How far a study is: a bar in a terminal or JupyterLab, a line now and then where nobody watches."""

from __future__ import annotations

import os
import sys
import time
from threading import Lock

from tqdm.auto import tqdm

LINE_SECONDS = 15.0


def headless() -> bool:
    """True under `ltkit report`: no widgets, no bars."""
    return os.environ.get("LTKIT_HEADLESS", "") not in ("", "0")


class Progress:
    """Counts work in network-epochs; shows runs done, time left and the accuracy of what is being trained."""

    def __init__(self, runs: int, epochs: int, show: bool) -> None:
        self.runs, self.epochs, self.done_runs, self.done_epochs = runs, epochs, 0, 0
        self.begun = self.said = time.monotonic()
        self.lock = Lock()  # cohorts that train side by side speak at the same time
        self.lines = show and headless()
        self.bar = tqdm(total=epochs, unit="epoch", disable=not show or self.lines, leave=False)
        self.bar.set_description(f"0/{runs} runs")

    def epoch(self, networks: int, accuracy: float, earlier: int = 0) -> None:
        """One more epoch of a cohort of so many networks, after so many `earlier` ones that needn't be done again."""
        with self.lock:
            self.done_epochs += networks
            self.epochs -= earlier * networks
            self.bar.total = self.epochs
            self.bar.update(networks)
            self.bar.set_postfix_str(f"training accuracy {accuracy:.1f} %", refresh=False)
            now = time.monotonic()
            if self.lines and now - self.said >= LINE_SECONDS:
                self.said = now
                left = (now - self.begun) * max(0.0, self.epochs / self.done_epochs - 1)
                text = f"{self.done_runs}/{self.runs} runs, about {left:.0f} s left, training accuracy {accuracy:.1f} %"
                print(text, file=sys.stderr, flush=True)

    def finished(self, runs: int) -> None:
        """So many more runs are in the store."""
        with self.lock:
            self.done_runs += runs
        self.bar.set_description(f"{self.done_runs}/{self.runs} runs")

    def close(self) -> None:
        """Takes the bar away."""
        self.bar.close()
