"""The training data as tensors on one device; batches are gathered there by index.

A unit is what gets one code: a trajectory, or a segment of one. U units, S steps, R observations, all on flat axes.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.data.spaces import Mirror, in_sight
from mode_imitation.data.windows import WindowShape, all_inside, segment_lengths, unit_of_step, window_starts
from mode_imitation.errors import UserError
from mode_imitation.model.features import TAIL, Features
from mode_imitation.model.objective import Steps, Windows

TELLING_STEPS = 1000
"""Fewer than twice as many steps of a unit are what its law is made of."""
MOMENT_WINDOWS = 20_000
EMPHASIS = 0.5
"""Share of the draws that are surely among the emphasised steps, where there are any: what an agent does that has lost
everything from sight says little about who drives."""
TABLE_BYTES = 2**30
"""Most memory that rows of all observations may take; where it is more, every batch computes its own."""
TABLE_ROWS = 65_536
"""Of the table at a time."""


@dataclass(frozen=True)
class FlatEpisodes:
    """All that training knows of E episodes, one after another. Labels have no place here."""

    observations: np.ndarray
    """(S + E, obs_dim) float32; an episode of T steps has T + 1."""
    actions: np.ndarray
    """(S, A) float32, or int64 choices."""
    lengths: np.ndarray
    """(E,) int64, actions of each episode."""
    usable: np.ndarray
    """(S,) bool, steps that were the expert's and no disturbance."""
    emphasised: np.ndarray
    """(S,) bool, steps that tell more about who drives, see `data.spaces.in_sight`."""

    @classmethod
    def of(cls, dataset: TrajectoryDataset, indices: Sequence[int] | np.ndarray) -> "FlatEpisodes":
        """These episodes of a dataset."""
        chosen = [dataset.episodes[int(index)] for index in indices]
        seen = [in_sight(episode.observations[:-1], dataset.sensors) for episode in chosen]
        calm = [
            np.ones(len(episode), bool) if episode.disturbed is None else ~np.asarray(episode.disturbed, bool)
            for episode in chosen
        ]
        return cls(
            np.concatenate([episode.observations for episode in chosen]).astype(np.float32),
            np.concatenate([episode.actions for episode in chosen]).astype(dataset.action_space.dtype),
            np.array([len(episode) for episode in chosen], dtype=np.int64),
            np.concatenate(calm),
            np.concatenate(seen),
        )

    def and_images(self, mirror: Mirror) -> "FlatEpisodes":
        """These episodes, and after them their images with left for right: 2E episodes."""
        return FlatEpisodes(
            np.concatenate([self.observations, mirror.observations(self.observations)]),
            np.concatenate([self.actions, mirror.actions(self.actions)]),
            *(np.tile(values, 2) for values in (self.lengths, self.usable, self.emphasised)),
        )

    def tensors(self) -> dict[str, Tensor]:
        """By name, to be written to a file; `cls(**{name: tensor.numpy()})` reads them back."""
        return {entry.name: torch.from_numpy(getattr(self, entry.name)) for entry in fields(self)}


class Units(NamedTuple):
    """How the steps are cut into units."""

    lengths: np.ndarray
    """(U,) int64 steps"""
    episodes: np.ndarray
    """(U,) int64, ascending"""


class StartPool(NamedTuple):
    """Window starts, grouped by unit."""

    starts: Tensor
    """(N,) int, flat steps."""
    offsets: Tensor
    """(U,) int, where each unit's starts begin."""
    counts: Tensor
    """(U,) int, how many it has."""

    def draw(self, units: Tensor, generator: torch.Generator) -> Tensor:
        """One start for each of the units, (B,) -> (B,), evenly among the unit's own."""
        counts = self.counts[units]
        uniform = torch.rand(len(units), generator=generator, device=generator.device)
        return self.starts[self.offsets[units] + torch.minimum((uniform * counts).long(), counts - 1)]


