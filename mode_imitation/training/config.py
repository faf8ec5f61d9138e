"""Settings of a training run; imports no torch, so that the command line answers at once."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from mode_imitation.config_checks import check_type
from mode_imitation.data.windows import Memory, WindowShape
from mode_imitation.errors import UserError
from mode_imitation.model.config import CodebookKind, ContextKind, ModelConfig, ObjectiveKind, SigmaKind

DeviceName = Literal["auto", "cpu", "cuda"]

AT_LEAST_ONE = (
    "iterations",
    "discovery_iterations",
    "restarts",
    "threads",
    "horizon",
    "gap",
    "stride",
    "segment",
    "pool",
    "discovery_windows",
    "batch",
    "asked",
    "code_dim",
    "rounds",
    "scoring_iterations",
    "scoring_batch",
    "checkpoint_every",
    "log_every",
    "hook_every",
    "history_gap",
)
NOT_NEGATIVE = (
    "seed",
    "reconstruction_weight",
    "commitment_weight",
    "balance_weight",
    "confidence_weight",
    "merge_gap",
    "agreement_every",
    "history",
)
POSITIVE = ("learning_rate", "temperature", "gradient_clip")


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what training does; the same settings and data give the same weights."""

    codes: int = 4
    """k, entries of the codebook: an upper bound of the number of modes; surplus ones are merged and pruned."""
    seed: int = 0
    """Decides the initial weights, the held-out episodes and every batch."""
    device: DeviceName = "auto"
    """Where the data lives and training runs; auto takes a GPU where there is one."""
    threads: int = 1
    """Threads on the CPU; matrices this small gain little from more. It may change the last bits of the weights."""

    iterations: int = 8000
    """Of the second phase, which trains the actor on settled codes. Samples seen decide the quality."""
    discovery_iterations: int = 800
    """Of the first phase, which finds the codes."""
    restarts: int = 3
    """At most so often are the codes looked for anew; the best is chosen without labels, by cross-fitted likelihood. It
    ends early once the best groups are found a second time."""
    refine: bool = True
    """Whether the second phase runs; without it the codes and the actor are those of the first."""

    objective: ObjectiveKind = "sum"
    """Joins the VQ-VAE's loss V and the policy's density pi: V - log pi, V / pi (the original) or log V - log pi."""
    context: ContextKind = "assignment"
    """What the actor is told: softmax of negative distances to the codebook, or the distances (the original)."""
    codebook: CodebookKind = "ema"
    """How the codebook's entries move: by exponential moving average or by gradient."""
    sigma: SigmaKind = "mode"
    """Whether the actor's spread depends on the mode alone or on the observation too."""

    horizon: int = 8
    """Transitions in a window."""
    gap: int = 5
    """Steps from one transition of a window to the next."""
    stride: int = 5
    """Steps that one transition spans: s[t + stride] - s[t]."""
    see_states: bool = True
    """Whether the encoder sees s[t] beside the difference."""
    see_actions: bool = True
    """Whether the encoder sees a[t]."""
    pool: int = 8
    """Windows of one trajectory (or segment) whose distances are averaged before a code is chosen; 1: no averaging."""
    segment: int | None = None
    """Steps of a segment with a code of its own, for experts that switch in mid-episode; None: whole trajectories. With
    find_switches no code lasts less, but for the first and the last of an episode."""
    find_switches: bool = False
    """Look for the steps at which experts switch, from the codes of the segments on: slower, for data in which they do
    so in mid-episode. Give --segment the shortest time that an expert is thought to last."""
    held_out: float = 0.1
    """Share of the episodes that training does not see and that the log reports on."""

    discovery_windows: int = 256
    """Windows in a batch of the first phase."""
    asked: int = 2
    """Actions of each window that the actor is asked for in the first phase."""
    batch: int = 1024
    """Steps in a batch of the second phase."""
    arena_share: float = 0.5
    """Share of such a batch that is drawn from steps with something within the lidar's reach; the rest from all."""
    learning_rate: float = 2e-3
    """Peak of the one-cycle schedule."""
    gradient_clip: float = 5.0
    """Largest norm of the first phase's gradient."""
    reconstruction_weight: float | None = None
    """Of the reconstruction in V; None: .02 for the objective sum, 1 for the ratios."""
    commitment_weight: float = 0.25
    """beta of the commitment term, van den Oord et al. 2017, eq. 3."""
    balance_weight: float = 1.0
    """Of the usage balance, which falls to 0 by half of the first phase; without it everything becomes one code."""
    confidence_weight: float = 0.5
    """Of the entropy of each window's softmax over the codes."""

    code_dim: int = 16
    """Numbers in a code."""
    temperature: float = 0.1
    """tau of the softmax over negative distances."""
    actor_hidden: tuple[int, ...] = (128, 128)
    """Widths of the actor's hidden layers."""
    relative_lidar: bool = True
    """Whether the actor also sees each lidar relative to its largest reading: directions, however far things are."""
    lidar_directions: bool = True
    """Whether the actor is also shown the mean direction of what each lidar sees, for the way back from where little is
    in sight; not without relative_lidar."""
    history: int = 0
    """Earlier observations of the episode that the actor sees beside the current one, for experts that remember. Codes
    are found without them."""
    history_gap: int = 5
    """Steps from each observation of the history to the one before it."""
    codebook_decay: float = 0.99
    """Of the codebook's moving averages."""
    revive_below: float = 0.01
    """Entries with less than this share of the usage jump to a window's place."""

    rounds: int = 6
    """At most so often are trajectories given to the code whose policy, which never saw them, explains them best."""
    scoring_iterations: int = 1000
    """Of each of those policies' fits; under-trained ones merge too much."""
    scoring_batch: int = 256
    """Steps in a batch of those fits."""
    merge_gap: float = 0.4
    """Codes that explain each other's data within this many nats per step become one, from the second round on."""
    agreement_every: int = 4
    """Every so many iterations of the second phase the encoder learns the settled codes; 0: never."""

    checkpoint_every: int = 500
    """Iterations between checkpoints."""
    log_every: int = 50
    """Iterations between entries in the TensorBoard log."""
    hook_every: int = 2000
    """Iterations between pictures in the log, where a simulator is installed."""

    def __post_init__(self) -> None:
        for entry in fields(self):
            check_type(entry.name, getattr(self, entry.name), entry.type)
        if self.codes < 2:
            raise UserError(f"codes is {self.codes}; expected at least 2")
        for name in AT_LEAST_ONE:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} is {value}; expected at least 1")
        if self.find_switches and (self.segment is None or not self.refine):
            raise UserError("find_switches needs segments to start from, and refine; give --segment 50, say")
        if self.history and not self.refine:
            raise UserError("history needs refine: the actor is shown earlier observations in the second phase only")
        for name in NOT_NEGATIVE:
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise UserError(f"{name} is {value}; expected 0 or more")
        for name in POSITIVE:
            if not 0 < getattr(self, name) < math.inf:
                raise UserError(f"{name} is {getattr(self, name)}; expected more than 0")
        if not 0 <= self.arena_share <= 1:
            raise UserError(f"arena_share is {self.arena_share}; expected a share in [0, 1]")
        for name in ("held_out", "codebook_decay", "revive_below"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; expected a share in [0, 1)")
        if not self.actor_hidden or min(self.actor_hidden) < 1:
            raise UserError(f"actor_hidden is {self.actor_hidden}; expected widths of at least 1, 128 128 say")

    @property
    def window(self) -> WindowShape:
        return WindowShape(self.horizon, self.gap, self.stride, self.see_states, self.see_actions)

    @property
    def memory(self) -> Memory:
        """Which observations the actor sees."""
        return Memory(self.history, self.history_gap)

    @property
    def reconstruction(self) -> float:
        """The weight of the reconstruction that `reconstruction_weight` stands for."""
        if self.reconstruction_weight is not None:
            return self.reconstruction_weight
        return 0.02 if self.objective == "sum" else 1.0

    def model_config(self, obs_dim: int, act_dim: int, slices: dict[str, slice] | None = None) -> ModelConfig:
        """The model that these settings describe, for data of these sizes and sensors.

        It has no history: the second phase gives it one, see `ModeModel.with_history`.
        """
        lidars = [part for name, part in (slices or {}).items() if name.endswith("_lidar")] * self.relative_lidar
        return ModelConfig(
            obs_dim=obs_dim,
            act_dim=act_dim,
            n_codes=self.codes,
            code_dim=self.code_dim,
            window=self.window,
            context=self.context,
            temperature=self.temperature,
            codebook=self.codebook,
            sigma=self.sigma,
            actor_hidden=self.actor_hidden,
            lidars=tuple((part.start, part.stop) for part in lidars),
            directions=self.lidar_directions and bool(lidars),
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainConfig":
        """
        Raises:
            UserError: a field is unknown or of the wrong type.
        """
        unknown = sorted(set(values) - {entry.name for entry in fields(cls)})
        if unknown:
            raise UserError(f"the run's config has the unknown field {unknown[0]!r}; it may be of a newer version")
        try:
            hidden = tuple(int(size) for size in values.get("actor_hidden", cls.actor_hidden))
            # Runs from before there was a choice were not shown mean directions.
            return cls(**{"lidar_directions": False, **values, "actor_hidden": hidden})
        except UserError:
            raise
        except (TypeError, ValueError) as error:
            raise UserError(f"the run's config cannot be read: {error}; train again") from None
