"""What a steered policy did, as `mode_imitation.rollout` and `mode-imitation rollout` return it, and a page of it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mode_imitation.atomic import check_folder, write_json, write_text
from mode_imitation.data.episodes import Episode
from mode_imitation.errors import UserError
from mode_imitation.progress import progress
from mode_imitation.reports.closed_loop import UNKNOWN_LENGTH, Drive, PolicyController, drive_policy, figures_of
from mode_imitation.reports.describe import with_description
from mode_imitation.reports.layouts import layout_name
from mode_imitation.reports.statistics import Interval, cell, table
from mode_imitation.steering.policy import Policy
from mode_imitation.steering.schedule import Schedule
from mode_imitation.training.run_folder import Run
from mode_imitation.versions import versions

if TYPE_CHECKING:
    from mode_imitation.worlds.protocol import World, WorldSpec

DRAWN = 8
"""Episodes in a picture."""
WORLDS = 64
"""Driven side by side, at most."""


@dataclass(frozen=True)
class Segment:
    """A stretch of a schedule under one mode."""

    mode: int
    start: int
    stop: int
    goals: Interval
    """Goals reached in the stretch, per episode."""


@dataclass(frozen=True)
class Drives:
    """Episodes that one policy drove under one context or schedule, one for each seed."""

    what: str
    """Who drove: "mode 1"."""
    env_id: str
    """Where."""
    drives: list[Drive]
    figures: dict[str, Interval]
    """Mean and 95% interval over the episodes, of what the world tells: return, length, success, cost, goals, ..."""
    schedule: Schedule | None = None
    segments: list[Segment] = field(default_factory=list)
    """Of the schedule."""
    written: list[Path] = field(default_factory=list)
    """Files that were asked for."""
    notes: list[str] = field(default_factory=list)

    @property
    def episodes(self) -> list[Episode]:
        """One for each seed, in their order."""
        return [drive.episode for drive in self.drives]

    def __len__(self) -> int:
        return len(self.drives)

    def __iter__(self) -> Iterator[Episode]:
        return iter(self.episodes)

    def __repr__(self) -> str:
        told = "  ".join(f"{name.replace('_', ' ')} {figure.text()}" for name, figure in self.figures.items())
        steps = sum(len(drive.episode) for drive in self.drives)
        return (
            f"{len(self)} drives of {self.what} in {self.env_id}, {steps:,} steps\n  {told}\n  .plot(path) draws them"
        )

    def plot(self, path: str | Path) -> Path:
        """Draw the first episodes: from above where there are positions, else the two widest directions of states."""
        from mode_imitation.plots import Panel, plot_panels, save_figure

        panels = [
            Panel(
                title=layout_name(episode.layout_seed, laid_out=episode.scene is not None),
                episode=episode,
                modes=self.schedule.modes(len(episode)) if self.schedule else None,
            )
            for episode in self.episodes[:DRAWN]
        ]
        title = with_description(self.what.partition(": ")[0], [drive.motion for drive in self.drives])
        title = self.schedule.in_words if self.schedule else title
        return save_figure(plot_panels(panels, title=title), Path(path))


def environment_of(run: Run, env_id: str | None) -> str:
    """The environment that was asked for, else the one that the run's data came from.

    Raises:
        UserError: neither is known, or what the data names is code to run.
    """
    found = env_id or run.info.get("env_id")
    if not found:
        raise UserError(
            f"the data of {run.path.name} names no environment; give one with --env, SafetyPointGoal1-v0 say"
        )
    if env_id is None and ":" in str(found):
        # Data must not decide which code is run.
        raise UserError(f"the data come from {found}, which is code to run; say --env {found} to run it")
    return str(found)


def drive_seeds(controller: PolicyController, world: "World", seeds: Sequence[int], steps: int | None) -> list[Drive]:
    """One episode for each seed, with progress; `steps` None takes the environment's own number."""
    n_steps = length_of(world, steps)
    with progress("driving", len(seeds) * max(n_steps, 1), "steps") as shown:
        return drive_policy(controller, world, seeds, n_steps, progress=shown)


