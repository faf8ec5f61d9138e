"""What a mode will do on average on layouts that nobody has seen yet, at a stated confidence, and `--require`.

Nothing is assumed of the distribution of its figures over layouts, except between which values they lie.

The bounds of means bet against every smaller mean (Waudby-Smith and Ramdas, "Estimating means of bounded random
variables by betting", JRSS B 86, 2024): if the expectation of values x >= 0 were m, then the capital of a gambler who
stakes a fixed share s on each, the product of 1 - s + s x / m, would be 1 in expectation, and so would be a mixture of
such gamblers. By Ville's inequality it ever reaches 1 / (1 - confidence) with a probability of at most 1 - confidence;
means that it refutes are refuted. The shares are mixed by the arcsine law, as in Cover and Ordentlich's universal
portfolio (IEEE Trans. Inf. Theory 42, 1996; for confidence: Orabona and Jun, IEEE Trans. Inf. Theory 70, 2024).
Three things follow that other bounds lack: only a floor of the values is needed, no ceiling (or for a bound from above
only a ceiling); the order of the values does not matter; and the bound holds at every number of values at once, so that
one may add layouts until it is as tight as wished. `benchmarks/guarantees.py` compares it with its rivals.
"""

import math
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import bdtr

from mode_imitation.errors import UserError
from mode_imitation.reports.layouts import BLOCK

N_SHARES = 128
"""Gamblers in the mixture; the bound holds for any number."""
HALVINGS = 60
"""Of the interval that the bound is searched in."""
SHARE = 0.9
"""Of new layouts, that the statement about quantiles speaks of."""
TOP_SPEED = {"Point": 2.0, "Car": 1.5}
"""Metres per second that no robot of that name exceeds; measured at full thrust: Point 1.51, Car 0.8."""

ASSUMPTIONS = (
    "Layouts, those here and new ones, are independent draws from the simulator's own distribution; the simulator, the "
    "number of steps and the temperature stay as they were here; the run was not chosen by these layouts. "
    "The values lie between floor and ceiling: goals are counted, cost is at most 1 a step (both by the simulator's "
    "definition), straightness lies in [0, 1]"
)
LEAST_RETURN = "a return is no lower than that of driving away from the goal at {speed} m/s all the time"

Side = Literal["at_least", "at_most"]
SIDES: dict[str, Side] = {"goals": "at_least", "return": "at_least", "cost": "at_most", "straightness": "at_least"}
"""Figures with a guarantee, and from which side."""
SIGNS = {"at_least": 1.0, "at_most": -1.0}
OPERATORS = {"at_least": ">=", "at_most": "<="}
_CONDITION = re.compile(r"\s*([A-Za-z_]+)\s*(>=|<=|==|=|>|<)\s*(\S+)\s*")


@dataclass(frozen=True)
class Guarantee:
    """A bound of an expectation over new layouts, and of the worst tenth of them."""

    side: Side
    bound: float
    """Of the mean over new layouts."""
    confidence: float
    """With which it holds, on its own."""
    edge: float
    """The floor (or ceiling) of the values that was assumed."""
    n: int
    """Layouts that it rests on."""
    share: float
    """In at least this share of new layouts ..."""
    quantile: float
    """... the figure is at least (at most) this; with the same confidence."""


