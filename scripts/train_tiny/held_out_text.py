"""Write held-out documents as one text file, for `localmix perplexity tiny FILE`.

    python held_out_text.py /tmp/held_out.txt

Wordings as `corpus.py` draws them for its held-out rows, a document a line (stories may have more);
the end tokens between them are left out, for text cannot say them.
"""

import argparse
import random
from pathlib import Path

from conversation import document
from vocabulary import texts


def main() -> None:
    """Draw documents until the file is long enough."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--characters", type=int, default=60_000, help="length at least")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(f"held out {args.seed}")
    lines: list[str] = []
    while sum(map(len, lines)) < args.characters:
        lines.append(" ".join(texts(document(rng, evaluation=True))))
    args.out.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
