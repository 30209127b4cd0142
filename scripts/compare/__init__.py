"""An interleaved comparison of localmix with llama.cpp; `scripts/compare_llama_cpp.py` drives it.

    protocol.py          JSON lines between the comparison and its workers
    driver.py            the tests, the same code for both engines
    localmix_worker.py   } one process per contestant: loads the model once,
    llama_worker.py      } answers with seconds (or logits, for `kl_llama_cpp.py`)
    read_worker.py       a plain read of the same file
    contestants.py       who takes part, and their processes
    rounds.py            A B C D A B C D …
    ratios.py            medians, spreads, ratios, and which are too noisy to be told
    report.py            a Markdown table and a JSON object

`llama_worker.py` runs under another interpreter, one that has llama-cpp-python: it, `protocol.py`
and `driver.py` import nothing of localmix. llama.cpp is a yardstick, never a dependency.
"""
