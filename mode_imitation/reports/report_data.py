"""report.json as dataclasses, and how they follow from what was sorted and driven."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.data.episodes import Episode
from mode_imitation.errors import UserError
from mode_imitation.reports.blends import Blend
from mode_imitation.reports.closed_loop import Drive
from mode_imitation.reports.clustering import Agreement, SortedDataset, exemplar_episodes, exemplars
from mode_imitation.reports.config import ModesConfig
from mode_imitation.reports.describe import UNKNOWN, contrasts, describe_modes, traits
from mode_imitation.reports.guarantees import (
    ASSUMPTIONS,
    SHARE,
    SIDES,
    TOP_SPEED,
    Condition,
    Guarantee,
    Verdict,
    guarantees_of,
    judge,
)
from mode_imitation.reports.latent_map import LatentMap
from mode_imitation.reports.leak import measure_leak
from mode_imitation.reports.motion import (
    DRIVING_DIRECTION,
    FIGURES,
    Motion,
    column,
    in_arena,
    intervals,
    means,
    measure,
)
from mode_imitation.reports.reactions import Reaction, reactions_of_modes
from mode_imitation.reports.statistics import Interval, bootstrap, bootstrap_ratio
from mode_imitation.steering.policy import Policy
from mode_imitation.training.run_folder import Run
from mode_imitation.versions import platform_name, versions

EXEMPLARS = 3
"""Windows and episodes of the dataset shown for each mode."""
UNTIMED = [name for name in FIGURES if name not in ("speed", "turn_rate", "turning")]
"""Figures that need no seconds per step, which a dataset need not state."""

Figures = dict[str, Interval | None]
"""Of FIGURES, with `length` for `steps`, and of the user's own; None for what is not known."""


@dataclass(frozen=True)
class ModeEntry:
    """One mode."""

    mode: int
    share: float
    """Of the data."""
    description: str
    traits: list[str]
    contrasts: list[str]
    expert: str | None
    """That most of its episodes (its windows, where experts take turns) are of."""
    figures: Figures
    """On the held-out layouts; in the file they lie beside the other fields."""
    ratio_to_expert: Figures
    demonstrations: Figures
    """Of the episodes of the dataset that were sorted into it."""
    reactions: dict[str, Reaction] | None
    exemplars: list[dict[str, int | float]]
    exemplar_episodes: list[dict[str, int | float]]
    guarantees: dict[str, Guarantee | None] | None

    @property
    def clauses(self) -> str:
        """What sets the mode apart: "turns left constantly; twice the speed of mode 2"."""
        return "; ".join([*self.traits, *self.contrasts])


@dataclass(frozen=True)
class BestGoalMode:
    """The mode with the most goals beside the expert with the most."""

    mode: int
    goals: float
    expert: str | None
    expert_goals: float | None
    ratio: Interval | None


@dataclass(frozen=True)
class Terms:
    """What all guarantees have in common."""

    confidence: float
    share: float
    assumptions: str


@dataclass(frozen=True)
class Requirements:
    """What --require asked for, and which modes meet it."""

    asked: list[str]
    modes: list[Verdict]


@dataclass(frozen=True)
class LeakEntry:
    """Action NLL under inferred and under fixed contexts, nats per step."""

    nll_inferred: float
    nll_fixed: float
    gap: float
    n_episodes: int
    held_out: bool
    """Whether training did not see the episodes."""


@dataclass(frozen=True)
class ReportData:
    """What report.json holds."""

    run: str
    dataset: str
    env_id: str | None
    n_modes: int
    n_codes: int
    modes: list[ModeEntry]
    experts: dict[str, Figures]
    own_figures: list[str]
    best_goal_mode: BestGoalMode | None
    guarantees: Terms | None
    requirements: Requirements | None
    blend: Blend | None
    clustering: dict[str, Any] | None
    confusion: dict[str, dict[str, Any]] | None
    turns: dict[str, Any] | None
    leak: LeakEntry | None
    layouts: list[int]
    steps: int | None
    settings: dict[str, Any]
    left_out: list[str]
    versions: dict[str, str]
    platform: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        found = asdict(self)
        found["modes"] = [entry.pop("figures") | entry for entry in found["modes"]]
        return found


