"""The report card of a run: what each mode is, how it drives on held-out layouts, and how modes agree with labels.

What cannot be known is left out and said so in `left_out`: without a simulator nothing drives, without labels there is
no clustering, without positions no motion.
"""

import importlib.util
from typing import TYPE_CHECKING

from mode_imitation.atomic import check_folder
from mode_imitation.config_checks import check_action_noise, check_seed
from mode_imitation.data.dataset import load_dataset
from mode_imitation.data.spaces import of_kind
from mode_imitation.errors import UserError
from mode_imitation.model.threads import one_thread
from mode_imitation.progress import progress
from mode_imitation.reports.blends import WEIGHTS, drive_blend, parse_blend
from mode_imitation.reports.closed_loop import check_env, run_experts, run_modes
from mode_imitation.reports.clustering import compare_with_labels, sort_dataset
from mode_imitation.reports.config import ModesConfig
from mode_imitation.reports.drives import length_of
from mode_imitation.reports.expert_cache import FOLDER as CACHE_FOLDER
from mode_imitation.reports.guarantees import check_confidence, parse_requirements
from mode_imitation.reports.latent_map import make_latent_map
from mode_imitation.reports.layouts import check_disjoint, held_out_layouts
from mode_imitation.reports.own_figures import own_figures
from mode_imitation.reports.report_data import Report, data_of
from mode_imitation.reports.turns import codes_of_steps, drivers, drivers_of_windows, take_turns, turn_scores
from mode_imitation.steering.policy import load_policy
from mode_imitation.training.run_folder import load_run
from mode_imitation.training.sources import load_source, recorded_root

if TYPE_CHECKING:
    from mode_imitation.worlds.protocol import World

__all__ = ["Report", "make_report", "simulator_missing"]

DRIVEN = "how the modes drive (goals, cost, return, motion)"
SORTED = "clustering, leak, exemplars, sensors, the map of the windows"
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
    own = {figure.name: figure for figure in own_figures(config.figure)}
    _check_experts(config)
    run = load_run(config.run)
    policy = load_policy(run, config.device).reset(config.seed)
    policy.check_temperature(config.temperature)
    pair = parse_blend(config.blend, policy.modes) if config.blend is not None else None
    report = Report(config, run, policy, conditions, pair, own, layouts)
    check_disjoint(layouts, run.info.get("layout_seeds"))
    _load_data(report)
    with one_thread():
        _sort_data(report)
        reason = _why_not_driven(report)
        if reason is not None:
            report.left_out.append(f"{DRIVEN}: {reason}")
            if config.require is not None or pair is not None:
                option = "--require" if config.require is not None else "--blend"
                raise UserError(f"{option} needs the modes to drive: {reason}")
        report.data = data_of(report)
    return report


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


def _load_data(report: Report) -> None:
    info, named = report.run.info, report.config.dataset
    if named is not None:
        report.dataset = load_dataset(named, report.config.root or recorded_root(info))
        return
    try:
        found = load_source(info, report.config.root)
    except UserError as error:
        report.left_out.append(f"{SORTED}: {error}")
        return
    if found.checksum == info["dataset"]["checksum"]:
        report.dataset = found
    else:
        report.left_out.append(f"{SORTED}: {info['dataset']['name']} is no longer what the run was trained on")


