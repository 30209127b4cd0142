"""The model: hyperparameters, named weights, and the forward pass described once as a plan of ops.

Read in this order: `config.py`, `weights.py`, `transformer.py`, `attention.py`, `feed_forward.py`,
`experts.py`, `ops.py`, `rope.py`.
"""
