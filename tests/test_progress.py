"""Progress in a log: how far, how long still."""

import pytest

from mode_imitation import progress as module


def test_the_time_left_does_not_count_what_came_before_the_first_unit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    with module.progress("training", 100, "steps") as shown:
        now = 60.0  # processes start
        shown.advance()
        for _ in range(9):
            now += 1
            shown.advance()
        now = 200.0
        shown.advance(90)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "training: 1/100 steps, just begun",
        "training: 6/100 steps, 0.092 steps/s, 1:34 left",
        "training: 100/100 steps, 0.5 steps/s, took 3:20",
    ]
