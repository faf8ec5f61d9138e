"""Text files as a dataset: `mode-imitation import FILE --tokens bytes`."""

from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

from mode_imitation.data.array_files import check_memory
from mode_imitation.data.config import ImportConfig
from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.data.importing import ImportResult, command_of
from mode_imitation.data.staging import check_new_dataset
from mode_imitation.data.text import KEY, SEEN, SHORTEST, Vocabulary, episodes_of_text, text_sensors
from mode_imitation.data.writer import write_dataset
from mode_imitation.errors import UserError

SUFFIX = ".txt"
"""Of the files that are taken from a folder."""
NUMBER = 4
"""Bytes of a token that is seen."""
TAKEN = ("sources", "out", "root", "overwrite", "tokens", "length", "env")
"""Options that mean something where texts are read."""


class Document(NamedTuple):
    """One file."""

    path: Path
    text: str


def import_text(config: ImportConfig) -> ImportResult:
    """Turn text files into a dataset: each is one trajectory, or several of `length` tokens.

    Labels are the names of the files' folders, where there are several.

    Raises:
        UserError: a file is missing, empty, or not UTF-8; a folder has no text; or the dataset exists.
    """
    assert config.tokens is not None
    check_new_dataset(config.out, config.root, overwrite=config.overwrite)
    for item in fields(ImportConfig):
        if item.name not in TAKEN and getattr(config, item.name) != item.default:
            raise UserError(f"--{item.name.replace('_', '-')} is of arrays; leave it out where --tokens reads text")
    files = text_files(config.sources)
    n_seen = SEEN[config.tokens]
    for path in files:
        check_memory(path, path.stat().st_size * NUMBER * (n_seen + 2))
    documents = [Document(path, read_text(path)) for path in files]
    vocabulary = Vocabulary.of(config.tokens, (one.text for one in documents))
    folders = {one.path.resolve().parent.name for one in documents}
    episodes = []
    for path, text in documents:
        if len(vocabulary.encode(text)) < SHORTEST:
            raise UserError(f"{path} holds {text!r} and no more; expected at least {SHORTEST} tokens; leave it out")
        label = path.resolve().parent.name if len(folders) > 1 else None
        episodes += episodes_of_text(text, vocabulary, config.length, n_seen, label)
    metadata = {"imported_from": f"{len(files)} text files", KEY: vocabulary.to_dict()}
    space, sensors = vocabulary.action_space(), text_sensors(n_seen)
    folder = write_dataset(
        config.out,
        episodes,
        root=config.root,
        overwrite=config.overwrite,
        env_id=config.env,
        sensors=sensors,
        action_space=space,
        command=command_of(config),
        metadata=metadata,
    )
    dataset = TrajectoryDataset(config.out, tuple(episodes), sensors, config.env, metadata, space)
    notes = [f"{len(files)} documents, {vocabulary.size} {vocabulary.kind}; {n_seen} of them are seen at a time"]
    if len(folders) == 1:
        notes.append("no labels: all files lie in one folder; labels, for evaluation only, are folders' names")
    return ImportResult(folder, dataset, tuple(notes))


def text_files(sources: tuple[Path, ...]) -> list[Path]:
    """The files that are named, and those that end in .txt of the folders that are.

    Raises:
        UserError: one is missing, or a folder has none.
    """
    found: list[Path] = []
    for source in sources:
        if source.is_dir():
            inside = sorted(path for path in source.rglob(f"*{SUFFIX}") if path.is_file())
            if not inside:
                raise UserError(f"the folder {source} has no {SUFFIX} files; name the files themselves")
            found += inside
        elif source.is_file():
            found.append(source)
        else:
            raise UserError(f"there is no file or folder {source}; expected text files, or folders of {SUFFIX} files")
    return list(dict.fromkeys(found))


def read_text(path: Path) -> str:
    """
    Raises:
        UserError: it cannot be read, is not UTF-8, or is empty.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8: byte {error.start:,} is {error.object[error.start]:#04x}; save it as UTF-8, or "
            "leave it out"
        ) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    if not text.strip():
        raise UserError(f"{path} is empty; leave it out")
    return text
