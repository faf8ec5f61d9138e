"""The report card of a run: what each mode is, how it drives on held-out layouts, and how modes agree with labels.

What cannot be known is left out and said so in `left_out`: without a simulator nothing drives, without labels there is
no clustering, without positions no motion.
"""

import importlib.util
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import numpy as np

from mode_imitation.atomic import check_folder
from mode_imitation.config_checks import check_action_noise, check_seed
from mode_imitation.data.dataset import load_dataset
from mode_imitation.data.episodes import Episode
from mode_imitation.data.spaces import of_kind
from mode_imitation.data.text import vocabulary_of
from mode_imitation.errors import UserError
from mode_imitation.model.batches import FlatEpisodes, TrainingData
from mode_imitation.model.threads import one_thread
from mode_imitation.progress import progress
from mode_imitation.reports import guarantees
from mode_imitation.reports.closed_loop import (
    WEIGHTS,
    Drive,
    check_env,
    drive_blend,
    parse_blend,
    run_experts,
    run_modes,
)
from mode_imitation.reports.clustering import compare_with_labels, exemplar_episodes, exemplars, sort_dataset
from mode_imitation.reports.config import ModesConfig
from mode_imitation.reports.describe import UNKNOWN, contrasts, describe_modes, traits
from mode_imitation.reports.distinctions import distinctions
from mode_imitation.reports.drives import environment_of, length_of
from mode_imitation.reports.guarantees import SIDES, Condition, Guarantee, check_confidence, parse_requirements
from mode_imitation.reports.latent_map import make_latent_map
from mode_imitation.reports.layouts import check_disjoint, held_out_layouts
from mode_imitation.reports.motion import (
    DRIVING_DIRECTION,
    FIGURES,
    Motion,
    column,
    columns,
    in_arena,
    intervals,
    means,
    measure,
)
from mode_imitation.reports.own_figures import own_figures
from mode_imitation.reports.reactions import reactions_of_modes
from mode_imitation.reports.report_data import (
    BestGoalMode,
    Figures,
    LeakEntry,
    ModeEntry,
    Report,
    ReportData,
    Requirements,
    Terms,
)
from mode_imitation.reports.statistics import bootstrap, bootstrap_ratio
from mode_imitation.reports.text import TextOfMode, as_the_run_reads, texts_of_modes
from mode_imitation.reports.turns import codes_of_steps, drivers, drivers_of_windows, take_turns, turn_scores
from mode_imitation.steering.policy import load_policy
from mode_imitation.training.diagnostics import measure_leak
from mode_imitation.training.run_folder import load_run
from mode_imitation.training.sources import load_trained_on, recorded_root

if TYPE_CHECKING:
    from mode_imitation.worlds.protocol import World

DRIVEN = "how the modes drive (goals, cost, return, motion)"
SORTED = "clustering, leak, exemplars, sensors, the map of the windows"
MOST_BLEND_LAYOUTS = 20
"""For the blends, of which there are eleven."""
TOLD = 3
"""Words that a mode on texts is described by."""
EXEMPLARS = 3
"""Windows and episodes of the dataset shown for each mode."""


