"""Executors: they run the plan of a model on batches.

`reference.py` with `formulas.py` is the oracle: float32 NumPy, slow and obvious.
"""

from localmix.execute.executor import Executor
from localmix.execute.reference import ReferenceExecutor

__all__ = ["Executor", "ReferenceExecutor"]
