"""report.json as dataclasses, and what a report holds besides."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.data.episodes import Episode
from mode_imitation.data.text import Vocabulary
from mode_imitation.reports.closed_loop import Blend, Drive
from mode_imitation.reports.clustering import Agreement, Clustering, Exemplar, SortedDataset
from mode_imitation.reports.config import ModesConfig
from mode_imitation.reports.guarantees import Guarantee, Verdict
from mode_imitation.reports.latent_map import LatentMap
from mode_imitation.reports.statistics import Interval
from mode_imitation.reports.text import TextOfMode
from mode_imitation.steering.policy import Policy
from mode_imitation.training.run_folder import Run
from mode_imitation.versions import platform_name, versions

Figures = dict[str, Interval | None]
"""Of motion.FIGURES, with `length` for `steps`, and of the user's own; None for what is not known."""


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
    reactions: dict[str, float] | None
    """To each sensor, see `measure_reactions`."""
    exemplars: list[Exemplar]
    exemplar_episodes: list[int]
    guarantees: dict[str, Guarantee | None] | None
    text: TextOfMode | None = None
    """Where episodes are texts."""

    @property
    def clauses(self) -> str:
        """What sets the mode apart: "turns left constantly; twice the speed of mode 2"."""
        return "; ".join([*self.traits, *self.contrasts])


@dataclass(frozen=True)
class BestGoalMode:
    """The mode with the most goals beside the expert with the most."""

    mode: int
    goals: float
    expert: str
    expert_goals: float
    ratio: Interval


@dataclass(frozen=True)
class Terms:
    """What all guarantees have in common."""

    confidence: float
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


@dataclass(kw_only=True)
class ReportData:
    """What report.json holds; the steps of a report fill it in."""

    run: str
    dataset: str
    env_id: str | None
    n_modes: int
    n_codes: int
    modes: list[ModeEntry] = field(default_factory=list)
    experts: dict[str, Figures] = field(default_factory=dict)
    own_figures: list[str]
    best_goal_mode: BestGoalMode | None = None
    guarantees: Terms | None = None
    requirements: Requirements | None = None
    blend: Blend | None = None
    clustering: Clustering | None = None
    confusion: dict[str, dict[str, Any]] | None = None
    turns: dict[str, Any] | None = None
    """Where experts take turns within an episode: whether training found whose turn it was."""
    leak: LeakEntry | None = None
    layouts: list[int] = field(default_factory=list)
    """That were driven."""
    steps: int | None = None
    settings: dict[str, Any]
    left_out: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=versions)
    platform: str = field(default_factory=platform_name)

    def leave_out(self, line: str) -> None:
        """Say what the report does not tell, and why."""
        self.left_out.append(f"left out: {line}")

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        found = asdict(self)
        found["modes"] = [entry.pop("figures") | entry for entry in found["modes"]]
        return found


@dataclass
class Report:
    """What `modes` found, and what it was found with."""

    config: ModesConfig
    run: Run
    policy: Policy
    data: ReportData
    own: Mapping[str, Callable[[Episode], float]]
    """What --figure asks for."""
    vocabulary: Vocabulary | None = None
    """Of a run on texts."""
    dataset: TrajectoryDataset | None = None
    found: SortedDataset | None = None
    agreement: Agreement | None = None
    latent: LatentMap | None = None
    modes: dict[int, list[Drive]] = field(default_factory=dict)
    """Each mode on every layout; empty without a simulator."""
    experts: dict[str, list[Drive]] = field(default_factory=dict)
    robot: str | None = None
    time_step: float | None = None

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
            entry.mode: [self.dataset.episodes[index] for index in entry.exemplar_episodes] for entry in self.data.modes
        }
