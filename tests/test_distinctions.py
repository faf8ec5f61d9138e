"""The words that tell modes apart where there are no positions are those of what was built into them."""

import numpy as np
import pytest

from mode_imitation.data.episodes import Episode
from mode_imitation.data.spaces import ActionSpace, Sensor
from mode_imitation.reports.distinctions import column_names, distinctions

NUMBERS, CHOICES = ActionSpace(1), ActionSpace(1, choices=(3,))


def episodes(
    seed: int, place: float = 0.0, action: float = 0.0, swing: float = 1.0, late: float = 0.0
) -> list[Episode]:
    """Eight of 100 steps: observation 1 lies about `place`, or `late` further in the second half."""
    rng = np.random.default_rng(seed)
    shown = []
    for _ in range(8):
        observations = rng.normal(size=(101, 3))
        observations[:, 1] += place + np.where(np.arange(101) >= 50, late, 0.0)
        observations[:, 2] *= swing
        actions = action + 0.1 * rng.normal(size=(100, 1))
        shown.append(Episode(observations=observations.astype(np.float32), actions=actions.astype(np.float32)))
    return shown


def test_a_mode_is_told_by_the_observation_that_sets_it_apart() -> None:
    told = distinctions({0: episodes(0, place=-5), 1: episodes(1), 4: episodes(2, place=5)}, NUMBERS)
    assert told[0].startswith("observation 1 averages -5.0")
    assert "late on, others at least " in told[0]
    assert "others up to -" in told[1]
    assert " or from " in told[1]
    assert "others at most " in told[4]
    assert all(";" not in sentence for sentence in told.values())


def test_names_of_the_dataset_take_the_place_of_numbers_and_tokens_have_no_mean() -> None:
    sensors = {"gear": Sensor(0, 1, "token"), "cart/place": Sensor(1, 2)}
    told = distinctions({0: episodes(0, late=-5), 1: episodes(1)}, NUMBERS, sensors)
    assert told[0].startswith("cart/place averages -")
    assert "late on, mode 1 " in told[0]
    assert column_names(4, {"arm": Sensor(0, 2), "gear": Sensor(2, 3, "token")}) == {
        0: "arm[0]",
        1: "arm[1]",
        3: "observation 3",
    }


@pytest.mark.parametrize(
    ("change", "expected"),
    [({"action": 1.0}, "action 0 averages 1.0"), ({"swing": 4.0}, "observation 2 has a standard deviation of ")],
)
def test_actions_and_how_much_a_column_varies_are_told_where_they_differ(change: dict, expected: str) -> None:
    assert distinctions({0: episodes(0, **change), 1: episodes(1)}, NUMBERS)[0].startswith(expected)


def test_choices_are_told_by_their_share() -> None:
    def choosing(seed: int, often: int) -> list[Episode]:
        return [
            Episode(observations=one.observations, actions=np.where(np.arange(100) % 4, often, 2)[:, None])
            for one in episodes(seed)
        ]

    told = distinctions({0: choosing(0, 0), 1: choosing(1, 1)}, CHOICES)
    assert told[0] == "choice 0 is taken in 75% of the steps, mode 1 0%"


def test_a_second_figure_tells_it_from_the_modes_that_the_first_does_not_and_twins_are_named() -> None:
    modes = {0: episodes(0, place=5), 1: episodes(1, place=5, action=2), 2: episodes(2), 3: episodes(3)}
    told = distinctions(modes, NUMBERS)
    first, second = told[0].split("; ")
    assert first.startswith("observation 1 averages 4.9")
    assert second.startswith("action 0 averages ")
    assert second.endswith("mode 1 2.00")
    assert told[2].endswith("; much like mode 3")
    told = distinctions(modes | {4: episodes(4), 5: episodes(5)}, NUMBERS)
    assert told[2].endswith("; much like modes 3, 4 and 5")


def test_nothing_is_told_of_one_mode_alone_or_of_modes_that_are_alike() -> None:
    assert distinctions({0: episodes(0)}, NUMBERS) == {0: ""}
    assert distinctions({0: episodes(0), 1: episodes(1), 2: []}, NUMBERS) == {0: "", 1: ""}
