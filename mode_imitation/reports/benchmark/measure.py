"""What one trained policy, or the experts, did: raw figures per layout, which `aggregate` turns into intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mode_imitation.data.dataset import TrajectoryDataset, in_arena
from mode_imitation.data.episodes import Episode
from mode_imitation.errors import UserError
from mode_imitation.model.threads import one_thread
from mode_imitation.progress import Progress, no_progress
from mode_imitation.reports.benchmark.config import seekers
from mode_imitation.reports.benchmark.switching import Excursion, SwitchingExperts, excursions
from mode_imitation.reports.closed_loop import Drive, PolicyController, drive_policy, run_experts, run_modes
from mode_imitation.reports.clustering import compare_with_labels, sort_dataset
from mode_imitation.reports.leak import measure_leak
from mode_imitation.reports.metrics import Confusion, clustering_scores
from mode_imitation.reports.turns import drivers_of_windows, take_turns, turn_scores
from mode_imitation.steering.infer import encode_windows
from mode_imitation.steering.policy import Policy

if TYPE_CHECKING:
    from mode_imitation.worlds.safety import NavigationVectorEnv

FIGURES = (
    *("goals", "return", "cost", "straightness", "path_length"),
    *("speed", "turn_rate", "turning", "forward_share", "approach"),
)
FIDELITY_EVERY = 20
"""A window of a generated rollout is encoded at every so many steps."""


def measure_policy(
    policy: Policy,
    dataset: TrajectoryDataset,
    env: "NavigationVectorEnv",
    layouts: Sequence[int],
    n_steps: int,
    *,
    pool: int,
    held_out: Sequence[int],
    goal_expert: str,
    sampled: bool,
    switching_layouts: int,
    turn: int | None = None,
    codes: Mapping[int, np.ndarray] | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Cluster the data with a policy's encoder, drive all of its modes, and switch between them.

    Args:
        policy: of any method.
        dataset: with labels, which are used for evaluation here and nowhere else.
        env: the more worlds, the faster.
        layouts: (L,) seeds that training has not seen.
        n_steps: per episode.
        pool: windows that share a context, as in training.
        held_out: episodes that training did not see.
        goal_expert: whose mode is left and taken up again.
        sampled: whether the modes that stand for goal seekers are also driven with sampled actions.
        switching_layouts: how many of the layouts are used for switching.
        turn: steps that an expert drives before another one takes over, within which leak is judged; segments, some of
            which hold a change of driver, would make it look larger.
        codes: what training settled on for the steps of its episodes, see `turns.codes_of_steps`; where experts take
            turns these are compared with who drove.
        seed: of sampled actions.
        progress: advanced by steps.

    Returns:
        What a cell holds: n_modes, shares, clustering, matching, leak, drives, fidelity, switching, outside; and turns
        where experts take turns.
    """
    if dataset.labels is None:
        raise UserError(f"dataset {dataset.name} has no labels, and the benchmark compares with them")
    found = sort_dataset(policy.model, dataset)
    turning = take_turns(dataset)
    if turning and not codes:
        raise ValueError("experts take turns in these data: give the codes of the steps")
    agreement = compare_with_labels(
        found,
        dataset.labels,
        n_modes=policy.n_modes,
        held_out=held_out,
        of_window=drivers_of_windows(dataset, found, policy.model.config.window.span) if turning else None,
    )
    units = agreement.episodes or agreement.windows
    matching = match_experts(units)
    unseen = [dataset.episodes[index] for index in held_out] or list(dataset.episodes)
    policy.reset(seed)
    driven = run_modes(policy, env, layouts, n_steps, progress=progress)
    drives = {"mean": {str(mode): figures_of(found) for mode, found in driven.items()}}
    fidelity = steering_fidelity(policy, driven)
    few = list(layouts[:switching_layouts])
    along = {mode: Along.of(found[: len(few)], env) for mode, found in driven.items()}
    del driven
    if sampled:
        modes = sorted({matching[expert] for expert in seekers(matching)})
        again = run_modes(policy, env, layouts, n_steps, modes=modes, temperature=1.0, progress=progress)
        drives["sampled"] = {str(mode): figures_of(found) for mode, found in again.items()}
        del again
    switching, outside = {}, {}
    for excursion in excursions(list(matching), goal_expert, n_steps):
        goal, other = matching[goal_expert], matching[excursion.other]
        if goal == other:  # nothing is switched: the drive that is known already, as far as it counts
            found = along[goal]
        else:
            found = switch_modes(policy, env, few, excursion, goal, other, progress=progress)
        switching[excursion.name] = excursion.goals(found.goals_met).tolist()
        outside[excursion.name] = steps_outside(excursion, found)
    return {
        "n_modes": policy.n_modes,
        "shares": policy.shares.tolist(),
        "clustering": agreement.scores,
        "confusion": units.as_dict(),
        "matching": matching,
        "leak": measure_leak(policy.model, unseen, pool=pool, segment=turn).as_dict(),
        "drives": drives,
        "fidelity": fidelity,
        "switching": switching,
        "outside": outside,
        **({"turns": turn_scores(codes, dataset)} if turning and codes else {}),
    }


