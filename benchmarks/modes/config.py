"""What the benchmark compares, and its options; imports nothing heavy, as --help must be quick."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from mode_imitation.errors import UserError, near_matches
from mode_imitation.model.config import RingKind
from mode_imitation.options import Argument
from mode_imitation.reports.layouts import held_out_layouts

ENV_ID = "SafetyPointGoal1-v0"
EPISODES, STEPS = 60, 1000
"""Demonstrations of each expert, and their length; other ones make a trial."""
SEEDS, LAYOUTS = 5, 200
"""Fewer make a trial."""
MOST_SEEDS = 1000
"""More are taken for a slip of the keyboard."""
CONFIRMING = "confirmation"
"""The list of layouts for methods that are settled."""
SWITCHING_LAYOUTS = 100
"""Most layouts on which modes are switched."""
BURST_AWAY = 0.25
"""As `generate` has it."""
ACTION_NOISE = 0.1
"""Of the experts, as in their demonstrations."""
GOAL_EXPERT, PLANNER = "goal_seeking", "hazard_avoiding"
OTHERS = ("forward_moving", "circling", "backward_moving", PLANNER, "slow_goal_seeking")


def seekers(experts: Iterable[str]) -> list[str]:
    """Those whose purpose is goals: the modes that stand for them are driven with sampled actions too."""
    return [expert for expert in experts if expert.endswith(GOAL_EXPERT) or expert == PLANNER]


@dataclass(frozen=True)
class ExpertSet:
    """Which experts are mixed, and how long their imitators train."""

    experts: tuple[str, ...]
    codes: int
    """More than experts: the number has to be found too."""
    iterations: int
    """Of the second phase, for every method."""
    turns: bool = False
    """Whether the experts take turns within each episode, of a quarter of it each."""
    methods: tuple[str, ...] = ("experts", "true-label", "ours", "kmeans", "categorical-vae", "original", "bc")
    """What is compared, see METHODS; the order is that of the tables."""


TURNING = ("experts", "true-label", "ours", "segments", "kmeans")
SETS = {
    "two": ExpertSet((GOAL_EXPERT, *OTHERS[:1]), 4, 4000),
    "four": ExpertSet((GOAL_EXPERT, *OTHERS[:3]), 8, 8000),
    "six": ExpertSet((GOAL_EXPERT, *OTHERS), 12, 8000),
    "turns": ExpertSet((GOAL_EXPERT, *OTHERS[:1]), 4, 4000, turns=True, methods=TURNING),
}
SEGMENT = 60
"""Steps that have one code before switches are looked for, where experts take turns. No divisor of a turn of 250, so
that segments do not begin where turns do: what is cut there by chance would find every switch."""
FEWEST_TURNING_STEPS = 4 * SEGMENT
"""Of an episode in which experts take turns: a turn is to be no shorter than a segment."""

METHODS = {
    "experts": "the experts themselves; their seeds are those of their action noise",
    "true-label": "the ceiling: the same policy, given the experts' labels as codes",
    "ours": "modes discovered without labels; where experts take turns, with the search for switches",
    "segments": f"ours without the search for switches: a code for every {SEGMENT} steps",
    "kmeans": "k-means of the statistics of trajectories (of segments, where experts take turns), their number chosen "
    "by cross-fitted likelihood; the same policy on its codes",
    "categorical-vae": "a categorical latent per trajectory, after arXiv 1903.10304, with this project's encoder; the "
    "same policy on its codes",
    "original": "the original method's ratio objective, distance contexts and one-step transitions, in this project's "
    "network and optimiser",
    "bc": "behaviour cloning without context",
}
"""Method: what it is."""
OURS = "ours"
SAMPLED = (OURS, "true-label")
"""Methods whose goal seekers are driven with sampled actions beside their mean actions."""
REFERENCE, REFERENCE_SEEDS = "experts", 3
"""The experts, and seeds of their action noise, at most: nothing is trained with them."""
ACTOR_OPTIONS = ("ring", "memory")
"""Settings of the actor that the original method does not have."""
LEAST = {"seeds": 1, "layouts": 2, "episodes": 2, "jobs": 1, "iterations": 1, "memory": 0}


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """Every method on the same demonstrations and layouts, over training seeds, with intervals."""

    set: Annotated[str, Argument("two|four|six|turns")]
    """two: goal_seeking and forward_moving; four: circling and backward_moving too; six: hazard_avoiding and
    slow_goal_seeking as well; turns: the experts of two, who take turns within each episode."""
    seeds: int = SEEDS
    """Training seeds 0, 1, ..."""
    layouts: int = LAYOUTS
    """Layouts that every mode and every expert drives; training and trials never see them."""
    methods: str | None = None
    """What is compared, with commas between: experts (always driven), true-label, ours, kmeans, categorical-vae,
    original, bc; for turns experts, true-label, ours, segments, kmeans. Left out, all of them."""
    out: Path = Path("runs/benchmark")
    """Folder; every finished cell (method and seed) is kept there, so that the same command goes on where it was."""
    jobs: int | None = None
    """Cells at a time, each on one core; left out, one a core."""
    publish: Path | None = None
    """Copy the results, one JSON, into this folder too."""
    layout_block: str = "benchmark"
    """The list of layouts: `tuning` for trials; the default is for final runs alone, and `confirmation` for what is
    settled, with results of its own."""
    episodes: int = EPISODES
    """Demonstrations of each expert; for turns, whose episodes are shared, as many times the experts. Fewer are for
    trials."""
    steps: int = STEPS
    """Steps per episode; fewer are for trials."""
    iterations: int | None = None
    """Of the second phase, for every method; left out, 8000 for four and six and 4000 for the others."""
    burst_away: float = BURST_AWAY
    """Share of the demonstrations' later bursts that drive away, see `generate`; other data has results of its own.
    None of them does for turns."""
    fresh_demonstrations: bool = False
    """Every training seed has demonstrations of its own (data seeds 1, 2, ...; else data seed 0 for all): results of
    their own, whose intervals cover the demonstrations too."""
    ring: RingKind = "readings"
    """How every policy but the original method's sees the lidars, see `train`."""
    memory: int = 0
    """Units of the memory of every policy but the original method's, see `train`."""
    exact_physics: bool = False
    """Drive with the library's physics to the last bit, see `make_vec`: several times the time for driving, and results
    of their own."""

    def __post_init__(self) -> None:
        if self.set not in SETS:
            raise UserError(
                f"there is no benchmark {self.set!r}{near_matches(self.set, SETS)}; expected {_listed(tuple(SETS))}"
            )
        known = SETS[self.set].methods
        for name in self._wanted:
            if name not in known:
                what = f"there is no method {name!r}" + (f" for {self.set}" if name in METHODS else "")
                raise UserError(f"{what}{near_matches(name, known)}; expected {_listed(known)}")
        for name, fewest in LEAST.items():
            value = getattr(self, name)
            if value is not None and value < fewest:
                raise UserError(f"--{name.replace('_', '-')} is {value}; expected at least {fewest}")
        if self.seeds > MOST_SEEDS:
            raise UserError(f"--seeds is {self.seeds}; expected 1 to {MOST_SEEDS}")
        held_out_layouts(self.layouts, self.layout_block)
        if not 0 <= self.burst_away <= 1:
            raise UserError(f"--burst-away is {self.burst_away}; expected a share from 0 to 1")
        if not 100 <= self.steps <= STEPS:
            raise UserError(f"--steps is {self.steps}; expected 100 to {STEPS}")
        if self.turn is not None and (self.steps < FEWEST_TURNING_STEPS or self.steps % 4):
            raise UserError(
                f"--steps is {self.steps}; for {self.set} expected {FEWEST_TURNING_STEPS} to {STEPS}, a multiple of 4"
            )

    @property
    def experts(self) -> tuple[str, ...]:
        return SETS[self.set].experts

    @property
    def name(self) -> str:
        """Of the results: other data, actors, physics, the layouts to confirm on and trials have names of their own."""
        memory = f"-memory{self.memory}" if self.memory else ""
        seen = "" if self.ring == "readings" else f"-{self.ring}"
        block = f"-{CONFIRMING}" if self.layout_block == CONFIRMING else ""
        data = self.away + "-fresh" * self.fresh_demonstrations
        return self.set + data + seen + memory + "-exact" * self.exact_physics + block + "-trial" * (not self.full)

    @property
    def away(self) -> str:
        """What tells data with another share of bursts that drive away from the usual: "-away20", at 20 percent."""
        usual = self.turn is not None or self.burst_away == BURST_AWAY
        return "" if usual else f"-away{100 * self.burst_away:g}".replace(".", "p")

    @property
    def away_share(self) -> float:
        """Of the bursts: none where experts take turns."""
        return self.burst_away if self.turn is None else 0.0

    def data_seed(self, seed: int) -> int:
        """Of the demonstrations that a training seed is shown."""
        return seed + 1 if self.fresh_demonstrations else 0

    @property
    def chosen(self) -> list[str]:
        """The methods to run, in the tables' order; the experts are always among them."""
        return [name for name in SETS[self.set].methods if name in self._wanted or name == REFERENCE]

    @property
    def _wanted(self) -> list[str]:
        if self.methods is None:
            return list(SETS[self.set].methods)
        return [name.strip() for name in self.methods.split(",")]

    @property
    def turn(self) -> int | None:
        """Steps that an expert drives before the other one takes over; None where each has episodes of its own."""
        return self.steps // 4 if SETS[self.set].turns else None

    @property
    def demonstrations(self) -> tuple[str, ...]:
        """What `generate` is asked for: experts and their episodes."""
        if self.turn is None:
            return tuple(f"{expert}={self.episodes}" for expert in self.experts)
        return (f"{'+'.join(self.experts)}@{self.turn}={self.episodes * len(self.experts)}",)

    @property
    def full(self) -> bool:
        """Whether nothing was cut short for a trial."""
        whole = self.episodes == EPISODES and self.steps == STEPS and self.iterations is None
        enough = self.seeds >= SEEDS and self.layouts >= LAYOUTS
        return whole and enough and self.layout_block in ("benchmark", CONFIRMING)

    def train_settings(self, method: str) -> dict[str, Any]:
        """What all methods have in common, as fields of TrainConfig; the original has none of the actor's options."""
        chosen = SETS[self.set]
        found: dict[str, Any] = {"codes": chosen.codes, "iterations": self.iterations or chosen.iterations}
        if method != "original":
            found |= {name: getattr(self, name) for name in ACTOR_OPTIONS}
        if chosen.turns:
            found |= {"segment": SEGMENT, "find_switches": True}
        return found


def _listed(known: Sequence[str]) -> str:
    *most, last = known
    return f"{', '.join(most)} or {last}"
