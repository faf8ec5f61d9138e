"""Settings of how codes are found; imports no torch, so that the command line answers at once."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal, Self

from mode_imitation.config_checks import Amount, Count, Positive, Seed, ShareBelowOne, Within, check_fields
from mode_imitation.data.windows import WindowShape
from mode_imitation.errors import UserError
from mode_imitation.model.config import ObjectiveKind
from mode_imitation.options import Suppress

EvidenceKind = Literal["policy", "behaviour"]


@dataclass(frozen=True)
class DiscoveryConfig:
    """How codes are found. What the command line does not list is set from Python or by --config."""

    codes: Annotated[int, Within(2)] = 4
    """k, entries of the codebook: an upper bound of the number of modes; surplus ones are merged and pruned."""
    seed: Seed = 0
    """Decides the initial weights, the held-out episodes and every batch."""
    objective: Suppress[ObjectiveKind] = "sum"
    """Joins the VQ-VAE's loss V and the policy's density pi: V - log pi, V / pi (the original) or log V - log pi."""
    segment: Count | None = None
    """Steps of a segment with a code of its own, for experts that switch in mid-episode; left out: whole trajectories.
    With --find-switches no code lasts less, but for the first and the last of an episode."""
    find_switches: bool = False
    """Look for the steps at which experts switch, from the codes of the segments on: slower."""
    horizon: Suppress[Count | None] = None
    """Transitions in a window; None: 8, fewer where episodes are very short."""
    gap: Suppress[Count | None] = None
    """Steps from one transition of a window to the next; None: 5, fewer where episodes are short."""
    stride: Suppress[Count | None] = None
    """Steps that one transition spans, s[t + stride] - s[t]; None: 5, fewer where episodes are short."""
    start: Suppress[str] = "vqvae"
    """Where the codes come from that the search begins with: vqvae (the joint objective), kmeans, random or given."""
    joint_iterations: Suppress[Count] = 800
    """Of the joint objective."""
    see_states: Suppress[bool] = True
    """Whether the encoder sees s[t] beside the difference."""
    see_actions: Suppress[bool] = True
    """Whether the encoder sees a[t]."""
    pool: Suppress[Count] = 8
    """Windows of one unit whose distances are averaged before a code is chosen; 1: no averaging."""
    joint_windows: Suppress[Count] = 256
    """Windows in a batch of the joint objective."""
    joint_steps: Suppress[Count] = 2
    """Actions of each window that the actor is asked for there."""
    learning_rate: Suppress[Positive] = 2e-3
    """Peak of the one-cycle schedule."""
    reconstruction_weight: Suppress[Amount | None] = None
    """Of the reconstruction in V; None: .02 for the objective sum, 1 for the ratios."""
    commitment_weight: Suppress[Amount] = 0.25
    """beta of the commitment term, van den Oord et al. 2017, eq. 3."""
    balance_weight: Suppress[Amount] = 1.0
    """Of the usage balance, which fades out by half of the joint iterations; without it all becomes one code."""
    confidence_weight: Suppress[Amount] = 0.5
    """Of the entropy of each window's softmax over the codes."""
    revive_below: Suppress[ShareBelowOne] = 0.01
    """Codes with less than this share of the usage jump to a window's place."""
    evidence: EvidenceKind = "policy"
    """What tells modes apart: what is done in a state (policy), or that and which states are visited when
    (behaviour), for routes, gestures and whatever starts and ends alike."""
    confidence: Suppress[Annotated[float, Within(0.5, 0.999999)]] = 0.975
    """That two codes are two, by laws and networks that never saw the trajectory; else they become one."""
    rounds: Suppress[Annotated[int, Within(0)]] = 6
    """At most so often are codes joined and trajectories given to the code that explains them best; 0: the codes of
    the start stay."""
    judge_iterations: Suppress[Count] = 1000
    """Of the fit of each policy that judges where experts switch."""
    judge_batch: Suppress[Count] = 256
    """Steps in a batch of those fits."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.find_switches and self.segment is None:
            raise UserError("find_switches needs segments to start from; give --segment 50, say")

    @property
    def window(self) -> WindowShape:
        usual = WindowShape()
        horizon, gap, stride = self.horizon or usual.horizon, self.gap or usual.gap, self.stride or usual.stride
        return WindowShape(horizon, gap, stride, self.see_states, self.see_actions)

    def fitted_to(self, shortest: int) -> Self:
        """These settings with a window that fits: what is left open is as usual, or less where that spans too much.

        Args:
            shortest: steps of the shortest episode. A shortened window spans half of it at most, so that there are
                several.
        """
        if self.segment is not None:
            shortest = min(shortest, self.segment)
        window = self.window
        if window.span > shortest:
            usual = WindowShape()
            most = max(1, (shortest + 1) // 2)
            horizons = [self.horizon] if self.horizon else range(usual.horizon, 0, -1)
            spacings = range(usual.gap, 0, -1)
            shapes = (
                replace(window, horizon=h, gap=self.gap or s, stride=self.stride or s)
                for h in horizons
                for s in spacings
            )
            window = next((shape for shape in shapes if shape.span <= most), window)
        return replace(self, horizon=window.horizon, gap=window.gap, stride=window.stride)

    @property
    def reconstruction(self) -> float:
        """The weight of the reconstruction that `reconstruction_weight` stands for."""
        if self.reconstruction_weight is not None:
            return self.reconstruction_weight
        return 0.02 if self.objective == "sum" else 1.0
