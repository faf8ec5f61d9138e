"""The work behind `mode-imitation rollout`: steer a run, measure what it does, keep and draw it."""

import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mode_imitation.atomic import check_folder
from mode_imitation.config_checks import check_seed
from mode_imitation.errors import UserError
from mode_imitation.progress import progress
from mode_imitation.reports.closed_loop import (
    UNKNOWN_LENGTH,
    Drive,
    PolicyController,
    check_env,
    drive_policy,
    figures_of,
)
from mode_imitation.reports.config import RolloutConfig
from mode_imitation.reports.describe import with_description
from mode_imitation.reports.layouts import FIRST_HELD_OUT, held_out_layouts, layout_name, parse_seeds
from mode_imitation.reports.own_figures import own_figures
from mode_imitation.reports.statistics import Interval, bootstrap
from mode_imitation.steering.policy import Policy, parse_context
from mode_imitation.steering.schedule import Schedule, parse_schedule

if TYPE_CHECKING:
    from mode_imitation.training.run_folder import Run
    from mode_imitation.worlds.protocol import World

FIGURES = ("goals", "return", "steps", "success", "cost", "straightness", "speed", "turn_rate", "approach")
DEFAULT_LAYOUTS = 10
DRAWN = 8
"""Rollouts in the picture, at most."""
PICTURES = (".png", ".pdf", ".svg", ".jpg")
VIDEOS = (".mp4", ".gif")


@dataclass(frozen=True)
class Segment:
    """A stretch of a schedule under one mode."""

    mode: int
    start: int
    stop: int
    goals: Interval
    """Goals reached in the stretch, per episode."""


@dataclass(frozen=True)
class RolloutResult:
    """What a steered policy did."""

    what: str
    """What it was steered by, in words."""
    env_id: str
    drives: list[Drive]
    figures: dict[str, Interval]
    """Of FIGURES, those that this environment has."""
    segments: list[Segment] = field(default_factory=list)
    """For a schedule."""
    written: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Steering:
    """What drives: one context for all, or a schedule."""

    what: str
    label: str
    """A short name, recorded with the episodes."""
    context: np.ndarray | None = None
    schedule: Schedule | None = None

    def controller(self, policy: Policy, n_episodes: int, n_steps: int, temperature: float) -> PolicyController:
        """For `n_episodes` episodes of `n_steps`."""
        if self.schedule is not None:
            modes = np.tile(self.schedule.modes(n_steps), (n_episodes, 1))
            return PolicyController(policy, modes=modes, temperature=temperature)
        assert self.context is not None
        return PolicyController(policy, contexts=np.tile(self.context, (n_episodes, 1)), temperature=temperature)


def rollout_run(config: RolloutConfig) -> RolloutResult:
    """Drive one episode for each layout seed; write what was asked for.

    Raises:
        UserError: the run, the steering, the seeds, the environment or an output cannot be used, or there is no
            simulator; whatever can be known before the first step is told before it.
    """
    from mode_imitation.steering.policy import load_policy
    from mode_imitation.training.run_folder import load_run
    from mode_imitation.worlds.protocol import open_worlds

    check_seed(config.seed)
    check_outputs(config)
    own = own_figures(config.figure)
    layouts = parse_seeds(config.seeds) if config.seeds is not None else held_out_layouts(DEFAULT_LAYOUTS)
    run = load_run(config.run)
    policy = load_policy(run, config.device).reset(config.seed)
    policy.check_temperature(config.temperature)
    steering = steering_of(config, policy)
    if config.worlds < 1:
        raise UserError(f"--worlds is {config.worlds}; expected at least 1")
    spec = environment_of(run, config.env)
    if config.video is not None:
        from mode_imitation.worlds.video import check_video

        check_video(spec)
    env = open_worlds(spec, min(len(layouts), config.worlds), threads=config.threads)
    try:
        check_env(policy, env)
        n_steps = env.max_episode_steps or UNKNOWN_LENGTH if config.steps is None else config.steps
        controller = steering.controller(policy, len(layouts), max(n_steps, 1), config.temperature)
        with progress("driving", len(layouts) * max(n_steps, 1), "steps") as shown:
            drives = drive_policy(controller, env, layouts, n_steps, progress=shown)
        drives = [replace(drive, episode=replace(drive.episode, expert=steering.label)) for drive in drives]
        figures = figures_of(drives, FIGURES, {figure.name: figure for figure in own}, seed=config.seed)
        written = _write(config, env, steering, drives)
    finally:
        env.close()
    return RolloutResult(
        what=steering.what,
        env_id=env.env_id,
        drives=drives,
        figures=figures,
        segments=segments_of(steering.schedule, drives, seed=config.seed) if steering.schedule else [],
        written=written,
        notes=_notes(config, run, policy, steering, layouts),
    )


def check_outputs(config: RolloutConfig) -> None:
    """Refuse outputs that cannot be written, before any work.

    Raises:
        UserError: an output exists and is not to be replaced, its name ends in what cannot be written, or there is no
            way to film.
    """
    for path, kinds, option in ((config.video, VIDEOS, "--video"), (config.plot, PICTURES, "--plot")):
        if path is None:
            continue
        check_folder(path.parent, path.name, option)
        if path.suffix not in kinds:
            raise UserError(f"{path} cannot be written; expected a name that ends in {' or '.join(kinds)}")
        if path.exists() and not config.overwrite:
            raise UserError(f"{path} exists already; choose another name or replace it with --overwrite")
    if config.out is not None:
        from mode_imitation.data.staging import check_new_dataset

        check_new_dataset(config.out, config.root, overwrite=config.overwrite)


