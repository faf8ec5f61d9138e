"""A mode in words that its figures bear out, from how it moves and never from labels.

`describe_modes` says what kind of motion it is ("seeks goals"), `traits` what else holds of it ("turns left
constantly"), `contrasts` how it differs from the mode that is most like it ("twice the speed of mode 2"). A contrast is
told only if the interval of the ratio over the same layouts leaves out 1, so that chance has not made it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mode_imitation.reports.motion import Motion, means
from mode_imitation.reports.statistics import bootstrap_ratio

Figures = Mapping[str, float | None]
"""Mean figures of one mode, as `motion.means` returns them."""
Columns = Mapping[str, np.ndarray | None]
"""(N,) of each figure of one mode, one number a layout; None for what is not known."""

STILL_M = 0.3
"""Path in metres below which a mode goes nowhere."""
STRAIGHT = 0.9
"""Straightness from which a path is straight."""
SEEKING = 0.25
"""Metres gained towards the goal per metre driven from which a mode seeks goals; wandering ones are near 0."""
STEADY_TURN = 0.8
"""Share of all turning that goes to one side from which a path that turns is a circle."""
ROUND = 4 * np.pi
"""Radians turned in an episode, to one side, from which a mode turns constantly."""
REVERSING = 0.15
"""Share of the path driven backwards from which it is worth a word."""
SLOW = 0.85
"""Speed beside the fastest mode of the same kind below which a mode is slow."""
CLEAR = 0.01
"""Cost per step below which a goal seeker keeps clear of hazards; plain seekers pay about .05 in PointGoal1."""
STAYS, LEAVES = 0.98, 0.6
"""Share of the time in sight of some object from which a mode stays among them; below which it leaves them."""
NOTABLE = 1.15
"""Ratio of two modes' figures from which a contrast is worth a word."""
SEEKS, REVERSE = "seeks goals", ", also in reverse"
UNKNOWN = "its motion cannot be told without positions"


class Contrast(NamedTuple):
    """How a figure that modes are told apart by is said."""

    multiple: str
    """Of another mode's."""
    amount: str
    none: str
    smallest: float
    """Where both modes have less they are not contrasted: little in absolute terms, whatever the ratio."""


CONTRASTED = {
    "goals": Contrast("{} the goals of mode {}", "{:.2g} goals", "no goals", 0.5),
    "cost": Contrast("{} the cost of mode {}", "{:.3g} of cost", "no cost", 1.0),
    "speed": Contrast("{} the speed of mode {}", "{:.2g} m/s", "no speed", 0.02),
    "turning": Contrast("{} the turning of mode {}", "{:.2g} rad/s of turning", "no turning", 0.05),
    "arena_share": Contrast(
        "{} the time of mode {} among the objects",
        "{:.0%} of the time among the objects",
        "no time among the objects",
        0.01,
    ),
}
TOLD_APART = ("goals", "speed", "cost", "turning")
"""Figures by which a sentence that an earlier mode has too is told apart from it."""
HARDLY = 0.05
"""Amount below which there is none."""
FEWEST = 5
"""Layouts below which nothing is contrasted."""
MOST = 3
"""Contrasts told of a mode."""
AGREED = 0.9
"""Share of the layouts that must agree where a ratio says nothing."""
ABSURD = 10.0
"""Ratio from which the two figures say more than their ratio."""
WORDS = {
    0.2: "a fifth of",
    0.25: "a quarter of",
    1 / 3: "a third of",
    0.5: "half",
    2.0: "twice",
    3.0: "three times",
    4.0: "four times",
}
NEAR_WORD = 0.08
"""How far off, as a share, a ratio may be to be called by one of WORDS."""


def describe_modes(modes: Sequence[Figures]) -> list[str]:
    """One sentence for each mode, without a full stop, with contrasts where two would read alike.

    Every rule compares numbers without a unit of time, so that it holds for any robot and simulator step. The figures
    are means over the same layouts.
    """
    kinds = [_kind(figures) for figures in modes]
    sentences = [_with_manner(index, kinds, modes) for index in range(len(modes))]
    return [_told_apart(index, sentences, modes) for index in range(len(modes))]


def titled(mode: int, description: str) -> str:
    """ "mode 0: seeks goals", with the beginning of a description where it says anything."""
    return f"mode {mode}" if description == UNKNOWN else f"mode {mode}: {re.split(',|;| with a ', description)[0]}"


def with_description(what: str, motions: Sequence[Motion]) -> str:
    """ "mode 0: seeks goals", where the motions of its drives tell; else only what it is."""
    sentence = describe_modes([means(motions)])[0]
    return what if sentence == UNKNOWN else f"{what}: {sentence}"


def _kind(figures: Figures) -> str:
    path, straightness = figures.get("path_length"), figures.get("straightness")
    if path is None or straightness is None:
        return UNKNOWN
    backwards = _below(figures.get("forward_share"), 0.5)
    side, turned = _turning(figures)
    if path < STILL_M:
        return "turns on the spot" if side and turned >= ROUND else "hardly moves"
    if straightness >= STRAIGHT:
        return "drives straight backwards" if backwards else "drives straight ahead"
    if (figures.get("approach") or 0.0) >= SEEKING:
        return SEEKS + (REVERSE if _below(figures.get("forward_share"), 1.0 - REVERSING) else "")
    if side and turned >= ROUND:
        return f"circles {'backwards ' if backwards else ''}to the {side}"
    return "wanders backwards" if backwards else "wanders"


