"""Words about modes: what they say is so, and a difference that may be chance is not told."""

import numpy as np
import pytest

from mode_imitation.reports.describe import CONTRASTED, FEWEST, contrasts, multiple, traits, unlikeness

LAYOUTS = 20


def mode(seed: int = 0, **means: float) -> dict[str, np.ndarray | None]:
    """Figures on LAYOUTS layouts, scattered a little about these means."""
    rng = np.random.default_rng(seed)
    return {name: means[name] * rng.uniform(0.9, 1.1, LAYOUTS) if name in means else None for name in CONTRASTED}


def test_a_mode_is_contrasted_with_the_one_that_is_most_like_it() -> None:
    modes = {
        0: mode(0, goals=11.0, speed=0.9, cost=50.0),
        2: mode(1, goals=5.5, speed=0.45, cost=50.0),
        5: mode(2, goals=0.0, speed=1.4, cost=5.0),
    }
    assert unlikeness(modes[0], modes[2]) < unlikeness(modes[0], modes[5])
    told = contrasts(modes)
    assert set(told[0]) == {"twice the goals of mode 2", "twice the speed of mode 2"}
    assert set(told[2]) == {"half the goals of mode 0", "half the speed of mode 0"}
    assert "no goals where mode 2 has 5.5 goals" in told[5]


def test_a_difference_that_may_be_chance_is_not_told() -> None:
    rng = np.random.default_rng(0)
    costs = rng.exponential(50.0, (2, LAYOUTS))
    modes = {index: dict.fromkeys(CONTRASTED) | {"cost": costs[index]} for index in range(2)}
    ratio = costs[0].mean() / costs[1].mean()
    assert max(ratio, 1 / ratio) > 1.15, "else the test sees nothing"
    assert contrasts(modes) == {0: [], 1: []}


def test_few_layouts_and_single_modes_have_no_contrasts() -> None:
    few = {0: mode(0, goals=11.0), 1: mode(1, goals=1.0)}
    few = {
        index: {name: v if v is None else v[: FEWEST - 1] for name, v in found.items()} for index, found in few.items()
    }
    assert contrasts(few) == {0: [], 1: []}
    assert contrasts({3: mode(0, goals=11.0)}) == {3: []}


@pytest.mark.parametrize(
    ("ratio", "words"), [(2.05, "twice"), (0.49, "half"), (0.34, "a third of"), (1.4, "1.4 times"), (6.6, "6.6 times")]
)
def test_ratios_in_words(ratio: float, words: str) -> None:
    assert multiple(ratio) == words


@pytest.mark.parametrize(
    ("figures", "told"),
    [
        ({"turn_rate": 0.9, "turning": 0.95}, "turns left constantly"),
        ({"turn_rate": -0.9, "turning": 0.95}, "turns right constantly"),
        ({"turn_rate": 0.3, "turning": 0.3}, "turns left"),
        ({"turn_rate": 0.0, "turning": 1.8}, "turns both ways (50% of it to the left)"),
        ({"turn_rate": 0.01, "turning": 0.02}, "keeps its heading"),
        ({"forward_share": 0.0}, "drives in reverse"),
        ({"forward_share": 0.7}, "drives 30% of its way in reverse"),
        ({"arena_share": 1.0}, "stays among the objects"),
        ({"arena_share": 0.2}, "is out of sight of every object 80% of the time"),
    ],
)
def test_traits_say_what_the_figures_say(figures: dict[str, float], told: str) -> None:
    assert traits({"path_length": 18.0, "speed": 0.9, **figures}) == [told]


def test_nothing_known_is_nothing_told() -> None:
    assert traits({}) == []
    assert traits({"turn_rate": 1.0, "turning": 1.0, "path_length": 0.0, "speed": 0.0}) == []
