"""What a mode model is built from; imports no torch, so that the command line answers at once."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from mode_imitation.data.windows import Memory, WindowShape
from mode_imitation.errors import UserError

ContextKind = Literal["assignment", "distances"]
CodebookKind = Literal["ema", "gradient"]
SigmaKind = Literal["mode", "state"]
ObjectiveKind = Literal["sum", "ratio", "log_ratio"]


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
    history: int = 0
    """Earlier observations of the same episode that the actor sees beside the current one."""
    history_gap: int = 5
    """Steps from each observation of the history to the one before it."""

    @property
    def actor_inputs(self) -> int:
        """Numbers that the actor sees beside the context."""
        return (1 + self.history) * (self.obs_dim + sum(stop - start for start, stop in self.lidars))

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
            UserError: a field is missing, unknown, or of the wrong type.
        """
        known = {entry.name for entry in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise UserError(f"the model's config has the unknown field {unknown[0]!r}; it may be of a newer version")
        try:
            window = WindowShape(**values.get("window", {}))
            hidden = tuple(int(size) for size in values.get("actor_hidden", cls.actor_hidden))
            lidars = tuple((int(start), int(stop)) for start, stop in values.get("lidars", ()))
            return cls(**{**values, "window": window, "actor_hidden": hidden, "lidars": lidars})
        except (TypeError, ValueError, AttributeError) as error:
            raise UserError(f"the model's config cannot be read: {error}; train again") from None
