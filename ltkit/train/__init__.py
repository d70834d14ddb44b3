"""Many networks of one architecture, trained as one program."""

from .cohort import Cohort, Job, cohort_key
from .evaluate import evaluate
from .loop import Outcome, train

__all__ = ["Cohort", "Job", "Outcome", "cohort_key", "evaluate", "train"]