@dataclass
class Report:
    """What `modes` found, and what it was found with; the steps of a report fill it in."""

    config: ModesConfig
    run: Run
    policy: Policy
    conditions: list[Condition] = field(default_factory=list)
    """What --require asks for."""
    pair: tuple[int, int] | None = None
    """What --blend asks for."""
    own: Mapping[str, Callable[[Episode], float]] = field(default_factory=dict)
    """What --figure asks for."""
    layouts: list[int] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    dataset: TrajectoryDataset | None = None
    found: SortedDataset | None = None
    agreement: Agreement | None = None
    turns: dict[str, Any] | None = None
    """Where experts take turns within an episode: whether training found whose turn it was."""
    latent: LatentMap | None = None
    modes: dict[int, list[Drive]] = field(default_factory=dict)
    """Each mode on every layout; empty without a simulator."""
    experts: dict[str, list[Drive]] = field(default_factory=dict)
    blend: Blend | None = None
    steps: int | None = None
    robot: str | None = None
    time_step: float | None = None
    data: ReportData = field(init=False)

    @property
    def held_out(self) -> list[int]:
        """Episodes that training did not see; none where another dataset is looked at."""
        return [] if self.config.dataset or self.dataset is None else self.run.held_out(len(self.dataset))

    @property
    def demonstrations(self) -> dict[int, list[Episode]]:
        """The episodes of the dataset that were sorted into each mode, the most typical ones first."""
        if self.dataset is None:
            return {}
        return {
            entry.mode: [self.dataset.episodes[int(one["episode"])] for one in entry.exemplar_episodes]
            for entry in self.data.modes
        }


def data_of(report: Report) -> ReportData:
    """All of report.json, once everything is sorted and driven."""
    config, run = report.config, report.run
    values = {mode: _columns(drives, SIDES) for mode, drives in report.modes.items()}
    guarantees = _guarantees(report, values)
    known = [bound for bounds in guarantees.values() for bound in bounds.values() if bound]
    assumptions = ASSUMPTIONS.format(speed=TOP_SPEED.get(report.robot or "", "its top"))
    verdicts = judge(report.conditions, guarantees, values)
    confusions = report.agreement.tables if report.agreement else {}
    leak = _leak(report)
    return ReportData(
        run=run.path.name,
        dataset=report.dataset.name if report.dataset else run.info["dataset"]["name"],
        env_id=config.env or run.info.get("env_id"),
        n_modes=report.policy.n_modes,
        n_codes=report.policy.n_codes,
        modes=_mode_entries(report, guarantees),
        experts={name: figures_on_layouts(drives, report) for name, drives in report.experts.items()},
        own_figures=list(report.own),
        best_goal_mode=_best_goal_mode(report),
        guarantees=Terms(config.confidence, SHARE, assumptions) if known else None,
        requirements=Requirements([str(one) for one in report.conditions], verdicts) if report.conditions else None,
        blend=report.blend,
        clustering=report.agreement.scores if report.agreement else None,
        confusion={unit: {"labels": one.labels, "counts": one.counts.tolist()} for unit, one in confusions.items()}
        or None,
        turns=report.turns,
        leak=leak,
        layouts=report.layouts if report.modes else [],
        steps=report.steps if report.modes else None,
        settings={
            "temperature": config.temperature,
            "action_noise": config.action_noise,
            "seed": config.seed,
            "window_every": config.window_every,
            "objective": (run.info.get("config") or {}).get("objective"),
            "context": report.policy.model.config.context,
        },
        left_out=[f"left out: {line}" for line in report.left_out],
        versions=versions(),
        platform=platform_name(),
    )


