"""Executors: they run the plan of a model on batches.

`native.py` lowers the plan to a tape of compiled kernels that all threads walk together.
`reference.py` with `formulas.py` is the oracle: float32 NumPy, slow and obvious.
"""

from localmix.execute.executor import Executor

__all__ = ["Executor"]
