"""Many networks of one architecture, trained as one program."""

from .cohort import Cohort
from .evaluate import evaluate
from .job import Job, cohort_key
from .loop import Outcome, train
from .trace import Trace

__all__ = ["Cohort", "Job", "Outcome", "Trace", "cohort_key", "evaluate", "train"]
