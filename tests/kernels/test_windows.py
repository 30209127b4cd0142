"""Kernels for Windows: made here, called as Windows calls, and run on this CPU.

What no one can prove here: how Windows gives memory for code, and its threads.
"""

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.kernels import THREADS, assembly_of, matmul_of

import localmix
from localmix.kernels import isa, library

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64",
    reason="an x86-64 Linux stands in for Windows",
)

TESTS = Path(__file__).parents[1]
WINDOWS = library.triple_for("x86_64-pc-windows-msvc")
SOME = [*map(matmul_of, ("Q4_0", "Q6_K", "F16")), "quantize", "route", "attend_q8_0", *THREADS]
ALLOWED = {"memset", "memcpy"}
"""What `library.py` gives to kernels."""


def test_objects_are_elf_on_windows_and_as_the_system_has_them_elsewhere():
    assert library.triple_for("aarch64-pc-windows-msvc") == "aarch64-pc-windows-msvc-elf"
    for triple in ("x86_64-unknown-linux-gnu", "arm64-apple-darwin23.4.0"):
        assert library.triple_for(triple) == triple


@pytest.mark.slow
def test_kernels_for_windows_call_nothing_else(tmp_path):
    tier = isa.tier_named("avx2")
    features = ",".join(f"+{name}" for name in sorted(tier.needs))
    code = assembly_of(tmp_path, SOME, "avx2", "haswell", features, WINDOWS)
    assert set(code) == set(SOME)
    for name, text in code.items():
        called = set(re.findall(r"^\t(?:call|jmp)q?\t(?!\.L|\*)([\w.$]+)", text, re.MULTILINE))
        outside = called - set(re.findall(r"^([\w.$]+):", text, re.MULTILINE))
        assert outside <= ALLOWED, name  # __chkstk would be one, of a frame larger than a page
    assert "vpmaddubsw" in code[matmul_of("Q4_0")]


@pytest.mark.slow
@pytest.mark.parametrize("n_threads", [1, 2])
def test_tiny_gives_the_same_bits_on_code_for_windows(n_threads, kernel_cache):
    ids = [1, 320, 54, 7, 8, 900, 31, 2, 77, 1500]
    with localmix.load("tiny", n_threads=n_threads) as model:
        here = model.logits(ids)
    done = subprocess.run(
        [sys.executable, "-m", "support.windows_code", str(n_threads), *map(str, ids)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])},
        cwd=TESTS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert np.array_equal(np.array(json.loads(done.stdout), np.float32), here)
