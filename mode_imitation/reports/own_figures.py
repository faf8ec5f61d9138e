"""Figures of the user's own: `--figure my.py:function`, a function of an episode that returns a number."""

import math
from collections.abc import Sequence

from mode_imitation.data.episodes import Episode
from mode_imitation.errors import UserError
from mode_imitation.user_code import blamed_on, find


class OwnFigure:
    """A user's function of an episode, held to what it promised."""

    def __init__(self, spec: str) -> None:
        """`path/to/file.py:function` or `module:function`; the file is run. A UserError where there is no such one."""
        location, colon, self.name = spec.rpartition(":")
        if not colon or not location or not self.name.isidentifier():
            raise UserError(f"--figure {spec}: expected path/to/file.py:function or module:function")
        self.spec, self.function = spec, find(location, self.name)

    def __call__(self, episode: Episode) -> float:
        """What the function returns; a UserError where it raises, or returns no finite number."""
        with blamed_on(f"--figure {self.spec}", __file__):
            found = self.function(episode)
        try:
            value = float(found)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value) or isinstance(found, str):
            raise UserError(f"--figure {self.spec} returned {found!r}; expected a finite number for every episode")
        return value


def own_figures(specs: Sequence[str]) -> dict[str, OwnFigure]:
    """Each of them by its name; a UserError where one cannot be found, or two have the same name."""
    figures = [OwnFigure(spec) for spec in specs]
    names = [figure.name for figure in figures]
    if len(set(names)) < len(names):
        raise UserError(f"two figures have the same name, {max(names, key=names.count)}; rename one function")
    return dict(zip(names, figures, strict=True))
