"""The report card of a run: what each mode is, how it drives on held-out layouts, and how modes agree with labels.

What cannot be known is left out and said so in `left_out`: without a simulator nothing drives, without labels there is
no clustering, without positions no motion.
"""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mode_imitation.data.dataset import TrajectoryDataset, in_arena, load_dataset
from mode_imitation.errors import UserError
from mode_imitation.evaluation.closed_loop import Drive, check_env, run_experts, run_modes
from mode_imitation.evaluation.clustering import (
    Agreement,
    SortedDataset,
    compare_with_labels,
    exemplars,
    has_lidar,
    sort_dataset,
)
from mode_imitation.evaluation.config import ModesConfig
from mode_imitation.evaluation.describe import UNKNOWN, describe_modes
from mode_imitation.evaluation.expert_cache import FOLDER as CACHE_FOLDER
from mode_imitation.evaluation.layouts import check_disjoint, held_out_layouts
from mode_imitation.evaluation.leak import measure_leak
from mode_imitation.evaluation.motion import DRIVING_DIRECTION, FIGURES, Motion, column, means, measure
from mode_imitation.evaluation.statistics import bootstrap, bootstrap_ratio
from mode_imitation.progress import progress
from mode_imitation.steering.policy import Policy, load_policy
from mode_imitation.steering.threads import one_thread
from mode_imitation.training.run_folder import Run, load_run
from mode_imitation.versions import platform_name, versions

if TYPE_CHECKING:
    from mode_imitation.simulation import NavigationVectorEnv

EXEMPLARS = 3
"""Windows shown for each mode."""
DRIVEN = "how the modes drive (goals, cost, return, motion)"
UNTIMED = [name for name in FIGURES if name not in ("speed", "turn_rate", "turning")]
"""Figures that need no seconds per step, which a dataset does not state."""


@dataclass
class Report:
    """What `modes` found."""

    data: dict[str, Any]
    """What report.json holds."""
    modes: dict[int, list[Drive]] = field(default_factory=dict)
    """Each mode on every layout; empty without a simulator."""
    experts: dict[str, list[Drive]] = field(default_factory=dict)
    agreement: Agreement | None = None


@dataclass
class _Work:
    """What the steps of a report hand to each other."""

    config: ModesConfig
    run: Run
    policy: Policy
    left_out: list[str] = field(default_factory=list)
    dataset: TrajectoryDataset | None = None
    found: SortedDataset | None = None
    agreement: Agreement | None = None
    modes: dict[int, list[Drive]] = field(default_factory=dict)
    experts: dict[str, list[Drive]] = field(default_factory=dict)
    layouts: list[int] = field(default_factory=list)
    steps: int | None = None


def make_report(config: ModesConfig) -> Report:
    """Measure every mode of a run; writes nothing but the cache of expert drives.

    Raises:
        UserError: the run, or something that the options ask for by name, cannot be used.
    """
    run = load_run(config.run)
    work = _Work(config, run, load_policy(run, config.device).reset(config.seed))
    work.policy.check_temperature(config.temperature)
    for name in ("window_every", "threads", "worlds"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')} is {value}; expected at least 1")
    if config.out is not None and config.out.exists() and not config.out.is_dir():
        raise UserError(f"{config.out} is a file; expected a folder for the report; choose another --out")
    work.layouts = held_out_layouts(config.layouts)
    check_disjoint(work.layouts, run.info.get("layout_seeds"))
    _load_data(work)
    with one_thread():
        _sort_data(work)
        _drive(work)
        return Report(_as_data(work), work.modes, work.experts, work.agreement)


def simulator_missing() -> str | None:
    """Which package of the simulator is not installed; None where both are."""
    return next((name for name in ("safety_gymnasium", "mujoco") if importlib.util.find_spec(name) is None), None)


def _load_data(work: _Work) -> None:
    trained_on, source = work.run.info["dataset"], work.run.info.get("source") or {}
    name = work.config.dataset or source.get("name") or trained_on["name"]
    try:
        work.dataset = load_dataset(name, work.config.root or source.get("root"))
    except UserError as error:
        if work.config.dataset is not None:
            raise
        work.left_out.append(f"clustering, leak, exemplars: {error}")
        return
    if work.config.dataset is None and work.dataset.checksum != trained_on["checksum"]:
        work.left_out.append(f"clustering, leak, exemplars: {name} is no longer what the run was trained on")
        work.dataset = None


def _sort_data(work: _Work) -> None:
    if work.dataset is None:
        return
    every = work.config.window_every
    with progress("sorting the data into modes", len(work.dataset), "episodes") as shown:
        work.found = sort_dataset(work.policy.model, work.dataset, every=every, progress=shown)
    labels = work.dataset.labels
    if labels is None:
        work.left_out.append("clustering and each mode's expert: the dataset has no labels")
    else:
        work.agreement = compare_with_labels(work.found, labels, n_modes=work.policy.n_modes, held_out=_held_out(work))
    if not has_lidar(work.dataset):
        work.left_out.append("figures in the arena: the dataset does not say which observations are lidar")


def _drive(work: _Work) -> None:
    config = work.config
    env_id = config.env or work.run.info.get("env_id")
    missing = simulator_missing()
    if missing:
        work.left_out.append(f"{DRIVEN}: the simulator's {missing} is not installed")
        return
    if not env_id:
        work.left_out.append(f"{DRIVEN}: the data names no environment; give one with --env")
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
        work.steps = env.max_episode_steps if config.steps is None else config.steps
        total = len(work.layouts) * max(work.steps, 1)
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
                cache=cache_folder(work.run.path),
                progress=shown,
            )
    finally:
        env.close()


