"""Pauses between tries."""

from temwatch.pauses import growing_pause_s


def test_a_pause_doubles_up_to_the_longest_however_often_something_fails():
    """After a thousand doublings it would be too large for a float."""
    assert [60, 120, 240, 480, 600, 600] == [growing_pause_s(60, 600, failures) for failures in range(1, 7)]
    assert 3600 == growing_pause_s(60, 3600, 10**9)
