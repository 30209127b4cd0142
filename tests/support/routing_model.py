"""A fake model whose tokens visit the experts that a test says."""

from types import SimpleNamespace

import numpy as np

from support.fake_model import FakeModel


class RoutingModel(FakeModel):
    """A token is one of `pieces`, by its place there; its experts are those of `experts`."""

    def __init__(self, pieces, experts, n_experts=8):
        super().__init__()
        self.pieces = [p if isinstance(p, bytes) else p.encode() for p in pieces]
        self.routes = np.array(experts, np.int32)  # (T, A), in each layer
        self.config.n_experts, self.config.n_layers = n_experts, 4
        self.config.n_experts_used = self.routes.shape[1]
        self.texts = []
        self.tokenizer = SimpleNamespace(
            piece_bytes=lambda token: self.pieces[token],
            vocabulary=SimpleNamespace(pieces=["<named>"] * len(pieces)),
        )

    def load(self, name, **options):
        self.n_ctx = options.get("n_ctx", 64)
        return super().load(name, **options)

    def tokenize(self, text, add_bos=True, parse_special=False):
        assert not parse_special, "what a person gives is text"
        self.texts.append(text)
        return list(range(len(self.pieces)))

    def route(self, ids):
        assert len(ids) <= self.n_ctx
        # Layer 3 chooses the other way round.
        return np.stack([self.routes, self.routes, self.routes, self.routes[:, ::-1]])
