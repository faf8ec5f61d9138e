"""Experts of the planar worlds: the 24 routes of Avoiding, the styles of Circle2D, the rules of the two gridworlds.

Each style is a class of its own with its numbers, as registered names want it. Noise in them is drawn by episode, as
people vary: their action noise comes from `generate`.
"""

from collections.abc import Sequence

import numpy as np

from experts.protocol import ExpertSetting

N_ROUTES = 24
ROW_HEIGHTS = np.array([-0.1, 0.08, 0.26])
"""y of Avoiding's three rows of obstacles, metres."""
GAPS = ((0.415, 0.585), (0.35, 0.5, 0.65), (0.275, 0.425, 0.575, 0.725))
"""x at which a route passes each row, by its side, metres: middles of the gaps, and as far off at the ends."""
BEFORE, BEHIND = 0.04, 0.05
"""Metres before and behind a row over which a route keeps its x: longer behind, as the real point lags."""
AHEAD = 0.025
"""Metres ahead at which the desired point aims."""
WAYPOINT_NOISE, SLOWEST = 0.01, 0.75
"""Standard deviation of where an episode passes each row, metres; the least share of the full speed."""


class RouteExpert:
    """Takes one route, by where the desired point is; where it passes each row, and its speed, differ by episode."""

    route = 0

    def __init__(self, setting: ExpertSetting) -> None:
        self.desired = setting.sensor("desired", f"route_{self.route}")
        self.reach = setting.high[0]
        first, rest = divmod(self.route, 12)
        self.sides = (first, *divmod(rest, 4))

    def reset(self, observations: np.ndarray, rngs: Sequence[np.random.Generator]) -> None:
        """Draw where each episode passes, (N, 3), and its speed, (N,)."""
        middle = [gaps[side] for gaps, side in zip(GAPS, self.sides, strict=True)]
        offsets = np.array([np.clip(rng.normal(size=3), -2, 2) for rng in rngs])
        self.waypoints = middle + WAYPOINT_NOISE * offsets
        self.speed = self.reach * np.array([rng.uniform(SLOWEST, 1.0) for rng in rngs])
        self.start = observations[:, self.desired].copy()

    def act(self, observations: np.ndarray) -> np.ndarray:
        """(N, 4) -> (N, 2)"""
        here = observations[:, self.desired]
        ahead = here[:, 1] + AHEAD
        aim = np.stack([self._x_at(ahead), ahead], axis=1)
        step = aim - here
        return step * (self.speed / np.abs(step).max(axis=1))[:, None]

    def _x_at(self, y: np.ndarray) -> np.ndarray:
        """(N,) x of each episode's route at heights y (N,): smooth between the rows, straight about them."""
        x, from_y = self.start[:, 0], self.start[:, 1] + BEHIND
        for row, height in enumerate(ROW_HEIGHTS):
            share = np.clip((y - from_y) / (height - BEFORE - from_y), 0.0, 1.0)
            x = x + (self.waypoints[:, row] - x) * (1 - np.cos(np.pi * share)) / 2
            from_y = height + BEHIND
        return x


def _route(number: int) -> type[RouteExpert]:
    return type(f"Route{number}", (RouteExpert,), {"route": number, "__doc__": f"Route {number}."})


class CircleExpert:
    """Goes around the centre: by radius, direction, speed and steadiness; each episode's radius differs a little."""

    style = ""
    radius = 0.3
    """Metres."""
    direction = 1.0
    """1 counterclockwise, -1 clockwise."""
    speed = 0.03
    """Metres a step."""
    wavering = 0.0
    """Standard deviation of the wanted heading about the right one, radians; it comes and goes over ten steps."""

    FASTEST, SHARPEST, PULL = 0.08, 0.5, 3.0
    """Metres and radians a step under the action 1, see the world; radians of heading per metre off the circle."""

    def __init__(self, setting: ExpertSetting) -> None:
        self.center, self.heading = (setting.sensor(name, self.style or "circling") for name in ("center", "heading"))

    def reset(self, observations: np.ndarray, rngs: Sequence[np.random.Generator]) -> None:
        """Draw each episode's radius; nothing wavers yet."""
        self.radii = self.radius * np.array([rng.uniform(0.93, 1.07) for rng in rngs])
        self.rngs, self.waver = rngs, np.zeros(len(rngs))

    def act(self, observations: np.ndarray) -> np.ndarray:
        """(N, 4) -> (N, 2)"""
        to_center, facing = observations[:, self.center], observations[:, self.heading]
        if self.wavering:
            drawn = np.array([rng.normal() for rng in self.rngs])
            self.waver = 0.9 * self.waver + self.wavering * np.sqrt(1 - 0.9**2) * drawn
        distance = np.hypot(*to_center.T)
        bearing = np.arctan2(to_center[:, 1], to_center[:, 0])
        inwards = np.clip(self.PULL * (distance - self.radii), -1.3, 1.3)
        wanted = bearing - self.direction * (np.pi / 2 - inwards) + self.waver
        error = wanted - np.arctan2(facing[:, 1], facing[:, 0])
        error = (error + np.pi) % (2 * np.pi) - np.pi
        turning = 0.6 * error + self.direction * self.speed / self.radii
        speed = np.full(len(observations), 2 * self.speed / self.FASTEST - 1)
        return np.stack([turning / self.SHARPEST, speed], axis=1)


