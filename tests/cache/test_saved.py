"""Keys and values in a file: back as they were, or refused."""

import json

import numpy as np
import pytest
from test_ring import CONFIG, feed

from localmix.cache import RingCache, saved
from localmix.errors import ContextFull, LocalmixError

IDENTITY = {"model": "abc", "kv": "f32"}


def filled(n, *, window=None, n_ctx=64, n_chunk=4):
    """A ring that was fed n positions, and their ids."""
    cache = RingCache(CONFIG.with_window(window or "off"), n_ctx=n_ctx, n_chunk=n_chunk)
    for start in range(0, n, n_chunk):
        feed(cache, list(range(start, min(n, start + n_chunk))))
    return cache, list(range(100, 100 + n))


def empty_like(cache, **changes):
    config = CONFIG.with_window(cache.window or "off")
    return RingCache(config, **{"n_ctx": cache.n_ctx, "n_chunk": cache.n_chunk, **changes})


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("n", [1, 7, 30])
def test_what_was_saved_comes_back(tmp_path, window, n):
    cache, ids = filled(n, window=window)
    saved.write(tmp_path / "a.cache", cache, ids, IDENTITY)
    other = empty_like(cache)
    assert saved.read(tmp_path / "a.cache", other, IDENTITY) == ids
    assert np.array_equal(other.positions, cache.positions)
    used = cache.positions[0] >= 0
    assert used.any()
    assert np.array_equal(other.keys[:, :, :, used], cache.keys[:, :, :, used])
    assert np.array_equal(other.values[:, :, :, used], cache.values[:, :, :, used])
    assert [path.name for path in tmp_path.iterdir()] == ["a.cache"]


def test_a_larger_and_a_shorter_ring_take_what_a_window_needs(tmp_path):
    cache, ids = filled(30, window=3, n_chunk=8)
    saved.write(tmp_path / "a", cache, ids, IDENTITY)
    for n_chunk in (1, 16):
        other = empty_like(cache, n_chunk=n_chunk)
        assert saved.read(tmp_path / "a", other, IDENTITY) == ids
        _, _, positions = other.view(0, 0)
        assert {28, 29} <= set(positions.tolist())
        for position in positions[positions >= 0]:
            assert other.keys[0, 0, 0, position % other.n_slots].view(np.float32)[0] == position


def test_every_cut_and_every_changed_byte_is_noticed_and_nothing_stays_behind(tmp_path):
    cache, ids = filled(3)
    path = tmp_path / "a"
    saved.write(path, cache, ids, IDENTITY)
    whole = path.read_bytes()
    damaged = [whole[:n] for n in range(0, len(whole), 7)] + [whole + b"x"]
    for i in range(0, len(whole), 5):
        damaged.append(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
    for content in damaged:
        path.write_bytes(content)
        other = empty_like(cache)
        with pytest.raises(LocalmixError) as error:
            saved.read(path, other, IDENTITY)
        assert error.value.hint
        assert (other.positions == -1).all()


@pytest.mark.parametrize("change", [{"model": "abd"}, {"kv": "f16"}, {"more": "1"}])
def test_another_model_or_other_settings_are_refused_by_name(tmp_path, change):
    cache, ids = filled(3)
    saved.write(tmp_path / "a", cache, ids, IDENTITY | change)
    with pytest.raises(LocalmixError, match=next(iter(change))):
        saved.read(tmp_path / "a", empty_like(cache), IDENTITY)


def test_foreign_files_and_other_versions_are_refused(tmp_path, monkeypatch):
    cache, ids = filled(3)
    path = tmp_path / "a"
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(LocalmixError, match="no saved cache"):
        saved.read(path, cache, IDENTITY)
    monkeypatch.setattr(saved, "VERSION", 99)
    saved.write(path, cache, ids, IDENTITY)
    monkeypatch.undo()
    with pytest.raises(LocalmixError, match="another version"):
        saved.read(path, empty_like(cache), IDENTITY)


@pytest.mark.parametrize("header", [[], {"version": 1}, {"version": 1, "n_ids": -1, "n_slots": 2}])
def test_headers_that_say_nonsense_are_damage(tmp_path, header):
    text = json.dumps(header).encode()
    path = tmp_path / "a"
    path.write_bytes(saved.MAGIC + len(text).to_bytes(8, "little") + text)
    with pytest.raises(LocalmixError, match="damaged"):
        saved.read(path, filled(1)[0], IDENTITY)


def test_a_context_without_room_for_the_next_token_is_told(tmp_path):
    cache, ids = filled(8)
    saved.write(tmp_path / "a", cache, ids, IDENTITY)
    with pytest.raises(ContextFull, match="8 tokens"):
        saved.read(tmp_path / "a", empty_like(cache, n_ctx=8), IDENTITY)
    assert saved.read(tmp_path / "a", empty_like(cache, n_ctx=9), IDENTITY) == ids


def test_files_that_cannot_be_opened_are_told(tmp_path):
    cache, ids = filled(2)
    with pytest.raises(LocalmixError, match="cannot be read"):
        saved.read(tmp_path / "none", cache, IDENTITY)
    with pytest.raises(LocalmixError, match="cannot be written"):
        saved.write(tmp_path / "no" / "a", cache, ids, IDENTITY)


def test_a_header_that_asks_for_a_huge_ring_is_damage_and_takes_no_memory(tmp_path, monkeypatch):
    cache, ids = filled(3)
    path = tmp_path / "a"
    saved.write(path, cache, ids, IDENTITY)
    whole = path.read_bytes()
    start = len(saved.MAGIC) + 8
    end = start + int.from_bytes(whole[len(saved.MAGIC) : start], "little")
    text = json.dumps(json.loads(whole[start:end]) | {"n_slots": (1 << 31) - 1}).encode()
    path.write_bytes(saved.MAGIC + len(text).to_bytes(8, "little") + text + whole[end:])
    asked, read = [], saved._Checked.read
    monkeypatch.setattr(saved._Checked, "read", lambda file, n: (asked.append(n), read(file, n))[1])
    with pytest.raises(LocalmixError, match="damaged"):
        saved.read(path, empty_like(cache), IDENTITY)
    assert max(asked) < 10_000
