"""What the steps of a report card hand to each other, and the report that comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.data.episodes import Episode
from mode_imitation.reports.blends import Blend
from mode_imitation.reports.closed_loop import Drive
from mode_imitation.reports.clustering import Agreement, SortedDataset
from mode_imitation.reports.config import ModesConfig
from mode_imitation.reports.latent_map import LatentMap
from mode_imitation.reports.own_figures import OwnFigure
from mode_imitation.reports.requirements import Condition
from mode_imitation.steering.policy import Policy
from mode_imitation.training.run_folder import Run


@dataclass
class Report:
    """What `modes` found."""

    data: dict[str, Any]
    """What report.json holds."""
    modes: dict[int, list[Drive]] = field(default_factory=dict)
    """Each mode on every layout; empty without a simulator."""
    experts: dict[str, list[Drive]] = field(default_factory=dict)
    agreement: Agreement | None = None
    latent: LatentMap | None = None
    demonstrations: Mapping[int, list[Episode]] = field(default_factory=dict)
    """The episodes of the dataset that were sorted into each mode, the most typical ones first."""


@dataclass
class Work:
    """What the steps of a report hand to each other."""

    config: ModesConfig
    run: Run
    policy: Policy
    conditions: list[Condition] = field(default_factory=list)
    """What --require asks for."""
    pair: tuple[int, int] | None = None
    """What --blend asks for."""
    left_out: list[str] = field(default_factory=list)
    dataset: TrajectoryDataset | None = None
    found: SortedDataset | None = None
    agreement: Agreement | None = None
    turns: dict[str, Any] | None = None
    """Where experts take turns within an episode: whether training found whose turn it was."""
    latent: LatentMap | None = None
    modes: dict[int, list[Drive]] = field(default_factory=dict)
    experts: dict[str, list[Drive]] = field(default_factory=dict)
    blend: Blend | None = None
    layouts: list[int] = field(default_factory=list)
    own: list[OwnFigure] = field(default_factory=list)
    """What --figure asks for."""
    steps: int | None = None
    robot: str | None = None
    time_step: float | None = None