def guarantees_of(
    values: Mapping[str, np.ndarray | None],
    *,
    steps: int,
    robot: str | None,
    time_step: float | None,
    confidence: float = 0.95,
    n_modes: int = 1,
) -> dict[str, Guarantee | None]:
    """A guarantee for each figure of SIDES; None where it or its floor is unknown, or a value lies beyond the floor.

    Args:
        values: (N,) of each figure, one for each layout; None for what is not known.
        steps: per episode.
        robot: its name, which decides its top speed.
        time_step: seconds per step.
        confidence: with which a figure's bounds hold, for all of `n_modes` modes together; each bound then has the
            confidence 1 - (1 - confidence) / n_modes (Bonferroni).
        n_modes: modes that are looked at.
    """
    alone = 1.0 - (1.0 - confidence) / n_modes
    speed = TOP_SPEED.get(robot or "")
    lowest_return = None if speed is None or time_step is None else -speed * time_step * steps
    edges = {"goals": 0.0, "return": lowest_return, "cost": float(steps), "straightness": 0.0}
    found: dict[str, Guarantee | None] = {}
    for figure, side in SIDES.items():
        data, edge, sign = values.get(figure), edges[figure], SIGNS[side]
        if data is None or edge is None or (sign * (data - edge) < 0).any():
            found[figure] = None
            continue
        share, quantile = worst_of(sign * data, SHARE, alone)
        bound = edge + sign * lower_bound(sign * (data - edge), alone)
        found[figure] = Guarantee(side, bound, alone, edge, len(data), share, sign * quantile)
    return found


def lower_bound(values: Sequence[float] | np.ndarray, confidence: float = 0.95) -> float:
    """A lower bound of the expectation of (N,) independent values >= 0, in [0, their mean].

    It lies below the expectation with at least the probability `confidence`, at all N at once.

    Raises:
        ValueError: there are no values, or one is negative or not finite.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.ndim != 1 or not len(data) or not np.isfinite(data).all() or (data < 0).any():
        raise ValueError(f"expected at least one value, all of them finite and >= 0, got {data}")
    distinct, counts = np.unique(data, return_counts=True)
    target = -math.log(1.0 - confidence)
    low, high = 0.0, float(data.mean())
    # The capital falls as m rises: it is unbounded at 0 and at most 1 at the mean.
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        if middle <= 0.0 or log_capital(distinct, counts, middle) >= target:
            low = middle
        else:
            high = middle
    return low


def log_capital(values: np.ndarray, counts: np.ndarray, mean: float) -> float:
    """Log of the mixture's capital after (V,) distinct values >= 0, each so often, had their mean been `mean` > 0."""
    shares = np.sin((np.arange(N_SHARES) + 0.5) * (0.5 * np.pi / N_SHARES)) ** 2  # (S,) arcsine law
    logs = np.log1p(shares[:, None] * (values / mean - 1.0)) @ counts  # (S, V) @ (V,) -> (S,)
    top = logs.max()
    return float(top + np.log(np.exp(logs - top).mean()))


def worst_of(
    values: Sequence[float] | np.ndarray, share: float = SHARE, confidence: float = 0.95
) -> tuple[float, float]:
    """(share, x): with the given confidence, at least that share of new draws are >= x.

    x is an order statistic of the values, so that nothing is assumed of their distribution (Wilks 1941). For the number
    of values that were drawn; unlike `lower_bound` it does not hold at all numbers at once.

    Args:
        values: (N,) independent draws.
        share: wanted; where N values cannot show it, the largest that they can, for their minimum, is returned.
        confidence: of the statement.
    """
    data = np.sort(np.asarray(values, dtype=np.float64))
    n, rest = len(data), 1.0 - confidence
    # P(the k-th smallest is above the quantile) = P(Binomial(n, 1 - share) < k), which must not exceed `rest`. The
    # binomial is scipy's: share**n, from which to add it up, is 0 in float64 from 7,000 values or so on.
    k = bisect_right(range(n), rest, key=lambda below: float(bdtr(below, n, 1.0 - share)))
    if k == 0:
        return rest ** (1.0 / n), float(data[0])
    return share, float(data[k - 1])


def check_confidence(confidence: float) -> None:
    """Refuse, as a UserError, what is not between 0 and 1, both left out."""
    if not 0.0 < confidence < 1.0:
        raise UserError(f"--confidence is {confidence}; expected a number between 0 and 1, 0.95 say")


@dataclass(frozen=True)
class Condition:
    """One bound that `--require "goals>=9,cost<=60"` asks for."""

    figure: str
    threshold: float

    def __str__(self) -> str:
        return f"{self.figure}{OPERATORS[SIDES[self.figure]]}{self.threshold:g}"


