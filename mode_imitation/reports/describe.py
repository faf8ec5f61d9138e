"""A mode in words, from how it moves and never from labels: "seeks goals", "circles to the left".

Every rule compares numbers without a unit of time, so that it holds for any robot and simulator step.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from mode_imitation.reports.motion import Motion, means

Figures = Mapping[str, float | None]
"""Mean figures of one mode, as `motion.means` returns them."""

STILL_M = 0.3
"""Path in metres below which a mode goes nowhere."""
STRAIGHT = 0.9
"""Straightness from which a path is straight."""
SEEKING = 0.25
"""Metres gained towards the goal per metre driven from which a mode seeks goals; wandering ones are near 0."""
STEADY_TURN = 0.8
"""Share of all turning that goes to one side from which a path that turns is a circle."""
REVERSING = 0.15
"""Share of the path driven backwards from which it is worth a word."""
SLOW = 0.85
"""Speed beside the fastest mode of the same kind below which a mode is slow."""
CLEAR = 0.01
"""Cost per step below which a goal seeker keeps clear of hazards; plain seekers pay about .05 in PointGoal1."""
NOTABLE = 1.15
"""Ratio of two modes' figures from which a contrast is worth a word."""
SEEKS, REVERSE = "seeks goals", ", also in reverse"
UNKNOWN = "its motion cannot be told without positions"
CONTRASTS = {"goals": "goals", "speed": "speed", "cost": "cost", "turning": "turning"}


def describe_modes(modes: Sequence[Figures]) -> list[str]:
    """One sentence for each mode, with contrasts where two would read alike.

    Args:
        modes: mean figures of each mode, all over the same layouts.

    Returns:
        As many sentences as modes, without a full stop.
    """
    kinds = [_kind(figures) for figures in modes]
    sentences = [_with_manner(index, kinds, modes) for index in range(len(modes))]
    return [_with_contrast(index, sentences, modes) for index in range(len(modes))]


def with_description(what: str, motions: Sequence[Motion]) -> str:
    """ "mode 0: seeks goals", where the motions of its drives tell; else only what it is."""
    sentence = describe_modes([means(motions)])[0]
    return what if sentence == UNKNOWN else f"{what}: {sentence}"


def _kind(figures: Figures) -> str:
    path, straightness = figures.get("path_length"), figures.get("straightness")
    if path is None or straightness is None:
        return UNKNOWN
    backwards = _below(figures.get("forward_share"), 0.5)
    if path < STILL_M:
        return "turns on the spot" if _turns_round(figures) else "hardly moves"
    if straightness >= STRAIGHT:
        return "drives straight backwards" if backwards else "drives straight ahead"
    if (figures.get("approach") or 0.0) >= SEEKING:
        return SEEKS + (REVERSE if _below(figures.get("forward_share"), 1.0 - REVERSING) else "")
    if _turns_round(figures):
        side = "left" if (figures["turn_rate"] or 0.0) > 0 else "right"
        return f"circles {'backwards ' if backwards else ''}to the {side}"
    return "wanders backwards" if backwards else "wanders"


def _turns_round(figures: Figures) -> bool:
    """Most of the turning goes one way, and the heading goes round at least twice in the episode."""
    rate, turning, speed, path = (figures.get(name) for name in ("turn_rate", "turning", "speed", "path_length"))
    if rate is None or not turning or path is None:
        return False
    duration = path / speed if speed else 0.0
    return abs(rate) >= STEADY_TURN * turning and abs(rate) * duration >= 4 * np.pi


def _with_manner(index: int, kinds: list[str], modes: Sequence[Figures]) -> str:
    kind, figures = kinds[index], modes[index]
    if kind.startswith("circles"):
        speed, rate = figures.get("speed"), figures.get("turn_rate")
        return f"{kind} with a radius of {speed / abs(rate):.1f} m" if speed and rate else kind
    sentence = kind
    fastest = max((modes[i].get("speed") or 0.0 for i, same in enumerate(kinds) if same == kind), default=0.0)
    if _below(figures.get("speed"), SLOW * fastest):
        sentence = f"{sentence.removesuffix(REVERSE)} slowly{REVERSE if kind.endswith(REVERSE) else ''}"
    cost, steps = figures.get("cost"), figures.get("steps")
    if kind.startswith(SEEKS) and cost is not None and steps and cost / steps < CLEAR:
        sentence += f"{'' if REVERSE in sentence else ','} and keeps clear of hazards"
    return sentence


def _with_contrast(index: int, sentences: list[str], modes: Sequence[Figures]) -> str:
    """Tell a sentence that an earlier mode has too apart from it by the figure in which they differ most."""
    sentence = sentences[index]
    first = sentences.index(sentence)
    if first == index or sentence == UNKNOWN:
        return sentence
    ratios = {}
    for figure in CONTRASTS:
        mine, other = modes[index].get(figure), modes[first].get(figure)
        if mine and other and mine > 0 and other > 0:
            ratios[figure] = mine / other
    if ratios:
        figure, ratio = max(ratios.items(), key=lambda item: abs(np.log(item[1])))
        if max(ratio, 1.0 / ratio) >= NOTABLE:
            return f"{sentence}; {ratio:.2g} times the {CONTRASTS[figure]} of mode {first}"
    return f"{sentence}; much like mode {first}"


def _below(value: float | None, threshold: float) -> bool:
    return value is not None and value < threshold
