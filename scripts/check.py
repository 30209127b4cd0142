#!/usr/bin/env python3
"""Run what CI runs after installing: format, lint, types, tests. Stops at the first that fails.

.venv/bin/python scripts/check.py [arguments for pytest]
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
STEPS = (
    ("ruff", "format", "--check", "."),
    ("ruff", "check", "."),
    *(("mypy", "--platform", system) for system in ("linux", "darwin", "win32")),
    ("pytest", *sys.argv[1:]),
)


def main() -> int:
    """Run each step with this interpreter's own tools."""
    for step in STEPS:
        print("+", *step, file=sys.stderr, flush=True)
        code = subprocess.run([sys.executable, "-m", *step], cwd=ROOT, check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
