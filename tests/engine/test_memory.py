"""How much memory experts get."""

import psutil
import pytest
from gguf import GGMLQuantizationType as Q
from support.models import Shape, split_experts, tensors_of, write_model

import localmix
from localmix import system
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
    room, *_ = decide(monkeypatch, file, free, n_ctx=64)
    windowed = ModelConfig.from_metadata(file.metadata).with_window(49)  # 49 + 16 − 1 = 64
    wanted = memory.needs(file.tensors, windowed, 4096, "f16", chunk=16)
    assert memory.room_for_experts(wanted, free) == room
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
def test_a_container_and_those_around_it_tell_what_they_leave(
    monkeypatch, tmp_path, line, folder, limit, used
):
    membership, place = tmp_path / "cgroup", tmp_path / "root" / folder
    monkeypatch.setattr(system, "CGROUP_MEMBERSHIP", membership)
    monkeypatch.setattr(system, "CGROUPS", tmp_path / "root")
    assert memory._free_of_container() is None
    membership.write_text(f"3:cpuset:/x\n{line}\n")
    assert memory._free_of_container() is None
    place.mkdir(parents=True, exist_ok=True)
    (place / limit).write_text("1000\n")
    (place / used).write_text("700\n")
    assert memory._free_of_container() == 300
    (place / "memory.stat").write_text("anon 5\ninactive_file 100\nactive_file 50\n")
    assert memory._free_of_container() == 450
    (place / limit).write_text("max\n")
    assert memory._free_of_container() is None


V2 = ("memory.max", "memory.current")
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")


@pytest.fixture
def container(monkeypatch, tmp_path):
    """Write the files of a container's limits; gives what it leaves and its limit."""
    monkeypatch.setattr(system, "CGROUP_MEMBERSHIP", tmp_path / "cgroup")
    monkeypatch.setattr(system, "CGROUPS", tmp_path / "root")

    def ask(membership, limits, names):
        (tmp_path / "cgroup").write_text(membership)
        for folder, (most, now) in limits.items():
            (tmp_path / "root" / folder).mkdir(parents=True, exist_ok=True)
            for name, value in zip(names, (most, now), strict=True):
                (tmp_path / "root" / folder / name).write_text(f"{value}\n")
        return memory._free_of_container(), memory._limit_of_container()

    return ask


def test_of_containers_around_containers_the_tightest_counts(container):
    limits = {"a": (1000, 100), "a/b": (2000, 1900), "a/b/c": ("max", 5)}
    assert container("0::/a/b/c\n", limits, V2) == (100, 1000)


def test_limits_of_other_containers_do_not_count(container):
    limits = {"a": (1000, 100), "b": (10, 9), "a/c": (20, 19)}
    assert container("0::/a\n", limits, V2) == (900, 1000)


def test_a_container_that_is_over_its_limit_leaves_nothing(container):
    assert container("0::/a\n", {"a": (1000, 1200)}, V2) == (0, 1000)


def test_version_1_tells_its_limit_below_memory(container):
    lines = "12:cpu,cpuacct:/x\n7:memory:/a/b\n1:name=systemd:/a\n0::/a\n"
    limits = {"memory/a/b": (1 << 62, 100), "memory/a": (5000, 1000), "memory": (1 << 62, 1)}
    assert container(lines, limits, V1) == (4000, 5000)


@pytest.mark.parametrize(
    "damage", ["", "\n", "no colons", "0:/a", "\x00", "0::/../..", "0::", "x:memory"]
)
def test_a_membership_that_cannot_be_read_is_no_limit(container, damage):
    assert container(damage, {}, V2) == (None, None)


@pytest.mark.parametrize("value", ["", "many", "1.5", "max"])
def test_a_limit_that_is_no_number_is_no_limit(container, value):
    assert container("0::/a\n", {"a": (value, 5)}, V2) == (None, None)
    assert container("0::/a\n", {"a": (1000, value)}, V2) == (None, None)


