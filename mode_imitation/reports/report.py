"""The report card of a run: what each mode is, how it drives on held-out layouts, and how modes agree with labels.

What cannot be known is left out and said so in `left_out`: without a simulator nothing drives, without labels there is
no clustering, without positions no motion.
"""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from mode_imitation.atomic import check_folder
from mode_imitation.config_checks import check_action_noise, check_seed
from mode_imitation.data.dataset import load_dataset
from mode_imitation.errors import UserError
from mode_imitation.model.threads import one_thread
from mode_imitation.progress import progress
from mode_imitation.reports.blends import WEIGHTS, drive_blend, parse_blend
from mode_imitation.reports.closed_loop import UNKNOWN_LENGTH, check_env, run_experts, run_modes
from mode_imitation.reports.clustering import compare_with_labels, has_lidar, sort_dataset
from mode_imitation.reports.config import ModesConfig
from mode_imitation.reports.expert_cache import FOLDER as CACHE_FOLDER
from mode_imitation.reports.guarantees import check_confidence
from mode_imitation.reports.latent_map import make_latent_map
from mode_imitation.reports.layouts import check_disjoint, held_out_layouts
from mode_imitation.reports.own_figures import own_figures
from mode_imitation.reports.report_data import Report, Work, as_data, held_out, typical_episodes
from mode_imitation.reports.requirements import parse_requirements
from mode_imitation.reports.turns import codes_of_steps, drivers, drivers_of_windows, take_turns, turn_scores
from mode_imitation.steering.policy import load_policy
from mode_imitation.training.run_folder import load_run
from mode_imitation.training.sources import load_source, recorded_root

if TYPE_CHECKING:
    from mode_imitation.worlds.protocol import World

__all__ = ["Report", "cache_folder", "make_report", "simulator_missing"]

DRIVEN = "how the modes drive (goals, cost, return, motion)"

MOST_BLEND_LAYOUTS = 20
"""For the blends, of which there are eleven."""


