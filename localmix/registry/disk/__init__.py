"""Models on this disk, without the Hub.

inventory.py   all of them: ours, those that a person named, those of other programs
store.py       those that were pulled, whole or on their way
records.py     what a person has said: names, what is hidden, when what was used
verify.py      files against their SHA-256
links.py       links that lead out of the store
"""
