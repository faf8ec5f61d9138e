"""Python code that a user names: `path/to/file.py:name` or `package.module:name`. Naming it runs it."""

import importlib
import importlib.util
import inspect
import sys
import traceback
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from mode_imitation.errors import UserError, near_matches


def load_module(location: str) -> ModuleType:
    """The module in a file whose name ends in .py, or one that can be imported from here.

    Raises:
        UserError: there is none, or its code fails.
    """
    return _load_file(location) if location.endswith(".py") else _import(location)


def find(location: str, name: str, kind: str = "function") -> Any:
    """A function or class by name, in a module that `load_module` finds.

    Raises:
        UserError: there is none.
    """
    module = load_module(location)
    found = getattr(module, name, None)
    fits = inspect.isclass if kind == "class" else callable
    if not fits(found):
        own = [n for n, v in vars(module).items() if fits(v) and getattr(v, "__module__", None) == module.__name__]
        raise UserError(
            f"{location} has no {kind} {name!r}{near_matches(name, own)}; expected one of those that it has: "
            f"{', '.join(own) or 'none'}"
        )
    return found


def _load_file(location: str) -> ModuleType:
    path = Path(location).expanduser().resolve()
    if not path.is_file():
        raise UserError(f"there is no file {location}; give the path of a Python file")
    # One module for one file, so that two names from the same file share it.
    name = f"_user_file_{path.stem}_{zlib.crc32(str(path).encode()):x}"
    if name in sys.modules:
        return sys.modules[name]
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise UserError(f"{location} cannot be loaded as a Python file; expected the source of a module")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses look their module up here
    try:
        found.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if not isinstance(error, Exception):
            raise
        raise _broken(location, error) from error
    return module


def _import(location: str) -> ModuleType:
    # As `python -m` does: a user's package in the working folder is found, whoever started the console script.
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(location)
    except ModuleNotFoundError as error:
        if error.name and (location == error.name or location.startswith(error.name + ".")):
            raise UserError(
                f"there is no module {location}; give a module that Python can import from here, or path/to/file.py"
            ) from None
        raise _broken(location, error) from error
    except Exception as error:
        raise _broken(location, error) from error


def _broken(location: str, error: Exception) -> UserError:
    line = f" (line {error.lineno})" if isinstance(error, SyntaxError) else ""
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return UserError(f"{location} does not load{line}: {type(error).__name__}: {text}; correct it and try again")


@contextmanager
def blamed_on(spec: str, ours: str = "") -> Iterator[None]:
    """Where a user's code raises, say so in one line, with the line of the user's file.

    Args:
        spec: what the user named.
        ours: a file of ours whose frames are left out.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, UserError):
            raise
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename not in (__file__, ours)]
        lines = [frame.lineno for frame in frames if frame.filename == frames[0].filename]
        where = f" in line {lines[-1]}" if lines else ""
        text = " ".join(str(error).split())
        raise UserError(f"{spec} fails{where}: {type(error).__name__}: {text}; correct it and try again") from error