def make_report(config: ModesConfig) -> Report:
    """Measure every mode of a run; writes nothing but the cache of expert drives.

    Raises:
        UserError: the run, or something that the options ask for by name, cannot be used.
    """
    # What can be refused is refused before the run is read and long before anything is driven.
    conditions = parse_requirements(config.require) if config.require is not None else []
    check_confidence(config.confidence)
    check_seed(config.seed)
    check_action_noise(config.action_noise)
    for name in ("window_every", "threads", "worlds", "steps"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')} is {value}; expected at least 1")
    if config.out is not None:
        check_folder(config.out, "the report")
    layouts = held_out_layouts(config.layouts)
    own = own_figures(config.figure)
    _check_experts(config)
    run = load_run(config.run)
    policy = load_policy(run, config.device).reset(config.seed)
    policy.check_temperature(config.temperature)
    pair = parse_blend(config.blend, policy.modes) if config.blend is not None else None
    work = Work(config, run, policy, conditions, pair, layouts=layouts, own=own)
    check_disjoint(layouts, run.info.get("layout_seeds"))
    _load_data(work)
    with one_thread():
        _sort_data(work)
        _drive(work)
        if not work.modes and (config.require is not None or pair is not None):
            option = "--require" if config.require is not None else "--blend"
            reason = next(line for line in work.left_out if line.startswith(DRIVEN)).removeprefix(DRIVEN)
            raise UserError(f"{option} needs the modes to drive{reason}")
        data = as_data(work)
    return Report(data, work.modes, work.experts, work.agreement, work.latent, typical_episodes(work))


def simulator_missing() -> str | None:
    """Which package of the simulator is not installed; None where both are."""
    return next((name for name in ("safety_gymnasium", "mujoco") if importlib.util.find_spec(name) is None), None)


def _check_experts(config: ModesConfig) -> None:
    from experts.registry import check_labels, find_class
    from experts.switching import members

    for spec in config.expert:
        for member in members(spec):
            find_class(member)
    check_labels(config.expert)


def _load_data(work: Work) -> None:
    trained_on, named = work.run.info["dataset"], work.config.dataset
    without = "clustering, leak, exemplars, sensors, the map of the windows"
    try:
        if named is not None:
            work.dataset = load_dataset(named, work.config.root or recorded_root(work.run.info))
        else:
            work.dataset = load_source(work.run.info, work.config.root)
    except UserError as error:
        if named is not None:
            raise
        work.left_out.append(f"{without}: {error}")
        return
    if named is None and work.dataset.checksum != trained_on["checksum"]:
        work.left_out.append(f"{without}: {trained_on['name']} is no longer what the run was trained on")
        work.dataset = None


def _sort_data(work: Work) -> None:
    from mode_imitation.worlds.safety.tasks import is_safety

    if work.dataset is None:
        return
    every = work.config.window_every
    with progress("sorting the data into modes", len(work.dataset), "episodes") as shown:
        work.found = sort_dataset(work.policy.model, work.dataset, every=every, progress=shown)
    work.latent = make_latent_map(work.policy.model, work.dataset, work.found, seed=work.config.seed)
    labels = work.dataset.labels
    if labels is None:
        work.left_out.append("clustering and each mode's expert: the dataset has no labels")
    elif take_turns(work.dataset):
        span = work.policy.model.config.window.span
        of_window = drivers_of_windows(work.dataset, work.found, span)
        work.agreement = compare_with_labels(work.found, labels, n_modes=work.policy.n_modes, of_window=of_window)
        if work.config.dataset is None:
            work.turns = turn_scores(codes_of_steps(work.run.info, work.dataset, span), work.dataset)
    else:
        work.agreement = compare_with_labels(work.found, labels, n_modes=work.policy.n_modes, held_out=held_out(work))
    if not has_lidar(work.dataset) and (not work.dataset.env_id or is_safety(work.dataset.env_id)):
        work.left_out.append("figures in the arena: the dataset does not say which observations are lidar")


def _drive(work: Work) -> None:
    config = work.config
    env_id = config.env or work.run.info.get("env_id")
    missing = simulator_missing()
    from mode_imitation.worlds.safety.tasks import is_safety

    if missing and is_safety(str(env_id)):
        work.left_out.append(f"{DRIVEN}: the simulator's {missing} is not installed")
        return
    if not env_id:
        work.left_out.append(f"{DRIVEN}: the data names no environment; give one with --env")
        return
    if config.env is None and ":" in str(env_id):
        # Data must not decide which code is run.
        work.left_out.append(
            f"{DRIVEN}: the data come from {env_id}, which is code to run; say --env {env_id} to run it"
        )
        return
    try:
        env = _make_worlds(work, env_id)
    except UserError as error:
        # An environment that nobody asked for (the data's own, of another simulator say) is no reason to stop.
        if config.env is not None:
            raise
        work.left_out.append(f"{DRIVEN}: {error}")
        return
    try:
        work.steps = (env.max_episode_steps or UNKNOWN_LENGTH) if config.steps is None else config.steps
        work.robot, work.time_step = env.robot, env.time_step
        total = len(work.layouts) * work.steps
        with progress("driving the modes", total * work.policy.n_modes, "steps") as shown:
            work.modes = run_modes(
                work.policy, env, work.layouts, work.steps, temperature=config.temperature, progress=shown
            )
        specs = _expert_specs(work)
        with progress("driving the experts", total * len(specs), "steps") as shown:
            work.experts = run_experts(
                specs,
                env,
                work.layouts,
                work.steps,
                action_noise=config.action_noise,
                seed=config.seed,
                # What is cached keeps no observations, which a user's own figure may look at.
                cache=None if work.own else cache_folder(work.run.path),
                progress=shown,
            )
        if work.pair is not None:
            layouts = held_out_layouts(min(config.layouts, MOST_BLEND_LAYOUTS), block="tuning")
            with progress("driving the blends", len(layouts) * work.steps * len(WEIGHTS), "steps") as shown:
                work.blend = drive_blend(
                    work.policy,
                    env,
                    work.pair,
                    layouts,
                    work.steps,
                    temperature=config.temperature,
                    seed=config.seed,
                    progress=shown,
                )
    finally:
        env.close()


def _make_worlds(work: Work, env_id: str) -> "World":
    from mode_imitation.worlds.protocol import open_worlds

    wanted = len(work.layouts) * work.policy.n_modes
    env = open_worlds(env_id, min(wanted, work.config.worlds), threads=work.config.threads)
    try:
        check_env(work.policy, env)
    except UserError:
        env.close()
        raise
    return env


def _expert_specs(work: Work) -> list[str]:
    """The experts to compare with: the ones asked for, else those that the dataset names and that can be found."""
    if work.config.expert:
        return list(work.config.expert)
    from experts.registry import expert_names

    labels = drivers(work.dataset) if work.dataset and work.dataset.labels else []
    # A user's own file is only run when it is named here: a dataset must not decide which code is run.
    unknown = [label for label in labels if label not in expert_names()]
    if unknown:
        where = "--expert file.py:Class"
        work.left_out.append(f"{', '.join(unknown)} on the same layouts: say where the class is with {where}")
    return [label for label in labels if label in expert_names()]


def cache_folder(run: Path) -> Path:
    """Where the drives of experts are kept for all runs beside this one."""
    return run.resolve().parent / CACHE_FOLDER
