"""What the project's own vector environments ask of seeds, masks and actions; each mistake gets one clear line."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mode_imitation.errors import UserError

LARGEST_SEED = 2**32 - 1
"""safety-gymnasium seeds numpy's RandomState, which takes 32 bits."""


def chosen_worlds(options: dict[str, Any] | None, n_worlds: int) -> np.ndarray:
    """(M,) worlds that the options of a reset name; all of them where they name none."""
    mask = (options or {}).get("reset_mask")
    if mask is None:
        return np.arange(n_worlds)
    if not isinstance(mask, np.ndarray) or mask.dtype != bool or mask.shape != (n_worlds,) or not mask.any():
        found = f"{mask.dtype} array of shape {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
        raise UserError(f"reset_mask is a {found}; expected a bool array of shape ({n_worlds},) with at least one True")
    return np.flatnonzero(mask)


def checked_seeds(seed: int | Sequence[int | None] | None, n_worlds: int) -> list[int | None]:
    """One seed a world."""
    if seed is None:
        return [None] * n_worlds
    seeds = [seed + world for world in range(n_worlds)] if isinstance(seed, int | np.integer) else list(seed)
    if len(seeds) != n_worlds:
        raise UserError(f"{len(seeds)} seeds for {n_worlds} worlds; expected one seed a world, or a single int")
    for one in seeds:
        if one is not None and not (isinstance(one, int | np.integer) and 0 <= one <= LARGEST_SEED):
            raise UserError(f"seed {one!r}; expected an int from 0 to {LARGEST_SEED}, or None")
    return [None if one is None else int(one) for one in seeds]


def checked_actions(actions: Any, expected: tuple[int, ...], worlds: np.ndarray) -> np.ndarray:
    """Actions as an array of the expected shape, finite in these worlds (M,)."""
    try:
        actions = np.asarray(actions, dtype=np.float64)
    except (TypeError, ValueError):
        raise UserError(f"actions are not an array of numbers; expected one of shape {expected}") from None
    if actions.shape != expected:
        raise UserError(f"actions have shape {actions.shape}; expected {expected}, one row a world")
    if not np.isfinite(actions).all():
        bad = [world for world in worlds.tolist() if not np.isfinite(actions[world]).all()]
        if bad:
            raise UserError(
                f"the action of world {bad[0]} is {actions[bad[0]].tolist()}; expected finite numbers; "
                f"no world has stepped"
            )
    return actions
