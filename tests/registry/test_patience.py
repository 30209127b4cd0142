import pytest

from localmix.errors import DownloadFailed
from localmix.registry.download.patience import Patience, Trouble

PATIENCE = Patience(tries=6, first_s=0.5, longest_s=3.0, longest_asked_s=60.0)


def trouble(asked_s=None):
    return Trouble("busy", "later", asked_s)


def test_each_wait_is_twice_the_one_before_up_to_the_longest():
    assert [PATIENCE.wait_s(n, trouble()) for n in (1, 2, 3, 4, 5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_a_server_may_ask_for_more_but_not_for_less():
    assert PATIENCE.wait_s(1, trouble(asked_s=40.0)) == 40.0
    assert PATIENCE.wait_s(3, trouble(asked_s=0.0)) == 2.0


def test_a_server_that_asks_for_too_much_is_given_up_at_once():
    with pytest.raises(Trouble, match="busy"):
        PATIENCE.wait_s(1, trouble(asked_s=61.0))


def test_the_last_trouble_is_raised_when_all_tries_are_used_up():
    last = trouble()
    with pytest.raises(Trouble) as caught:
        PATIENCE.wait_s(6, last)
    assert caught.value is last


def test_a_question_is_asked_until_it_is_answered():
    answers, slept = [trouble(), trouble(asked_s=7.0), "yes"], []

    def ask():
        answer = answers.pop(0)
        if isinstance(answer, Trouble):
            raise answer
        return answer

    assert PATIENCE.insist(ask, slept.append) == "yes"
    assert slept == [0.5, 7.0]


def test_a_question_that_is_never_answered_is_asked_as_often_as_said():
    slept = []

    def ask():
        raise trouble()

    with pytest.raises(Trouble):
        PATIENCE.insist(ask, slept.append)
    assert len(slept) == 5


def test_what_will_not_be_over_in_a_moment_is_not_tried_again():
    def ask():
        raise DownloadFailed("gated", "a token")

    with pytest.raises(DownloadFailed, match="gated"):
        PATIENCE.insist(ask, pytest.fail)
