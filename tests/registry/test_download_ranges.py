import email.utils
import time

import pytest
import urllib3
from support.fake_hub import FakeHub
from support.fetching import FILE, QUICK, STALLS_SOON
from support.hub_faults import Cut, IgnoreRange, Stall, Status
from support.proxy import proxy
from support.stored import REPO

from localmix.registry.download.patience import Patience, Trouble
from localmix.registry.download.ranges import (
    Link,
    RangeClient,
    Refused,
    origin,
    proxy_for,
    retry_after_s,
)

DATA = bytes(range(251)) * 40
SECRET = "hf_secret"


@pytest.fixture
def client():
    client = RangeClient(QUICK, 2)
    yield client
    client.close()


@pytest.fixture
def repo(fake_hub):
    return fake_hub.add(REPO, {FILE: DATA})


@pytest.fixture
def link(fake_hub, repo):
    return Link(fake_hub.link(REPO, repo, FILE, DATA))


def read(client, link, first=100, last=8_000):
    with client.open(link, first, last) as answer:
        pieces = []
        while piece := answer.read():
            pieces.append(piece)
        return answer, b"".join(pieces)


def test_a_range_is_what_was_asked_for(client, link):
    answer, body = read(client, link)
    assert (answer.first, answer.total, answer.is_range) == (100, len(DATA), True)
    assert body == DATA[100:8_001]


def test_a_server_that_ignores_the_range_begins_at_the_first_byte(client, link, repo):
    repo.faults.append(IgnoreRange())
    answer, body = read(client, link)
    assert (answer.first, answer.total, answer.is_range) == (0, len(DATA), False)
    assert body == DATA


def test_a_cut_connection_is_trouble_and_so_is_one_that_says_nothing(link, repo):
    repo.faults += [Cut(after=1_000), Stall(after=-1), Stall(after=1_000)]
    client = RangeClient(STALLS_SOON, 1)
    for says in ("was cut", "cannot be reached", "has sent nothing for"):
        with pytest.raises(Trouble, match=says) as caught:
            read(client, link)
        assert "what has arrived is kept" in caught.value.hint
    assert read(client, link)[1] == DATA[100:8_001]
    client.close()


def test_connecting_and_waiting_for_bytes_have_a_time_each(link, monkeypatch):
    class Asked(Exception):
        pass

    def request(manager, method, url, timeout, **more):
        raise Asked(timeout.connect_timeout, timeout.read_timeout)

    monkeypatch.setattr(urllib3.PoolManager, "request", request)
    with pytest.raises(Asked) as caught:
        RangeClient(Patience(connect_s=2.0, stall_s=7.0), 1).open(link, 0, 9)
    assert caught.value.args == (2.0, 7.0)


def test_a_refusal_says_who_refuses_and_how_long_it_wants_to_be_left_alone(client, link, repo):
    repo.faults.append(Status(429, retry_after=7, body=b"slow down"))
    with pytest.raises(Refused, match=r"localhost:\d+ answers HTTP 429") as caught:
        client.open(link, 0, 9)
    assert (caught.value.status, caught.value.retry_after_s) == (429, 7.0)


def test_a_long_error_page_is_not_read(fake_hub, client, link, repo):
    repo.faults.append(Status(503, body=bytes(50_000_000)))
    with pytest.raises(Refused):
        client.open(link, 0, 9)
    assert fake_hub.sent_bytes < 20_000_000


def test_a_token_is_sent_to_its_host_and_not_where_that_one_sends_us(fake_hub, client):
    fake_hub.add(REPO, {FILE: DATA}, token=SECRET)
    url = f"{fake_hub.url}/{REPO}/resolve/main/{FILE}"
    _, body = read(client, Link(url, {"Authorization": f"Bearer {SECRET}"}))
    assert body == DATA[100:8_001]
    tokens = [(request.host.partition(":")[0], request.token) for request in fake_hub.requests]
    assert tokens == [("127.0.0.1", SECRET), ("localhost", None)]


