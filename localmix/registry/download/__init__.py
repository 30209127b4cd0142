"""One file of a repository comes to this disk: by HTTP Range, resumable, hashed on its way.

transfer.py   a file from nothing, or from what a kill left, to verified bytes
worker.py     one connection: part after part, with patience
hasher.py     SHA-256 of the whole file, right behind the workers
parts.py      what they share: which bytes have arrived, which part is next
journal.py    the same on the disk, so that a kill loses little
source.py     links that expire, servers that refuse
ranges.py     GET of a byte range
patience.py   how long to wait and how often to try again
"""
