"""`mode-imitation import FILE --out NAME`"""

from typing import TYPE_CHECKING

from mode_imitation.data.config import ImportConfig
from mode_imitation.errors import UserError, near_matches

if TYPE_CHECKING:
    from mode_imitation.data import TrajectoryDataset


def run(config: ImportConfig) -> int:
    """Write the dataset and say what was not in the file."""
    if config.tokens is not None:
        from mode_imitation.data.text_files import import_text as read
    else:
        from mode_imitation.data.importing import import_arrays as read

    check_kinds(config)
    result = read(config)
    steps = int(result.dataset.lengths.sum())
    print(f"{config.out}: {len(result.dataset)} episodes, {steps:,} steps, in {result.folder}")
    for note in result.notes:
        print(note)
    if config.env is not None and (note := env_note(config.env, result.dataset)):
        print(note)
    print(f"next: mode-imitation info {config.out}")
    return 0


def check_kinds(config: ImportConfig) -> None:
    """
    Raises:
        UserError: a sensor is of a kind that training does not know.
    """
    from mode_imitation.data.importing import SENSOR

    kinds = {text: match[5] for text in config.sensor if (match := SENSOR.fullmatch(text)) and match[5]}
    if set(kinds.values()) <= {"plain", "ring", "token"}:
        return  # without torch, which takes seconds
    from mode_imitation.model.features import KINDS

    known = ("plain", *KINDS)
    for text, kind in kinds.items():
        if kind not in known:
            hint = near_matches(kind, known)
            raise UserError(f"--sensor {text}: there is no kind {kind!r}{hint}; expected {', '.join(known)}")


def env_note(env: str, dataset: "TrajectoryDataset") -> str | None:
    """Why what was recorded as the data's environment cannot be driven on it; None where it can."""
    from mode_imitation.worlds.protocol import open_worlds

    try:
        world = open_worlds(env)
    except (UserError, ModuleNotFoundError) as error:
        return f"--env {env} is recorded, but cannot be opened here, so rollouts and reports will not drive: {error}"
    space, own = world.action_space, dataset.action_space
    found = f"observations of {world.obs_dim} numbers and actions of {space.size} {kind_of(space.discrete)}"
    given = f"{dataset.obs_dim} and {own.size} {kind_of(own.discrete)}"
    world.close()
    if (world.obs_dim, space.size, space.choices) == (dataset.obs_dim, own.size, own.choices):
        return None
    return f"--env {env} is recorded, but has {found}, the data {given}: rollouts and reports will refuse it"


def kind_of(discrete: bool) -> str:
    return "choices" if discrete else "numbers"