class TrainingData:
    """Draws windows and steps.

    Attributes:
        action_nats: nats that turn log densities of raw actions into those of actions with a range of [-1, 1].
    """

    def __init__(
        self,
        flat: FlatEpisodes,
        window: WindowShape,
        segment: int | None = None,
        device: torch.device | str = "cpu",
        units: Units | None = None,
    ) -> None:
        """
        Args:
            flat: the episodes.
            window: shape of the windows.
            segment: steps per unit; None makes every episode a unit.
            device: where the tensors live.
            units: in place of `segment`.

        Raises:
            UserError: an episode or a segment is shorter than a window.
        """
        self.window = window
        self.device = torch.device(device)
        self._rows: tuple[Features, Tensor] | None = None
        self.episode_lengths = flat.lengths
        lengths, self.episode_of_unit = units or segment_lengths(flat.lengths, segment, window.span)
        self.unit_lengths = lengths
        unit = unit_of_step(lengths)
        starts = window_starts(lengths, window.span)
        clean = all_inside(flat.usable, starts, window.span)
        inside = clean & flat.emphasised[starts + window.span // 2]
        counts = np.bincount(unit[starts[clean]], minlength=len(lengths))
        # A unit that is disturbed throughout is never trained on, but it still gets a code.
        any_of = clean | (counts[unit[starts]] == 0)
        ends = np.cumsum(flat.lengths)
        self.observations = self._tensor(flat.observations)
        self.actions = self._tensor(flat.actions)
        self.action_nats = _log_half_ranges(flat.actions)
        self.usable = self._tensor(flat.usable)
        self.row_of_step = self._tensor(np.arange(len(unit)) + unit_of_step(flat.lengths))
        self.steps_left = self._tensor(np.repeat(ends, flat.lengths) - np.arange(len(unit)))
        """(S,) from each step to its episode's end, itself included."""
        self.episode_steps = self._tensor(flat.lengths)
        self.unit_of_step = self._tensor(unit)
        self.trainable = self._tensor(np.flatnonzero(flat.usable))
        self.emphasised = self._tensor(np.flatnonzero(flat.usable & flat.emphasised))
        self.clean, self.clean_emphasised, self.any = (
            self._pool(unit, starts[chosen]) for chosen in (clean, inside, any_of)
        )
        self.drawable = self._tensor(np.flatnonzero(counts))
        self.telling = self._tensor(_telling_steps(unit, flat.usable, flat.emphasised, len(lengths)))

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)

    def _pool(self, unit: np.ndarray, starts: np.ndarray) -> StartPool:
        counts = np.bincount(unit[starts], minlength=self.n_units).astype(np.int64)
        return StartPool(*map(self._tensor, (starts, np.cumsum(counts) - counts, counts)))

    def and_images(self, flat: FlatEpisodes, mirror: Mirror) -> "TrainingData":
        """The units of these episodes, and after them their images with left for right: 2U units."""
        episodes = np.concatenate([self.episode_of_unit, self.episode_of_unit + len(flat.lengths)])
        units = Units(np.tile(self.unit_lengths, 2), episodes)
        return TrainingData(flat.and_images(mirror), self.window, None, self.device, units)

    @torch.no_grad()
    def showing(self, features: Features) -> "TrainingData":
        """The same data with the rows of all observations, made once by features that must not change any more."""
        n_rows, size = len(self.observations), features.row_size
        if (self._rows and self._rows[0] is features) or 4 * n_rows * size > TABLE_BYTES:
            return self
        table = torch.empty(n_rows, size, device=self.device)
        for first in range(0, n_rows, TABLE_ROWS):
            table[first : first + TABLE_ROWS] = features.rows(self.observations[first : first + TABLE_ROWS])
        data = copy.copy(self)
        data._rows = (features, table)
        return data

    @property
    def n_units(self) -> int:
        return len(self.unit_lengths)

    def draw_units(self, count: int, generator: torch.Generator) -> Tensor:
        """(count,) units that have windows to train on."""
        return self.draw_steps(self.drawable, count, generator)

    def draw_starts(self, units: Tensor, generator: torch.Generator, *, evaluate: bool = False) -> Tensor:
        """A window's start for each unit; EMPHASIS of them in emphasised places where the unit has such: (B,) -> (B,)

        `steering.infer` weighs windows likewise.

        Args:
            units: (B,) int.
            generator: on the data's device.
            evaluate: disturbed windows may be drawn from units that have no others.
        """
        anywhere = (self.any if evaluate else self.clean).draw(units, generator)
        prefer = torch.rand(len(units), generator=generator, device=self.device) < EMPHASIS
        pool = self.clean_emphasised
        if len(pool.starts) == 0:
            return anywhere
        has = pool.counts[units] > 0
        # Units without such windows draw from wherever; what they draw is not taken.
        inside = pool.draw(torch.where(has, units, int(torch.argmax(pool.counts))), generator)
        return torch.where(prefer & has, inside, anywhere)

    def windows(self, starts: Tensor) -> Windows:
        """Raw windows that begin at these steps: (B,) -> (B, H, ...)"""
        samples = torch.arange(self.window.horizon, device=self.device) * self.window.gap
        rows = self.row_of_step[starts][:, None] + samples  # (B, H)
        states = rows_of(self.observations, rows)
        deltas = rows_of(self.observations, rows + self.window.stride) - states
        return Windows(states, deltas, rows_of(self.actions, starts[:, None] + samples))

    def steps(self, steps: Tensor, features: Features) -> Steps:
        """What the actor sees and is to do at these steps: (B, P) -> (B, P, ...)"""
        return Steps(self.rows_at(steps, features), rows_of(self.actions, steps))

    def draw_steps(self, among: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """(count,) of these, with replacement."""
        return among[torch.randint(len(among), (count,), generator=generator, device=self.device)]

    def draw_training_steps(self, count: int, generator: torch.Generator) -> Tensor:
        """(count,) undisturbed steps, EMPHASIS of them surely emphasised ones where there are such."""
        inside = round(EMPHASIS * count) if len(self.emphasised) else 0
        parts = ((self.emphasised, inside), (self.trainable, count - inside))
        return torch.cat([self.draw_steps(among, size, generator) for among, size in parts if size])

    def rows_at(self, steps: Tensor, features: Features) -> Tensor:
        """What the actor sees before the actions of these steps: (...) -> (..., row_size)"""
        rows = self.row_of_step[steps]
        if self._rows is None or self._rows[0] is not features:
            return features.rows(rows_of(self.observations, rows))
        return rows_of(self._rows[1], rows)

    def actions_at(self, steps: Tensor) -> Tensor:
        """(...) steps -> (..., A) raw actions"""
        return rows_of(self.actions, steps)

    def begun_at(self, steps: Tensor) -> Tensor:
        """(B,) steps -> (B,) how many of their episode lie before them"""
        return self.episode_steps[self.row_of_step[steps] - steps] - self.steps_left[steps]

    def chunks_at(self, steps: Tensor, chunk: int) -> tuple[Tensor, Tensor]:
        """The next C actions from these steps on: (B,) -> (B, C, A), and (B, C) bool which of them may be imitated.

        Those after the episode's end, or from a disturbed step on, may not: nobody meant them from here.
        """
        ahead = torch.arange(chunk, device=self.device)
        exists = ahead < self.steps_left[steps][:, None]
        wanted = steps[:, None] + torch.where(exists, ahead, 0)
        meant = (exists & self.usable[wanted]).long().cumprod(dim=1).bool()
        return rows_of(self.actions, wanted), meant

    def some_deltas(self) -> Tensor:
        """(N, obs_dim) differences over one stride, evenly spread over the data, for the scales."""
        starts = window_starts(self.unit_lengths, self.window.stride)
        chosen = self._tensor(starts[:: max(1, len(starts) // MOMENT_WINDOWS)])
        rows = self.row_of_step[chosen]
        return self.observations[rows + self.window.stride] - self.observations[rows]

    def check_drawable(self, name: str) -> None:
        """
        Raises:
            UserError: there is no window of undisturbed steps.
        """
        if len(self.drawable) == 0:
            raise UserError(
                f"dataset {name} has no window of {self.window.span} undisturbed steps; "
                "lower --horizon, --gap or --stride, or record with fewer disturbances"
            )


def rows_of(table: Tensor, indices: Tensor) -> Tensor:
    """`table[indices]` of rows, five times as fast on a CPU: (N, F), (...) int -> (..., F)"""
    return table.index_select(0, indices.reshape(-1)).view(*indices.shape, table.shape[1])


def _log_half_ranges(actions: np.ndarray) -> float:
    """Sum over an action's numbers of the log of half their range, far outliers left out; 0 for choices.

    A number that hardly ever changes has none.
    """
    if actions.dtype.kind in "iu":
        return 0.0
    low, high = np.quantile(actions.astype(np.float64), [TAIL, 1 - TAIL], axis=0)
    inner = np.clip(actions, low - (high - low), high + (high - low))
    ranges = np.ptp(inner, axis=0).astype(np.float64)
    return float(np.log(np.where(ranges > 0, ranges / 2, 1.0)).sum())


def _telling_steps(units: np.ndarray, usable: np.ndarray, emphasised: np.ndarray, n_units: int) -> np.ndarray:
    """Steps that tell what a unit does: undisturbed, emphasised where it has such steps, evenly spread."""
    chosen = usable & emphasised
    inside = np.bincount(units[chosen], minlength=n_units)
    chosen |= usable & (inside[units] == 0)
    steps = np.flatnonzero(chosen)
    counts = np.bincount(units[steps], minlength=n_units)
    rank = np.arange(len(steps)) - (np.cumsum(counts) - counts)[units[steps]]
    every = np.maximum(1, counts // TELLING_STEPS)[units[steps]]
    return steps[rank % every == 0]
