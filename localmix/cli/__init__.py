"""The command line: what a person types and sees.

`app.py` is the table of commands; each command is a function in a module of its family (`run.py`,
`chat/`, `pull.py`, `models.py`, `store.py`, `hub.py`, `bench.py` and so on); `options.py` says what
`run` can be told, `answer.py` streams an answer, `terminal.py` how things look, and `errors.py`
turns failures into a line and an exit code.
"""
