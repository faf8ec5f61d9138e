"""Options of `mode-imitation import`; imports nothing heavy, so that --help answers at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from mode_imitation.config_checks import Count, Within, check_fields
from mode_imitation.errors import UserError
from mode_imitation.options import Argument, Repeated, Suppress


@dataclass(frozen=True, kw_only=True)
class ArrayOptions:
    """How arrays become episodes."""

    lags: Annotated[int, Within(0)] = 0
    """Earlier observations to show beside each, for data without speeds; before the first, that one."""
    drop_short: Suppress[Count] = 1
    """Leave out episodes of fewer steps."""
    drop_nan: Suppress[bool] = False
    """Leave out episodes with NaN or infinity instead of refusing them."""
    choices: bool | None = None
    """Actions are choices by number, or quantities; left out, choices where they are whole numbers."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class ImportConfig(ArrayOptions):
    """Which arrays or columns are what. A name left alone is taken where the file has it. Or text, with --tokens.

    E episodes of T steps; arrays lie one after another, (sum of T, ..), or stacked, (E, T, ..).
    """

    sources: Annotated[tuple[Path, ...], Argument("FILE [FILE ...]")]
    """Files of arrays (.npz, .h5, .hdf5) or tables of one row a step (.csv, .parquet); several are appended. With
    --tokens text files, or folders of them."""
    out: str
    """Name of the new dataset, namespace/name-vN, "mine/driving-v0" say."""
    root: Path | None = None
    """Folder of the datasets; left out, MINARI_DATASETS_PATH or else ./data."""
    overwrite: bool = False
    """Replace a dataset of that name; refused where anything else lies in its folder."""
    observations: str = "observations"
    """Name of the observations; in a table x,y,vx or a prefix, left alone every column that begins with "obs". They
    may have a row more an episode: what follows the last action."""
    actions: str = "actions"
    """Name of the actions; in a table columns or a prefix, left alone "action". "difference": what an observation
    changes by until the next."""
    episode: str = "episode"
    """Column of a table that says which episode a row is of."""
    episode_lengths: str = "episode_lengths"
    """Name of the number of actions of each episode, (E,); where there is none, episodes end where terminals or
    timeouts are true."""
    tokens: Literal["bytes", "words"] | None = None
    """Text files, or folders of .txt files, as trajectories of tokens: bytes, or frequent words. Labels are names of
    the files' folders."""
    length: Annotated[int, Within(2)] | None = None
    """Tokens of a trajectory, with --tokens: longer documents are cut; left out, each document is one."""
    positions: Suppress[str] = "positions"
    """Name of the agent's positions, 2 columns in metres, as many rows as observations; in a table x,y."""
    labels: str = "labels"
    """Name of the experts' names or numbers, (E,), or one a step; for evaluation only."""
    sensor: Repeated = ()
    """NAME=START:STOP or NAME=START:STOP:KIND (plain, ring, token): which columns of the observations are what; of a
    table also NAME=FIRST..LAST."""
    env: str | None = None
    """The environment that the data comes from, where one is known: rollouts and reports need it. Rarer arrays have
    options, too: --positions, --rewards, --costs, --headings, --terminations, --timeouts; and --drop-short,
    --drop-nan."""
    rewards: Suppress[str] = "rewards"
    """Name of the rewards, one a step."""
    costs: Suppress[str] = "costs"
    """Name of the costs, one a step."""
    headings: Suppress[str] = "headings"
    """Name of the agent's headings, radians, as many as observations."""
    terminations: Suppress[str] = "terminals"
    """Name of the marks of an episode that ended by itself, one a step."""
    timeouts: Suppress[str] = "timeouts"
    """Name of the marks of an episode that was cut, one a step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sources:
            raise UserError("no file is named; expected `mode-imitation import FILE --out NAME`")
        if self.length is not None and self.tokens is None:
            raise UserError("--length is of text; say --tokens bytes or words, too")
