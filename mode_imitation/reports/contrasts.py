"""What sets a mode apart, in words that its figures bear out: "turns left constantly", "twice the speed of mode 2".

No labels, and no word about a difference that chance may have made: a contrast is told only if the interval of the
ratio over the same layouts leaves out 1.
"""

from collections.abc import Mapping

import numpy as np

from mode_imitation.reports.describe import NOTABLE, REVERSING, STEADY_TURN, Figures
from mode_imitation.reports.statistics import bootstrap_ratio

Columns = Mapping[str, np.ndarray | None]
"""(N,) of each figure of one mode, one number a layout; None for what is not known."""

CONTRASTED = {
    "goals": "{} the goals of mode {}",
    "cost": "{} the cost of mode {}",
    "speed": "{} the speed of mode {}",
    "turning": "{} the turning of mode {}",
    "arena_share": "{} the time of mode {} among the objects",
}
"""Figures that modes are told apart by, and how a multiple of another mode's is said."""
AMOUNTS = {
    "goals": ("{:.2g} goals", "no goals"),
    "cost": ("{:.3g} of cost", "no cost"),
    "speed": ("{:.2g} m/s", "no speed"),
    "turning": ("{:.2g} rad/s of turning", "no turning"),
    "arena_share": ("{:.0%} of the time among the objects", "no time among the objects"),
}
"""How an amount is said, and how there being none; below HARDLY there is none."""
HARDLY = 0.05
FEWEST = 5
"""Layouts below which nothing is contrasted."""
MOST = 3
"""Contrasts told of a mode."""
AGREED = 0.9
"""Share of the layouts that must agree where a ratio says nothing."""
ABSURD = 10.0
"""Ratio from which the two figures say more than their ratio."""
WORDS = (
    (0.2, "a fifth of"),
    (0.25, "a quarter of"),
    (1 / 3, "a third of"),
    (0.5, "half"),
    (2.0, "twice"),
    (3.0, "three times"),
    (4.0, "four times"),
)
NEAR_WORD = 0.08
"""How far off, as a share, a ratio may be to be called by one of WORDS."""
SMALLEST = {"goals": 0.5, "cost": 1.0, "speed": 0.02, "turning": 0.05, "arena_share": 0.01}
"""Figures of which both modes have less are not contrasted: little in absolute terms, whatever the ratio."""
STAYS, LEAVES = 0.98, 0.6
"""Share of the time in sight of some object from which a mode stays among them; below which it leaves them."""
ROUND = 4 * np.pi
"""Radians turned in an episode, to one side, from which a mode turns constantly."""


def traits(figures: Figures) -> list[str]:
    """What holds of one mode by itself: how it turns, whether it reverses, whether it stays.

    Args:
        figures: means over layouts, as `motion.means` gives them.
    """
    told = []
    rate, turning = figures.get("turn_rate"), figures.get("turning")
    path, speed = figures.get("path_length"), figures.get("speed")
    if rate is not None and turning is not None and path and speed:
        turned = turning * path / speed
        if turned < np.pi / 2:
            told.append("keeps its heading")
        elif abs(rate) >= STEADY_TURN * turning and turned >= ROUND:
            told.append(f"turns {'left' if rate > 0 else 'right'} constantly")
        else:
            left = 0.5 * (1 + rate / turning)
            told.append(f"turns both ways ({left:.0%} of it to the left)")
    forward = figures.get("forward_share")
    if forward is not None and forward < 1 - REVERSING:
        told.append("drives in reverse" if forward < REVERSING else f"drives {1 - forward:.0%} of its way in reverse")
    seen = figures.get("arena_share")
    if seen is not None and seen >= STAYS:
        told.append("stays among the objects")
    elif seen is not None and seen < LEAVES:
        told.append(f"is out of sight of every object {1 - seen:.0%} of the time")
    return told


def contrasts(modes: Mapping[int, Columns], *, seed: int = 0) -> dict[int, list[str]]:
    """For each mode, how it differs from the mode that is most like it, the largest differences first.

    Args:
        modes: figures of each mode on the same layouts.
        seed: of the intervals.

    Returns:
        At most MOST clauses for each mode, and none for a single one.
    """
    return {mode: _contrasts_of(mode, modes, seed) for mode in modes}


def _contrasts_of(mode: int, modes: Mapping[int, Columns], seed: int) -> list[str]:
    others = [other for other in modes if other != mode]
    if not others:
        return []
    other = min(others, key=lambda one: (unlikeness(modes[mode], modes[one]), one))
    found = []
    for figure in CONTRASTED:
        mine, theirs = modes[mode].get(figure), modes[other].get(figure)
        if mine is None or theirs is None or len(mine) < FEWEST or max(mine.mean(), theirs.mean()) < SMALLEST[figure]:
            continue
        if (clause := _clause(figure, mine, theirs, other, seed)) is not None:
            found.append((_log_ratio(mine, theirs, figure), clause))
    found.sort(key=lambda item: -item[0])
    return [clause for _, clause in found[:MOST]]


def _clause(figure: str, mine: np.ndarray, theirs: np.ndarray, other: int, seed: int) -> str | None:
    """One contrast in words; None where it may be chance or is not worth a word."""
    ratio = bootstrap_ratio(mine, theirs, seed=seed)
    # Beside (almost) nothing a ratio is none, or absurd; then most layouts must agree on which mode has more.
    if ratio is None or not 1 / ABSURD < ratio.mean < ABSURD:
        more = mine > theirs if mine.mean() > theirs.mean() else mine < theirs
        if more.mean() < AGREED:
            return None
        amount = _amount(figure, mine.mean())
        return f"{amount} where mode {other} has {_amount(figure, theirs.mean(), short=True)}"
    if ratio.low <= 1 <= ratio.high or max(ratio.mean, 1 / ratio.mean) < NOTABLE:
        return None
    return CONTRASTED[figure].format(multiple(ratio.mean), other)


def unlikeness(one: Columns, other: Columns) -> float:
    """How far apart two modes are: the sum of absolute log ratios of their mean figures."""
    total = 0.0
    for figure in CONTRASTED:
        mine, theirs = one.get(figure), other.get(figure)
        if mine is not None and theirs is not None:
            total += _log_ratio(mine, theirs, figure)
    return total


def multiple(ratio: float) -> str:
    """2.05 -> "twice", 0.34 -> "a third of", 1.4 -> "1.4 times"."""
    for value, words in WORDS:
        if abs(ratio / value - 1) <= NEAR_WORD:
            return words
    return f"{ratio:.2g} times"


def _log_ratio(mine: np.ndarray, theirs: np.ndarray, figure: str) -> float:
    """|log ratio| of the means; what is less than the figure's smallest counts as that."""
    low = SMALLEST[figure]
    return float(abs(np.log(max(mine.mean(), low) / max(theirs.mean(), low))))


def _amount(figure: str, value: float, *, short: bool = False) -> str:
    """ "4.8 goals", "no goals"; short after another amount of the same, "none"."""
    some, none = AMOUNTS[figure]
    if value < HARDLY:
        return "none" if short else none
    return some.format(value)