def _sort_data(report: Report) -> None:
    from mode_imitation.worlds.safety.tasks import is_safety

    dataset, policy, config = report.dataset, report.policy, report.config
    if dataset is None:
        return
    with progress("sorting the data into modes", len(dataset), "episodes") as shown:
        found = sort_dataset(policy.model, dataset, every=config.window_every, progress=shown)
    report.found = found
    report.latent = make_latent_map(policy.model, dataset, found, seed=config.seed)
    labels = dataset.labels
    if labels is None:
        report.left_out.append("clustering and each mode's expert: the dataset has no labels")
    elif take_turns(dataset):
        span = policy.model.config.window.span
        of_window = drivers_of_windows(dataset, found, span)
        report.agreement = compare_with_labels(found, labels, n_modes=policy.n_modes, of_window=of_window)
        if config.dataset is None:
            report.turns = turn_scores(codes_of_steps(report.run.info, dataset, span), dataset)
    else:
        report.agreement = compare_with_labels(found, labels, n_modes=policy.n_modes, held_out=report.held_out)
    if not of_kind(dataset.sensors, "ring") and (not dataset.env_id or is_safety(dataset.env_id)):
        report.left_out.append("figures in the arena: the dataset does not say which observations are lidar")


def _why_not_driven(report: Report) -> str | None:
    """Drive modes, experts and blends; the reason where nothing can be driven."""
    from mode_imitation.worlds.safety.tasks import is_safety

    env_id = report.config.env or report.run.info.get("env_id")
    missing = simulator_missing()
    if missing and is_safety(str(env_id)):
        return f"the simulator's {missing} is not installed"
    if not env_id:
        return "the data names no environment; give one with --env"
    if report.config.env is None and ":" in str(env_id):
        # Data must not decide which code is run.
        return f"the data come from {env_id}, which is code to run; say --env {env_id} to run it"
    try:
        env = _make_worlds(report, env_id)
    except UserError as error:
        # An environment that nobody asked for (the data's own, of another simulator say) is no reason to stop.
        if report.config.env is not None:
            raise
        return str(error)
    try:
        _drive(report, env)
    finally:
        env.close()
    return None


def _make_worlds(report: Report, env_id: str) -> "World":
    from mode_imitation.worlds.protocol import open_worlds

    wanted = len(report.layouts) * report.policy.n_modes
    env = open_worlds(env_id, min(wanted, report.config.worlds), threads=report.config.threads)
    try:
        check_env(report.policy, env)
    except UserError:
        env.close()
        raise
    return env


def _drive(report: Report, env: "World") -> None:
    config, policy, layouts = report.config, report.policy, report.layouts
    report.robot, report.time_step = env.robot, env.time_step
    report.steps = steps = length_of(env, config.steps)
    n_steps = len(layouts) * steps
    with progress("driving the modes", n_steps * policy.n_modes, "steps") as shown:
        report.modes = run_modes(policy, env, layouts, steps, temperature=config.temperature, progress=shown)
    specs = _expert_specs(report)
    # What is cached keeps no observations, which a user's own figure may look at.
    cache = None if report.own else report.run.path.resolve().parent / CACHE_FOLDER
    with progress("driving the experts", n_steps * len(specs), "steps") as shown:
        noise, seed = config.action_noise, config.seed
        report.experts = run_experts(
            specs, env, layouts, steps, action_noise=noise, seed=seed, cache=cache, progress=shown
        )
    if report.pair is not None:
        tuning = held_out_layouts(min(config.layouts, MOST_BLEND_LAYOUTS), block="tuning")
        hot, seed = config.temperature, config.seed
        with progress("driving the blends", len(tuning) * steps * len(WEIGHTS), "steps") as shown:
            report.blend = drive_blend(
                policy, env, report.pair, tuning, steps, temperature=hot, seed=seed, progress=shown
            )


def _expert_specs(report: Report) -> list[str]:
    """The experts to compare with: the ones asked for, else those that the dataset names and that can be found."""
    from experts.registry import expert_names

    if report.config.expert:
        return list(report.config.expert)
    labels = drivers(report.dataset) if report.dataset and report.dataset.labels else []
    # A user's own file is only run when it is named here: a dataset must not decide which code is run.
    unknown = [label for label in labels if label not in expert_names()]
    if unknown:
        where = "--expert file.py:Class"
        report.left_out.append(f"{', '.join(unknown)} on the same layouts: say where the class is with {where}")
    return [label for label in labels if label in expert_names()]
