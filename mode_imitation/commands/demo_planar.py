"""`mode-imitation demo --world avoiding` and its like: discover, command each behaviour, draw all in one picture."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experts.planar import BALLS, ROUTES, RULES, STYLES
from mode_imitation.commands import demo
from mode_imitation.errors import UserError

if TYPE_CHECKING:
    from mode_imitation.data.episodes import Episode

ALLOWED = ("out", "world", "layouts", "seed", "overwrite")
"""Options of the demo that go with --world."""


@dataclass(frozen=True)
class Plan:
    """What one world's demo does."""

    env: str
    experts: Sequence[str]
    episodes: int
    """Of each expert."""
    codes: int
    shown_by: "Callable[[Episode], str]"
    """Which expert's behaviour an episode shows, by where it went."""
    kind: str
    """What one behaviour is called."""
    iterations: int = 1000
    settings: dict[str, Any] = field(default_factory=dict)
    """Of training, beside the number of codes."""
    drawn: int = 1
    """Paths of each behaviour in the picture."""
    apart: float = 0.0
    """Metres by which they are drawn aside."""


def shown_route(episode: "Episode") -> str:
    """By the gaps of Avoiding that it went through."""
    from mode_imitation.worlds.planar.avoiding import route_of

    assert episode.positions is not None
    return f"route_{route_of(episode.positions)}"


def shown_style(episode: "Episode") -> str:
    """By radius, direction and speed around Circle2D's centre: of the style that is nearest."""
    from mode_imitation.worlds.planar.circle2d import style_of

    assert episode.positions is not None
    center = episode.positions[0] + episode.observations[0, :2]
    radius, turning = style_of(episode.positions, center)

    def distance(style: str) -> float:
        cls = STYLES[style]
        wanted = cls.direction * cls.speed / cls.radius
        return abs(np.log(max(radius, 1e-3) / cls.radius)) + abs(turning - wanted) / abs(wanted)

    return min((style for style in STYLES if not STYLES[style].wavering), key=distance)


def shown_ball(episode: "Episode") -> str:
    """By the ball that it took."""
    from mode_imitation.worlds.planar.gridworlds import ball_of

    assert episode.positions is not None
    return f"ball_{ball_of(episode.positions)}"


def shown_rule(episode: "Episode") -> str:
    """By the rule of Diagonal that agrees with most of its choices."""
    from experts.protocol import ExpertSetting
    from experts.registry import make_expert

    setting = ExpertSetting("", {"cell": slice(0, 2), "balls": slice(2, 3)}, np.nan, 1, choices=(5,))

    def agreement(rule: str) -> float:
        return float((make_expert(rule, setting).act(episode.observations[:-1]) == episode.actions).mean())

    return max(RULES, key=agreement)


PLANS = {
    "avoiding": Plan(
        "mode_imitation/Avoiding-v0",
        list(ROUTES),
        episodes=5,
        codes=32,
        shown_by=shown_route,
        kind="route",
        # Routes differ in the states that are visited; eight actions at once keep a policy from drifting off its own.
        settings={"evidence": "behaviour", "chunk": 8},
        drawn=2,
    ),
    "circle2d": Plan(
        "mode_imitation/Circle2D-v0",
        [style for style in STYLES if not STYLES[style].wavering],
        episodes=10,
        codes=12,
        shown_by=shown_style,
        kind="style",
    ),
    "takeball": Plan(
        "mode_imitation/Takeball-v0",
        list(BALLS),
        episodes=100,
        codes=8,
        shown_by=shown_ball,
        kind="ball",
        drawn=3,
        apart=0.25,
    ),
    "diagonal": Plan(
        "mode_imitation/Diagonal-v0",
        list(RULES),
        episodes=100,
        codes=8,
        shown_by=shown_rule,
        kind="rule",
        drawn=3,
        apart=0.25,
    ),
}


def run(config: demo.DemoCommand) -> int:
    """Go through the stages; dataset and run of an earlier call are kept."""
    assert config.world is not None
    given = [item.name for item in fields(config) if getattr(config, item.name) != item.default]
    for name in given:
        if name not in ALLOWED:
            raise UserError(
                f"--{name.replace('_', '-')} does not go with --world {config.world}, which has its own; "
                f"expected {', '.join(f'--{allowed}' for allowed in ALLOWED)} only"
            )
    if config.layouts < 1:
        raise UserError(f"--layouts is {config.layouts}; expected at least 1")
    started, plan = time.monotonic(), PLANS[config.world]
    stages = replace(
        config,
        out=config.out / config.world,
        env=plan.env,
        expert=tuple(f"{name}={plan.episodes}" for name in plan.experts),
        codes=plan.codes,
        iterations=plan.iterations,
    )
    demo.generate(stages)
    demo.train(stages, {"start": "kmeans", "held_out": 0.0} | plan.settings)
    conclude(stages, plan, started)
    return 0


