"""The command line: what a person types and sees.

`app.py` is the table of commands, one file stands for each family of them (`run.py` and
`chat.py`, `models.py`, `bench.py`, `machine.py`); `options.py` says what `run` can be told,
`terminal.py` how things look, `progress.py` how long work is shown, `help.py` how help looks and
`errors.py` how trouble reads. Heavy packages are imported by the command that needs them, when it
runs.
"""
