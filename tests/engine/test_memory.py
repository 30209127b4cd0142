"""How much memory experts get."""

import pytest
from gguf import GGMLQuantizationType as Q
from support.models import Shape, write_model

import localmix
from localmix.cache.ring import slot_bytes
from localmix.engine import memory
from localmix.gguf import GGUFFile
from localmix.model.config import ModelConfig
from localmix.model.weights import is_of_experts

SHAPE = Shape(n_experts=8, dim=64, hidden_dim=128, n_layers=2)


@pytest.fixture
def file(tmp_path):
    with GGUFFile.open(write_model(tmp_path / "m.gguf", SHAPE, quant=Q.Q8_0)) as opened:
        yield opened


def sizes(file, config, n_ctx):
    """Bytes of experts, of the rest, and of a cache of float16."""
    experts = sum(t.n_bytes for name, t in file.tensors.items() if is_of_experts(name))
    rest = sum(t.n_bytes for t in file.tensors.values()) - experts
    cache = 2 * config.n_layers * config.n_kv_heads * n_ctx * slot_bytes(config.head_dim, "f16")
    return experts, rest, cache


def decide(monkeypatch, file, free, n_ctx=64):
    monkeypatch.setattr(memory, "free_bytes", lambda: free)
    config = ModelConfig.from_metadata(file.metadata)
    return memory.for_experts(file.tensors, config, n_ctx, "f16"), *sizes(file, config, n_ctx)


def test_what_fits_is_read_in_place(monkeypatch, file):
    _, experts, rest, cache = decide(monkeypatch, file, None)
    needed = experts + rest + cache
    enough = int(needed / (1 - memory.HEADROOM_SHARE)) + 2
    assert decide(monkeypatch, file, enough)[0] is None
    assert decide(monkeypatch, file, enough - 8)[0] is not None
    assert decide(monkeypatch, file, None)[0] is None


def test_experts_get_what_the_rest_and_the_cache_leave(monkeypatch, file):
    room, experts, *_ = decide(monkeypatch, file, scarce(file, n_ctx=64))
    assert room == pytest.approx(experts // 2, abs=4)


def scarce(file, n_ctx):
    """Free memory that leaves room for half of the experts beside such a context."""
    experts, rest, cache = sizes(file, ModelConfig.from_metadata(file.metadata), n_ctx)
    return int((rest + cache + experts // 2) / (1 - memory.HEADROOM_SHARE))


def test_a_larger_context_leaves_less_for_experts(monkeypatch, file):
    free = scarce(file, n_ctx=128)
    one, *_ = decide(monkeypatch, file, free, n_ctx=64)
    two, _, _, cache = decide(monkeypatch, file, free, n_ctx=128)
    assert one - two == cache // 2


def test_a_window_bounds_the_cache_that_is_counted(monkeypatch, file):
    free = scarce(file, n_ctx=64)
    monkeypatch.setattr(memory, "CHUNK_TOKENS", 16)
    room, *_ = decide(monkeypatch, file, free, n_ctx=64)
    windowed = ModelConfig.from_metadata(file.metadata).with_window(49)  # 49 + 16 − 1 = 64
    assert memory.for_experts(file.tensors, windowed, 4096, "f16") == room
    assert room


def test_with_hardly_any_room_the_system_decides(monkeypatch, file):
    _, _, rest, cache = decide(monkeypatch, file, None)
    assert decide(monkeypatch, file, rest + cache)[0] is None


def test_the_headroom_has_an_end(monkeypatch, file):
    _, experts, rest, cache = decide(monkeypatch, file, None)
    assert decide(monkeypatch, file, experts + rest + cache + memory.MOST_HEADROOM)[0] is None


def test_a_model_is_streamed_when_memory_asks_for_it(monkeypatch, tmp_path):
    path = write_model(tmp_path / "m.gguf", SHAPE, quant=Q.Q8_0)
    monkeypatch.setattr(memory, "for_experts", lambda *_: 200_000)
    with localmix.load(path) as model:
        assert model.executor.expert_cache is not None
    with localmix.load(path, executor="reference") as model:
        assert not hasattr(model.executor, "expert_cache")


@pytest.mark.parametrize(
    ("line", "folder", "limit", "used"),
    [
        ("0::/a/b", "a/b", "memory.max", "memory.current"),
        ("0::/a/b", "a", "memory.max", "memory.current"),
        ("0::/", ".", "memory.max", "memory.current"),
        ("7:memory:/a", "memory/a", "memory.limit_in_bytes", "memory.usage_in_bytes"),
        ("7:cpu,memory:/a", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ],
)
def test_a_container_and_those_around_it_tell_what_they_leave(tmp_path, line, folder, limit, used):
    membership, place = tmp_path / "cgroup", tmp_path / "root" / folder
    assert memory._free_of_container(membership, tmp_path / "root") is None
    membership.write_text(f"3:cpuset:/x\n{line}\n")
    assert memory._free_of_container(membership, tmp_path / "root") is None
    place.mkdir(parents=True, exist_ok=True)
    (place / limit).write_text("1000\n")
    (place / used).write_text("700\n")
    assert memory._free_of_container(membership, tmp_path / "root") == 300
    (place / "memory.stat").write_text("anon 5\ninactive_file 100\nactive_file 50\n")
    assert memory._free_of_container(membership, tmp_path / "root") == 450
    (place / limit).write_text("max\n")
    assert memory._free_of_container(membership, tmp_path / "root") is None


def test_this_machine_has_some_memory_left():
    free = memory.free_bytes()
    assert free is None or 0 < free < 1 << 50
