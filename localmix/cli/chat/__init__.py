"""The chat: what opens when `run` gets no prompt and a person sits at the terminal.

loop.py       reads lines, and has them answered or done
talk.py       a turn: from a question to its answer on the screen and in the history
commands.py   `/help` and the like
editor.py     the line that is typed into
saved.py      the conversation's place among the saved ones
"""
