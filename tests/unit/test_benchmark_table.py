"""What `make bench` prints, of values that were measured elsewhere."""

import pytest

from tests.benchmarks.figures import Aim, Figure, Unmeasured, show

ROWS = [
    Figure(name="Google, 256 connections, processor", unit="µs", values=(19.71, 20.92, 21.4)),
    Figure(name="restarted under 500, first answer", unit="ms", values=(1321.0, 1305.5), aim=Aim(1500)),
    Figure(name="forwarded, until 500 workers confirmed", unit="s", values=(8.24,), aim=Aim(5.0)),
    Figure(
        name="AWS, 256 connections, processor",
        unit="µs",
        values=(17.1, 18.2),
        beside="a program of the same kind",
        reference=(20.3, 20.5),
        aim=Aim(0.5, "ratio"),
    ),
]


def test_the_table_fits_a_hundred_columns_and_says_of_each_aim_whether_it_is_reached(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show({"endpoint": ROWS}, [Unmeasured("idle", "interrupted")], ["age"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith("endpoint ")
    assert lines[4].startswith("endpoint, beside a program of the same kind")
    assert [line.rpartition("≤")[2] for line in lines if "≤" in line] == ["1500 reached", "5 MISSED", "0.5x MISSED"]
    assert lines[-3:] == [
        "1 of 3 aims reached",
        "not on PATH, so that nothing stands beside them: age",
        "not measured: idle: interrupted",
    ]