def make_report(config: ModesConfig) -> Report:
    """Measure every mode of a run; writes nothing.

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
    check_disjoint(layouts, run.info.get("layout_seeds"))
    data = ReportData(
        run=run.path.name,
        dataset=run.info["dataset"]["name"],
        env_id=config.env or run.info.get("env_id"),
        n_modes=policy.n_modes,
        n_codes=policy.n_codes,
        own_figures=list(own),
        settings={
            "temperature": config.temperature,
            "action_noise": config.action_noise,
            "seed": config.seed,
            "window_every": config.window_every,
            "objective": (run.info.get("config") or {}).get("objective"),
            "context": policy.model.config.context,
            "memory": policy.model.config.memory,
        },
    )
    report = Report(config, run, policy, data, own, vocabulary=vocabulary_of(run.info))
    _load_data(report)
    with one_thread():
        _sort_data(report)
        # A text has no world: what its modes do is what they write.
        reason = None if report.vocabulary else _drive_worlds(report, layouts, pair)
        if report.vocabulary and (config.require is not None or pair is not None):
            raise UserError("--require and --blend need the modes to drive; the run is on texts, leave them out")
        if reason is not None:
            data.leave_out(f"{DRIVEN}: {reason}")
            if config.require is not None or pair is not None:
                option = "--require" if config.require is not None else "--blend"
                raise UserError(f"{option} needs the modes to drive: {reason}")
        bounds = _guarantee(report, conditions)
        _measure_leak(report)
        data.modes = _mode_entries(report, bounds)
        data.best_goal_mode = _best_goal_mode(report)
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
    info, named, root = report.run.info, report.config.dataset, report.config.root
    try:
        if named is not None:
            report.dataset = load_dataset(named, root or recorded_root(info))
        else:
            report.dataset = load_trained_on(info, root)
        if report.vocabulary:
            report.dataset = as_the_run_reads(report.dataset, report.vocabulary)
        report.data.dataset = report.dataset.name
    except UserError as error:
        if named is not None:
            raise
        report.data.leave_out(f"{SORTED}: {error}")


def _sort_data(report: Report) -> None:
    from mode_imitation.worlds.safety.tasks import is_safety

    data, dataset, policy, config = report.data, report.dataset, report.policy, report.config
    if dataset is None:
        return
    with progress("sorting the data into modes", len(dataset), "episodes") as shown:
        found = sort_dataset(policy.model, dataset, every=config.window_every, progress=shown)
    report.found = found
    report.latent = make_latent_map(policy.model, dataset, found, seed=config.seed)
    labels, span = dataset.labels, policy.model.config.window.span
    if labels is None:
        data.leave_out("clustering and each mode's expert: the dataset has no labels")
    elif take_turns(dataset):
        of_window = drivers_of_windows(dataset, found, span)
        report.agreement = compare_with_labels(found, labels, of_window=of_window)
        if config.dataset is None:
            data.turns = turn_scores(codes_of_steps(report.run.info, dataset, span), dataset)
    else:
        report.agreement = compare_with_labels(found, labels, held_out=report.held_out)
    if report.agreement:
        data.clustering = report.agreement.scores
        tables = report.agreement.tables.items()
        data.confusion = {unit: {"labels": one.labels, "counts": one.counts.tolist()} for unit, one in tables}
    if not of_kind(dataset.sensors, "ring") and is_safety(dataset.env_id or ""):
        data.leave_out("figures in the arena: the dataset does not say which observations are lidar")


def _drive_worlds(report: Report, layouts: list[int], pair: tuple[int, int] | None) -> str | None:
    """Drive modes, experts and blends; the reason where nothing can be driven."""
    from mode_imitation.worlds.protocol import open_worlds
    from mode_imitation.worlds.safety.tasks import is_safety

    config, missing = report.config, simulator_missing()
    if missing and is_safety(str(report.data.env_id)):
        return f"the simulator's {missing} is not installed"
    n_worlds = min(len(layouts) * report.policy.n_modes, config.worlds)
    with ExitStack() as opened:
        try:
            spec = environment_of(report.run, config.env)
            env = opened.enter_context(closing(open_worlds(spec, n_worlds, threads=config.threads)))
            check_env(report.policy, env)
        except UserError as error:
            # An environment that nobody asked for (the data's own, of another simulator say) is no reason to stop.
            if config.env is not None:
                raise
            return str(error)
        _drive(report, env, layouts, pair)
    return None


def _drive(report: Report, env: "World", layouts: list[int], pair: tuple[int, int] | None) -> None:
    config, data, policy = report.config, report.data, report.policy
    report.robot, report.time_step = env.robot, env.time_step
    steps, hot, seed = length_of(env, config.steps), config.temperature, config.seed
    with progress("driving the modes", len(layouts) * steps * policy.n_modes, "steps") as shown:
        report.modes = run_modes(policy, env, layouts, steps, temperature=hot, progress=shown)
    specs = _expert_specs(report)
    with progress("driving the experts", len(layouts) * steps * len(specs), "steps") as shown:
        report.experts = run_experts(
            specs, env, layouts, steps, action_noise=config.action_noise, seed=seed, progress=shown
        )
    data.experts = {name: _figures(drives, report) for name, drives in report.experts.items()}
    data.layouts, data.steps = layouts, steps
    if pair is not None:
        tuning = held_out_layouts(min(len(layouts), MOST_BLEND_LAYOUTS), block="tuning")
        with progress("driving the blends", len(tuning) * steps * len(WEIGHTS), "steps") as shown:
            data.blend = drive_blend(policy, env, pair, tuning, steps, temperature=hot, seed=seed, progress=shown)


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
        report.data.leave_out(f"{', '.join(unknown)} on the same layouts: say where the class is with {where}")
    return [label for label in labels if label in expert_names()]


def _guarantee(report: Report, conditions: list[Condition]) -> dict[int, dict[str, Guarantee | None]]:
    """Bounds of every mode that was driven, and which modes meet the conditions."""
    data, robot, confidence = report.data, report.robot, report.config.confidence
    values = {mode: columns([drive.motion for drive in drives], SIDES) for mode, drives in report.modes.items()}
    bounds = {
        mode: guarantees.guarantees_of(
            figures,
            steps=data.steps or 0,
            robot=robot,
            time_step=report.time_step,
            confidence=confidence,
            n_modes=data.n_modes,
        )
        for mode, figures in values.items()
    }
    top_speed = guarantees.TOP_SPEED.get(robot or "")
    for figure in SIDES:
        lacking = [mode for mode, own in bounds.items() if values[mode][figure] is not None and not own[figure]]
        if lacking:
            where = "" if len(lacking) == len(bounds) else f" (mode {', '.join(map(str, lacking))})"
            whose = f"the robot {robot}" if robot else "this world"
            unknown = figure == "return" and top_speed is None
            why = f"of {whose} it is not known how low it can be" if unknown else "a drive went beyond its bounds"
            data.leave_out(f"guarantees of the {figure}{where}: {why}")
    if any(bound for own in bounds.values() for bound in own.values()):
        least = f", and {guarantees.LEAST_RETURN.format(speed=top_speed)}" if top_speed else ""
        data.guarantees = Terms(confidence, f"{guarantees.ASSUMPTIONS}{least}.")
    if conditions:
        verdicts = guarantees.judge(conditions, bounds, values)
        data.requirements = Requirements([str(condition) for condition in conditions], verdicts)
    return bounds


def _best_goal_mode(report: Report) -> BestGoalMode | None:
    def most(sides: Mapping[Any, Sequence[Drive]]) -> tuple[Any, np.ndarray]:
        goals = {name: column([drive.motion for drive in drives], "goals") for name, drives in sides.items()}
        known = {name: values for name, values in goals.items() if values is not None}
        return max(known.items(), key=lambda item: item[1].mean(), default=(None, np.zeros(0)))

    (mode, goals), (expert, reached) = most(report.modes), most(report.experts)
    if mode is None or expert is None:
        return None
    ratio = bootstrap_ratio(goals, reached, seed=report.config.seed)
    return ratio and BestGoalMode(mode, float(goals.mean()), expert, float(reached.mean()), ratio)


def _measure_leak(report: Report) -> None:
    if report.dataset is None:
        return
    model, trained = report.policy.model, report.run.info.get("config") or {}
    episodes = report.held_out or range(len(report.dataset))
    flat, segment = FlatEpisodes.of(report.dataset, episodes), trained.get("segment")
    try:
        data = TrainingData(flat, model.config.window, segment, report.policy.device)
        leak = measure_leak(model, data, int(trained.get("pool") or 1), seed=report.config.seed)
    except UserError as error:
        report.data.leave_out(f"leak: {error}")
        return
    report.data.leak = LeakEntry(*leak, n_episodes=len(episodes), held_out=bool(report.held_out))


def _mode_entries(report: Report, bounds: Mapping[int, dict[str, Guarantee | None]]) -> list[ModeEntry]:
    policy, dataset, found, seed = report.policy, report.dataset, report.found, report.config.seed
    driven = {mode: [drive.motion for drive in drives] for mode, drives in report.modes.items()}
    episodes = _episodes_of_modes(report)
    motions = driven or {mode: _motions(report, own) for mode, own in episodes.items()}
    typical = {mode: means(motions[mode]) for mode in policy.modes}
    sentences = dict(zip(policy.modes, describe_modes(list(typical.values())), strict=True))
    if UNKNOWN in sentences.values() and not report.vocabulary:
        told = distinctions(episodes, policy.model.config.action_space, dataset.sensors if dataset else None)
        sentences |= {mode: words for mode, words in told.items() if words and sentences[mode] == UNKNOWN}
    texts: dict[int, TextOfMode] = {}
    if report.vocabulary:
        texts = texts_of_modes(policy, report.vocabulary, episodes, report.config.temperature)
        sentences |= {mode: f"writes {', '.join(own.words[:TOLD]) or 'as all do'}" for mode, own in texts.items()}
    # Of the same layouts alone: a dataset's episodes are no pairs.
    apart = contrasts({mode: columns(own, FIGURES) for mode, own in driven.items()}, seed=seed)
    reactions: dict[int, dict[str, float]] = {}
    if dataset is not None and found is not None and not report.vocabulary:
        reactions = reactions_of_modes(policy, dataset, found.episode_codes, seed=seed)
    experts: list[str | None] = [None] * policy.n_codes
    if report.agreement:
        # The label that most of a mode's episodes have; where it has no episodes, most of its windows.
        by_window, episodes = report.agreement.windows.matched_labels(), report.agreement.episodes
        by_episode = episodes.matched_labels() if episodes else by_window
        experts = [episode or window for episode, window in zip(by_episode, by_window, strict=True)]
    return [
        ModeEntry(
            mode=mode,
            share=float(policy.shares[mode]),
            description=sentences[mode],
            traits=traits(typical[mode]),
            contrasts=apart.get(mode, []),
            expert=experts[mode],
            figures=_figures(report.modes.get(mode, []), report),
            reactions=reactions.get(mode),
            exemplars=exemplars(found, mode, EXEMPLARS) if found else [],
            exemplar_episodes=exemplar_episodes(found, mode, EXEMPLARS) if found else [],
            guarantees=bounds.get(mode),
            text=texts.get(mode),
        )
        for mode in policy.modes
    ]


def _episodes_of_modes(report: Report) -> dict[int, list[Episode]]:
    """What each mode drove, or else the dataset's episodes that were sorted into it."""
    modes, dataset, found = report.policy.modes, report.dataset, report.found
    if report.modes:
        return {mode: [drive.episode for drive in drives] for mode, drives in report.modes.items()}
    if dataset is None or found is None:
        return {mode: [] for mode in modes}
    return {mode: [dataset.episodes[index] for index in np.flatnonzero(found.episode_codes == mode)] for mode in modes}


def _motions(report: Report, episodes: Sequence[Episode]) -> list[Motion]:
    """Figures of a dataset's episodes."""
    if report.dataset is None:
        return []
    env_id, time_step = report.dataset.env_id or "", float(report.dataset.metadata.get("time_step") or 1.0)
    direction = next((angle for robot, angle in DRIVING_DIRECTION.items() if env_id.startswith(f"Safety{robot}")), 0.0)
    return [
        measure(
            episode,
            time_step=time_step,
            driving_direction=direction,
            in_arena=in_arena(episode.observations, report.dataset.sensors),
        )
        for episode in episodes
    ]


def _figures(drives: Sequence[Drive], report: Report) -> Figures:
    """Every figure of drives and, where there are any, the user's own."""
    seed = report.config.seed
    found = intervals([drive.motion for drive in drives], seed=seed)
    found["length"] = found.pop("steps")
    own = report.own.items() if drives else ()
    return found | {name: bootstrap([figure(one.episode) for one in drives], seed=seed) for name, figure in own}
