"""What makes answers a conversation: turns, saved talks, files, settings, guardrails.

    turns.py         messages in order: undo, and what is dropped when the context is full
    history.py       conversations in a database under LOCALMIX_HOME
    attachments.py   `@file` in a message
    profiles.py      settings from config.toml
    moderation.py    is a text acceptable? asked of the model itself

Nothing here knows a terminal.
"""
