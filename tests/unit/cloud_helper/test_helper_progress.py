"""A helper's own work and a service's silence are counted apart, and each is told by its own name."""

from credagent.cloud_helper.helper_progress import HelperProgress

BEGUN = HelperProgress(since=100.0, own_work_s=60.0, deadline_s=10.0)


def test_a_slow_start_uses_nothing_of_the_services_time() -> None:
    asking = BEGUN.after(b"\n", 150.0).after(b"asking\n", 155.0)
    assert asking.overdue(164.9) is None
    late = asking.overdue(165.0)
    assert late is not None
    assert (late.code, late.why, late.retry) == ("timed-out", "no answer within 10 s", True)


def test_a_helper_that_never_gets_to_ask_blames_the_processor_and_not_the_network() -> None:
    late = BEGUN.after(b"\n", 101.0).overdue(160.0)
    assert late is not None
    assert (late.code, late.retry) == ("helper-slow", True)
    assert "processor" in late.hint
    assert "network" not in late.hint


def test_imports_between_two_requests_are_its_own_work() -> None:
    progress = BEGUN.after(b"\nasking\n", 102.0).after(b"preparing\n", 105.0)
    assert progress.overdue(162.9) is None  # 2 s before, 58 s now
    again = progress.after(b"asking\n", 140.0)
    assert again.overdue(146.9) is None  # 3 s before, 7 s now
    assert again.overdue(147.0) is not None


def test_marks_may_be_cut_anywhere_and_the_reply_is_what_follows() -> None:
    progress = BEGUN
    for byte in b'\nasking\npreparing\nasking\n{"why":"\\nasking\\n"}':
        progress = progress.after(bytes([byte]), 101.0)
    assert progress.is_asking
    assert progress.output == b'{"why":"\\nasking\\n"}'


def test_what_is_no_mark_is_left_for_the_decoder() -> None:
    assert BEGUN.after(b"y\ny\n", 101.0).output == b"y\ny\n"
    assert not BEGUN.after(b"asking", 101.0).is_asking
