import pytest

from localmix import units


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (6_213_000, "6.21 MB"),
        (4_370_000_000, "4.37 GB"),
        (28_449_000_000, "28.4 GB"),
        (149_420_000_000, "149 GB"),
        (2_000_000_000_000, "2.00 TB"),
    ],
)
def test_sizes_are_decimal_with_three_digits(n_bytes, text):
    assert units.size(n_bytes) == text


def test_a_size_that_rounds_up_to_a_thousand_takes_the_next_unit():
    assert units.size(999_499_999) == "999 MB"
    assert units.size(999_500_000) == "1.00 GB"


def test_no_size_between_a_byte_and_a_petabyte_is_written_with_more_than_three_digits():
    for exponent in range(150):
        number, _ = units.size(10 ** (exponent / 10)).split()
        digits = number.replace(".", "").lstrip("0")
        assert len(digits) <= 3, number


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [
        (0.0, "0.0 ms"),
        (0.0005, "0.5 ms"),
        (0.0123, "12 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (1.234, "1.2 s"),
        (9.96, "10 s"),
        (42.4, "42 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.6, "1 h 00 min"),
        (7620, "2 h 07 min"),
    ],
)
def test_durations_take_the_unit_a_person_would_say(duration_s, text):
    assert units.seconds(duration_s) == text


@pytest.mark.parametrize(
    ("tok_s", "text"),
    [
        (0.834, "0.83 tok/s"),
        (9.996, "10.0 tok/s"),
        (18.2, "18.2 tok/s"),
        (99.96, "100 tok/s"),
        (1240.4, "1240 tok/s"),
    ],
)
def test_rates_keep_three_digits(tok_s, text):
    assert units.rate(tok_s) == text


@pytest.mark.parametrize(
    ("n", "text"),
    [(995, "995"), (32_768, "32.8 k"), (26_700_000, "26.7 M"), (7_241_732_096, "7.24 B")],
)
def test_counts_are_scaled(n, text):
    assert units.count(n) == text


def test_values_that_are_not_finite_do_not_raise():
    for value in (float("inf"), float("nan")):
        for write in (units.size, units.count, units.rate, units.seconds):
            assert isinstance(write(value), str)
