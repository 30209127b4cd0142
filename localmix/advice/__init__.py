"""Which model for what: the catalog ranked for a task and a machine, with reasons.

`scores.py` knows what is published of models, `candidates.py` how a quantization does on a machine,
`reasons.py` says why, `ranking.py` puts them in order, and `this_machine.py` asks this one.
"""
