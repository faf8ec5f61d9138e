"""What a mode model is built from; imports no torch, so that the command line answers at once."""

import math
from dataclasses import asdict, dataclass, field, fields
from numbers import Integral
from typing import Any, Literal

from mode_imitation.config_checks import check_type
from mode_imitation.data.windows import Memory, WindowShape
from mode_imitation.errors import UserError

ContextKind = Literal["assignment", "distances"]
CodebookKind = Literal["ema", "gradient"]
SigmaKind = Literal["mode", "state"]
ObjectiveKind = Literal["sum", "ratio", "log_ratio"]

SIZES = ("obs_dim", "act_dim", "n_codes", "code_dim", "encoder_hidden")


@dataclass(frozen=True)
class ModelConfig:
    """Sizes and kinds. What decides only how it is trained is in TrainConfig."""

    obs_dim: int
    act_dim: int
    n_codes: int
    code_dim: int = 16
    """D, numbers in a code."""
    window: WindowShape = field(default_factory=WindowShape)
    context: ContextKind = "assignment"
    """What the actor is told: softmax of negative distances to the codebook, or the distances themselves."""
    temperature: float = 0.1
    """tau of the softmax over negative distances."""
    codebook: CodebookKind = "ema"
    """How the codebook's entries move: exponential moving average of what they stand for, or gradient."""
    sigma: SigmaKind = "mode"
    """Whether the actor's spread depends on the mode alone or on the observation too."""
    min_log_sigma: float = -4.0
    """Lower bound of log sigma, in units of the actions' spread in the data."""
    encoder_hidden: int = 64
    actor_hidden: tuple[int, ...] = (128, 128)
    lidars: tuple[tuple[int, int], ...] = ()
    """Columns [start, stop) of the observation that are one lidar each, of which the actor sees the relative readings
    too, see Normalizer.actor_inputs."""
    directions: bool = False
    """Whether the actor is also shown the mean direction of what each lidar sees."""
    history: int = 0
    """Earlier observations of the same episode that the actor sees beside the current one."""
    history_gap: int = 5
    """Steps from each observation of the history to the one before it."""

    def __post_init__(self) -> None:
        for entry in fields(self):
            check_type(entry.name, getattr(self, entry.name), entry.type)
        if not self.actor_hidden:
            raise UserError("actor_hidden is empty; expected widths of hidden layers, 128 and 128 say")
        widths = [("a width in actor_hidden", width) for width in self.actor_hidden]
        for name, size in [*((name, getattr(self, name)) for name in (*SIZES, "history_gap")), *widths]:
            check_type(name, size, int)
            if size < 1:
                raise UserError(f"{name} is {size}; expected at least 1")
        if self.history < 0:
            raise UserError(f"history is {self.history}; expected 0 or more")
        if not 0 < self.temperature < math.inf:
            raise UserError(f"temperature is {self.temperature}; expected more than 0")
        if not math.isfinite(self.min_log_sigma):
            raise UserError(f"min_log_sigma is {self.min_log_sigma}; expected a finite number")
        for columns in self.lidars:
            whole = len(columns) == 2 and all(isinstance(column, Integral) for column in columns)
            if not whole or not 0 <= columns[0] < columns[1] <= self.obs_dim:
                raise UserError(f"a lidar is {list(columns)}; expected [start, stop] within {self.obs_dim} columns")

    @property
    def widest(self) -> int:
        """Numbers in its widest layer, which bounds the memory that a model takes."""
        return max(*(getattr(self, name) for name in SIZES), *self.actor_hidden, self.actor_inputs)

    @property
    def actor_inputs(self) -> int:
        """Numbers that the actor sees beside the context."""
        return (1 + self.history) * (
            self.obs_dim + sum(stop - start + 3 * self.directions for start, stop in self.lidars)
        )

    @property
    def memory(self) -> Memory:
        """Which observations the actor sees."""
        return Memory(self.history, self.history_gap)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ModelConfig":
        """
        Raises:
            UserError: a field is missing, unknown, of the wrong type, or out of range.
        """
        known = {entry.name for entry in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise UserError(f"the model's config has the unknown field {unknown[0]!r}; it may be of a newer version")
        try:
            window = WindowShape(**values.get("window", {}))
            hidden = tuple(values.get("actor_hidden", cls.actor_hidden))
            lidars = tuple(map(tuple, values.get("lidars", ())))
            return cls(**{**values, "window": window, "actor_hidden": hidden, "lidars": lidars})
        except (TypeError, ValueError, AttributeError) as error:
            raise UserError(f"the model's config cannot be read: {error}; train again") from None
