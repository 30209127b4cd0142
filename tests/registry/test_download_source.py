import threading

import pytest
from support.fake_hub import Pattern
from support.fetching import FILE, Fetching
from support.hub_faults import (
    FOREVER,
    IgnoreRange,
    OtherRange,
    Portal,
    Status,
    WrongLength,
)

from localmix.errors import DownloadFailed, ModelNotFound
from localmix.registry.download.patience import Trouble
from localmix.registry.download.ranges import Refused

DATA = Pattern(1 << 20)


@pytest.fixture
def fetching(fake_hub, tmp_path):
    return Fetching(fake_hub, tmp_path, DATA)


@pytest.fixture
def source(fetching):
    source = fetching.source()
    yield source
    source.close()


def read(source, first, last):
    with source.open(first, last) as answer:
        pieces = []
        while piece := answer.read():
            pieces.append(piece)
        return b"".join(pieces)


def test_all_requests_share_a_link(source, fetching):
    assert read(source, 0, 9) + read(source, 10, 19) == DATA[:20]
    assert fetching.n_links == 1


def test_an_expired_link_is_renewed(source, fetching, fake_hub):
    read(source, 0, 9)
    fake_hub.expire_links()
    assert read(source, 10, 19) == DATA[10:20]
    assert read(source, 20, 29) == DATA[20:30]
    assert fetching.n_links == 2


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_what_a_new_link_does_not_cure_is_refused(source, fetching, status):
    fetching.repo.faults.append(Status(status, times=FOREVER))
    with pytest.raises(DownloadFailed, match=f"HTTP {status} to the download of {FILE}") as caught:
        source.open(0, 9)
    assert not isinstance(caught.value, Trouble)
    assert "HF_TOKEN" in caught.value.hint
    assert fetching.n_links == 3


def test_links_for_one_use_serve_many_connections(fake_hub, tmp_path):
    fetching = Fetching(fake_hub, tmp_path, DATA, link_uses=1)
    source, answers = fetching.source(n_connections=4), {}

    def work(i_thread):
        for first in range(i_thread * 1000, 40_000, 4_000):
            answers[first] = read(source, first, first + 999)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    source.close()
    assert b"".join(answers[first] for first in sorted(answers)) == DATA[:40_000]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_busy_host_is_trouble_that_may_pass(source, fetching, status):
    fetching.repo.faults.append(Status(status, retry_after=3))
    with pytest.raises(Refused) as caught:
        source.open(0, 9)
    assert (caught.value.status, caught.value.retry_after_s) == (status, 3.0)
    assert fetching.n_links == 1


def test_a_refusal_of_another_kind_is_not_tried_again(source, fetching):
    fetching.repo.faults.append(Status(416))
    with pytest.raises(DownloadFailed, match="HTTP 416") as caught:
        source.open(0, 9)
    assert not isinstance(caught.value, Trouble)
    assert fetching.n_links == 1


@pytest.mark.parametrize(
    "fault", [OtherRange(by=4096), WrongLength(total_by=1), Portal(), Status(206)]
)
def test_an_answer_to_another_question_is_not_taken(source, fetching, fault):
    fetching.repo.faults.append(fault)
    with pytest.raises(Trouble, match="another length or place"):
        source.open(100, 199)
    assert read(source, 100, 199) == DATA[100:200]


def test_a_whole_file_in_place_of_a_range_is_taken(source, fetching):
    fetching.repo.faults.append(IgnoreRange())
    with source.open(100, 199) as answer:
        assert (answer.is_range, answer.first) == (False, 0)


def test_what_the_hub_says_to_the_question_for_a_link_is_passed_on(fetching, monkeypatch):
    def gone():
        raise ModelNotFound("it is gone", "another one")

    monkeypatch.setattr(fetching, "new_link", gone)
    with pytest.raises(ModelNotFound):
        fetching.source().open(0, 9)
