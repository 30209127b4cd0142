"""A fake model whose logits a test says, and that remembers which sequences it read."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from support.fake_model import FakeModel

N_VOCAB, BOS = 128, 1


def uniform(token, place):
    """Every id is as likely as every other."""
    return np.zeros(N_VOCAB, np.float32)


class ScoringModel(FakeModel):
    """An id is a character's code; the logits after a token at a place are those of `row`.

    Attributes:
        sequences: (ids, start) of each sequence whose logits were asked for.
        n_rows: rows of a piece at most, as the engine hands them out in chunks.
        interrupt_after: whole sequences after which Ctrl-C comes; None: it does not.
    """

    def __init__(self, row=uniform, *, add_bos=True, n_rows=512):
        super().__init__()
        self.row, self.n_rows = row, n_rows
        self.config.vocab_size = N_VOCAB
        pieces = [chr(i) for i in range(N_VOCAB)]
        self.tokenizer = SimpleNamespace(
            add_bos=add_bos, bos_id=BOS, vocabulary=SimpleNamespace(pieces=pieces)
        )
        self.sequences, self.texts = [], []

    def load(self, name, **options):
        self.path = Path(f"/models/{name}")
        return super().load(name, **options)

    def tokenize(self, text, add_bos=True, parse_special=False):
        assert not parse_special, "a text that is measured holds no control tokens"
        self.texts.append(text)
        return [BOS] * self.tokenizer.add_bos + [ord(character) for character in text]

    def logit_pieces(self, ids, *, start=0):
        if self.interrupt_after is not None and len(self.sequences) >= self.interrupt_after:
            raise KeyboardInterrupt
        self.sequences.append((list(ids), start))
        rows = [self.row(token, place) for place, token in enumerate(ids)][start:]
        for first in range(0, len(rows), self.n_rows):
            yield np.array(rows[first : first + self.n_rows], np.float32)
