"""The work behind `mode-imitation rollout`: steer a run, measure what it does, keep and draw it."""

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mode_imitation.atomic import check_folder
from mode_imitation.config_checks import check_seed
from mode_imitation.data.dataset import load_episode
from mode_imitation.data.text import vocabulary_of
from mode_imitation.data.writer import write_dataset
from mode_imitation.errors import UserError
from mode_imitation.progress import progress
from mode_imitation.reports.closed_loop import Drive, PolicyController, check_env, figures_of
from mode_imitation.reports.config import RolloutConfig
from mode_imitation.reports.drives import DRAWN, Drives, Segment, drive_seeds, environment_of, length_of
from mode_imitation.reports.layouts import FIRST_HELD_OUT, held_out_layouts, parse_seeds
from mode_imitation.reports.own_figures import own_figures
from mode_imitation.reports.statistics import bootstrap
from mode_imitation.steering.infer import encode_windows
from mode_imitation.steering.policy import Policy, load_policy, parse_context
from mode_imitation.steering.schedule import Schedule, parse_schedule
from mode_imitation.training.run_folder import Run, load_run, read_info

if TYPE_CHECKING:
    from mode_imitation.reports.text import Written
    from mode_imitation.worlds.protocol import World

FIGURES = ("goals", "return", "steps", "success", "cost", "straightness", "speed", "turn_rate", "approach")
DEFAULT_LAYOUTS = 10
PICTURES = (".png", ".pdf", ".svg", ".jpg")
VIDEOS = (".mp4", ".gif")


@dataclass(frozen=True)
class Steering:
    """What drives: one context for all, or a schedule."""

    what: str
    label: str
    """A short name, recorded with the episodes."""
    context: np.ndarray | None = None
    schedule: Schedule | None = None


def written_by_run(config: RolloutConfig) -> "Written | None":
    """What a run on texts writes; None of a run on anything else.

    Raises:
        UserError: the run, the steering, the prompt or the output cannot be used; nothing is half-written.
    """
    from mode_imitation.reports.text import WRITTEN_TOKENS, write_as_asked

    check_seed(config.seed)
    _check_outputs(config)
    vocabulary = vocabulary_of(read_info(config.run))
    if vocabulary is None:
        if config.prompt is not None:
            raise UserError(f"--prompt is of runs on text; {config.run} was trained on something else, leave it out")
        return None
    policy = load_policy(config.run, config.device)
    if config.temperature is not None:
        policy.check_temperature(config.temperature)
    steering = _steering_of(config, policy)
    if steering.schedule is not None:
        contexts = policy.mode_contexts(steering.schedule.modes(max(config.steps or WRITTEN_TOKENS, 1)))
    else:
        assert steering.context is not None
        contexts = steering.context[None]
    return write_as_asked(config, policy, vocabulary, contexts, steering.what, steering.label, command_of(config))


def rollout_run(config: RolloutConfig) -> Drives:
    """Drive one episode for each layout seed; write what was asked for.

    Raises:
        UserError: the run, the steering, the seeds, the environment or an output cannot be used, or there is no
            simulator; whatever can be known before the first step is told before it.
    """
    from mode_imitation.worlds.protocol import open_worlds
    from mode_imitation.worlds.video import check_video

    check_seed(config.seed)
    _check_outputs(config)
    own = own_figures(config.figure)
    layouts = parse_seeds(config.seeds) if config.seeds is not None else held_out_layouts(DEFAULT_LAYOUTS)
    run = load_run(config.run)
    policy = load_policy(run, config.device).reset(config.seed)
    temperature = config.temperature or 0.0
    policy.check_temperature(temperature)
    steering = _steering_of(config, policy)
    if config.worlds < 1:
        raise UserError(f"--worlds is {config.worlds}; expected at least 1")
    spec = environment_of(run, config.env)
    if config.video is not None:
        check_video(spec)
    env = open_worlds(spec, min(len(layouts), config.worlds), threads=config.threads)
    try:
        check_env(policy, env)
        contexts = steering.context
        if steering.schedule is not None:
            contexts = policy.mode_contexts(steering.schedule.modes(max(length_of(env, config.steps), 1)))  # (T, K)
        assert contexts is not None
        contexts = np.broadcast_to(contexts, (len(layouts), *contexts.shape))
        controller = PolicyController(policy, contexts, temperature=temperature)
        drives = drive_seeds(controller, env, layouts, config.steps)
        drives = [replace(drive, episode=replace(drive.episode, expert=steering.label)) for drive in drives]
        result = Drives(
            steering.what,
            env.env_id,
            drives,
            figures_of(drives, FIGURES, own, seed=config.seed),
            steering.schedule,
            _segments_of(steering.schedule, drives, config.seed) if steering.schedule else [],
            notes=_notes(config, run, policy, steering, layouts),
        )
        return replace(result, written=_write(config, env, result))
    finally:
        env.close()


