"""Drives from Python: what `mode_imitation.rollout` and `mode_imitation.report` return."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mode_imitation.atomic import write_json, write_text
from mode_imitation.data.episodes import Episode
from mode_imitation.errors import UserError
from mode_imitation.progress import progress
from mode_imitation.reports.closed_loop import UNKNOWN_LENGTH, Drive, PolicyController, drive_policy, figures_of
from mode_imitation.reports.describe import with_description
from mode_imitation.reports.layouts import layout_name
from mode_imitation.reports.markdown import cell, table
from mode_imitation.reports.statistics import Interval
from mode_imitation.steering.policy import Policy
from mode_imitation.versions import versions

if TYPE_CHECKING:
    from mode_imitation.worlds.protocol import WorldSpec

DRAWN = 8
"""Episodes in a picture."""
WORLDS = 64
"""Driven side by side, at most."""


@dataclass(frozen=True)
class Drives:
    """Episodes that one policy drove under one context, one for each seed."""

    what: str
    """Who drove: "mode 1"."""
    env_id: str
    """Where."""
    drives: list[Drive]
    figures: dict[str, Interval]
    """Mean and 95% interval over the episodes, of what the world tells: return, length, success, cost, goals, ..."""

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
            Panel(title=layout_name(one.layout_seed, laid_out=one.scene is not None), episode=one)
            for one in self.episodes[:DRAWN]
        ]
        title = with_description(self.what, [drive.motion for drive in self.drives])
        return save_figure(plot_panels(panels, title=title), Path(path))


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
        n_steps = (world.max_episode_steps or UNKNOWN_LENGTH) if steps is None else steps
        contexts = np.tile(context, (len(wanted), 1))
        controller = PolicyController(policy, contexts=contexts, temperature=temperature)
        with progress("driving", len(wanted) * max(n_steps, 1), "steps") as shown:
            drives = drive_policy(controller, world, wanted, n_steps, progress=shown)
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
            [each.what, each.env_id, str(len(each)), *(_cell(each.figures.get(name)) for name in names)]
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
        from mode_imitation.atomic import check_folder

        folder = Path(folder)
        check_folder(folder, "the report", "folder")
        folder.mkdir(parents=True, exist_ok=True)
        pictures = [each.plot(folder / f"drives-{number}.png").name for number, each in enumerate(self.drives)]
        shown = "\n".join(f"![{each.what}]({name})" for each, name in zip(self.drives, pictures, strict=True))
        write_json(
            folder / "report.json",
            {
                "title": self.title,
                "facts": self.facts,
                "drives": [
                    {
                        "what": each.what,
                        "env_id": each.env_id,
                        "seeds": [episode.layout_seed for episode in each],
                        "figures": {name: figure.as_dict() for name, figure in each.figures.items()},
                    }
                    for each in self.drives
                ],
                "versions": versions(),
            },
        )
        write_text(folder / "report.md", f"{self.text}\n{shown}\n")
        return folder / "report.md"


def _cell(figure: Interval | None) -> str:
    return cell(figure and figure.as_dict(), 2)
