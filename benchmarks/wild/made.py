"""Mixtures of scripted experts, made by `generate`, that are harder than the mode benchmark's: unequal shares, few or
short episodes, close relatives, other robots and worlds."""

from dataclasses import dataclass
from pathlib import Path

from mode_imitation.data.dataset import TrajectoryDataset, load_dataset

HERE = "benchmarks.wild.experts"
CONTROLLERS = Path(__file__).parents[2] / "docs" / "examples" / "controllers.py"
TWO = ("goal_seeking", "forward_moving")
FOUR = (*TWO, "circling", "backward_moving")
SEVEN = (*FOUR, "hazard_avoiding", "slow_goal_seeking", "agile_goal_seeking")
ROUTES = tuple(f"route_{number}" for number in range(24))
STYLES = tuple(
    f"circle_{side}_{size}_{pace}"
    for side in ("left", "right")
    for size in ("small", "large")
    for pace in ("slow", "fast")
)
POINT = "SafetyPointGoal1-v0"


@dataclass(frozen=True)
class MadeSet:
    """What `generate` is asked for."""

    env: str
    experts: tuple[str, ...]
    """EXPERT=EPISODES"""
    steps: int | None = None


def each(experts: tuple[str, ...], episodes: int) -> tuple[str, ...]:
    """So many episodes of each."""
    return tuple(f"{expert}={episodes}" for expert in experts)


def controllers(*names: str) -> tuple[str, ...]:
    """Of the documentation's example."""
    return tuple(f"{CONTROLLERS}:{name}" for name in names)


SETS = {
    "pointgoal-100-10": MadeSet(POINT, ("goal_seeking=100", "forward_moving=10")),
    "pointgoal-100-4": MadeSet(POINT, ("goal_seeking=100", "forward_moving=4")),
    "pointgoal-10-10": MadeSet(POINT, each(TWO, 10)),
    "pointgoal-short": MadeSet(POINT, each(TWO, 60), steps=200),
    "pointgoal-cautious": MadeSet(POINT, each(("goal_seeking", f"{HERE}:CautiousGoalSeeking"), 40)),
    "pointgoal-seven": MadeSet(POINT, each(SEVEN, 20)),
    "pointgoal2-two": MadeSet("SafetyPointGoal2-v0", each(TWO, 40)),
    "pointbutton-two": MadeSet("SafetyPointButton1-v0", each(TWO, 40)),
    "cargoal-two": MadeSet("SafetyCarGoal1-v0", each(TWO, 40)),
    "cargoal-four": MadeSet("SafetyCarGoal1-v0", each(FOUR, 40)),
    "cartpole": MadeSet("CartPole-v1", each(controllers("HoldLeft", "HoldMiddle", "HoldRight"), 20)),
    "pendulum": MadeSet("Pendulum-v1", each(controllers("SwingUp", "Hang", "SpinLeft", "SpinRight"), 20)),
    "mountaincar": MadeSet("MountainCar-v0", each((f"{HERE}:Climb", f"{HERE}:Settle", f"{HERE}:Idle"), 20)),
    "avoiding": MadeSet("mode_imitation/Avoiding-v0", each(ROUTES, 10)),
    "circle2d": MadeSet("mode_imitation/Circle2D-v0", each(STYLES, 10)),
    "takeball": MadeSet("mode_imitation/Takeball-v0", each(("ball_0", "ball_1", "ball_2", "ball_3"), 50)),
    "diagonal": MadeSet(
        "mode_imitation/Diagonal-v0", each(("right_first", "down_first", "along_diagonal", "zigzag"), 50)
    ),
}


def folder(name: str, root: Path) -> Path:
    """Where a set lies, or will."""
    return root / "wild" / f"{name}-v0"


def make(name: str, root: Path) -> TrajectoryDataset:
    """The set's episodes, made where they are missing; the same seed for all, as seeds are the methods'.

    Raises:
        UserError: they cannot be made or read.
    """
    out = f"wild/{name}-v0"
    if not folder(name, root).exists():
        from mode_imitation.worlds.config import GenerateConfig
        from mode_imitation.worlds.generate import generate

        one = SETS[name]
        generate(GenerateConfig(out=out, env=one.env, expert=one.experts, steps=one.steps, root=root, workers=1))
    return load_dataset(out, root)
