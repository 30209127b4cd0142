"""The `localmix` script, and `python -m localmix`.

Apart from `cli/app.py` so that Ctrl-C is quiet even while the command line is being imported.
"""

import sys


def main() -> int:
    """Run the command line; 130 when Ctrl-C came before it could."""
    try:
        from localmix.cli.app import main as run

        return run()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
