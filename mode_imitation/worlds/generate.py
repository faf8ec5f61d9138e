"""Let experts drive, in several processes, and keep what they did as a dataset; go on where an earlier run stopped."""

import contextlib
import errno
import hashlib
import json
import math
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from experts.registry import check_labels, make_expert
from experts.switching import members
from mode_imitation.atomic import write_json
from mode_imitation.config_checks import check_action_noise
from mode_imitation.data.staging import alone, check_new_dataset, remove_empty_parents, sole_writer
from mode_imitation.data.storage import METADATA_FILE, resolve_root, unfinished_folder
from mode_imitation.data.writer import write_dataset
from mode_imitation.errors import UserError
from mode_imitation.processes import cores, run_tasks
from mode_imitation.progress import progress
from mode_imitation.versions import digest_of_code, platform_name, versions
from mode_imitation.worlds.chunks import ChunkFolder
from mode_imitation.worlds.config import GenerateConfig
from mode_imitation.worlds.protocol import open_worlds
from mode_imitation.worlds.worker import disturbance_of, expert_setting, prepare, training_layout_seed

UNKNOWN_LENGTH = 1000
"""Steps of an episode where neither the user nor the environment says how long one is."""
CODE = ("experts", "mode_imitation/worlds", "mode_imitation/worlds/planar", "mode_imitation/worlds/safety")
SETTINGS_FILE, CHUNKS = "settings.json", "chunks"


Plan = list[tuple[str, range]]
"""Experts, and which episodes of the dataset each of them drives."""


def generate(config: GenerateConfig) -> Path:
    """Make a dataset of experts' episodes.

    The same settings and versions give the same arrays, whatever the number of workers and worlds and however often
    it was stopped and started again: episode i has the layout seed `seed * 1,000,000 + i` and its own generator.
    Worlds that ignore seeds cannot keep that promise. Their episodes come from one process, have no layout seed, and
    do not begin where an earlier one began.

    Returns:
        The dataset's folder.

    Raises:
        UserError: a setting cannot be used, the dataset exists, an unfinished one was made with other settings, an
            expert misbehaves, or the disk is full. What was finished is kept under `.unfinished` in the root, and the
            same command goes on from there.
        KeyboardInterrupt: after Ctrl-C, with the same promise; no process is left behind.
    """
    plan = _check(config)
    root = resolve_root(config.root)
    staging = unfinished_folder(config.out, config.root)
    try:
        check_new_dataset(config.out, config.root, overwrite=config.overwrite)
    except UserError:
        _remove_leftovers(staging, config)
        raise
    description = _describe_environment(config, plan)
    config = replace(
        config, steps=description.pop("steps", config.steps), workers=description.pop("workers", config.workers)
    )
    description["metadata"]["settings"] = config.settings
    takes_seeds = description.pop("takes_seeds", True)
    with (
        _full_disk_is_the_users(root),
        sole_writer(config.out, config.root, overwrite=config.overwrite),
    ):
        chunks = ChunkFolder(staging / CHUNKS)
        try:
            _agree_on_settings(staging, chunks, config)
            _drive(config, plan, chunks, takes_seeds)
            folder = _assemble(config, plan, chunks, description)
        except BaseException:
            if not chunks.finished():
                _remove_parts(staging)
            raise
        _remove_parts(staging)
    return folder


def _check(config: GenerateConfig) -> Plan:
    """Look at every setting that needs no simulator; return who drives which episodes."""
    counts = {"steps": config.steps, "worlds": config.worlds, "workers": config.workers}
    for name, count in counts.items():
        if count is not None and count < 1:
            raise UserError(f"--{name} is {count}; expected at least 1")
    check_action_noise(config.action_noise)
    if not config.expert:
        raise UserError(
            "no expert is named; expected --expert NAME=EPISODES at least once, --expert goal_seeking=60 say"
        )
    disturbance_of(config)
    plan: Plan = []
    first = 0
    for word in config.expert:
        expert, mark, count = word.rpartition("=")
        if not mark or not expert or not count.strip().lstrip("+-").isdecimal():
            raise UserError(f"--expert {word}: expected NAME=EPISODES, goal_seeking=60 say")
        if int(count) < 1:
            raise UserError(f"--expert {word} asks for {int(count)} episodes; expected at least 1")
        plan.append((expert, range(first, first + int(count))))
        first += int(count)
    check_labels([expert for expert, _ in plan])
    training_layout_seed(config.seed, first - 1)
    return plan


def _describe_environment(config: GenerateConfig, plan: Plan) -> dict[str, Any]:
    """Start one world to see that environment and experts fit together, before any long work."""
    world = open_worlds(config.env, 1, path=config.path, threads=1, max_episode_steps=config.steps)
    try:
        setting = expert_setting(world)
        observations, _, _ = world.reset([0] * world.num_envs)
        for name, _ in plan:
            expert = make_expert(name, setting)
            expert.reset(observations, [np.random.default_rng(0) for _ in observations])
            world.executed(expert.act(observations))
        steps = config.steps or world.max_episode_steps or UNKNOWN_LENGTH
        if world.max_episode_steps and steps > world.max_episode_steps:
            raise UserError(
                f"--steps is {steps}; expected 1 to {world.max_episode_steps}, the length of an episode of {config.env}"
            )
        return {
            "steps": steps,
            # Worlds that take no seeds may show the same episodes in every process.
            "workers": config.workers if world.takes_seeds else 1,
            "takes_seeds": world.takes_seeds,
            "env_id": config.env,
            "sensors": world.sensors,
            "observation_bounds": world.observation_bounds,
            "action_space": world.action_space,
            "metadata": {
                "robot": world.robot or None,
                "mirror": world.mirror and world.mirror.to_dict(),
                "time_step": world.time_step,
                "simulator_path": getattr(world.envs, "path", None),
            },
        }
    finally:
        world.close()


