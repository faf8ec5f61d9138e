"""Options of `mode-imitation generate`; imports no simulator, so that --help answers at once."""

import shlex
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from mode_imitation.config_file import as_arguments
from mode_imitation.options import Repeated, Suppress


@dataclass(frozen=True, kw_only=True)
class GenerateConfig:
    """Which experts drive where, for how long, and under which name it is kept."""

    out: str
    """Name of the new dataset, namespace/name-vN, "pointgoal1/two-experts-v0" say."""
    expert: Repeated = ()
    """EXPERT=EPISODES, once for each expert: a name of ours, path/to/file.py:Class or package.module:Class; the file is
    run.
    goal_seeking+forward_moving@250=60: 60 episodes in which the two take turns, 250 steps each."""
    env: str = "SafetyPointGoal1-v0"
    """The environment: a task of safety-gymnasium, an id that gymnasium knows (Pendulum-v1, module:Id-v0), or
    path/to/file.py:function that returns an Env or VectorEnv; the file is run."""
    steps: int | None = None
    """Steps per episode; left out, the environment's own number, else 1000."""
    seed: int = 0
    """Decides layouts, noise and disturbances, 0 to 999; the same seed and settings give the same arrays."""
    action_noise: float = 0.1
    """Standard deviation of the Gaussian noise added to every action of an expert, where actions range from -1 to 1;
    scaled to other ranges, and none where actions are choices."""
    disturbances: bool | None = None
    """Let bursts of random action push the experts off course: their recovery is what a policy needs to see. The random
    actions are marked, and training leaves them out. Left out, so it is in safety-gymnasium only: elsewhere, random
    action may end an episode (a pole that falls)."""
    burst_probability: Suppress[float] = 1 / 150
    """Chance of a burst to begin, per step."""
    burst_shortest: Suppress[int] = 20
    """Steps in the shortest burst."""
    burst_longest: Suppress[int] = 80
    """Steps in the longest burst."""
    burst_away: Suppress[float] = 0.25
    """Share of a robot's bursts that drive away, after the first fifth of the episode: they last longer and hold a
    course, so that data show the way back. Where experts take turns there are none: their turns show it."""
    burst_at_start: Suppress[bool] = True
    """Begin every episode with a burst."""
    root: Path | None = None
    """Folder of the datasets; left out, MINARI_DATASETS_PATH or else ./data."""
    overwrite: bool = False
    """Replace a dataset of that name, and start anew where an unfinished one was made with other settings."""
    workers: int | None = None
    """Processes; left out, one a core. Does not change the arrays."""
    worlds: int = 16
    """Worlds that one process drives at once; so many episodes are finished, and kept, together. Does not change the
    arrays."""
    path: Literal["auto", "batched", "library"] = "auto"
    """What steps safety-gymnasium's worlds: the batched simulator, the untouched library, or the first where exact."""

    @property
    def disturbed(self) -> bool:
        """What `disturbances` stands for."""
        from mode_imitation.worlds.safety.tasks import is_safety

        return is_safety(self.env) if self.disturbances is None else self.disturbances

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the arrays, as JSON has it and as the dataset's metadata keep it."""
        settings = {name: value for name, value in vars(self).items() if name not in (*NOT_IN_THE_ARRAYS, "out")}
        away = {"bursts_that_drive_away": KIND_OF_BURSTS} if self.disturbed and self.burst_away else {}
        return settings | {"expert": list(self.expert), "disturbances": self.disturbed} | away

    @property
    def command(self) -> str:
        """What to type to make these arrays again; leaves out what does not change them."""
        words = ["mode-imitation", "generate"]
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name not in NOT_IN_THE_ARRAYS and (item.name in ("expert", "env") or value != item.default):
                for one in value if isinstance(value, tuple) else (value,):
                    words += as_arguments({item.name: one})
        return shlex.join(words)


KIND_OF_BURSTS = "straight on"
"""Before there was this word, half of the bursts that were to drive away went in circles."""
NOT_IN_THE_ARRAYS = ("root", "overwrite", "workers", "worlds")
