"""`Model`: a loaded model, as people use it from Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from localmix.cache import Batch, RingCache, saved, token_ids
from localmix.engine.generate import Completion, Generation, Overflow, Request, stop_strings
from localmix.engine.sequence import OnPrefill, TokenSequence
from localmix.engine.tuned import CHUNK_TOKENS
from localmix.errors import ContextFull, LocalmixError, UnsupportedModel
from localmix.execute import Executor
from localmix.execute.executor import Routes
from localmix.gguf import GGUFFile
from localmix.gguf.fingerprint import fingerprint
from localmix.model.config import ModelConfig
from localmix.text.chat import ChatFormat, looks_like_base
from localmix.text.sampling import SamplingOptions
from localmix.text.tokenizer import Tokenizer

Message = Mapping[str, Any]
"""{"role": "user", "content": "hi"}, as OpenAI's interface has it."""


class Model:
    """A model that can answer. Made by `localmix.load`; also a context manager.

    It keeps the keys and values of the last prompt and answer: what the next prompt begins with
    alike is not computed again.

    Attributes:
        config: hyperparameters, frozen.
        file: the mapped file.
        n_ctx: positions that a sequence may have.
        chunk_tokens: tokens of a prompt that go through the layers together.
        load_s: seconds that loading took.
        tokenizer: text ↔ ids.
    """

    def __init__(
        self,
        file: GGUFFile,
        config: ModelConfig,
        executor: Executor,
        tokenizer: Tokenizer,
        n_ctx: int,
        chunk_tokens: int = CHUNK_TOKENS,
    ) -> None:
        self.file = file
        self.config = config
        self.tokenizer = tokenizer
        self.n_ctx = n_ctx
        self.chunk_tokens = chunk_tokens
        self.load_s = 0.0
        self._executor: Executor | None = executor
        self._kept: TokenSequence | None = None
        self._chat_format: ChatFormat | None = None

    @property
    def path(self) -> Path:
        """The file that it was loaded from."""
        return self.file.path

    @property
    def executor(self) -> Executor:
        """What runs the model; raises LocalmixError once the model was closed."""
        if self._executor is None:
            raise LocalmixError("the model was closed", "load it again: localmix.load")
        return self._executor

    @property
    def chat_format(self) -> ChatFormat:
        """How messages become a prompt; raises TemplateError when the file does not tell."""
        if self._chat_format is None:
            self._chat_format = ChatFormat.from_metadata(self.file.metadata, self.tokenizer)
        return self._chat_format

    @property
    def is_base(self) -> bool:
        """Say whether the file looks like a base model's, which continues texts but does not chat.

        It has no chat template, no control tokens of a chat, and its name says nothing of one.
        """
        return looks_like_base(self.file.metadata, self.tokenizer)

    def tokenize(self, text: str, add_bos: bool = True, parse_special: bool = False) -> list[int]:
        """Turn text into ids.

        Args:
            text: any string.
            add_bos: put the begin token in front, if the model wants one.
            parse_special: read control tokens such as `</s>` in the text as such.
        """
        return self.tokenizer.encode(text, add_bos=add_bos, parse_special=parse_special)

    def detokenize(self, ids: Sequence[int]) -> str:
        """Turn ids into text; control tokens leave no trace."""
        return self.tokenizer.decode(token_ids(ids).tolist())

    def render_chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None = None,
        safe_prompt: bool = False,
    ) -> list[int]:
        """Turn messages into the ids of a prompt, in the model's own chat format.

        Raises:
            TemplateError: the format cannot say these messages.
        """
        return self.chat_format.render(messages, tools, safe_prompt=safe_prompt)

    def logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Compute the logits after every id of one fresh sequence: (T, V) float32."""
        return np.concatenate([logits for logits, _ in self._chunks(ids)])

    def logit_pieces(self, ids: Sequence[int], *, start: int = 0) -> Iterator[NDArray[np.float32]]:
        """Compute `logits` from place `start` on, at most CHUNK_TOKENS rows at a time: (R, V)."""
        return (logits for logits, _ in self._chunks(ids, start) if len(logits))

    def route(self, ids: Sequence[int]) -> NDArray[np.int32]:
        """Return the experts that each token visits, best first: (L, T, A) int32.

        Raises:
            UnsupportedModel: the model has no experts.
        """
        if not self.config.n_experts:
            raise UnsupportedModel("a dense model has no experts", "ask a Mixtral: tiny, mixtral")
        routes = [routes for _, routes in self._chunks(ids, start=self.n_ctx)]
        layers = range(self.config.n_layers)
        return np.stack([np.concatenate([chunk[i] for chunk in routes]) for i in layers])

    def generate(
        self,
        prompt: str | Sequence[int],
        max_tokens: int | None = 64,
        temperature: float = 0.8,
        top_k: int = 40,
        top_p: float = 0.9,
        min_p: float = 0.0,
        repeat_penalty: float = 1.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
        *,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        logit_bias: Mapping[int, float] | None = None,
        on_overflow: Overflow = "error",
        on_prefill: OnPrefill | None = None,
        is_answer: bool = False,
    ) -> Generation:
        """Continue a prompt.

        Args:
            prompt: text, or ids that are taken as they are.
            max_tokens: new tokens at most; None: until the context is full.
            temperature: 0 is greedy and deterministic.
            top_k, top_p, min_p: which tokens stay in the draw; 0, 1 and 0 keep all.
            repeat_penalty, presence_penalty, frequency_penalty: on tokens seen lately; 1, 0 and 0
                do nothing.
            seed: same seed, same text; None: another text each time.
            stop: texts that end the answer and are not part of it.
            logit_bias: token id -> what is added to its logit.
            on_overflow: what happens when the context is full, see `Request`.
            on_prefill: called with (tokens done, tokens in all) while the prompt is read.
            is_answer: the text begins anew instead of continuing the prompt, see `Request`.

        Returns:
            An iterator of `Piece`, which also has the text, the finish reason and the statistics.

        Raises:
            ContextFull: while iterating, if the prompt is longer than the context.
        """
        ids = self.tokenize(prompt) if isinstance(prompt, str) else token_ids(prompt).tolist()
        sampling = SamplingOptions(
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            repeat_penalty=repeat_penalty,
            presence_penalty=presence_penalty,
            frequency_penalty=frequency_penalty,
            logit_bias=dict(logit_bias or {}),
        )
        stops = stop_strings(stop)
        request = Request(ids, max_tokens, stops, seed, on_overflow, sampling, is_answer)
        self.executor  # noqa: B018 - a closed model says so now, not at the first piece
        return Generation(
            request, self._sequence(), self.tokenizer, load_s=self.load_s, on_prefill=on_prefill
        )

    def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None = None,
        safe_prompt: bool = False,
        **options: Any,
    ) -> Generation:
        """Answer messages: `generate` on the prompt of `render_chat`, with the same options."""
        prompt = self.render_chat(messages, tools, safe_prompt)
        return self.generate(prompt, is_answer=True, **options)

    def score(
        self,
        prompt: Sequence[int],
        continuations: Sequence[Sequence[int]],
        *,
        on_prefill: OnPrefill | None = None,
    ) -> list[float]:
        """Say how likely each of some continuations of a prompt is.

        Args:
            prompt, continuations: ids, at least one each.
            on_prefill: as in `generate`.

        Returns:
            Natural logarithms of their probabilities under the plain softmax.

        Raises:
            ContextFull: prompt and continuation do not fit the context.
            LocalmixError: there are no ids, or they are outside the vocabulary.
        """
        before = token_ids(prompt).tolist()
        after = [token_ids(ids).tolist() for ids in continuations]
        for ids in (before, *after):
            Batch.of(ids, 0).check(self.config.vocab_size)
        longest = len(before) + max(map(len, after), default=0)
        if longest > self.n_ctx:
            raise _too_long(longest, self.n_ctx)
        with self._sequence() as sequence:
            return [sequence.score(before, ids, on_prefill) for ids in after]

    def complete(self, prompt: str | Sequence[int], **options: Any) -> Completion:
        """Continue a prompt and return the whole answer; options as in `generate`."""
        return self.generate(prompt, **options).complete()

    def prompt_text(self, ids: Sequence[int]) -> str:
        """Return a prompt as text with its control tokens visible, to look at."""
        return self.tokenizer.visible_text(ids)

    def save_cache(
        self,
        path: str | Path,
        prompt: str | Sequence[int] | None = None,
        *,
        on_prefill: OnPrefill | None = None,
    ) -> int:
        """Write keys and values to a file, so that a long document is read once.

        Args:
            path: the file; it appears whole or not at all.
            prompt: what to read first; None: the last prompt and answer, as they are kept.
            on_prefill: as in `generate`.

        Returns:
            Tokens that the file holds.

        Raises:
            ContextFull: the prompt is longer than the context.
            LocalmixError: there is nothing to save, or the file cannot be written.
        """
        with self._sequence() as sequence:
            if prompt is not None:
                ids = self.tokenize(prompt) if isinstance(prompt, str) else token_ids(prompt)
                if not len(ids):
                    raise LocalmixError("the prompt is empty", "give at least one token")
                if len(ids) > self.n_ctx:
                    raise _too_long(len(ids), self.n_ctx)
                sequence.read([int(token) for token in ids], on_prefill)
            if not sequence.ids:
                raise LocalmixError("there is nothing to save yet", "give save_cache a prompt")
            saved.write(Path(path), sequence.cache, sequence.ids, self._identity())
            return len(sequence.ids)

    def load_cache(self, path: str | Path) -> int:
        """Take keys and values out of a file of `save_cache`; prompts that begin alike use them.

        Returns:
            Tokens that were taken in.

        Raises:
            ContextFull: they do not fit this context.
            LocalmixError: the file is damaged, foreign, or of another model or other settings.
        """
        with self._sequence() as sequence:
            sequence.restart()
            sequence.ids.extend(saved.read(Path(path), sequence.cache, self._identity()))
            return len(sequence.ids)

    def close(self) -> None:
        """Let go of the mapped file and of all memory; the model cannot answer any more."""
        self._executor = self._kept = None
        self.file.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @contextmanager
    def _sequence(self) -> Iterator[TokenSequence]:
        """Lend the sequence that is kept; who asks while it is lent gets a new one."""
        kept, self._kept = self._kept, None
        sequence = kept or TokenSequence(self.executor, self._new_cache())
        try:
            yield sequence
        finally:
            if self._executor is not None:
                self._kept = sequence

    def _identity(self) -> dict[str, str]:
        """What keys and values depend on."""
        kv = self.executor.kv
        return {"model": fingerprint(self.file), "settings": repr(self.config), "kv": kv}

    def _new_cache(self) -> RingCache:
        n_chunk = min(self.chunk_tokens, self.n_ctx)
        return RingCache(self.config, n_ctx=self.n_ctx, n_chunk=n_chunk, kv=self.executor.kv)

    def _chunks(
        self, ids: Sequence[int], start: int = 0
    ) -> Iterator[tuple[NDArray[np.float32], Routes]]:
        """Run one fresh sequence, chunk by chunk -> logits (R, V) from `start` on, and routes."""
        tokens = token_ids(ids).tolist()
        if not tokens:
            raise LocalmixError("there are no tokens to compute", "give at least one token")
        if len(tokens) > self.n_ctx:
            raise _too_long(len(tokens), self.n_ctx)
        executor, cache = self.executor, self._new_cache()
        for place in range(0, len(tokens), cache.n_chunk):
            chunk, routes = tokens[place : place + cache.n_chunk], Routes()
            wanted = range(max(start - place, 0), len(chunk))
            yield executor.run(Batch.of(chunk, place, wanted=wanted), cache, routes), routes


def _too_long(n_tokens: int, n_ctx: int) -> ContextFull:
    return ContextFull(
        f"{n_tokens} tokens do not fit a context of {n_ctx}", "load the model with a larger n_ctx"
    )