def test_a_link_does_not_show_its_token():
    assert SECRET not in repr(Link("https://example.org", {"Authorization": SECRET}))


def test_redirects_in_a_circle_come_to_an_end(fake_hub, client):
    fake_hub.add(REPO, {}, renamed_to=REPO)
    with pytest.raises(Refused, match="307"):
        client.open(Link(f"{fake_hub.url}/{REPO}/resolve/main/{FILE}"), 0, 9)


def test_a_host_belongs_to_its_scheme_and_port():
    assert origin("https://A.example/x") == origin("https://a.example/y?z")
    for other in ("http://a.example", "https://a.example:8443", "https://b.a.example"):
        assert origin("https://a.example/x") != origin(other)


# Proxies


@pytest.fixture
def no_proxies(fake_hub, monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_requests_go_through_the_proxy(no_proxies, link, client, monkeypatch, variable):
    with proxy() as through:
        monkeypatch.setenv(variable, through.url)
        assert read(client, link)[1] == DATA[100:8_001]
        assert through.passed == [("GET", link.url, None)]
        client.close()


def test_a_proxy_is_told_the_name_and_the_password_in_its_address(
    no_proxies, fake_hub, link, client, monkeypatch
):
    with proxy() as through:
        monkeypatch.setenv("HTTP_PROXY", f"http://me:a%40b@127.0.0.1:{through.port}")
        assert read(client, link)[1] == DATA[100:8_001]
        assert [who for _, _, who in through.passed] == ["Basic bWU6YUBi"]
        client.close()
    assert fake_hub.requests[-1].token is None


def test_a_host_in_no_proxy_is_asked_directly(no_proxies, link, client, monkeypatch):
    with proxy() as through:
        monkeypatch.setenv("HTTP_PROXY", through.url)
        monkeypatch.setenv("NO_PROXY", "example.org,localhost")
        assert read(client, link)[1] == DATA[100:8_001]
        assert through.passed == []


def test_each_scheme_has_its_proxy_and_one_without_a_scheme_is_http(no_proxies, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
    assert proxy_for("https://huggingface.co/x") == "http://proxy.example:3128"
    assert proxy_for("http://huggingface.co/x") is None


def test_a_proxy_of_an_unknown_kind_or_that_is_away_is_trouble(
    no_proxies, link, client, monkeypatch
):
    for address in ("gopher://127.0.0.1:1", "http://127.0.0.1:1"):
        monkeypatch.setenv("HTTP_PROXY", address)
        with pytest.raises(Trouble, match="cannot be reached"):
            client.open(link, 0, 9)


# Certificates


@pytest.fixture
def tls_hub(certificate):
    with FakeHub().serve(tls=certificate.context) as hub:
        hub.add(REPO, {FILE: DATA})
        yield hub


def test_a_host_with_a_certificate_of_ssl_cert_file_is_trusted(
    no_proxies, tls_hub, client, certificate, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
    assert read(client, Link(f"{tls_hub.url}/{REPO}/resolve/main/{FILE}"))[1] == DATA[100:8_001]


def test_a_host_with_an_unknown_certificate_is_not_trusted(no_proxies, tls_hub, client):
    with pytest.raises(Trouble, match="certificate verify failed") as caught:
        client.open(Link(f"{tls_hub.url}/{REPO}/resolve/main/{FILE}"), 0, 9)
    assert "SSL_CERT_FILE" in caught.value.hint
    assert tls_hub.requests == []


# Retry-After


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        (" 30 ", 30.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Mon, 01 Jan 99999999999 00:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text, seconds):
    assert retry_after_s(text) == seconds


def test_a_date_in_retry_after_counts_from_now():
    then = email.utils.formatdate(time.time() + 100, usegmt=True)
    assert 0 < retry_after_s(then) <= 100