def measure_experts(
    experts: Sequence[str],
    env: "NavigationVectorEnv",
    layouts: Sequence[int],
    n_steps: int,
    *,
    goal_expert: str,
    switching_layouts: int,
    action_noise: float = 0.1,
    seed: int = 0,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """The experts on the same layouts and under the same schedules, with the action noise of their demonstrations.

    Args:
        experts: names.
        seed: of the action noise.
        env, layouts, n_steps, goal_expert, switching_layouts, progress: as in `measure_policy`.
    """
    driven = {
        name: figures_of(run_experts([name], env, layouts, n_steps, action_noise=action_noise, seed=seed)[name])
        for name in experts
    }
    few = list(layouts[:switching_layouts])
    switching, outside = {}, {}
    for excursion in excursions(experts, goal_expert, n_steps):
        found = switch_experts(
            env, few, excursion, goal_expert, action_noise=action_noise, seed=seed, progress=progress
        )
        switching[excursion.name] = excursion.goals(found.goals_met).tolist()
        outside[excursion.name] = steps_outside(excursion, found)
    return {"drives": {"mean": driven}, "switching": switching, "outside": outside}


def match_experts(units: Confusion) -> dict[str, int]:
    """The mode that most of each expert's episodes have, of its windows where experts take turns; two experts that were
    merged share one.

    Decided from the data's codes alone, never by how a mode drives.
    """
    return {label: int(row.argmax()) for label, row in zip(units.labels, units.counts, strict=True)}


def figures_of(drives: Sequence[Drive]) -> dict[str, list[float]]:
    """Every figure of FIGURES, a number a drive."""
    columns: dict[str, list[float]] = {}
    for figure in FIGURES:
        values = [drive.motion.as_dict()[figure] for drive in drives]
        columns[figure] = [float(f"{0.0 if value is None else value:.6g}") for value in values]
    return columns


def steering_fidelity(policy: Policy, driven: Mapping[int, Sequence[Drive]]) -> dict[str, float] | None:
    """Commanded mode against the mode that the policy's own encoder infers from the rollout that it produced.

    Returns:
        accuracy, the share of rollouts whose inferred mode is the commanded one, and nmi; None for a single mode, which
        cannot be told from others.
    """
    if len(driven) < 2:
        return None
    commanded, inferred = [], []
    with one_thread():
        for mode, drives in driven.items():
            for drive in drives:
                commanded.append(mode)
                inferred.append(encode_windows(policy.model, drive.episode, every=FIDELITY_EVERY).code)
    scores = clustering_scores([str(mode) for mode in commanded], np.array(inferred))
    return {"accuracy": float(np.mean(np.array(commanded) == np.array(inferred))), "nmi": scores["nmi"]}


def switch_modes(
    policy: Policy,
    env: "NavigationVectorEnv",
    layouts: Sequence[int],
    excursion: Excursion,
    goal: int,
    other: int,
    *,
    progress: Progress = no_progress,
) -> "Along":
    """What happens, step by step, when mode `goal` is left for mode `other` and taken up again."""
    schedule = excursion.schedule(goal, other)
    controller = PolicyController(policy, modes=np.tile(schedule, (len(layouts), 1)))
    return Along.of(drive_policy(controller, env, layouts, len(schedule), progress=progress), env)


def switch_experts(
    env: "NavigationVectorEnv",
    layouts: Sequence[int],
    excursion: Excursion,
    goal_expert: str,
    *,
    action_noise: float = 0.1,
    seed: int = 0,
    progress: Progress = no_progress,
) -> "Along":
    """What happens, step by step, when experts are switched."""
    from experts.registry import make_expert
    from mode_imitation.worlds.rollout import rollout
    from mode_imitation.worlds.worker import expert_setting

    setting = expert_setting(env)
    schedule = excursion.schedule(0, 1)
    controller = SwitchingExperts(
        [make_expert(goal_expert, setting), make_expert(excursion.other, setting)],
        schedule,
        [np.random.default_rng([seed, layout]) for layout in layouts],
        action_noise,
    )
    return Along.of_episodes(rollout(env, controller, layouts, len(schedule), progress=progress), env)


def steps_outside(excursion: Excursion, found: "Along") -> dict[str, list[int]]:
    """As a cell holds it: for each layout, steps with nothing within reach, and whether the drive ends so (0 or 1)."""
    steps, at_end = excursion.outside(found.in_arena)
    return {"steps": steps.tolist(), "at_end": at_end.astype(int).tolist()}


@dataclass(frozen=True)
class Along:
    """What is known of every step of some drives."""

    goals_met: np.ndarray
    """(E, T) bool"""
    in_arena: np.ndarray
    """(E, T + 1) bool, whether something is within the lidar's reach."""

    @classmethod
    def of(cls, drives: Sequence[Drive], env: "NavigationVectorEnv") -> "Along":
        return cls.of_episodes([drive.episode for drive in drives], env)

    @classmethod
    def of_episodes(cls, episodes: Sequence[Episode], env: "NavigationVectorEnv") -> "Along":
        met = [episode.goals_met for episode in episodes if episode.goals_met is not None]
        return cls(np.stack(met), np.stack([in_arena(e.observations, env.observation_slices) for e in episodes]))