def steering_of(config: RolloutConfig, policy: Policy) -> Steering:
    """What the options say that is to drive.

    Raises:
        UserError: not exactly one of --mode, --context, --like and --schedule is given, or it does not fit the run.
    """
    given = {name: getattr(config, name) for name in ("mode", "context", "like", "schedule")}
    chosen = [name for name, value in given.items() if value is not None]
    if len(chosen) != 1:
        found = " and ".join(f"--{name}" for name in chosen) or "none of them"
        raise UserError(f"steer by one of --mode, --context, --like and --schedule; got {found}")
    if config.mode is not None:
        return Steering(f"mode {config.mode}", f"mode-{config.mode}", context=policy.mode_contexts(config.mode))
    if config.context is not None:
        context = policy.check_context(parse_context(config.context))
        return Steering(f"context {_listed(context)}", "context", context=context)
    if config.schedule is not None:
        schedule = parse_schedule(config.schedule)
        schedule.check_modes(policy.modes)
        return Steering(f"schedule {schedule}", "schedule", schedule=schedule)
    from mode_imitation.data.dataset import load_episode
    from mode_imitation.steering.infer import encode_windows

    assert config.like is not None
    inferred = encode_windows(policy.model, load_episode(config.like, config.root))
    what = f"like {config.like}: nearest to mode {inferred.code}, context {_listed(inferred.context)}"
    return Steering(what, f"like-{config.like.rpartition('/')[2].replace('#', '-')}", context=inferred.context)


def environment_of(run: "Run", env_id: str | None) -> str:
    """The environment to drive in: the one that was asked for, else the one that the run's data came from.

    Raises:
        UserError: neither is known.
    """
    found = env_id or run.info.get("env_id")
    if not found:
        raise UserError(f"the data of {run.path} names no environment; give one with --env, SafetyPointGoal1-v0 say")
    if env_id is None and ":" in str(found):
        # Data must not decide which code is run.
        raise UserError(f"the data of {run.path} come from {found}, which is code to run; say --env {found} to run it")
    return str(found)


def segments_of(schedule: Schedule, drives: list[Drive], *, seed: int = 0) -> list[Segment]:
    """Goals reached in each stretch of a schedule; a stretch that lies after the episodes' end is left out."""
    met = [drive.episode.goals_met for drive in drives]
    length = max(len(drive.episode) for drive in drives)
    edges = [0, *[step for step in schedule.switches() if step < length], length]
    return [
        Segment(mode, start, stop, bootstrap([float(np.sum(m[start:stop])) for m in met if m is not None], seed=seed))
        for (mode, _), start, stop in zip(schedule.segments, edges, edges[1:], strict=False)
        if all(m is not None for m in met)
    ]


def _write(config: RolloutConfig, env: "World", steering: Steering, drives: list[Drive]) -> list[Path]:
    written = []
    episodes = [drive.episode for drive in drives]
    if config.out is not None:
        from mode_imitation.data.writer import write_dataset

        written.append(
            write_dataset(
                config.out,
                episodes,
                root=config.root,
                overwrite=config.overwrite,
                env_id=env.env_id,
                sensors=env.sensors,
                action_space=env.action_space,
                command=command_of(config),
                metadata={"steered_by": steering.what, "run": config.run.name, "time_step": env.time_step},
            )
        )
    if config.plot is not None:
        written.append(_draw(config.plot, steering, drives))
    if config.video is not None:
        from mode_imitation.worlds.video import record_video

        first = episodes[0]
        with progress("filming", len(first), "steps") as shown:
            record_video(env.env_id, first.layout_seed or 0, first.actions, config.video, progress=shown)
        written.append(config.video)
    return written


def _draw(path: Path, steering: Steering, drives: list[Drive]) -> Path:
    from mode_imitation.plots import Panel, plot_panels, save_figure

    panels = [
        Panel(
            title=layout_name(drive.episode.layout_seed, laid_out=drive.episode.scene is not None),
            episode=drive.episode,
            modes=steering.schedule.modes(len(drive.episode)) if steering.schedule else None,
        )
        for drive in drives[:DRAWN]
    ]
    title = with_description(steering.what.partition(": ")[0], [drive.motion for drive in drives])
    return save_figure(plot_panels(panels, title=steering.schedule.in_words if steering.schedule else title), path)


def command_of(config: RolloutConfig) -> str:
    """What to type to get these rollouts again, without what only says where things go."""
    words = ["mode-imitation", "rollout", config.run.name]
    default = RolloutConfig(run=config.run)
    for name in ("mode", "context", "like", "schedule", "seeds", "steps", "temperature", "env", "seed", "figure"):
        value = getattr(config, name)
        if value != getattr(default, name):
            for one in value if isinstance(value, tuple) else (value,):
                words += [f"--{name}", shlex.quote(str(one))]
    return " ".join(words)


def _notes(config: RolloutConfig, run: "Run", policy: Policy, steering: Steering, layouts: list[int]) -> list[str]:
    notes = []
    if steering.context is not None and config.mode is None:
        notes.append(policy.context_distance(steering.context).text())
    seen = set(run.info.get("layout_seeds") or ()) & set(layouts)
    if seen:
        notes.append(f"{len(seen)} of the layouts were seen in training; held-out ones begin at {FIRST_HELD_OUT}")
    if config.plot is not None and len(layouts) > DRAWN:
        notes.append(f"{config.plot} shows the first {DRAWN} of {len(layouts)} layouts")
    return notes


def _listed(context: np.ndarray) -> str:
    return ",".join(f"{weight:.3g}" for weight in context)
