"""Options of `mode-imitation import`; imports nothing heavy, so that --help answers at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True, kw_only=True)
class ImportConfig:
    """Which arrays of a file are what. A key left alone is taken where the file has it."""

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """The file with the arrays: .npz, .h5 or .hdf5."""
    out: str
    """Name of the new dataset, namespace/name-vN, "mine/driving-v0" say."""
    root: Path | None = None
    """Folder of the datasets; left out, MINARI_DATASETS_PATH or else ./data."""
    overwrite: bool = False
    """Replace a dataset of that name; refused where anything else lies in its folder."""
    observations: str = "observations"
    """Key of the observations, (sum of T, obs_dim), or with one row more an episode where the last one is kept."""
    actions: str = "actions"
    """Key of the actions, (sum of T, act_dim)."""
    episode_lengths: str = "episode_lengths"
    """Key of the number of actions of each episode, (E,). Where there is none, episodes end where terminations or
    timeouts are true."""
    terminations: str = "terminals"
    """Key of the marks of an episode that ended by itself, (sum of T,); also found as "terminations"."""
    timeouts: str = "timeouts"
    """Key of the marks of an episode that was cut, (sum of T,); also found as "truncations"."""
    rewards: str = "rewards"
    """Key of the rewards, (sum of T,)."""
    costs: str = "costs"
    """Key of the costs, (sum of T,)."""
    positions: str = "positions"
    """Key of the agent's positions, as many rows as observations, 2 columns; metres."""
    headings: str = "headings"
    """Key of the agent's headings, as many as observations; radians."""
    labels: str = "labels"
    """Key of the experts' names or numbers, (E,); for evaluation only."""
    env: str | None = None
    """The environment that the data comes from, where one is known: rollouts and reports need it."""
