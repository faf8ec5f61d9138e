"""The training data as tensors on one device; batches are gathered there by index."""

import copy
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mode_imitation.data.dataset import in_arena
from mode_imitation.data.episodes import Episode
from mode_imitation.data.windows import (
    NO_MEMORY,
    Memory,
    WindowShape,
    all_inside,
    segment_lengths,
    unit_of_step,
    window_starts,
)
from mode_imitation.model.normalizer import Normalizer
from mode_imitation.model.objective import Asked, Windows

SCORED_STEPS = 100
"""Fewer than twice as many steps of a unit are what its likelihood is taken over."""
MOMENT_WINDOWS = 20_000
TABLE_BYTES = 2**30
"""Most memory that what the actor is shown may take, computed once; where it is more, every batch computes its own."""
TABLE_ROWS = 65_536
"""Of the table at a time."""


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
    """Observations, actions and which steps count: all that training knows. Labels have no place here.

    A unit is what gets one code: a trajectory, or a segment of one. U units, S steps, all on flat axes.

    Attributes:
        action_nats: nats that turn log densities of raw actions into those of actions with a range of [-1, 1].
    """

    def __init__(
        self,
        episodes: Sequence[Episode],
        slices: dict[str, slice] | None,
        window: WindowShape,
        segment: int | None = None,
        device: torch.device | str = "cpu",
        given: tuple[np.ndarray, np.ndarray] | None = None,
        memory: Memory = NO_MEMORY,
    ) -> None:
        """
        Args:
            episodes: at least one; only observations, actions and disturbed are read.
            slices: sensors by name, which tell the steps in the arena.
            window: shape of the windows.
            segment: steps per unit; None makes every episode a unit.
            device: where the tensors live.
            given: (U,) steps and (U,) episode of every unit, in order, in place of `segment`.
            memory: which observations the actor sees, see `recalling`.

        Raises:
            UserError: an episode or a segment is shorter than a window.
        """
        self.window = window
        self.memory = memory
        self.recalls = False
        self._shown: tuple[Normalizer, Tensor] | None = None
        self.device = torch.device(device)
        episode_lengths = np.array([len(episode) for episode in episodes], dtype=np.int64)
        lengths, self.episode_of_unit = given or segment_lengths(episode_lengths, segment, window.span)
        self.unit_lengths = lengths
        usable = np.concatenate([_usable(episode) for episode in episodes])
        arena = np.concatenate([in_arena(episode.observations[:-1], slices) for episode in episodes])
        units = unit_of_step(lengths)
        starts = window_starts(lengths, window.span)
        clean = all_inside(usable, starts, window.span)
        inside = clean & arena[starts + window.span // 2]

        def on_device(values: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)

        self.observations = on_device(np.concatenate([episode.observations for episode in episodes]).astype(np.float32))
        self.actions = on_device(np.concatenate([episode.actions for episode in episodes]).astype(np.float32))
        self.action_nats = _log_half_ranges(np.concatenate([episode.actions for episode in episodes]))
        self.row_of_step = on_device(np.arange(len(usable)) + unit_of_step(episode_lengths))
        # Counted from the first step of the episode, whatever the units: a history does not end where a segment begins.
        self.step_of_episode = on_device(np.concatenate([np.arange(length) for length in episode_lengths]))
        self.unit_of_step = on_device(units)
        self.trainable = on_device(np.flatnonzero(usable))
        self.trainable_in_arena = on_device(np.flatnonzero(usable & arena))

        def pool(chosen: np.ndarray) -> StartPool:
            counts = np.bincount(units[starts[chosen]], minlength=len(lengths))
            return StartPool(
                on_device(starts[chosen]), on_device(np.cumsum(counts) - counts), on_device(counts.astype(np.int64))
            )

        self.clean = pool(clean)
        self.clean_in_arena = pool(inside)
        # A unit that is disturbed throughout is never trained on, but it still gets a code.
        clean_counts = self.clean.counts.cpu().numpy()
        self.any = pool(clean | (clean_counts[units[starts]] == 0))
        self.drawable = on_device(np.flatnonzero(clean_counts))
        self.scored = on_device(_scored_steps(units, usable, arena, len(lengths)))

    def recalling(self, recalls: bool = True) -> "TrainingData":
        """The same data with the earlier observations that an actor with a history sees.

        As it comes there is only the current one: codes are found by what a memoryless policy cannot explain without
        them. One that is shown how the agent has moved knows from that which expert drives.
        """
        data = copy.copy(self)
        data.recalls = recalls
        return data

    @torch.no_grad()
    def showing(self, normalizer: Normalizer) -> "TrainingData":
        """The same data with all that this normaliser, which must not change, makes of the observations for the actor.

        Where each batch computes its own lidars' relative readings and directions, these take a tenth of an iteration
        of the second phase, and a quarter of one in the policies that judge codes.
        """
        rows, columns = len(self.observations), normalizer.columns
        if (self._shown and self._shown[0] is normalizer) or 4 * rows * columns > TABLE_BYTES:
            return self
        table = torch.empty(rows, columns, device=self.device)
        for first in range(0, rows, TABLE_ROWS):
            table[first : first + TABLE_ROWS] = normalizer.shown(self.observations[first : first + TABLE_ROWS])
        data = copy.copy(self)
        data._shown = (normalizer, table)
        return data

    @property
    def n_units(self) -> int:
        return len(self.unit_lengths)

    def draw_units(self, count: int, generator: torch.Generator) -> Tensor:
        """(count,) units that have windows to train on."""
        chosen = torch.randint(len(self.drawable), (count,), generator=generator, device=self.device)
        return self.drawable[chosen]

    def draw_starts(self, units: Tensor, generator: torch.Generator, *, evaluate: bool = False) -> Tensor:
        """A window's start for each unit, half of them in the arena where the unit has such windows: (B,) -> (B,)

        Args:
            units: (B,) int.
            generator: on the data's device.
            evaluate: disturbed windows may be drawn from units that have no others.
        """
        anywhere = (self.any if evaluate else self.clean).draw(units, generator)
        prefer = torch.rand(len(units), generator=generator, device=self.device) < 0.5
        if len(self.clean_in_arena.starts) == 0:
            return anywhere
        has = self.clean_in_arena.counts[units] > 0
        # Units without such windows draw from wherever; what they draw is not taken.
        fallback = int(torch.argmax(self.clean_in_arena.counts))
        inside = self.clean_in_arena.draw(torch.where(has, units, fallback), generator)
        return torch.where(prefer & has, inside, anywhere)

    def windows(self, starts: Tensor) -> Windows:
        """Raw windows that begin at these steps: (B,) -> (B, H, ...)"""
        samples = torch.arange(self.window.horizon, device=self.device) * self.window.gap
        rows = self.row_of_step[starts][:, None] + samples  # (B, H)
        states = rows_of(self.observations, rows)
        deltas = rows_of(self.observations, rows + self.window.stride) - states
        return Windows(states, deltas, rows_of(self.actions, starts[:, None] + samples))

    def asked(self, starts: Tensor, transitions: Tensor) -> Asked:
        """What the actor is asked about windows that begin at these steps: (B,), (B, P) int in [0, H) -> (B, P, ...)"""
        steps = starts[:, None] + transitions * self.window.gap
        return Asked(self.observations_at(steps), self.actions_at(steps))

    def draw_steps(self, among: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """(count,) of these steps, with replacement."""
        return among[torch.randint(len(among), (count,), generator=generator, device=self.device)]

    def draw_training_steps(self, count: int, arena_share: float, generator: torch.Generator) -> Tensor:
        """(count,) undisturbed steps, so large a share of them surely in the arena, where there are such steps."""
        inside = round(arena_share * count) if len(self.trainable_in_arena) else 0
        steps = [
            self.draw_steps(among, size, generator)
            for among, size in ((self.trainable_in_arena, inside), (self.trainable, count - inside))
            if size
        ]
        return torch.cat(steps)

    def law_steps(self, unit: int, most: int) -> Tensor:
        """Undisturbed steps of a unit, evenly spread, fewer than twice `most`; in the arena where it has such steps."""
        ends = torch.tensor([unit, unit + 1], device=self.device)
        for among in (self.trainable_in_arena, self.trainable):
            first, last = torch.searchsorted(self.unit_of_step[among], ends).tolist()
            if last > first:
                return among[first : last : max(1, (last - first) // most)]
        return self.trainable[:0]

    def observations_at(self, steps: Tensor) -> Tensor:
        """What the actor sees before the actions of these steps: (...) steps -> (..., obs_dim) raw observations.

        Where the data is `recalling`, and there is a history, (..., 1 + history, obs_dim), the newest first, with the
        episode's first observation for what would lie before it.
        """
        return rows_of(self.observations, self._rows_seen(steps))

    def actor_inputs_at(self, steps: Tensor, normalizer: Normalizer) -> Tensor:
        """`normalizer.actor_inputs` of `observations_at`: (B,) steps -> (B, inputs)"""
        if self._shown is None or self._shown[0] is not normalizer:
            return normalizer.actor_inputs(self.observations_at(steps))
        inputs = rows_of(self._shown[1], self._rows_seen(steps))
        return inputs.flatten(-2) if normalizer.history else inputs

    def _rows_seen(self, steps: Tensor) -> Tensor:
        """(...) steps -> (...) rows of the observations, or (..., 1 + history) of them."""
        rows = self.row_of_step[steps]
        if self.memory.history and self.recalls:
            back = self.memory.gap * torch.arange(1 + self.memory.history, device=self.device)
            rows = rows[..., None] - torch.minimum(back, self.step_of_episode[steps][..., None])
        return rows

    def actions_at(self, steps: Tensor) -> Tensor:
        """(...) steps -> (..., act_dim) raw actions"""
        return rows_of(self.actions, steps)

    def some_deltas(self) -> Tensor:
        """(N, obs_dim) differences over one stride, evenly spread over the data, for the normaliser."""
        starts = window_starts(self.unit_lengths, self.window.stride)
        chosen = torch.from_numpy(starts[:: max(1, len(starts) // MOMENT_WINDOWS)]).to(self.device)
        rows = self.row_of_step[chosen]
        return self.observations[rows + self.window.stride] - self.observations[rows]


def rows_of(table: Tensor, indices: Tensor) -> Tensor:
    """`table[indices]` of rows, five times as fast on a CPU: (N, F), (...) int -> (..., F)"""
    return table.index_select(0, indices.reshape(-1)).view(*indices.shape, table.shape[1])


def _log_half_ranges(actions: np.ndarray) -> float:
    """Sum over an action's numbers of the logarithm of half their range; a number that never changes has none."""
    ranges = np.ptp(actions.astype(np.float64), axis=0)
    return float(np.log(np.where(ranges > 0, ranges / 2, 1.0)).sum())


def _usable(episode: Episode) -> np.ndarray:
    if episode.disturbed is None:
        return np.ones(len(episode), dtype=bool)
    return ~np.asarray(episode.disturbed, dtype=bool)


def _scored_steps(units: np.ndarray, usable: np.ndarray, arena: np.ndarray, n_units: int) -> np.ndarray:
    """Steps that a unit is judged by: undisturbed, in the arena where it has such steps, evenly spread."""
    chosen = usable & arena
    inside = np.bincount(units[chosen], minlength=n_units)
    chosen |= usable & (inside[units] == 0)
    steps = np.flatnonzero(chosen)
    counts = np.bincount(units[steps], minlength=n_units)
    rank = np.arange(len(steps)) - (np.cumsum(counts) - counts)[units[steps]]
    every = np.maximum(1, counts // SCORED_STEPS)[units[steps]]
    return steps[rank % every == 0]
