"""A model that answers at once, always the same, and remembers what it was asked."""

import json
from pathlib import Path
from types import SimpleNamespace

REPLY = ("Hello", ",", " world", ".")


class FakeGeneration:
    """The engine's Generation: an iterator with text, tokens, finish_reason and stats."""

    def __init__(self, model, ids, options):
        self.text, self.tokens, self.finish_reason = "", [], None
        self._interrupt_after = model.interrupt_after
        self._fail = model.fail
        reply = model.reply(ids) if callable(model.reply) else model.reply
        limit = options.get("max_tokens")
        self._cut = model.context_is_full or (limit is not None and limit < len(reply))
        self._pieces = iter(reply[:limit])
        self._on_prefill = options.get("on_prefill")
        self._n_prompt = len(ids)
        self.stats = SimpleNamespace(
            prompt_tokens=len(ids),
            kept_tokens=model.keep(ids),
            dropped_tokens=model.dropped_tokens,
            generated_tokens=0,
            load_s=model.load_s,
            ttft_s=0.125,
            prefill_tok_s=80.0,
            decode_tok_s=16.0,
            peak_rss_bytes=123_000_000,
            streamed=None,
        )

    def __iter__(self):
        return self

    def __next__(self):
        if not self.tokens and self._on_prefill:
            self._on_prefill(self._n_prompt, self._n_prompt)
        if self._fail:
            raise self._fail
        if self._interrupt_after is not None and len(self.tokens) >= self._interrupt_after:
            raise KeyboardInterrupt
        text = next(self._pieces, None)
        if text is None:
            self.finish_reason = "length" if self._cut else "stop"
            raise StopIteration
        self.tokens.append(100 + len(self.tokens))
        self.text += text
        self.stats.generated_tokens = len(self.tokens)
        return SimpleNamespace(text=text, token=self.tokens[-1], logprob=-0.5)

    def close(self):
        """Nothing to let go of."""


class FakeModel:
    """The part of the engine's Model that the command line uses; an id is a character's code."""

    def __init__(self, reply=REPLY, n_ctx=64):
        self.reply = reply
        self.n_ctx = n_ctx
        self.load_s = 0.25
        self.path = Path("/models/fake.gguf")
        self.config = SimpleNamespace(
            architecture="llama", vocab_size=50, sliding_window=None, n_experts=0,
            n_experts_used=0, n_layers=2, n_heads=4, n_kv_heads=2, head_dim=8, context_length=64,
        )  # fmt: skip
        self.tokenizer = SimpleNamespace(end_ids=frozenset({2}), is_control=self._is_control)
        self.is_base = False
        self.chat_format = SimpleNamespace(name="fake")
        # So many threads that no bench has measured them here: nothing is known of the machine.
        self.executor = SimpleNamespace(isa="avx2", jit_s=0.0, kv="f16", n_threads=1000)
        output = SimpleNamespace(n_bytes=10**9, n_elements=400, shape=(50, 8))
        self.file = SimpleNamespace(tensors={"output.weight": output})
        self.n_to_compile = 0
        self.interrupt_compiling = False
        self.interrupt_after = None
        self.fail = None
        self.context_is_full = False
        self.dropped_tokens = 0
        self.cache_is_lost = False
        self.verdict = 0  # of `score`: the choice that is likeliest
        self.scored = []
        self._held = []
        self.loads, self.prompts, self.options, self.closed = [], [], [], False

    def load(self, name, on_compile=None, **options):
        """What `localmix.load` is replaced with; it compiles two seconds for each kernel."""
        self.loads.append((name, options))
        if self.n_to_compile:
            on_compile(0, self.n_to_compile)
            if self.interrupt_compiling:
                raise KeyboardInterrupt
            for i in range(self.n_to_compile):
                on_compile(i + 1, self.n_to_compile)
            self.executor.jit_s = 2.0 * self.n_to_compile
        return self

    def tokenize(self, text, add_bos=True, parse_special=False):
        assert parse_special or not add_bos, "control tokens are meant in a whole prompt"
        return [ord(character) for character in ("^" if add_bos else "") + text]

    def render_chat(self, messages, tools=None, safe_prompt=False):
        safety = "(be safe)" if safe_prompt else ""
        text = safety + "".join(f"<{m['role']}>{m['content']}" for m in messages)
        return [ord(character) for character in text]

    def prompt_text(self, ids):
        return "".join(map(chr, ids))

    @staticmethod
    def _is_control(token):
        """Angles around a role are this model's control tokens."""
        return chr(token) in "<>"

    def keep(self, ids):
        """How many ids of a prompt are in the cache; what was read last, unless it was lost."""
        before, self._held = self._held, list(ids)
        if self.cache_is_lost:
            return 0
        pairs = enumerate(zip(before, ids, strict=False))
        return next((i for i, (a, b) in pairs if a != b), min(len(before), len(ids) - 1))

    def score(self, prompt, continuations, on_prefill=None):
        self.scored.append(self.prompt_text(prompt))
        return [0.0 if i == self.verdict else -5.0 for i in range(len(continuations))]

    def save_cache(self, path):
        path.write_bytes(b"cache")
        return len(self._held)

    def load_cache(self, path):
        assert path.read_bytes() == b"cache"
        return 7

    def generate(self, prompt, **options):
        self.prompts.append(self.prompt_text(prompt))
        self.options.append(options)
        return FakeGeneration(self, prompt, options)

    def close(self):
        self.closed = True

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()


def as_json(text):
    """The one JSON value on stdout."""
    assert text.endswith("\n")
    assert text.count("\n") == 1
    return json.loads(text)