def _columns(drives: Sequence[Drive], figures: Sequence[str] | Mapping[str, Any]) -> dict[str, np.ndarray | None]:
    """{figure: (N,) one of each drive, or None}"""
    return {figure: column([drive.motion for drive in drives], figure) for figure in figures}


def _guarantees(
    report: Report, values: Mapping[int, Mapping[str, np.ndarray | None]]
) -> dict[int, dict[str, Guarantee | None]]:
    found = {
        mode: guarantees_of(
            figures,
            steps=report.steps or 0,
            robot=report.robot,
            time_step=report.time_step,
            confidence=report.config.confidence,
            n_modes=report.policy.n_modes,
        )
        for mode, figures in values.items()
    }
    for figure in SIDES:
        lacking = [mode for mode, figures in values.items() if figures[figure] is not None and not found[mode][figure]]
        if lacking:
            where = "" if len(lacking) == len(found) else f" (mode {', '.join(map(str, lacking))})"
            of_what = f"the robot {report.robot}" if report.robot else "this world"
            unknown = figure == "return" and report.robot not in TOP_SPEED
            why = (
                f"of {of_what} it is not known how low it can be" if unknown else "a drive went beyond what is assumed"
            )
            report.left_out.append(f"guarantees of the {figure}{where}: {why}")
    return found


def _best_goal_mode(report: Report) -> BestGoalMode | None:
    def most(sides: Mapping[Any, Sequence[Drive]]) -> tuple[Any, np.ndarray]:
        goals = {name: column([drive.motion for drive in drives], "goals") for name, drives in sides.items()}
        known = {name: values for name, values in goals.items() if values is not None}
        return max(known.items(), key=lambda item: item[1].mean(), default=(None, np.zeros(0)))

    (mode, goals), (expert, reached) = most(report.modes), most(report.experts)
    if mode is None:
        return None
    if expert is None:
        return BestGoalMode(mode, float(goals.mean()), None, None, None)
    ratio = bootstrap_ratio(goals, reached, seed=report.config.seed)
    return BestGoalMode(mode, float(goals.mean()), expert, float(reached.mean()), ratio)


def _leak(report: Report) -> LeakEntry | None:
    if report.dataset is None:
        return None
    episodes = [report.dataset.episodes[index] for index in report.held_out or range(len(report.dataset))]
    config: Mapping[str, Any] = report.run.info.get("config") or {}
    try:
        leak = measure_leak(
            report.policy.model,
            episodes,
            pool=int(config.get("pool") or 1),
            segment=config.get("segment"),
            every=report.config.window_every,
            seed=report.config.seed,
        )
    except UserError as error:
        report.left_out.append(f"leak: {error}")
        return None
    return LeakEntry(**leak.as_dict(), n_episodes=len(episodes), held_out=bool(report.held_out))