def _turning(figures: Figures) -> tuple[str, float]:
    """The side that most of the turning goes to, or "", and radians turned in the episode, to that side or in all."""
    rate, turning, path, speed = (figures.get(name) for name in ("turn_rate", "turning", "path_length", "speed"))
    if rate is None or not turning or not path or not speed:
        return "", 0.0
    if abs(rate) < STEADY_TURN * turning:
        return "", turning * path / speed
    return "left" if rate > 0 else "right", abs(rate) * path / speed


def _with_manner(index: int, kinds: list[str], modes: Sequence[Figures]) -> str:
    kind, figures = kinds[index], modes[index]
    speed, rate = figures.get("speed"), figures.get("turn_rate")
    if kind.startswith("circles"):
        return f"{kind} with a radius of {speed / abs(rate):.1f} m" if speed and rate else kind
    sentence = kind
    fastest = max((modes[i].get("speed") or 0.0 for i, same in enumerate(kinds) if same == kind), default=0.0)
    if _below(speed, SLOW * fastest):
        sentence = f"{sentence.removesuffix(REVERSE)} slowly{REVERSE if kind.endswith(REVERSE) else ''}"
    cost, steps = figures.get("cost"), figures.get("steps")
    if kind.startswith(SEEKS) and cost is not None and steps and cost / steps < CLEAR:
        sentence += f"{'' if REVERSE in sentence else ','} and keeps clear of hazards"
    return sentence


def _told_apart(index: int, sentences: list[str], modes: Sequence[Figures]) -> str:
    """Tell a sentence that an earlier mode has too apart from it by the figure in which they differ most."""
    sentence = sentences[index]
    first = sentences.index(sentence)
    if first == index or sentence == UNKNOWN:
        return sentence
    pairs = {figure: (modes[index].get(figure), modes[first].get(figure)) for figure in TOLD_APART}
    ratios = {figure: mine / other for figure, (mine, other) in pairs.items() if (mine or 0) > 0 and (other or 0) > 0}  # type: ignore[operator]
    if ratios:
        figure, ratio = max(ratios.items(), key=lambda item: abs(np.log(item[1])))
        if max(ratio, 1.0 / ratio) >= NOTABLE:
            return f"{sentence}; {ratio:.2g} times the {figure} of mode {first}"
    return f"{sentence}; much like mode {first}"


def _below(value: float | None, threshold: float) -> bool:
    return value is not None and value < threshold


def traits(figures: Figures) -> list[str]:
    """What holds of one mode by itself: how it turns, whether it reverses, whether it stays."""
    told = []
    rate, turning = figures.get("turn_rate"), figures.get("turning")
    if rate is not None and turning is not None and figures.get("path_length") and figures.get("speed"):
        side, turned = _turning(figures)
        if turned < np.pi / 2:
            told.append("keeps its heading")
        elif side:
            told.append(f"turns {side}" + (" constantly" if turned >= ROUND else ""))
        else:
            told.append(f"turns both ways ({0.5 * (1 + rate / turning):.0%} of it to the left)")
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
    """For each mode, how it differs from the mode that is most like it: at most MOST clauses, none for a single mode.

    The figures are those on the same layouts; the largest differences come first.
    """
    return {mode: _contrasts_of(mode, modes, seed) for mode in modes}


def _contrasts_of(mode: int, modes: Mapping[int, Columns], seed: int) -> list[str]:
    others = [other for other in modes if other != mode]
    if not others:
        return []
    other = min(others, key=lambda one: (unlikeness(modes[mode], modes[one]), one))
    found = []
    for figure, words in CONTRASTED.items():
        mine, theirs = modes[mode].get(figure), modes[other].get(figure)
        if mine is None or theirs is None or len(mine) < FEWEST or max(mine.mean(), theirs.mean()) < words.smallest:
            continue
        ratio = bootstrap_ratio(mine, theirs, seed=seed)
        # Beside (almost) nothing a ratio is none, or absurd; then most layouts must agree on which mode has more.
        if ratio is None or not 1 / ABSURD < ratio.mean < ABSURD:
            more = mine > theirs if mine.mean() > theirs.mean() else mine < theirs
            if more.mean() < AGREED:
                continue
            own = words.none if mine.mean() < HARDLY else words.amount.format(mine.mean())
            its = "none" if theirs.mean() < HARDLY else words.amount.format(theirs.mean())
            clause = f"{own} where mode {other} has {its}"
        elif ratio.low <= 1 <= ratio.high or max(ratio.mean, 1 / ratio.mean) < NOTABLE:
            continue
        else:
            clause = words.multiple.format(multiple(ratio.mean), other)
        found.append((-_log_ratio(mine, theirs, figure), clause))
    return [clause for _, clause in sorted(found, key=lambda item: item[0])[:MOST]]


def unlikeness(one: Columns, other: Columns) -> float:
    """How far apart two modes are: the sum of absolute log ratios of their mean figures."""
    pairs = {figure: (one.get(figure), other.get(figure)) for figure in CONTRASTED}
    return sum(_log_ratio(a, b, figure) for figure, (a, b) in pairs.items() if a is not None and b is not None)


def multiple(ratio: float) -> str:
    """2.05 -> "twice", 0.34 -> "a third of", 1.4 -> "1.4 times"."""
    near = (words for value, words in WORDS.items() if abs(ratio / value - 1) <= NEAR_WORD)
    return next(near, f"{ratio:.2g} times")


def _log_ratio(mine: np.ndarray, theirs: np.ndarray, figure: str) -> float:
    """|log ratio| of the means; what is less than the figure's smallest counts as that."""
    low = CONTRASTED[figure].smallest
    return float(abs(np.log(max(mine.mean(), low) / max(theirs.mean(), low))))