def _check_outputs(config: RolloutConfig) -> None:
    """Refuse outputs that exist and are not to be replaced, or that cannot be written, before any work."""
    from mode_imitation.data.staging import check_new_dataset

    for path, kinds, option in ((config.video, VIDEOS, "--video"), (config.plot, PICTURES, "--plot")):
        if path is None:
            continue
        check_folder(path.parent, path.name, option)
        if path.suffix not in kinds:
            raise UserError(f"{path} cannot be written; expected a name that ends in {' or '.join(kinds)}")
        if path.exists() and not config.overwrite:
            raise UserError(f"{path} exists already; choose another name or replace it with --overwrite")
    if config.out is not None:
        check_new_dataset(config.out, config.root, overwrite=config.overwrite)


def _steering_of(config: RolloutConfig, policy: Policy) -> Steering:
    """What the options say that is to drive; exactly one of them is to."""
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
    assert config.like is not None
    inferred = encode_windows(policy.model, load_episode(config.like, config.root))
    what = f"like {config.like}: nearest to mode {inferred.code}, context {_listed(inferred.context)}"
    return Steering(what, f"like-{config.like.rpartition('/')[2].replace('#', '-')}", context=inferred.context)


def _segments_of(schedule: Schedule, drives: list[Drive], seed: int) -> list[Segment]:
    """Goals reached in each stretch of a schedule; a stretch that lies after the episodes' end is left out."""
    met = [drive.episode.goals_met for drive in drives]
    length = max(len(drive.episode) for drive in drives)
    edges = [0, *[step for step in schedule.switches() if step < length], length]
    return [
        Segment(mode, start, stop, bootstrap([float(np.sum(m[start:stop])) for m in met if m is not None], seed=seed))
        for (mode, _), start, stop in zip(schedule.segments, edges, edges[1:], strict=False)
        if all(m is not None for m in met)
    ]


def _write(config: RolloutConfig, env: "World", result: Drives) -> list[Path]:
    written = []
    if config.out is not None:
        folder = write_dataset(
            config.out,
            result.episodes,
            root=config.root,
            overwrite=config.overwrite,
            env_id=env.env_id,
            sensors=env.sensors,
            action_space=env.action_space,
            command=command_of(config),
            metadata={"steered_by": result.what, "run": config.run.name, "time_step": env.time_step},
        )
        written.append(folder)
    if config.plot is not None:
        written.append(result.plot(config.plot))
    if config.video is not None:
        from mode_imitation.worlds.video import record_video

        first = result.episodes[0]
        with progress("filming", len(first), "steps") as shown:
            record_video(env.env_id, first.layout_seed or 0, first.actions, config.video, progress=shown)
        written.append(config.video)
    return written


def command_of(config: RolloutConfig) -> str:
    """What to type to get these rollouts again, without what only says where things go."""
    words = ["mode-imitation", "rollout", config.run.name]
    default = RolloutConfig(run=config.run)
    for name in (
        "mode",
        "context",
        "like",
        "schedule",
        "seeds",
        "steps",
        "temperature",
        "prompt",
        "env",
        "seed",
        "figure",
    ):
        value = getattr(config, name)
        if value != getattr(default, name):
            for one in value if isinstance(value, tuple) else (value,):
                words += [f"--{name}", shlex.quote(str(one))]
    return " ".join(words)


def _notes(config: RolloutConfig, run: Run, policy: Policy, steering: Steering, layouts: list[int]) -> list[str]:
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
