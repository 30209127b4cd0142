"""Compiled kernels: Python that Numba turns into machine code for the CPU at hand.

A kernel takes addresses and small integers only. The package has two sides. `isa.py`, `layout.py`
and `library.py` are what a running model needs: tiers of CPUs, the records that kernels read, and
the loader of compiled objects. Everything else is source that only the compiling process imports
(`build.py`); it alone needs Numba.
"""
