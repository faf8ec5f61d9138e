"""The experts drive in the simulator as they promise; a few short episodes, the table has the long ones."""

from pathlib import Path

import numpy as np
import pytest

from mode_imitation.commands.experts import mean_and_error
from mode_imitation.errors import UserError
from mode_imitation.reports.expert_table import measure_experts

ENV = {"Point": "SafetyPointGoal1-v0", "Car": "SafetyCarGoal1-v0"}


@pytest.mark.parametrize("robot", ["Point", "Car"])
def test_experts_reach_goals_drive_straight_and_avoid_hazards(robot: str) -> None:
    specs = ["goal_seeking", "agile_goal_seeking", "hazard_avoiding", "careful", "forward_moving"]
    rows = measure_experts(ENV[robot], specs, n_layouts=6, n_steps=300)
    assert list(rows) == specs
    # Over 1000 steps goal_seeking reaches about 12 goals, the agile ones more.
    assert rows["goal_seeking"]["goals"].mean() > 2.3
    assert rows["agile_goal_seeking"]["goals"].mean() > 2.5
    for name in ("hazard_avoiding", "careful"):
        assert rows[name]["goals"].mean() > 2
        assert rows[name]["cost"].mean() < 3
    assert rows["forward_moving"]["straightness"].mean() > 0.97
    assert rows["goal_seeking"]["return"].mean() > 3


def test_the_table_is_the_same_again_and_refuses_no_layouts() -> None:
    first, second = (measure_experts(ENV["Point"], ["goal_seeking"], n_layouts=2, n_steps=40) for _ in range(2))
    for name, values in first["goal_seeking"].items():
        np.testing.assert_array_equal(values, second["goal_seeking"][name])
    assert mean_and_error(np.array([2.0, 4.0]), 1) == "3.0 ± 1.0"
    assert mean_and_error(np.array([2.0]), 1) == "2.0 ± 0.0"
    with pytest.raises(UserError, match="0 layouts"):
        measure_experts(ENV["Point"], ["goal_seeking"], n_layouts=0)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"seed": -1}, "--seed is -1; expected 0 or more"),
        ({"action_noise": -1.0}, "--action-noise is -1.0"),
        ({"action_noise": float("nan")}, "--action-noise is nan"),
    ],
)
def test_what_no_expert_can_drive_with_is_refused_before_one_drives(options: dict, complaint: str) -> None:
    driven = Counted()
    with pytest.raises(UserError, match=complaint):
        measure_experts(ENV["Point"], ["goal_seeking"], n_layouts=1, n_steps=20, progress=driven, **options)
    assert driven.steps == 0


def test_two_experts_of_one_name_are_refused_before_one_drives(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text("class Mine:\n    def act(self, seen): return seen[:, :2] * 0\n")
    driven = Counted()
    specs = [f"{tmp_path}/one.py:Mine", "goal_seeking", f"{tmp_path}/two.py:Mine"]
    with pytest.raises(UserError, match=r"one\.py:Mine and .*two\.py:Mine would have the same name, Mine"):
        measure_experts(ENV["Point"], specs, n_layouts=1, n_steps=20, progress=driven)
    assert driven.steps == 0


def test_a_mistake_in_the_last_expert_shows_before_the_first_one_drives() -> None:
    driven = Counted()
    with pytest.raises(UserError, match="no expert 'goal_seekng'"):
        measure_experts(ENV["Point"], ["goal_seeking", "goal_seekng"], n_layouts=1, n_steps=20, progress=driven)
    assert driven.steps == 0


class Counted:
    """Progress that counts."""

    steps = 0

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.steps += steps