def _make_worlds(work: _Work, env_id: str) -> "NavigationVectorEnv":
    from mode_imitation.simulation import make_vec

    wanted = len(work.layouts) * work.policy.n_modes
    env = make_vec(env_id, min(wanted, work.config.worlds), threads=work.config.threads)
    try:
        check_env(work.policy, env)
    except UserError:
        env.close()
        raise
    return env


def _expert_specs(work: _Work) -> list[str]:
    """The experts to compare with: the ones asked for, else those that the dataset names and that can be found."""
    if work.config.expert:
        return list(work.config.expert)
    from experts.registry import expert_names

    labels = dict.fromkeys(work.dataset.labels or ()) if work.dataset else {}
    # A user's own file is only run when it is named here: a dataset must not decide which code is run.
    unknown = [label for label in labels if label not in expert_names()]
    if unknown:
        where = "--expert file.py:Class"
        work.left_out.append(f"{', '.join(unknown)} on the same layouts: say where the class is with {where}")
    return [label for label in labels if label in expert_names()]


def _held_out(work: _Work) -> list[int]:
    """Episodes that training did not see; none where another dataset is looked at."""
    assert work.dataset is not None
    indices = [] if work.config.dataset else work.run.info.get("held_out_episodes") or []
    return [index for index in indices if 0 <= index < len(work.dataset)]


def _as_data(work: _Work) -> dict[str, Any]:
    modes = _mode_entries(work)
    clustering = work.agreement.scores if work.agreement else None
    data: dict[str, Any] = {
        "run": work.run.path.name,
        "dataset": work.dataset.name if work.dataset else work.run.info["dataset"]["name"],
        "env_id": work.config.env or work.run.info.get("env_id"),
        "n_modes": work.policy.n_modes,
        "n_codes": work.policy.n_codes,
        "modes": modes,
        "experts": {name: _intervals([d.motion for d in drives], work) for name, drives in work.experts.items()},
        "best_goal_mode": _best_goal_mode(work),
        "clustering": clustering,
        "confusion": work.agreement
        and {"windows": work.agreement.windows.as_dict(), "episodes": work.agreement.episodes.as_dict()},
        "leak": _leak(work),
        "layouts": work.layouts if work.modes else [],
        "steps": work.steps if work.modes else None,
        "settings": {
            "temperature": work.config.temperature,
            "action_noise": work.config.action_noise,
            "seed": work.config.seed,
            "window_every": work.config.window_every,
            "objective": (work.run.info.get("config") or {}).get("objective"),
            "context": work.policy.model.config.context,
        },
        "left_out": [f"left out: {line}" for line in work.left_out],
        "versions": versions(),
        "platform": platform_name(),
    }
    return data


def _mode_entries(work: _Work) -> list[dict[str, Any]]:
    demonstrations = {mode: _demonstrations(work, mode) for mode in work.policy.modes}
    if work.modes:
        sentences = describe_modes([means([d.motion for d in work.modes[mode]]) for mode in work.policy.modes])
    else:
        sentences = describe_modes([means(demonstrations[mode]) for mode in work.policy.modes])
    if work.found is not None:
        sentences = [
            f"mean action {_mean_action(work, mode)}; {sentence}" if sentence == UNKNOWN else sentence
            for mode, sentence in zip(work.policy.modes, sentences, strict=True)
        ]
    experts = _matched_experts(work)
    timed = FIGURES if work.dataset and work.dataset.metadata.get("time_step") else UNTIMED
    entries = []
    for mode, sentence in zip(work.policy.modes, sentences, strict=True):
        drives = work.modes.get(mode, [])
        entries.append(
            {
                "mode": mode,
                "share": float(work.policy.shares[mode]),
                "description": sentence,
                "expert": experts[mode],
                **_intervals([drive.motion for drive in drives], work),
                "ratio_to_expert": _ratios(drives, work.experts.get(experts[mode] or "", []), work.config.seed),
                "demonstrations": _intervals(demonstrations[mode], work, timed),
                "exemplars": exemplars(work.found, mode, EXEMPLARS) if work.found else [],
            }
        )
    return entries


