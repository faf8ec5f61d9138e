"""What a policy with a history has seen lately, for each of the worlds that it drives side by side."""

import numpy as np

from mode_imitation.data.windows import Memory
from mode_imitation.errors import UserError


class Recent:
    """The last observations of N worlds, in a ring.

    Args:
        memory: which of them the actor sees.
    """

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.forget()

    def forget(self, ended: np.ndarray | None = None) -> None:
        """Begin anew: the worlds of `ended`, (N,) bool, or all of them, which may then be another number.

        Raises:
            UserError: `ended` is not one bool for each of the worlds.
        """
        if ended is None:
            self._ring: np.ndarray | None = None
            return
        marks = np.asarray(ended)
        n_worlds = None if self._ring is None else self._ring.shape[1]
        if marks.dtype != bool or marks.ndim != 1 or n_worlds not in (None, len(marks)):
            expected = f"({'N' if n_worlds is None else n_worlds},) bool, one for each observation"
            raise UserError(f"which rows to forget is {marks.dtype} of shape {marks.shape}; expected {expected}")
        if self._ring is not None:
            self._begun &= ~marks

    def see(self, observations: np.ndarray) -> np.ndarray:
        """Remember what is seen now: (N, obs_dim) -> (N, 1 + history, obs_dim), the newest first.

        Raises:
            UserError: there are more or fewer worlds than before.
        """
        n_worlds, obs_dim = observations.shape
        length = self.memory.history * self.memory.gap + 1
        if self._ring is None:
            self._ring = np.empty((length, n_worlds, obs_dim), observations.dtype)
            self._begun, self._step = np.zeros(n_worlds, dtype=bool), 0
        if self._ring.shape[1] != n_worlds:
            raise UserError(
                f"there were {self._ring.shape[1]} observations at the last step and there are {n_worlds} now; "
                "call policy.reset() where other episodes begin"
            )
        self._ring[:, ~self._begun] = observations[~self._begun]
        self._begun[:] = True
        self._ring[self._step % length] = observations
        rows = (self._step - self.memory.gap * np.arange(1 + self.memory.history)) % length
        self._step += 1
        return np.ascontiguousarray(self._ring[rows].swapaxes(0, 1))  # (1 + history, N, obs_dim) -> (N, ...)