def conclude(config: demo.DemoCommand, plan: Plan, started: float) -> None:
    """Drive every mode, draw one picture, and print how many behaviours were found and carried out on command."""
    from sklearn.metrics import normalized_mutual_info_score

    from mode_imitation.api import FittedRun
    from mode_imitation.data.dataset import load_dataset
    from mode_imitation.training.run_folder import load_run

    data = load_dataset(config.dataset, config.out / "data")
    assignment = FittedRun(load_run(config.out / "run"), kept=True).assignment
    labels = np.array(data.labels)
    found = modes_of(plan.experts, labels, assignment)
    nmi = float(normalized_mutual_info_score(labels, assignment))
    n_modes = len(np.unique(assignment))
    kinds = f"{plan.kind}s"
    print(f"3/4 drive: {len(found)} {kinds} on command, each from {config.layouts} starts that training never saw")
    drives = drive(config, found)
    picture = draw(config, plan, drives)
    print(f"4/4 picture: {picture}\n")
    print(
        f"{len(found)} of {len(plan.experts)} {kinds} discovered without labels, in {n_modes} modes "
        f"(labels only count them); episode NMI {nmi:.3f}"
    )
    episodes = [(name, episode) for name, shown in drives.items() for episode in shown]
    as_told = np.array([plan.shown_by(episode) == name for name, episode in episodes])
    succeeds = [bool(episode.successes.any()) for _, episode in episodes if episode.successes is not None]
    if len(succeeds) == len(episodes):
        both = float((as_told & np.array(succeeds)).mean())
        print(f"{len(episodes)} drives: {np.mean(succeeds):.1%} succeed, {both:.1%} on the commanded {plan.kind}")
    else:
        print(f"{len(episodes)} drives: {as_told.mean():.1%} in the commanded {plan.kind}")
    print(f"took {time.monotonic() - started:.0f} s")


def modes_of(experts: Sequence[str], labels: np.ndarray, assignment: np.ndarray) -> dict[str, int]:
    """Which mode stands for each expert that was found: it holds over half of the expert's episodes, and these are over
    half of its own.

    Args:
        experts: names.
        labels: (E,) str, who drove.
        assignment: (E,) int, modes.
    """
    found = {}
    for name in experts:
        mode = int(np.bincount(assignment[labels == name]).argmax())
        both = int(((labels == name) & (assignment == mode)).sum())
        if 2 * both > max((labels == name).sum(), (assignment == mode).sum()):
            found[name] = mode
    return found


def drive(config: demo.DemoCommand, found: dict[str, int]) -> "dict[str, list[Episode]]":
    """The policy's episodes under each behaviour's mode, from the same held-out starts."""
    from contextlib import closing

    from mode_imitation.progress import progress
    from mode_imitation.reports.closed_loop import run_modes
    from mode_imitation.reports.layouts import held_out_layouts
    from mode_imitation.steering.policy import load_policy
    from mode_imitation.worlds.protocol import open_worlds

    if not found:
        raise UserError("no mode stands for one expert; try another --seed")
    with closing(open_worlds(config.env, len(found) * config.layouts)) as world:
        steps = world.max_episode_steps or 1
        with progress("driving", world.num_envs * steps, "steps") as shown:
            driven = run_modes(
                load_policy(config.out / "run"),
                world,
                held_out_layouts(config.layouts),
                steps,
                modes=list(found.values()),
                progress=shown,
            )
    return {name: [one.episode for one in driven[mode]] for name, mode in found.items()}


def draw(config: demo.DemoCommand, plan: Plan, drives: "dict[str, list[Episode]]") -> Path:
    """One picture of all behaviours."""
    from mode_imitation.plots import new_figure, plot_commanded, save_figure

    figure = new_figure(8.5, 9.5)
    plot_commanded(
        figure.subplots(),
        {name.replace("_", " "): episodes[: plan.drawn] for name, episodes in drives.items()},
        title=f"One policy, {len(drives)} {plan.kind}s on command",
        apart=plan.apart,
        legend_columns=6 if len(drives) > 8 else 4,
    )
    return save_figure(figure, config.out / "commanded.png")
