"""What one trained policy, or the experts, did: raw figures per layout, which `aggregate` turns into intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.modes.config import seekers
from benchmarks.modes.switching import Excursion, SwitchingExperts, excursions
from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.data.episodes import Episode
from mode_imitation.errors import UserError
from mode_imitation.model.batches import FlatEpisodes, TrainingData
from mode_imitation.model.threads import one_thread
from mode_imitation.reports.closed_loop import Drive, PolicyController, drive_policy, run_experts, run_modes
from mode_imitation.reports.clustering import Confusion, compare_with_labels, sort_dataset
from mode_imitation.reports.motion import column
from mode_imitation.reports.turns import drivers_of_windows, take_turns, turn_scores
from mode_imitation.steering.infer import encode_windows
from mode_imitation.steering.policy import Policy
from mode_imitation.training.diagnostics import measure_leak

if TYPE_CHECKING:
    from mode_imitation.worlds.safety import NavigationVectorEnv

FIGURES = ("goals", "return", "cost", "straightness", "path_length")
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

    Returns:
        What a cell holds: n_modes, clustering, matching, leak, drives, fidelity, switching; and turns where experts
        take turns.
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
        held_out=held_out,
        of_window=drivers_of_windows(dataset, found, policy.model.config.window.span) if turning else None,
    )
    units = agreement.episodes or agreement.windows
    matching = match_experts(units)
    flat = FlatEpisodes.of(dataset, held_out or range(len(dataset)))
    unseen = TrainingData(flat, policy.model.config.window, turn, policy.device)
    policy.reset(seed)
    driven = run_modes(policy, env, layouts, n_steps)
    drives = {"mean": {str(mode): figures_of(found) for mode, found in driven.items()}}
    fidelity = steering_fidelity(policy, driven)
    few = list(layouts[:switching_layouts])
    along = {mode: goals_met([drive.episode for drive in found[: len(few)]]) for mode, found in driven.items()}
    del driven
    if sampled:
        modes = sorted({matching[expert] for expert in seekers(matching)})
        again = run_modes(policy, env, layouts, n_steps, modes=modes, temperature=1.0)
        drives["sampled"] = {str(mode): figures_of(found) for mode, found in again.items()}
        del again
    switching = {}
    for excursion in excursions(list(matching), goal_expert, n_steps):
        goal, other = matching[goal_expert], matching[excursion.other]
        # Where nothing is switched it is the drive that is known already, as far as it counts.
        met = along[goal] if goal == other else switch_modes(policy, env, few, excursion, goal, other)
        switching[excursion.name] = excursion.goals(met).tolist()
    return {
        "n_modes": policy.n_modes,
        "clustering": asdict(agreement.scores),
        "matching": matching,
        "leak": measure_leak(policy.model, unseen, pool)._asdict(),
        "drives": drives,
        "fidelity": fidelity,
        "switching": switching,
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
) -> dict[str, Any]:
    """The experts on the same layouts and under the same schedules, with the action noise of their demonstrations.

    Args:
        experts: names.
        seed: of the action noise.
        env, layouts, n_steps, goal_expert, switching_layouts: as in `measure_policy`.
    """
    driven = {
        name: figures_of(run_experts([name], env, layouts, n_steps, action_noise=action_noise, seed=seed)[name])
        for name in experts
    }
    few = list(layouts[:switching_layouts])
    switching = {}
    for excursion in excursions(experts, goal_expert, n_steps):
        met = switch_experts(env, few, excursion, goal_expert, action_noise=action_noise, seed=seed)
        switching[excursion.name] = excursion.goals(met).tolist()
    return {"drives": {"mean": driven}, "switching": switching}


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
        values = column([drive.motion for drive in drives], figure)
        columns[figure] = [float(f"{value:.6g}") for value in (np.zeros(len(drives)) if values is None else values)]
    return columns


def steering_fidelity(policy: Policy, driven: Mapping[int, Sequence[Drive]]) -> float | None:
    """Share of the rollouts whose mode, as the policy's own encoder infers it from them, is the commanded one.

    Returns:
        None for a single mode, which cannot be told from others.
    """
    if len(driven) < 2:
        return None
    with one_thread():
        hits = [
            encode_windows(policy.model, drive.episode, every=FIDELITY_EVERY).code == mode
            for mode, drives in driven.items()
            for drive in drives
        ]
    return float(np.mean(hits))


def switch_modes(
    policy: Policy,
    env: "NavigationVectorEnv",
    layouts: Sequence[int],
    excursion: Excursion,
    goal: int,
    other: int,
) -> np.ndarray:
    """(L, T) bool, goals met when mode `goal` is left for mode `other` and taken up again."""
    schedule = excursion.schedule(goal, other)
    contexts = policy.mode_contexts(schedule)  # (T, K)
    controller = PolicyController(policy, np.broadcast_to(contexts, (len(layouts), *contexts.shape)))
    return goals_met([drive.episode for drive in drive_policy(controller, env, layouts, len(schedule))])


def switch_experts(
    env: "NavigationVectorEnv",
    layouts: Sequence[int],
    excursion: Excursion,
    goal_expert: str,
    *,
    action_noise: float = 0.1,
    seed: int = 0,
) -> np.ndarray:
    """(L, T) bool, goals met when experts are switched."""
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
    return goals_met(rollout(env, controller, layouts, len(schedule)))


def goals_met(episodes: Sequence[Episode]) -> np.ndarray:
    """(E, T) bool, of episodes that are equally long."""
    return np.stack([episode.goals_met for episode in episodes if episode.goals_met is not None])