@dataclass(frozen=True)
class Verdict:
    """Whether one mode meets every condition, and what is missing where it does not."""

    mode: int
    qualifies: bool
    missing: list[str]


def parse_requirements(text: str) -> list[Condition]:
    """Read `goals>=9,cost<=60`; whitespace does not matter.

    Raises:
        UserError: it cannot be read, names a figure without guarantees, or asks for a bound from the other side.
    """
    example = "expected conditions with commas, as in `goals>=9,cost<=60`"
    conditions: list[Condition] = []
    for part in map(str.strip, text.split(",")):
        match = _CONDITION.fullmatch(part)
        if match is None:
            raise UserError(f"--require: {part or 'nothing'!r} is not a condition; {example}")
        figure, operator, number = match.groups()
        if figure not in SIDES:
            raise UserError(f"--require: there is no guarantee for {figure!r}; there are ones for {', '.join(SIDES)}")
        if operator != (right := OPERATORS[SIDES[figure]]):
            side = "a lower" if SIDES[figure] == "at_least" else "an upper"
            raise UserError(f"--require: {part!r}; {figure} has {side} bound: `{figure}{right}...`")
        try:
            threshold = float(number)
        except ValueError:
            threshold = math.nan
        if not math.isfinite(threshold):
            raise UserError(f"--require: {number!r} in {part!r} is not a number; {example}")
        conditions.append(Condition(figure, threshold))
    return conditions


def judge(
    conditions: Sequence[Condition],
    guarantees: Mapping[int, Mapping[str, Guarantee | None]],
    values: Mapping[int, Mapping[str, np.ndarray | None]],
) -> list[Verdict]:
    """A verdict for each mode, by its guarantees and never by its means.

    A mode that falls short of one condition qualifies wrongly only if that condition's bound is wrong, so that several
    conditions cost no confidence; that there are several modes to choose from is in the bounds already.

    Args:
        conditions: all of which must be met.
        guarantees: of each mode, by figure.
        values: (N,) of each mode and figure, from which the number of layouts that would do is guessed.
    """
    verdicts = []
    for mode, known in guarantees.items():
        texts = [_missing(one, known.get(one.figure), values[mode].get(one.figure)) for one in conditions]
        missing = [text for text in texts if text]
        verdicts.append(Verdict(mode, not missing, missing))
    return verdicts


def _missing(condition: Condition, guarantee: Guarantee | None, values: np.ndarray | None) -> str | None:
    """What keeps a mode from meeting a condition; None where it meets it."""
    if guarantee is None or values is None:
        return f"{condition}: nothing is guaranteed of its {condition.figure}"
    sign, edge = SIGNS[guarantee.side], guarantee.edge
    if sign * (guarantee.bound - condition.threshold) >= 0:
        return None
    found = f"{condition}: guaranteed is {guarantee.bound:.4g}, its mean {values.mean():.4g}"
    if sign * (values.mean() - condition.threshold) <= 0:
        return found
    n = layouts_needed(sign * (values - edge), sign * (condition.threshold - edge), guarantee.confidence)
    return f"{found}; " + (f"about --layouts {n} might show it" if n else f"{BLOCK:,} layouts, which is all, would not")


def layouts_needed(values: np.ndarray, threshold: float, confidence: float) -> int | None:
    """How many values like these (N,) >= 0 it takes to guarantee that their expectation is at least `threshold` > 0,
    which their mean exceeds; rounded up to two digits, None where it is more layouts than there are."""
    distinct, counts = np.unique(values, return_counts=True)
    target = -math.log(1.0 - confidence)
    low, high = 0, BLOCK + 1
    while high - low > 1:
        middle = (low + high) // 2
        enough = log_capital(distinct, counts * (middle / len(values)), threshold) >= target
        low, high = (low, middle) if enough else (middle, high)
    if high > BLOCK:
        return None
    step = 10 ** max(len(str(high)) - 2, 0)
    return -(-high // step) * step