def length_of(world: "World", steps: int | None) -> int:
    """Steps of an episode: those that were asked for, else the environment's own number, else UNKNOWN_LENGTH."""
    return (world.max_episode_steps or UNKNOWN_LENGTH) if steps is None else steps


def rollout(
    env: "WorldSpec",
    policy: Policy,
    *,
    seeds: Sequence[int] | range = range(10),
    steps: int | None = None,
    temperature: float = 0.0,
    figures: Sequence[Callable[[Episode], float]] = (),
) -> Drives:
    """Let a steered policy drive one episode for each seed.

    Args:
        env: an id that gymnasium knows, a VectorEnv, or a function that returns an Env or VectorEnv.
        policy: steered by `policy.steer(...)`; its context holds for all episodes.
        seeds: of the episodes.
        steps: per episode; None for the environment's own number.
        temperature: 0 drives the likeliest action, 1 draws from the policy.
        figures: functions of an episode, measured under their names beside the usual figures.

    Raises:
        UserError: the policy is not steered, or the environment does not fit it.
    """
    from gymnasium.vector import VectorEnv

    from mode_imitation.worlds.protocol import open_worlds

    context = policy.context
    if context is None or context.ndim != 1:
        raise UserError("the policy has no single context; call policy.steer(mode=...) first")
    wanted = [int(seed) for seed in seeds]
    if not wanted:
        raise UserError("seeds is empty; expected at least one, range(10) say")
    world = open_worlds(env, min(len(wanted), WORLDS))
    try:
        controller = PolicyController(policy, np.tile(context, (len(wanted), 1)), temperature=temperature)
        drives = drive_seeds(controller, world, wanted, steps)
    finally:
        policy.steer(context=context).begin()
        if not isinstance(env, VectorEnv):  # what the caller opened stays open
            world.close()
    found = figures_of(drives, own={getattr(function, "__name__", "figure"): function for function in figures})
    modes = [mode for mode in policy.modes if np.allclose(policy.mode_contexts(mode), context)]
    what = f"mode {modes[0]}" if modes else f"context {', '.join(f'{weight:.3g}' for weight in context)}"
    return Drives(what, world.env_id, drives, found)


@dataclass(frozen=True)
class Page:
    """A report of a run and of drives, to be printed or saved."""

    title: str
    facts: dict[str, Any]
    drives: list[Drives]

    @property
    def text(self) -> str:
        """As Markdown."""
        lines = [f"# {self.title}", "", *(f"- {name}: {value}" for name, value in self.facts.items()), ""]
        names = list(dict.fromkeys(name for each in self.drives for name in each.figures))
        rows = [
            [each.what, each.env_id, str(len(each)), *(cell(each.figures.get(name)) for name in names)]
            for each in self.drives
        ]
        if rows:
            header = ["", "world", "drives", *(name.replace("_", " ") for name in names)]
            lines += [table(header, rows), "", "Means with 95% bootstrap intervals over the drives.", ""]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return self.text

    def save(self, folder: str | Path) -> Path:
        """Write report.md, report.json and a picture of each drives into a folder.

        Raises:
            UserError: it is a file, or may not be written.
        """
        folder = Path(folder)
        check_folder(folder, "the report", "folder")
        folder.mkdir(parents=True, exist_ok=True)
        pictures = [each.plot(folder / f"drives-{number}.png").name for number, each in enumerate(self.drives)]
        shown = "\n".join(f"![{each.what}]({name})" for each, name in zip(self.drives, pictures, strict=True))
        drives = [
            {
                "what": each.what,
                "env_id": each.env_id,
                "seeds": [episode.layout_seed for episode in each],
                "figures": {name: asdict(figure) for name, figure in each.figures.items()},
            }
            for each in self.drives
        ]
        content = {"title": self.title, "facts": self.facts, "drives": drives, "versions": versions()}
        write_json(folder / "report.json", content)
        write_text(folder / "report.md", f"{self.text}\n{shown}\n")
        return folder / "report.md"
