"""A plain read of the model's file: what memory gives at best, in the same minute.

The file is mapped, as both engines map it, and each thread sums its share as int64 with NumPy,
which lets go of the interpreter meanwhile. It is read once beforehand, so its pages are there.
"""

from __future__ import annotations

import mmap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from compare.protocol import Answer, Message, memory, serve


def start(config: Message) -> tuple[Message, Answer]:
    """Map the file; the answer to a request has the seconds and bytes of one pass over it."""
    with Path(config["model"]).open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    words = np.frombuffer(mapped, np.int64, count=len(mapped) // 8)  # (n_bytes / 8,)
    shares = np.array_split(words, config["threads"])
    pool = ThreadPoolExecutor(config["threads"])

    def answer(request: Message) -> Message:
        if request["test"] == "memory":
            return memory()
        repeat = request.get("repeat", 1)
        start_s = time.perf_counter()
        for _ in range(repeat):
            list(pool.map(np.add.reduce, shares))
        return {"seconds": (time.perf_counter() - start_s) / repeat, "bytes": words.nbytes}

    return {}, answer


if __name__ == "__main__":
    serve(start)
