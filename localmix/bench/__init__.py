"""Numbers people can trust: a machine's limits, what a token costs, prefill and decode.

`limits.py` measures the machine, `cost.py` reads a file's tensor table, `run.py` measures a
model, and `report.py` puts the three together as JSON and as llama-bench's tables.
"""
