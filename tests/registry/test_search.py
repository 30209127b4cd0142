"""A search names what can be pulled, and its size; a repository that is no use stops nothing."""

import pytest
from support.fake_hub import Pattern

from localmix.errors import DownloadFailed
from localmix.registry.download.patience import Patience, Trouble
from localmix.registry.hub import Hub
from localmix.registry.names import parse_name
from localmix.registry.plan import choose_files
from localmix.registry.search import Found, search


def test_quantizations_come_from_small_to_large_by_repository(fake_hub, hub):
    fake_hub.add("a/Mix-GGUF", {"m-Q8_0.gguf": b"x" * 9, "m-Q2_K.gguf": b"x" * 2}, downloads=5)
    fake_hub.add("b/Mix-GGUF", {"m-Q4_0.gguf": b"x" * 4}, downloads=7)
    fake_hub.add("c/Other-GGUF", {"m-Q4_0.gguf": b"x" * 4}, downloads=9)
    told = []
    assert search("mix", hub, 10, told.append) == [
        Found("hf.co/b/Mix-GGUF:Q4_0", 4),
        Found("hf.co/a/Mix-GGUF:Q2_K", 2),
        Found("hf.co/a/Mix-GGUF:Q8_0", 9),
    ]
    assert told == ["b/Mix-GGUF", "a/Mix-GGUF"]


def test_no_more_repositories_are_asked_than_wanted(fake_hub, hub):
    for i in range(4):
        fake_hub.add(f"o/mix-{i}", {"m-Q4_0.gguf": b"x"}, downloads=i)
    assert [found.name for found in search("mix", hub, 2)] == [
        "hf.co/o/mix-3:Q4_0",
        "hf.co/o/mix-2:Q4_0",
    ]


def test_the_parts_of_a_model_are_counted_together(fake_hub, hub):
    parts = {f"m-Q8_0-0000{i}-of-00003.gguf": Pattern(i * 1000) for i in (1, 2, 3)}
    fake_hub.add("o/mix", parts)
    assert search("mix", hub, 1) == [Found("hf.co/o/mix:Q8_0", 6000)]


def test_what_is_no_whole_model_is_left_out(fake_hub, hub):
    names = ("mmproj-f16.gguf", "README.md", "m-Q8_0-00001-of-00002.gguf", "m.safetensors")
    fake_hub.add("o/mix", dict.fromkeys(names, b"x"))
    assert search("mix", hub, 1) == []


def test_every_name_means_the_model_that_it_stands_beside(fake_hub, hub):
    files = {"m-Q8_0.gguf": b"x", "new/m-Q8_0.gguf": b"xx", "plain.gguf": b"xxx"}
    fake_hub.add("o/mix", files)
    found = search("mix", hub, 1)
    assert [each.name for each in found] == [
        "hf.co/o/mix:Q8_0",
        "hf.co/o/mix/new/m-Q8_0.gguf",
        "hf.co/o/mix/plain.gguf",
    ]
    listing = hub.list_files("o/mix")
    for each in found:
        [path] = choose_files(listing, parse_name(each.name)).paths
        assert listing.files[path].size_bytes == each.size_bytes


def test_a_repository_that_may_not_be_read_is_passed_over(fake_hub, hub):
    fake_hub.add("a/mix", {"m-Q8_0.gguf": b"x"}, token="secret", downloads=3)
    fake_hub.add("b/mix", {"a/../m-Q8_0.gguf": b"x"}, downloads=2)
    fake_hub.add("c/mix", {"m-Q8_0.gguf": b"x"}, downloads=1)
    assert [found.name for found in search("mix", hub, 5)] == ["hf.co/c/mix:Q8_0"]


def test_words_that_match_nothing_find_nothing(fake_hub, hub):
    fake_hub.add("o/mix", {"m-Q8_0.gguf": b"x"})
    assert search("nothing like it", hub, 5) == []


def test_a_hub_that_cannot_be_asked_is_an_error(fake_hub):
    with pytest.raises(Trouble, match="cannot be reached"):
        search("mix", Hub("http://127.0.0.1:9", patience=Patience(tries=1)), 5)
    with pytest.raises(DownloadFailed, match="HF_HUB_OFFLINE"):
        search("mix", Hub(offline=True), 5)


def test_a_hub_that_fails_on_the_way_is_an_error(fake_hub):
    fake_hub.add("o/mix", {"m-Q8_0.gguf": b"x"}, status=503)
    with pytest.raises(Trouble, match="503"):
        search("mix", Hub(fake_hub.url, patience=Patience(tries=1)), 5)