def _mode_entries(report: Report, guarantees: Mapping[int, dict[str, Guarantee | None]]) -> list[ModeEntry]:
    policy, dataset, found, seed = report.policy, report.dataset, report.found, report.config.seed
    demonstrations = {mode: _demonstrations(report, mode) for mode in policy.modes}
    motions = {mode: [drive.motion for drive in drives] for mode, drives in report.modes.items()} or demonstrations
    typical = {mode: means(motions[mode]) for mode in policy.modes}
    sentences = dict(zip(policy.modes, describe_modes([typical[mode] for mode in policy.modes]), strict=True))
    # Of the same layouts alone: a dataset's episodes are no pairs.
    apart = contrasts({mode: _columns(drives, FIGURES) for mode, drives in report.modes.items()}, seed=seed)
    reactions: dict[int, dict[str, Reaction]] = {}
    if dataset is not None and found is not None:
        reactions = reactions_of_modes(policy, dataset, found.episode_codes, seed=seed)
        sentences = {
            mode: f"mean action {_mean_action(dataset, found, mode)}; {words}" if words == UNKNOWN else words
            for mode, words in sentences.items()
        }
    experts = _matched_experts(report)
    timed = FIGURES if dataset and dataset.metadata.get("time_step") else UNTIMED
    return [
        ModeEntry(
            mode=mode,
            share=float(policy.shares[mode]),
            description=sentences[mode],
            traits=traits(typical[mode]),
            contrasts=apart.get(mode, []),
            expert=experts[mode],
            figures=figures_on_layouts(report.modes.get(mode, []), report),
            ratio_to_expert=ratios(report.modes.get(mode, []), report.experts.get(experts[mode] or "", []), seed),
            demonstrations=intervals(demonstrations[mode], [name for name in timed if name != "steps"], seed=seed),
            reactions=reactions.get(mode),
            exemplars=exemplars(found, mode, EXEMPLARS) if found else [],
            exemplar_episodes=exemplar_episodes(found, mode, EXEMPLARS) if found else [],
            guarantees=guarantees.get(mode),
        )
        for mode in policy.modes
    ]


def _matched_experts(report: Report) -> list[str | None]:
    """(K,) the label that most of a mode's episodes have; where it has no episodes, most of its windows."""
    if report.agreement is None:
        return [None] * report.policy.n_codes
    by_window = report.agreement.windows.matched_labels()
    by_episode = report.agreement.episodes.matched_labels() if report.agreement.episodes else by_window
    return [episode or window for episode, window in zip(by_episode, by_window, strict=True)]


def _mean_action(dataset: TrajectoryDataset, found: SortedDataset, mode: int) -> str:
    """ "(0.80, 0.01)", over the windows' first steps that were sorted into a mode."""
    rows = np.flatnonzero(found.codes == mode)
    if not len(rows):
        return "unknown"
    steps = zip(found.episode_of_window[rows], found.starts[rows], strict=True)
    mean = np.mean([dataset.episodes[episode].actions[start] for episode, start in steps], axis=0)
    return f"({', '.join(f'{value:.2f}' for value in mean)})"


def _demonstrations(report: Report, mode: int) -> list[Motion]:
    """Figures of the dataset's episodes that were sorted into a mode."""
    dataset = report.dataset
    if dataset is None or report.found is None:
        return []
    robots = (
        angle for robot, angle in DRIVING_DIRECTION.items() if (dataset.env_id or "").startswith(f"Safety{robot}")
    )
    direction, time_step = next(robots, 0.0), float(dataset.metadata.get("time_step") or 1.0)
    episodes = [dataset.episodes[index] for index in np.flatnonzero(report.found.episode_codes == mode)]
    return [
        measure(
            episode,
            time_step=time_step,
            driving_direction=direction,
            in_arena=in_arena(episode.observations, dataset.sensors),
        )
        for episode in episodes
    ]


def figures_on_layouts(drives: Sequence[Drive], report: Report) -> Figures:
    """Every figure of drives and, where there are any, the user's own."""
    seed = report.config.seed
    found = intervals([drive.motion for drive in drives], seed=seed)
    found["length"] = found.pop("steps")
    own = report.own.items() if drives else ()
    return found | {name: bootstrap([figure(one.episode) for one in drives], seed=seed) for name, figure in own}


def ratios(drives: Sequence[Drive], reference: Sequence[Drive], seed: int) -> Figures:
    """A mode's goals and return over its expert's, on the same layouts; None where the expert's are not surely
    positive, and a ratio would mean nothing."""
    found: Figures = {}
    for figure in ("goals", "return"):
        values, expert = (column([drive.motion for drive in side], figure) for side in (drives, reference))
        found[figure] = None
        if values is not None and expert is not None and bootstrap(expert, seed=seed).low > 0:
            found[figure] = bootstrap_ratio(values, expert, seed=seed)
    return found
