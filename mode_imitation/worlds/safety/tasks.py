"""Names of the navigation tasks and what they mean; imports no simulator."""

import difflib
from typing import Literal, NamedTuple

from mode_imitation.errors import UserError

Physics = Literal["exact", "sleeping", "fast"]
"""See `make_vec`."""
ROBOTS = ("Point", "Car", "Doggo", "Racecar", "Ant")
TASKS = (*(f"{family}{level}" for family in ("Goal", "Button", "Push", "Circle") for level in range(3)), "Run0")
EPISODE_STEPS = {"Goal": 1000, "Button": 1000, "Push": 1000, "Circle": 500, "Run": 500}
"""Steps after which the library truncates an episode."""

ENV_IDS = tuple(f"Safety{robot}{task}-v0" for robot in ROBOTS for task in TASKS)
BATCHED_ENV_IDS = tuple(f"Safety{robot}Goal{level}-v0" for robot in ("Point", "Car") for level in range(3))
"""Tasks that the batched path can step; the others step the library's own code."""


class TaskName(NamedTuple):
    """What an environment's id says."""

    robot: str
    max_episode_steps: int


NAMESPACE = "mode_imitation/"
"""Of these tasks among gymnasium's environments."""


def is_safety(env_id: str) -> bool:
    """Whether an environment is a task of safety-gymnasium."""
    return env_id.removeprefix(NAMESPACE) in ENV_IDS


def parse_env_id(env_id: str) -> TaskName:
    """Robot and length of a navigation task.

    Raises:
        UserError: there is no such task; the message names close matches.
    """
    if env_id not in ENV_IDS:
        close = difflib.get_close_matches(str(env_id), ENV_IDS, n=3) or ["SafetyPointGoal1-v0"]
        raise UserError(f"unknown environment {env_id!r}; expected a navigation task such as {', '.join(close)}")
    robot = next(robot for robot in ROBOTS if env_id.startswith(f"Safety{robot}"))
    return TaskName(robot, next(steps for family, steps in EPISODE_STEPS.items() if family in env_id))
