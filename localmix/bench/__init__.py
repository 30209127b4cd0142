"""Numbers people can trust: a machine's limits, what a token costs, prefill and decode.

`limits.py` measures the machine, `cost.py` reads a file's tensor table, `run.py` measures a model
while `conditions.py` watches what else goes on, and `report.py` puts all of it together.
`llama_bench.py` writes and `compare.py` reads what other runs have in common with it. `predict.py`
and `outlook.py` tell how fast a model will be, `tune.py` how it runs best, `perplexity.py` how good
it is.
"""
