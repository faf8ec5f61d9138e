"""Episodes side by side as they unfold, for a README or a talk."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Circle, Polygon
from PIL import Image

from mode_imitation.atomic import write_atomic
from mode_imitation.data.episodes import Episode
from mode_imitation.errors import UserError
from mode_imitation.plots import style as look
from mode_imitation.plots.birdseye import draw_path, draw_way_out, way_out
from mode_imitation.plots.layout import Square, square_panels
from mode_imitation.plots.panels import caption_of
from mode_imitation.plots.scene import (
    Limits,
    draw_goals,
    draw_scene,
    limits_of,
    n_goals_reached,
    positions_of,
    prepare_axes,
)
from mode_imitation.plots.states import name_axes, placed
from mode_imitation.progress import Progress, no_progress

GIF_COLORS = 128
FPS, EVERY = 20, 5
"""Pictures per second, and simulator steps between them."""
HOLD_S = 1.5
"""Seconds for which the last picture stands."""
COLUMNS, PANEL = 4, 3.0
"""Panels in a row, and their width in inches of 100 pixels."""


def animate_birdseye(
    episodes: Mapping[str, Episode],
    path: Path,
    *,
    colors: Mapping[str, str] | None = None,
    progress: Progress = no_progress,
) -> Path:
    """Write an animation of the episodes, one panel each, in step with each other: from above, or of their states.

    Args:
        episodes: title -> episode; shorter ones stand still at their end.
        path: ends in .gif; written atomically.
        colors: title -> colour of the strip over the panel.
        progress: told of every picture.

    Returns:
        `path`.

    Raises:
        UserError: no episodes, one with neither positions nor observations, or a name that does not end in .gif.
    """
    if path.suffix.lower() != ".gif":
        raise UserError(f"cannot write an animation as {path.name!r}; end the name in .gif")
    if not episodes:
        raise UserError("there are no episodes to animate; give at least one")
    drawn, of_states = placed(list(episodes.values()))
    limits = limits_of("arena", drawn)
    squares = [Square(title=title, color=(colors or {}).get(title)) for title in episodes]
    rows = [squares[first : first + COLUMNS] for first in range(0, len(squares), COLUMNS)]
    figure, grid = square_panels(rows, PANEL, foot=0.2)
    axes = [ax for row in grid for ax in row]
    if of_states:
        name_axes(axes[0])
    frames = []
    for frame in _frames(figure, axes, drawn, limits):
        frames.append(frame)
        progress.advance()
    write_atomic(path, lambda temporary: _write_gif(temporary, frames))
    return path


def _frames(figure, axes: Sequence[Axes], episodes: Sequence[Episode], limits: Limits) -> Iterator[np.ndarray]:
    """(height, width, 3) uint8 each. What never moves is drawn once; what does is made anew for every picture."""
    last = max(map(len, episodes))
    with look.style():
        for ax, episode in zip(axes, episodes, strict=True):
            prepare_axes(ax, limits)
            if episode.scene is not None:
                draw_scene(ax, episode.scene)
            ax.plot(*positions_of(episode)[0], marker="o", ms=3.5, mfc="white", mec=look.FAINT, mew=1, zorder=5)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        still = canvas.copy_from_bbox(figure.bbox)
        clock = figure.text(0.99, 0.01, "", ha="right", va="bottom", fontsize=8.5, color=look.FAINT)
        for step in [*range(0, last, EVERY), last]:
            canvas.restore_region(still)
            for ax, episode in zip(axes, episodes, strict=True):
                before = set(ax.get_children())
                _draw_moment(ax, until(episode, step), limits, last)
                moved = [artist for artist in ax.get_children() if artist not in before]
                for artist in sorted(moved, key=lambda artist: artist.get_zorder()):
                    ax.draw_artist(artist)
                    artist.remove()
            clock.set_text(f"step {step}")
            figure.draw_artist(clock)
            yield np.array(canvas.buffer_rgba())[:, :, :3]


def until(episode: Episode, step: int) -> Episode:
    """What had happened after the first `step` transitions; the goals that had appeared, all but the last reached."""
    steps = min(step, len(episode))
    cut = {
        field.name: values[: len(values) - len(episode) + steps]
        for field in fields(episode)
        if isinstance(values := getattr(episode, field.name), np.ndarray)
    }
    scene = episode.scene
    if scene is not None:
        shown = np.asarray(scene.goal_steps) <= steps
        scene = replace(scene, goals=scene.goals[shown], goal_steps=scene.goal_steps[shown])
    return replace(episode, **cut, scene=scene)


def _draw_moment(ax: Axes, episode: Episode, limits: Limits, last: int) -> None:
    """Goals, path, the agent and its score."""
    if episode.scene is not None:
        draw_goals(ax, episode.scene, min(n_goals_reached(episode), len(episode.scene.goals)))
    if len(episode):
        draw_path(ax, episode, limits, n_steps=last)
    here, size = positions_of(episode)[-1], 0.024 * (limits[2] - limits[0])
    ax.add_artist(Circle(tuple(here), size, facecolor="white", edgecolor=look.INK, lw=1.5, zorder=8))
    if episode.headings is not None:
        corners = float(episode.headings[-1]) + np.array([0.0, 0.42, -0.42])
        reach = size * np.array([2.1, 1.25, 1.25])[:, None]
        nose = here + reach * np.column_stack([np.cos(corners), np.sin(corners)])
        ax.add_artist(Polygon(nose, facecolor=look.INK, lw=0, zorder=8))
    score = caption_of(episode) if episode.goals_met is not None or episode.costs is not None else ""
    outside = not np.all((here >= limits[:2]) & (here <= limits[2:]))
    if outside:
        draw_way_out(ax, episode, limits)
        score = " · ".join(part for part in (score, way_out(episode, limits)) if part)
    ax.text(0, -0.025, score, transform=ax.transAxes, va="top", fontsize=8.5, color=look.FAINT, zorder=9)


def _write_gif(path: Path, frames: Sequence[np.ndarray]) -> None:
    # One palette for all pictures and no dithering: a picture then differs from the one before only where something
    # moved, and only that is stored.
    sample = Image.fromarray(np.concatenate([frames[0], frames[len(frames) // 2], frames[-1]]))
    palette = look.in_few_colors(sample, GIF_COLORS)
    images = (Image.fromarray(frame) for frame in frames)
    first, *others = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    duration = [round(1000 / FPS)] * len(frames)
    duration[-1] += round(1000 * HOLD_S)
    # With optimize, what did not change becomes transparent: an eighth of the size.
    how = {"duration": duration, "loop": 0, "optimize": True, "disposal": 1}
    first.save(path, format="GIF", save_all=True, append_images=others, **how)