def _matched_experts(work: _Work) -> list[str | None]:
    """(K,) the label that most of a mode's episodes have; where it has no episodes, most of its windows."""
    if work.agreement is None:
        return [None] * work.policy.n_codes
    by_episode, by_window = work.agreement.episodes.matched_labels(), work.agreement.windows.matched_labels()
    return [episode or window for episode, window in zip(by_episode, by_window, strict=True)]


def _mean_action(work: _Work, mode: int) -> str:
    """ "(0.80, 0.01)", over the windows' first steps that were sorted into a mode."""
    assert work.dataset is not None
    assert work.found is not None
    rows = np.flatnonzero(work.found.codes == mode)
    if not len(rows):
        return "unknown"
    steps = zip(work.found.episode_of_window[rows], work.found.starts[rows], strict=True)
    mean = np.mean([work.dataset.episodes[episode].actions[start] for episode, start in steps], axis=0)
    return f"({', '.join(f'{value:.2f}' for value in mean)})"


def _demonstrations(work: _Work, mode: int) -> list[Motion]:
    """Figures of the dataset's episodes that were sorted into a mode."""
    if work.dataset is None or work.found is None:
        return []
    env_id = work.dataset.env_id or ""
    direction = next((angle for robot, angle in DRIVING_DIRECTION.items() if env_id.startswith(f"Safety{robot}")), 0.0)
    slices = work.dataset.observation_slices
    return [
        measure(
            episode,
            time_step=float(work.dataset.metadata.get("time_step") or 1.0),
            driving_direction=direction,
            in_arena=in_arena(episode.observations, slices) if has_lidar(work.dataset) else None,
        )
        for episode, code in zip(work.dataset.episodes, work.found.episode_codes, strict=True)
        if code == mode
    ]


def _intervals(motions: Sequence[Motion], work: _Work, figures: Sequence[str] = FIGURES) -> dict[str, Any]:
    """{figure: {mean, low, high, n}}, None for what is not known."""
    columns = {figure: column(motions, figure) for figure in figures if figure != "steps"}
    return {
        name: None if values is None else bootstrap(values, seed=work.config.seed).as_dict()
        for name, values in columns.items()
    }


def _ratios(drives: Sequence[Drive], reference: Sequence[Drive], seed: int) -> dict[str, Any]:
    """A mode's goals and return over its expert's, on the same layouts; None where the expert has none."""
    found: dict[str, Any] = {}
    for figure in ("goals", "return"):
        values, expert = (column([drive.motion for drive in side], figure) for side in (drives, reference))
        ratio = bootstrap_ratio(values, expert, seed=seed) if values is not None and expert is not None else None
        found[figure] = ratio.as_dict() if ratio and np.isfinite([ratio.mean, ratio.low, ratio.high]).all() else None
    return found


def _best_goal_mode(work: _Work) -> dict[str, Any] | None:
    """The mode with the most goals beside the expert with the most."""
    goals = {mode: column([drive.motion for drive in drives], "goals") for mode, drives in work.modes.items()}
    known = {mode: values for mode, values in goals.items() if values is not None}
    if not known:
        return None
    best = max(known, key=lambda mode: known[mode].mean())
    experts = {name: column([drive.motion for drive in drives], "goals") for name, drives in work.experts.items()}
    reached = {name: values for name, values in experts.items() if values is not None}
    expert = max(reached, key=lambda name: reached[name].mean()) if reached else None
    ratio = bootstrap_ratio(known[best], reached[expert], seed=work.config.seed) if expert else None
    return {
        "mode": best,
        "goals": float(known[best].mean()),
        "expert": expert,
        "expert_goals": float(reached[expert].mean()) if expert else None,
        "ratio": ratio.as_dict() if ratio else None,
    }


def _leak(work: _Work) -> dict[str, float] | None:
    if work.dataset is None:
        return None
    unseen = _held_out(work) or range(len(work.dataset))
    episodes = [work.dataset.episodes[index] for index in unseen]
    config: Mapping[str, Any] = work.run.info.get("config") or {}
    pool = int(config.get("pool") or 1)
    leak = measure_leak(
        work.policy.model,
        episodes,
        pool=pool,
        segment=config.get("segment"),
        every=work.config.window_every,
        seed=work.config.seed,
    )
    return leak.as_dict() | {"n_episodes": len(episodes), "held_out": bool(_held_out(work))}


def cache_folder(run: Path) -> Path:
    """Where the drives of experts are kept for all runs beside this one."""
    return run.resolve().parent / CACHE_FOLDER