def _circle(style: str) -> type[CircleExpert]:
    words = style.split("_")
    chosen = {
        "style": style,
        "direction": 1.0 if "left" in words else -1.0,
        "radius": 0.2 if "small" in words else 0.5,
        "speed": 0.02 if "slow" in words else 0.05,
        "wavering": 0.5 if "wavering" in words else 0.0,
        "__doc__": f"{style.replace('_', ' ')}.",
    }
    return type("".join(word.capitalize() for word in words), (CircleExpert,), chosen)


UP, DOWN, LEFT, RIGHT, STAY = range(5)


class GridExpert:
    """A rule by column and row, towards the lower right corner."""

    name = "right_first"

    def __init__(self, setting: ExpertSetting) -> None:
        self.cell, self.balls = setting.sensor("cell", self.name), setting.sensor("balls", self.name)

    def act(self, observations: np.ndarray) -> np.ndarray:
        """(N, 3) -> (N,) choices"""
        column, row = observations[:, self.cell].T
        down = np.where(row <= 1, False, np.where(column >= 7, True, self.goes_down(column, row)))
        return np.where(down, DOWN, RIGHT)

    def goes_down(self, column: np.ndarray, row: np.ndarray) -> np.ndarray:
        """(N,) bool, where both ways are open."""
        return np.zeros(len(column), dtype=bool)


class RightFirst(GridExpert):
    """Along the row to the wall, then down."""


class DownFirst(GridExpert):
    """Down the column to the wall, then right."""

    name = "down_first"

    def goes_down(self, column: np.ndarray, row: np.ndarray) -> np.ndarray:
        return np.ones(len(column), dtype=bool)


class AlongDiagonal(GridExpert):
    """To the diagonal that leads to the goal, and along it."""

    name = "along_diagonal"

    def goes_down(self, column: np.ndarray, row: np.ndarray) -> np.ndarray:
        return column + row >= 8


class ZigZag(GridExpert):
    """Right and down in turns, by the colour of the cell on a chessboard."""

    name = "zigzag"

    def goes_down(self, column: np.ndarray, row: np.ndarray) -> np.ndarray:
        return (column + row) % 2 == 0


class BallExpert(GridExpert):
    """Takes one of the balls along the upper wall, and goes to the goal by the diagonal."""

    ball = 0

    def act(self, observations: np.ndarray) -> np.ndarray:
        """(N, 3) -> (N,) choices"""
        column, row = observations[:, self.cell].T
        there = observations[:, self.balls][:, 0] > 0
        off = 1 + 2 * self.ball - column
        sideways = np.where(off > 0, RIGHT, LEFT)
        # Below the balls' row, so that no other ball is taken in passing; from beside a wrong ball first down again.
        fetch = np.where(row >= 7, np.where(off == 0, STAY, DOWN), np.where((off == 0) | (row < 5), UP, sideways))
        return np.where(there, fetch, super().act(observations))

    def goes_down(self, column: np.ndarray, row: np.ndarray) -> np.ndarray:
        return column + row >= 8


def _ball(number: int) -> type[BallExpert]:
    return type(f"Ball{number}", (BallExpert,), {"ball": number, "name": f"ball_{number}"})


ROUTES = {f"route_{number}": _route(number) for number in range(N_ROUTES)}
STYLES = {
    style: _circle(style)
    for style in (
        f"circle_{side}_{size}_{pace}{steady}"
        for side in ("left", "right")
        for size in ("small", "large")
        for pace in ("slow", "fast")
        for steady in ("", "_wavering")
    )
}
RULES = {cls.name: cls for cls in (RightFirst, DownFirst, AlongDiagonal, ZigZag)}
BALLS = {f"ball_{number}": _ball(number) for number in range(4)}
PLANAR: dict[str, type] = {**ROUTES, **STYLES, **RULES, **BALLS}
"""Every expert of the planar worlds, by its name."""
