"""One episode and the scene it happened in, as plain arrays whose shapes are checked."""

from dataclasses import dataclass, field

import numpy as np

from mode_imitation.errors import UserError

OF_STATES = ("observations", "positions", "headings")
"""Arrays with a row more than there are actions."""
ARRAY_FIELDS: tuple[str, ...] = (
    *("observations", "actions", "rewards", "costs"),
    *("goals_met", "successes", "positions", "headings", "disturbed"),
)
"""Arrays of numbers that an episode may have, in the order in which checksums take them."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Where things stood in one episode. Positions in metres, in the world's frame."""

    goals: np.ndarray
    """(G, 2) every goal position in the order in which it appeared; the first stood there at the reset."""
    goal_steps: np.ndarray
    """(G,) int, the step after which each goal stood there; 0 for the first."""
    hazards: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    """(H, 2) centres of the hazards."""
    vases: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    """(V, 2) centres of the vases at the reset."""
    lines: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    """(L, 4) lines to be crossed, from (x, y) to (x, y)."""
    goal_radius: float = 0.3
    hazard_radius: float = 0.2
    vase_half_width: float = 0.1
    arena: tuple[float, float, float, float] = (-1.5, -1.5, 1.5, 1.5)
    """(x_min, y_min, x_max, y_max), the region in which the layout is placed; the world has no walls."""


@dataclass(frozen=True, kw_only=True)
class Episode:
    """T transitions. What other people's data lacks is None."""

    observations: np.ndarray
    """(T + 1, obs_dim) float32; the last one follows the last action."""
    actions: np.ndarray
    """(T, act_dim) as executed: float32, or int64 from 0 on where actions are choices (see `spaces.ActionSpace`)."""
    rewards: np.ndarray | None = None
    """(T,)"""
    costs: np.ndarray | None = None
    """(T,)"""
    goals_met: np.ndarray | None = None
    """(T,) bool: the transition reached the goal."""
    successes: np.ndarray | None = None
    """(T,) bool: the world said after the transition that its task was done."""
    positions: np.ndarray | None = None
    """(T + 1, 2) of the agent, metres."""
    headings: np.ndarray | None = None
    """(T + 1,) of the agent, radians, counterclockwise from +x."""
    disturbed: np.ndarray | None = None
    """(T,) bool: the action was random, not the expert's; training does not imitate it."""
    terminated: bool = False
    """Whether the world ended it, rather than a limit of steps."""
    layout_seed: int | None = None
    """What the world was reset with."""
    expert: str | None = None
    """For evaluation only; training never sees it."""
    acting: np.ndarray | None = None
    """(T,) str, the expert whose turn each step was, where several took turns; for evaluation only, like `expert`."""
    scene: Scene | None = None

    def __post_init__(self) -> None:
        steps = len(self.actions)
        if self.observations.ndim != 2 or self.actions.ndim != 2:
            raise UserError(
                f"observations have shape {self.observations.shape} and actions {self.actions.shape}; "
                "expected (T + 1, obs_dim) and (T, act_dim)"
            )
        for name in (*ARRAY_FIELDS, "acting"):
            values, length = getattr(self, name), steps + (name in OF_STATES)
            if values is not None and len(values) != length:
                raise UserError(f"{name} has {len(values)} rows for {steps} actions; expected {length}")

    def __len__(self) -> int:
        return len(self.actions)

    def __repr__(self) -> str:
        known = ", ".join(name for name in ARRAY_FIELDS[2:] if getattr(self, name) is not None)
        sizes = f"observations {self.observations.shape}, actions {self.actions.shape}"
        return f"Episode of {len(self)} steps: {sizes}{', ' if known else ''}{known}"

    @property
    def expert_of_step(self) -> np.ndarray | None:
        """(T,) str, who drove each step, for evaluation only; None where nobody is named."""
        if self.acting is not None:
            return self.acting
        return None if self.expert is None else np.full(len(self), self.expert)