def _drive(config: GenerateConfig, plan: Plan, chunks: ChunkFolder, takes_seeds: bool) -> None:
    finished = chunks.finished()
    total = plan[-1][1].stop - len(finished)
    if not total:
        return
    if not takes_seeds:
        again = f"; none begins where one of the {len(finished)} finished ones does" if finished else ""
        print(f"{config.env} ignores seeds: episodes without seeds, in one process{again}", file=sys.stderr)
    n_workers = min(config.workers or cores(), total)
    worlds = min(config.worlds, math.ceil(total / n_workers))
    tasks = []
    for expert, indices in plan:
        missing = [index for index in indices if index not in finished]
        # Groups of nearly equal size, so that no worker is left with the one large last group.
        groups = np.array_split(missing, math.ceil(len(missing) / worlds)) if missing else []
        tasks += [{"expert": expert, "indices": group.tolist()} for group in groups]
    label = f"generating, {len(finished)} episodes were there" if finished else "generating"
    job = {"config": vars(config) | {"worlds": worlds, "root": None}, "chunks": str(chunks.folder)}
    job["takes_seeds"] = takes_seeds
    with progress(label, total * (config.steps or 0), "steps") as bar:
        if n_workers > 1:
            with closing(run_tasks(prepare, job, tasks, n_workers, bar.advance)) as outcomes:
                for _, outcome in outcomes:
                    if isinstance(outcome, Exception):
                        raise outcome  # which ends the other processes
        else:
            do = prepare(job)
            for task in tasks:
                do(task, bar.advance)


def _assemble(config: GenerateConfig, plan: Plan, chunks: ChunkFolder, description: dict[str, Any]) -> Path:
    n_episodes = plan[-1][1].stop
    with progress("writing", n_episodes, "episodes") as bar:

        def episodes():
            for episode in chunks.read(n_episodes):
                yield episode
                bar.advance()

        return write_dataset(
            config.out,
            episodes(),
            root=config.root,
            overwrite=config.overwrite,
            command=config.command,
            **description,
        )


def _settings(config: GenerateConfig) -> dict[str, Any]:
    """Everything that decides the arrays: two runs with equal settings may share finished episodes."""
    files = {}
    for spec in [config.env, *(spec for word in config.expert for spec in members(word.rpartition("=")[0]))]:
        path = Path(spec.rpartition(":")[0])
        if path.suffix == ".py" and path.is_file():
            files[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    packages = versions() | {"platform": platform_name()}
    return {
        "settings": config.settings,
        "expert files": files,
        "code": {"the code of experts and simulation": digest_of_code(CODE)},
        "versions": {name: packages[name] for name in packages if name not in ("torch", "minari", "h5py")},
    }


def _agree_on_settings(staging: Path, chunks: ChunkFolder, config: GenerateConfig) -> None:
    """Go on from finished episodes only where they were made with these very settings."""
    wanted = json.loads(json.dumps(_settings(config)))
    path = staging / SETTINGS_FILE
    found = _read_json(path)
    difference = _first_difference(found or {}, wanted)
    if difference:
        if found and chunks.finished() and not config.overwrite:
            raise UserError(
                f"an unfinished {config.out} is there, made with other settings ({difference}); repeat its command to "
                "go on with it, choose another name, or start anew with --overwrite"
            )
        shutil.rmtree(chunks.folder, ignore_errors=True)
    for temporary in chunks.folder.glob(".*.tmp"):
        temporary.unlink()  # of a run that was killed; no other is at work here, we hold the lock
    write_json(path, wanted)


def _first_difference(found: dict[str, Any], wanted: dict[str, Any]) -> str | None:
    for part, values in wanted.items():
        others = found.get(part, {})
        for name in values | others:
            if values.get(name) != others.get(name):
                return f"{name} was {others.get(name)}, now {values.get(name)}"
    return None


def _remove_leftovers(staging: Path, config: GenerateConfig) -> None:
    """Tidy up after a run that was killed when its dataset was in place but its parts were not yet all removed."""
    root = resolve_root(config.root)
    if staging.is_dir():
        unfinished = _read_json(staging / SETTINGS_FILE)
        complete = _read_json(root / config.out / "data" / METADATA_FILE)
        # Settings go last: where there are none, nothing is there that could be gone on with.
        if not unfinished or (complete and complete.get("settings") == unfinished["settings"]):
            with alone(config.out, config.root):
                _remove_parts(staging)
    remove_empty_parents(staging, root)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _remove_parts(staging: Path) -> None:
    shutil.rmtree(staging / CHUNKS, ignore_errors=True)
    for path in (*staging.glob(f".{SETTINGS_FILE}.*.tmp"), staging / SETTINGS_FILE):
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _full_disk_is_the_users(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"the disk that holds {root} is full; make room and run the same command again, "
                "it goes on from the finished episodes"
            ) from None
        raise