@pytest.mark.parametrize(
    ("machine", "limit", "told"), [(8, 4, 4), (8, 9, 8), (8, None, 8), (None, 4, 4), (None,) * 3]
)
def test_the_smaller_of_machine_and_container_is_all_there_is(monkeypatch, machine, limit, told):
    for name in ("total_memory", "free_memory"):
        monkeypatch.setattr(system, name, lambda: machine)
    for name in ("_limit_of_container", "_free_of_container"):
        monkeypatch.setattr(memory, name, lambda: limit)
    assert memory.total_bytes() == told
    assert memory.free_bytes() == told


def test_a_system_that_tells_nothing_has_no_total(monkeypatch):
    def no_proc():
        raise FileNotFoundError("/proc/meminfo")

    monkeypatch.setattr(psutil, "virtual_memory", no_proc)
    assert (system.total_memory(), system.free_memory()) == (None, None)


# ---- needs -------------------------------------------------------------------------------------


def test_what_a_model_wants_is_told_in_four_numbers(file):
    config = ModelConfig.from_metadata(file.metadata)
    experts, rest, cache = sizes(file, config, n_ctx=64)
    wanted = memory.needs(file.tensors, config, 64, "f16")
    assert (wanted.experts, wanted.dense, wanted.cache) == (experts, rest, cache)
    assert wanted.one_expert * SHAPE.n_experts * SHAPE.n_layers == experts
    assert wanted.weights == experts + rest


def test_a_table_of_a_header_is_counted_as_its_file(file):
    config = ModelConfig.from_metadata(file.metadata)
    table = {tensor.name: tensor for tensor in file.headers[0].tensors}
    wanted = memory.needs(file.tensors, config, 64, "f16")
    assert memory.needs(table, config, 64, "f16") == wanted


def test_a_model_without_experts_has_none_to_stream(tmp_path):
    with GGUFFile.open(write_model(tmp_path / "m.gguf")) as file:
        config = ModelConfig.from_metadata(file.metadata)
        wanted = memory.needs(file.tensors, config, 64, "f16")
    assert (wanted.experts, wanted.one_expert) == (0, 0)
    assert memory.room_for_experts(wanted, wanted.weights // 2) is None


def test_experts_in_files_of_their_own_count_as_many(tmp_path):
    tensors = tensors_of(SHAPE)
    wanted = []
    for each in (tensors, split_experts(tensors)):
        with GGUFFile.open(write_model(tmp_path / "m.gguf", SHAPE, tensors=each)) as file:
            config = ModelConfig.from_metadata(file.metadata)
            wanted.append(memory.needs(file.tensors, config, 64, "f16"))
    assert wanted[0] == wanted[1]


def test_a_window_and_a_batch_bound_the_cache(file):
    config = ModelConfig.from_metadata(file.metadata).with_window(32)
    one_slot = memory.needs(file.tensors, config, 1, "f16").cache
    whole = memory.needs(file.tensors, config, 1000, "f16", chunk=16)
    assert whole.cache == (32 + 16 - 1) * one_slot
    assert memory.needs(file.tensors, config, 20, "f16", chunk=16).cache == 20 * one_slot


def test_room_is_left_for_some_experts_or_for_none():
    one = 1_000_000
    wanted = memory.Needs(dense=10 * one, experts=64 * one, one_expert=one, cache=5 * one)

    def room(left):
        free = next(f for f in range(left, 2 * left) if memory.usable(f) >= left)
        return memory.room_for_experts(wanted, free)

    assert room(79 * one) is None  # all fits
    assert room(79 * one - 1) == 64 * one - 1
    assert room((15 + memory.LEAST_EXPERTS) * one) == memory.LEAST_EXPERTS * one
    assert room((15 + memory.LEAST_EXPERTS) * one - 1) is None
    assert memory.room_for_experts(wanted, 0) is None


def test_this_machine_has_some_memory_left():
    free = memory.free_bytes()
    assert free is None or 0 < free < 1 << 50


def test_this_machine_has_more_memory_than_is_left():
    free, total = memory.free_bytes(), memory.total_bytes()
    assert free is None or total is None or 0 < free <= total
