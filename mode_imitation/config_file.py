"""`--config file.yaml|json`: the same names as on the command line, which overrides the file."""

import difflib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from mode_imitation.errors import UserError

FLAG = "--config"


def expand_config_file(arguments: list[str], known: Collection[str], repeated: Collection[str] = ()) -> list[str]:
    """Put a config file's settings before the other options, as if they had been typed there.

    So that a file and the command line share one set of names, types and error messages, and what is typed wins.

    Args:
        arguments: of one subcommand; `--config FILE` may be among them, once.
        known: names of the settings that a file may hold.
        repeated: those that several values are typed of one by one.

    Returns:
        The arguments without `--config`, the file's settings before all options.

    Raises:
        UserError: the file is missing, is not YAML or JSON, or holds something other than known settings.
    """
    rest: list[str] = []
    paths: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        name, mark, path = argument.partition("=")
        if name != FLAG:
            rest.append(argument)
            continue
        paths.append(path if mark else next(remaining, ""))
        if not paths[-1]:
            raise UserError(f"{FLAG} names no file; expected {FLAG} FILE.yaml or FILE.json")
    if not paths:
        return rest
    if len(paths) > 1:
        raise UserError(f"{FLAG} is given {len(paths)} times; put the settings into one file")
    (path,) = paths
    settings = {str(name).replace("-", "_"): value for name, value in read_settings(Path(path)).items()}
    if "config" in settings:
        raise UserError(f"{path} names another config file, which is not read; put its settings into {path}")
    for name in settings:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "`--help` lists the settings"
            raise UserError(f"{path} has the unknown setting {name}; {hint}")
    # What is named first stays first: a setting of several values would take it for one more.
    first = next((place for place, word in enumerate(rest) if word.startswith("-")), len(rest))
    return [*rest[:first], *as_arguments(settings, repeated), *rest[first:]]


def read_settings(path: Path) -> dict[str, Any]:
    """The mapping in a YAML or JSON file.

    Raises:
        UserError: as above.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise UserError(f"{path}: {reason}; expected a config file in YAML or JSON") from None
    try:
        settings = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        raise UserError(
            f"{path} is not valid {'JSON' if path.suffix == '.json' else 'YAML'}: {' '.join(str(error).split())}"
        ) from None
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise UserError(f"{path} holds a {type(settings).__name__}; expected settings such as `codes: 4`, one a line")
    return settings


def as_arguments(settings: dict[str, Any], repeated: Collection[str] = ()) -> list[str]:
    """{'codes': 4, 'refine': False, 'hidden': [8, 8]} -> ['--codes', '4', '--no-refine', '--hidden', '8', '8']"""
    arguments: list[str] = []
    for key, value in settings.items():
        name, values = key.replace("_", "-"), map(str, value if isinstance(value, list | tuple) else (value,))
        if isinstance(value, bool):
            arguments.append(f"--{name}" if value else f"--no-{name}")
        elif key in repeated:
            arguments += [word for one in values for word in (f"--{name}", one)]
        else:
            arguments += [f"--{name}", *values]
    return arguments
