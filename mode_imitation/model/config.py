"""What a mode model is built from; imports no torch, so that the command line answers at once."""

from dataclasses import asdict, dataclass, field, fields, replace
from numbers import Integral
from typing import Annotated, Any, Literal

from mode_imitation.config_checks import Count, Positive, Widths, Within, check_fields
from mode_imitation.data.spaces import ActionSpace
from mode_imitation.data.windows import WindowShape
from mode_imitation.errors import UserError

ContextKind = Literal["assignment", "distances"]
ObjectiveKind = Literal["sum", "ratio", "log_ratio"]
CodebookKind = Literal["ema", "gradient"]
RingKind = Literal["readings", "attention"]


@dataclass(frozen=True)
class ModelConfig:
    """Sizes and kinds. What decides only how it is trained is in TrainConfig."""

    obs_dim: Count
    action_space: ActionSpace
    n_codes: Count
    rings: tuple[tuple[int, int], ...] = ()
    """Columns [start, stop) of the observation that are one ring sensor each."""
    tokens: tuple[tuple[int, int, int], ...] = ()
    """Columns [start, stop) of each token sensor, and how many things its numbers name, from 0 on."""
    others: tuple[tuple[str, int, int], ...] = ()
    """Kind and columns of each sensor of another kind, see features.KINDS."""
    hidden: tuple[tuple[int, int], ...] = ()
    """Columns [start, stop) that the actor is not shown."""
    window: WindowShape = field(default_factory=WindowShape)
    encoder: str = "pooled"
    head: str = "gaussian"
    ring: RingKind = "readings"
    chunk: Count = 1
    """C, actions that the head predicts at once."""
    memory: Annotated[int, Within(0)] = 0
    """Units of the actor's recurrent state; 0: it sees the current observation alone."""
    context: ContextKind = "assignment"
    temperature: Positive = 0.1
    """tau of the softmax over negative distances."""
    codebook: CodebookKind = "ema"
    code_dim: Count = 16
    """D, numbers in a code."""
    encoder_hidden: Count = 64
    actor_hidden: Widths = (128, 128)

    def __post_init__(self) -> None:
        check_fields(self)
        others = tuple(entry[1:] for entry in self.others)
        listed = (
            ("ring", self.rings, "start, stop"),
            ("token", self.tokens, "start, stop, size"),
            ("hidden sensor", self.hidden, "start, stop"),
        )
        for what, entries, parts in (*listed, ("sensor", others, "start, stop")):
            for entry in entries:
                if len(entry) != len(parts.split()) or not all(isinstance(number, Integral) for number in entry):
                    raise UserError(f"a {what} is {list(entry)}; expected [{parts}], whole numbers")
        if any(size < 1 for *_, size in self.tokens):
            raise UserError("a token sensor names 0 things or less; expected at least 1")
        for start, stop, *_ in (*self.rings, *self.tokens, *self.hidden, *others):
            if not 0 <= start < stop <= self.obs_dim:
                raise UserError(f"a sensor has the columns {start}:{stop}; expected columns within {self.obs_dim}")
        if len({column for ends in self.hidden for column in range(*ends)}) == self.obs_dim:
            raise UserError("all sensors are hidden from the policy; expected one at least that it sees")
        fits_choices = {"gaussian": False, "mixture": False, "categorical": True}.get(self.head)
        if fits_choices not in (None, self.action_space.discrete):
            found = "choices" if self.action_space.discrete else "numbers"
            fitting = "categorical" if self.action_space.discrete else "gaussian or mixture"
            raise UserError(f"head is {self.head}, but the actions are {found}; expected {fitting}, or auto")

    @property
    def for_discovery(self) -> "ModelConfig":
        """The model that codes are looked for with: they need no policy that sees single objects, remembers or plans,
        and it takes many fits to find them. Nothing is hidden from it."""
        return replace(self, ring="readings", memory=0, chunk=1, hidden=())

    @property
    def widest(self) -> int:
        """Numbers in its widest layer, which bounds the memory that a model takes."""
        sizes = (self.obs_dim, self.n_codes, self.code_dim, self.encoder_hidden, self.memory, *self.actor_hidden)
        return max(*sizes, *(size for *_, size in self.tokens), self.chunk)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ModelConfig":
        """
        Raises:
            UserError: a field is missing, unknown, of the wrong type, or out of range.
        """
        unknown = sorted(set(values) - {entry.name for entry in fields(cls)})
        if unknown:
            raise UserError(f"the model's config has the unknown field {unknown[0]!r}; it may be of another version")
        try:
            changed = {
                "action_space": ActionSpace.from_dict(values["action_space"]),
                "window": WindowShape(**values.get("window", {})),
                "rings": tuple(map(tuple, values.get("rings", ()))),
                "tokens": tuple(map(tuple, values.get("tokens", ()))),
                "hidden": tuple(map(tuple, values.get("hidden", ()))),
                "others": tuple(map(tuple, values.get("others", ()))),
                "actor_hidden": tuple(values.get("actor_hidden", cls.actor_hidden)),
            }
            return cls(**{**values, **changed})
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"the model's config cannot be read: {error}; train again") from None
