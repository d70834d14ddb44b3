"""Many networks of one architecture, trained as one program."""

from ..spec import Trace
from .cohort import Cohort
from .evaluate import evaluate
from .job import Job, cohort_key
from .loop import Outcome, train

__all__ = ["Cohort", "Job", "Outcome", "Trace", "cohort_key", "evaluate", "train"]
