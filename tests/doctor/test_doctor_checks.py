"""A look never fails, never waits for ever, and names nothing that is a person's own."""

import threading
import time

import pytest
from support.findings import seen

from localmix.doctor.checks import Finding, in_time, looked, many, reason
from localmix.errors import LocalmixError


def good(name):
    return lambda: [Finding(name, "good", "fine")]


def failing(error, *before):
    def look():
        yield from before
        raise error

    return look


def test_what_fails_is_a_finding_and_the_others_are_still_seen():
    first = Finding("part", "good", "fine")
    found = looked(
        [
            ("one", good("one")),
            ("two", failing(PermissionError(13, "Permission denied", "/home/zoe/x"), first)),
            ("three", failing(LocalmixError("/home/zoe/x is odd", "mend it"))),
            ("four", good("four")),
        ]
    )
    assert seen(found) == {
        "one": ("good", "fine"),
        "part": ("good", "fine"),
        "two": ("warn", "could not be checked: PermissionError (EACCES)"),
        "three": ("bad", "cannot be used as it is"),
        "four": ("good", "fine"),
    }
    by_name = {finding.name: finding for finding in found}
    assert by_name["two"].details == ("[Errno 13] Permission denied: '/home/zoe/x'",)
    assert by_name["three"].details == ("/home/zoe/x is odd", "try: mend it")
    assert not any("zoe" in finding.text + finding.hint for finding in found)


@pytest.mark.parametrize("leave", [KeyboardInterrupt, SystemExit])
def test_whoever_wants_to_leave_may(leave):
    with pytest.raises(leave):
        looked([("one", failing(leave()))])


def test_an_error_without_words_has_no_details():
    (found,) = looked([("one", failing(ValueError()))])
    assert (found.text, found.details) == ("could not be checked: ValueError", ())
    (found,) = looked([("one", failing(LocalmixError("odd")))])
    assert found.details == ("odd",)


def test_what_takes_too_long_is_left_behind():
    done = threading.Event()
    start_s = time.monotonic()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"):
        in_time(done.wait, 0.05)
    assert time.monotonic() - start_s < 5
    done.set()


def test_what_is_in_time_gives_its_value_or_its_error():
    assert in_time(lambda: 7, 10) == 7
    with pytest.raises(ZeroDivisionError):
        in_time(lambda: 1 // 0, 10)


def test_a_reason_names_no_path():
    assert reason(FileNotFoundError(2, "No such file", "/home/zoe")) == "FileNotFoundError (ENOENT)"
    assert reason(ValueError("/home/zoe")) == "ValueError"


def test_numbers_of_things():
    assert [many(0, "file"), many(1, "file"), many(2, "file")] == ["0 files", "1 file", "2 files"]
