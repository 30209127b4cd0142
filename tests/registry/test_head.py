import pytest
from support import tiny_gguf
from support.hub_faults import FOREVER, IgnoreRange, Stall, Status
from support.models import Shape, write_model
from support.stored import REPO

from localmix.errors import DownloadFailed, UnsupportedQuant
from localmix.registry.disk.inventory import Inventory
from localmix.registry.download.patience import Patience
from localmix.registry.head import STEPS_BYTES, read_heads
from localmix.registry.plan import plan_pull
from localmix.registry.pull import pull

FILE = "Model-Q4_K_M.gguf"
NAME = f"hf.co/{REPO}:Q4_K_M"
QUICK = Patience(tries=3, first_s=0.001)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model of a few MB, most of which are weights."""
    shape = Shape(hidden_dim=4096, n_layers=3)
    return write_model(tmp_path_factory.mktemp("model") / "m.gguf", shape).read_bytes()


@pytest.fixture
def planned(fake_hub, hub, store):
    """Plan a pull of files of the fake Hub."""

    def plan(files, name=NAME, **repo):
        fake_hub.add(REPO, files, **repo)
        return plan_pull(name, Inventory(store.home), hub)

    return plan


def long_header(n_bytes):
    """Make a file whose header is that long."""
    weights = tiny_gguf.TensorBytes("output_norm.weight", (8,), tiny_gguf.F32, bytes(32))
    return tiny_gguf.build([tiny_gguf.string_key("a.text", "x" * n_bytes)], [weights])


def test_the_header_is_read_without_the_weights(planned, fake_hub, hub, store, model):
    heads = read_heads(planned({FILE: model}).manifest, store, hub)
    [header] = heads.headers
    assert "blk.2.ffn_up.weight" in {tensor.name for tensor in header.tensors}
    assert len(model) > 2 * STEPS_BYTES[0]
    assert fake_hub.sent_bytes == STEPS_BYTES[0]
    assert heads.read == {FILE: model[: STEPS_BYTES[0]]}
    assert not store.home.exists()


def test_what_was_read_for_the_header_is_not_downloaded_twice(planned, fake_hub, hub, store, model):
    plan = planned({FILE: model})
    heads = read_heads(plan.manifest, store, hub)
    pulled = pull(plan, store, hub, begins=heads.read, patience=QUICK)
    assert pulled.path.read_bytes() == model
    assert fake_hub.sent_bytes == len(model)


def test_the_headers_of_all_shards_are_read(planned, hub, store):
    files = {f"Model-Q8_0-0000{i}-of-00002.gguf": long_header(100 * i) for i in (1, 2)}
    heads = read_heads(planned(files, f"hf.co/{REPO}:Q8_0").manifest, store, hub)
    assert [header.tensors[0].name for header in heads.headers] == ["output_norm.weight"] * 2
    assert heads.read == files


@pytest.mark.parametrize(("n_bytes", "i_step"), [(2_000_000, 1), (8_000_000, 2)])
def test_a_long_header_is_read_further(planned, fake_hub, hub, store, n_bytes, i_step):
    content = long_header(n_bytes) + bytes(8_000_000)
    heads = read_heads(planned({FILE: content}).manifest, store, hub)
    assert len(heads.headers) == 1
    assert fake_hub.sent_bytes == STEPS_BYTES[i_step]


def test_a_server_without_ranges_is_asked_for_more_than_the_beginning(planned, hub, store):
    content = long_header(2_000_000)
    plan = planned({FILE: content}, faults=[IgnoreRange(times=FOREVER)])
    heads = read_heads(plan.manifest, store, hub)
    assert len(heads.headers) == 1
    assert heads.read == {FILE: content}


def test_a_header_without_an_end_is_given_up(planned, fake_hub, hub, store):
    heads = read_heads(planned({FILE: long_header(13 << 20)}).manifest, store, hub)
    assert heads.headers == ()
    assert fake_hub.sent_bytes == STEPS_BYTES[-1]


def test_a_file_that_is_no_model_is_given_up_after_its_beginning(planned, fake_hub, hub, store):
    heads = read_heads(planned({FILE: b"<!doctype html>" * 300_000}).manifest, store, hub)
    assert heads.headers == ()
    assert fake_hub.sent_bytes == STEPS_BYTES[0]


@pytest.mark.parametrize("content", [b"", b"G", b"GGUF", b"GGUF" + bytes(100)])
def test_a_file_that_is_too_short_for_a_header_has_none(planned, hub, store, content):
    assert read_heads(planned({FILE: content}).manifest, store, hub).headers == ()


def test_a_format_that_nobody_can_read_is_told(planned, hub, store):
    odd = tiny_gguf.TensorBytes("output.weight", (32,), 9_999, bytes(64))
    with pytest.raises(UnsupportedQuant):
        read_heads(planned({FILE: tiny_gguf.build([], [odd])}).manifest, store, hub)


def test_a_header_that_has_arrived_is_read_from_the_disk(planned, fake_hub, hub, store, model):
    plan = planned({FILE: model}, faults=[Stall(after=STEPS_BYTES[0] + 5)])

    def interrupt(progress):
        if progress.done_bytes >= STEPS_BYTES[0]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(plan, store, hub, interrupt, patience=QUICK)
    fake_hub.requests.clear()
    heads = read_heads(plan.manifest, store, hub)
    assert len(heads.headers) == 1
    assert (heads.read, fake_hub.requests) == ({}, [])


def test_a_server_without_ranges_gives_its_beginning_too(planned, hub, store, model):
    plan = planned({FILE: model}, faults=[IgnoreRange(times=FOREVER)])
    heads = read_heads(plan.manifest, store, hub)
    assert len(heads.headers) == 1
    assert heads.read == {FILE: model[: STEPS_BYTES[0]]}


@pytest.mark.parametrize("where", ["storage", "resolve"])
def test_a_busy_server_gives_no_headers_and_is_no_failure(planned, hub, store, model, where):
    plan = planned({FILE: model}, faults=[Status(503, where=where, times=FOREVER)])
    assert read_heads(plan.manifest, store, hub).headers == ()


def test_a_gated_file_is_a_failure_that_says_so(planned, hub, store, model):
    plan = planned({FILE: model}, token="hf_secret", open_listing=True)
    with pytest.raises(DownloadFailed, match="gated"):
        read_heads(plan.manifest, store, hub)
