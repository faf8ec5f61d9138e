"""Settings of a training run; imports no torch, so that the command line answers at once."""

from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, Literal

from mode_imitation.config_checks import Count, Positive, ShareBelowOne, Widths, Within
from mode_imitation.data.spaces import ActionSpace, Sensors, of_kind
from mode_imitation.discovery.config import DiscoveryConfig
from mode_imitation.errors import UserError, near_matches
from mode_imitation.model.config import CodebookKind, ContextKind, ModelConfig, RingKind
from mode_imitation.options import Repeated, Suppress

DeviceName = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class TrainConfig(DiscoveryConfig):
    """Everything that decides what training does; the same settings and data give the same weights.

    Listed are those that are usually set; encoder, head, horizon and all others of
    mode_imitation/training/config.py and discovery/config.py are taken too.
    """

    device: DeviceName = "auto"
    """Where training runs; auto takes a GPU where there is one."""
    iterations: Count = 4000
    """Of the policy's training on settled codes. Samples seen decide the quality."""
    encoder: Suppress[str] = "pooled"
    """What reads windows: pooled (blind to order), gru or attention."""
    head: Suppress[str] = "auto"
    """Distribution of the actions: gaussian, mixture or categorical; auto takes what the action space asks for."""
    ring: RingKind = "readings"
    """How the actor sees sensors around the body: readings (fast), or attention over them (sees single objects; three
    times the training time)."""
    mirror: Suppress[bool] = False
    """Whether the policy sees mirror images of the demonstrations too, where the world has declared what they are: for
    few demonstrations, and experts to whom left and right are alike."""
    hide: Suppress[Repeated] = ()
    """Names of plain sensors that the policy is not shown: those that tell its last action (accelerometer, gyro), which
    it would go on with instead of looking. Codes are found with them."""
    chunk: Suppress[Count] = 1
    """Actions that the policy predicts at once; it carries out half of them, then plans anew."""
    memory: Annotated[int, Within(0)] = 0
    """Units of the policy's recurrent state, for experts that remember, 64 say. Codes are found without it."""
    context: Suppress[ContextKind] = "assignment"
    """What the actor is told: which code the distances to the codebook point to, or the distances (the original)."""
    refine: Suppress[bool] = True
    """Whether codes are reassigned and the policy trained on; without it, both are those of the joint objective."""
    held_out: Suppress[ShareBelowOne] = 0.1
    """Share of the episodes that training does not see and that the log reports on."""
    workers: Suppress[Count | None] = None
    """Threads of the policy's training; None: one a core. Does not change the weights."""
    batch: Suppress[Count | None] = None
    """Steps in a batch of the policy's training; None: 2048, a quarter of it with ring attention."""
    codebook: Suppress[CodebookKind] = "ema"
    """How the codebook moves: by exponential moving average or by gradient."""
    code_dim: Suppress[Count] = 16
    """Numbers in a code."""
    temperature: Suppress[Positive] = 0.1
    """tau of the softmax over negative distances."""
    actor_hidden: Suppress[Widths] = (128, 128)
    """Widths of the actor's hidden layers."""
    checkpoint_every: Suppress[Count] = 500
    """Iterations between checkpoints."""
    log_every: Suppress[Count] = 50
    """Iterations between entries in the TensorBoard log."""
    hook_every: Suppress[Count] = 1000
    """Iterations between pictures in the log, where the world can be driven."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.find_switches and not self.refine:
            raise UserError("find_switches needs refine: it goes on from codes that were reassigned")
        if self.memory and not self.refine:
            raise UserError("memory needs refine: the joint objective shows the actor single steps")
        if self.start != "vqvae" and not self.refine:
            raise UserError(f"start is {self.start}, but without refine all there is is the joint objective's codes")
        if self.context == "distances" and self.start != "vqvae":
            raise UserError("context distances needs the distances that start vqvae learns")

    @property
    def policy_batch(self) -> int:
        """The number that `batch` stands for."""
        return self.batch or (512 if self.ring == "attention" else 2048)

    def model_config(
        self, obs_dim: int, space: ActionSpace, sensors: Sensors | None = None, token_sizes: tuple[int, ...] = ()
    ) -> ModelConfig:
        """The model that these settings describe.

        Args:
            obs_dim: numbers of an observation.
            space: of the actions.
            sensors: by name, as the dataset declares them.
            token_sizes: how many things each token sensor names, in order.

        Raises:
            UserError: `ring` is attention where there is no ring to attend to; there is no sensor to hide.
        """
        if self.ring == "attention" and not of_kind(sensors, "ring"):
            raise UserError(
                "ring is attention, but no sensor of the data is of kind ring, as lidars are; leave it out, "
                "or declare one (import --sensor NAME=START:STOP:ring)"
            )
        plain = {name: sensor for name, sensor in (sensors or {}).items() if sensor.kind == "plain"}
        for name in self.hide:
            if name not in plain:
                raise UserError(
                    f"hide names {name!r}{near_matches(name, plain)}; expected plain sensors of the data, which are "
                    f"{', '.join(plain) or 'none by name'}"
                )
        tokens = zip(of_kind(sensors, "token"), token_sizes, strict=True)
        fitting = "categorical" if space.discrete else "gaussian"
        return ModelConfig(
            obs_dim=obs_dim,
            action_space=space,
            n_codes=self.codes,
            rings=tuple((ring.start, ring.stop) for ring in of_kind(sensors, "ring")),
            tokens=tuple((token.start, token.stop, size) for token, size in tokens),
            others=tuple(
                (sensor.kind, sensor.start, sensor.stop)
                for sensor in (sensors or {}).values()
                if sensor.kind not in ("plain", "ring", "token")
            ),
            hidden=tuple((plain[name].start, plain[name].stop) for name in self.hide),
            window=self.window,
            encoder=self.encoder,
            head=fitting if self.head == "auto" else self.head,
            ring=self.ring,
            chunk=self.chunk,
            memory=self.memory,
            context=self.context,
            temperature=self.temperature,
            codebook=self.codebook,
            code_dim=self.code_dim,
            actor_hidden=self.actor_hidden,
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
            raise UserError(f"the run's config has the unknown field {unknown[0]!r}; it may be of another version")
        return cls(**values)
