"""Golden data: tiny random models of Hugging Face transformers, as GGUF files with their logits.

    variants.py   which models there are, and their hyperparameters
    writer.py     one as a GGUF file, as llama.cpp's converter would write it    gguf
    oracle.py     builds one, fills its weights, runs it                         torch, transformers
    check.py      the same pass again in NumPy, straight from the GGUF file      gguf

`scripts/make_goldens.py` drives them; the data go to `tests/data/goldens/`.
"""
