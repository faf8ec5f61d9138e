"""Episodes side by side as they unfold, for a README or a talk."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon
from matplotlib.text import Text

from mode_imitation.atomic import write_atomic
from mode_imitation.data.episodes import Episode
from mode_imitation.errors import UserError
from mode_imitation.plots import style as look
from mode_imitation.plots.birdseye import WayOut, draw_way_out, way_out
from mode_imitation.plots.scene import (
    Limits,
    View,
    center_of,
    draw_goals,
    draw_scene,
    limits_of,
    positions_of,
    prepare_axes,
)
from mode_imitation.plots.states import name_axes, placed
from mode_imitation.progress import Progress, no_progress

GIF_COLORS = 128
COMMON_COLORS = 40
"""Of the palette, kept exactly: the most frequent ones, white, the ground, plain discs."""


def animate_birdseye(
    episodes: Mapping[str, Episode],
    path: Path,
    *,
    fps: int = 20,
    every: int = 5,
    columns: int = 4,
    panel_pixels: int = 300,
    view: View = "arena",
    colors: Mapping[str, str] | None = None,
    time_step: float | None = None,
    hold: float = 1.5,
    progress: Progress = no_progress,
) -> Path:
    """Write an animation of the episodes, one panel each, in step with each other: from above, or of their states.

    Args:
        episodes: title -> episode; shorter ones stand still at their end.
        path: ends in .gif or .mp4; written atomically.
        fps: pictures per second of the animation.
        every: simulator steps between pictures.
        columns: panels in a row.
        panel_pixels: width of a panel.
        view: of every panel, found over all the episodes.
        colors: title -> colour of the strip over the panel.
        time_step: seconds per step; the clock then shows seconds.
        hold: seconds for which the last picture stands.
        progress: told of every picture.

    Returns:
        `path`.

    Raises:
        UserError: no episodes, one with neither positions nor observations, a number below 1, or a name that ends in
            neither .gif nor .mp4.
    """
    kind = path.suffix.lower()
    if kind not in (".gif", ".mp4"):
        raise UserError(f"cannot write an animation as {path.name!r}; end the name in .gif or .mp4")
    if not episodes:
        raise UserError("there are no episodes to animate; give at least one")
    if min(fps, every, columns, panel_pixels) < 1 or hold < 0:
        raise UserError("fps, every, columns and panel_pixels must be at least 1, and hold at least 0")
    frames = _draw_frames(episodes, every, columns, panel_pixels, view, colors or {}, time_step, progress)
    write_atomic(path, lambda temporary: _write(temporary, kind, frames, fps, hold))
    return path


def _draw_frames(
    episodes: Mapping[str, Episode],
    every: int,
    columns: int,
    panel_pixels: int,
    view: View,
    colors: Mapping[str, str],
    time_step: float | None,
    progress: Progress,
) -> list[np.ndarray]:
    """(height, width, 3) uint8 each."""
    last = max(len(episode) for episode in episodes.values())
    drawn, of_states = placed(list(episodes.values()))
    episodes = dict(zip(episodes, drawn, strict=True))
    limits = limits_of(view, list(episodes.values()))
    figure, axes = _lay_out(len(episodes), min(columns, len(episodes)), panel_pixels)
    with look.style():
        panels = [
            _MovingPanel(ax, title, episode, limits, colors.get(title), last, every)
            for ax, (title, episode) in zip(axes, episodes.items(), strict=True)
        ]
        if of_states:
            name_axes(axes[0])
        clock = figure.text(0.99, 0.015, "", ha="right", va="bottom", fontsize=8, color=look.FAINT, animated=True)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()  # what never moves is drawn once
        still = canvas.copy_from_bbox(figure.bbox)
        frames = []
        for step in [*range(0, last, every), last]:
            canvas.restore_region(still)
            for panel in panels:
                panel.show(step)
            clock.set_text(f"step {step}" if time_step is None else f"{step * time_step:.1f} s")
            figure.draw_artist(clock)
            frames.append(np.array(canvas.buffer_rgba())[:, :, :3])
            progress.advance()
    return frames


class _MovingPanel:
    """One episode: a still scene, and the artists that each picture moves."""

    def __init__(
        self, ax: Axes, title: str, episode: Episode, limits: Limits, color: str | None, last: int, every: int
    ) -> None:
        self.ax, self.episode, self.limits = ax, episode, limits
        self.positions = positions_of(episode)
        self.every = every
        self.goals: list[Artist] = []
        self.goal_state: tuple[int, int] | None = None
        self.exit: WayOut | None = None
        self.exit_marks: list[Artist] = []
        self.size = 0.024 * (limits[2] - limits[0])
        prepare_axes(ax, limits, title=title)
        if color:
            ax.spines["top"].set(color=color, linewidth=3)
        if episode.scene is not None:
            draw_scene(ax, episode.scene, 0, n_shown=0)
        self.casing = ax.plot([], [], color="white", lw=3.2, zorder=3, animated=True)[0]
        self.path = LineCollection(
            [], cmap=look.TIME_COLORS, norm=Normalize(0, max(last, 1)), lw=2, capstyle="round", zorder=4, animated=True
        )
        ax.add_collection(self.path, autolim=False)
        self.body = Circle((0, 0), self.size, facecolor="white", edgecolor=look.INK, lw=1.5, zorder=8, animated=True)
        ax.add_patch(self.body)
        self.nose = Polygon(np.zeros((3, 2)), facecolor=look.INK, lw=0, zorder=8, animated=True)
        ax.add_patch(self.nose)
        self.score = ax.text(
            0, -0.025, "", transform=ax.transAxes, va="top", fontsize=8, color=look.FAINT, zorder=9, animated=True
        )
        start = self.positions[0]
        ax.plot(*start, marker="o", ms=3.5, mfc="white", mec=look.FAINT, mew=1, zorder=5)

    def show(self, step: int) -> None:
        """Draw the state after `step` steps onto the canvas."""
        step = min(step, len(self.episode))
        for artist in sorted(self._goals(step) + self._moving(step), key=lambda artist: artist.get_zorder()):
            self.ax.draw_artist(artist)

    def _moving(self, step: int) -> list[Artist]:
        trail = self.positions[: step + 1]
        self.casing.set_data(trail[:, 0], trail[:, 1])
        # One short line a picture rather than one a step: a fifth of the work, and the colours are as smooth.
        starts = np.arange(0, step, self.every)
        self.path.set_segments([trail[start : start + self.every + 1] for start in starts])
        self.path.set_array(starts)
        here = self.positions[step]
        self.body.set_center((here[0], here[1]))
        artists: list[Artist] = [self.casing, self.path, self.body, self.score]
        if self.episode.headings is not None:
            heading = float(self.episode.headings[step])
            corners = heading + np.array([0.0, 0.42, -0.42])
            reach = self.size * np.array([2.1, 1.25, 1.25])
            self.nose.set_xy(here + reach[:, None] * np.column_stack([np.cos(corners), np.sin(corners)]))
            artists.append(self.nose)
        self.score.set_text(self._score(step))
        return artists + self._way_out(trail)

    def _goals(self, step: int) -> list[Artist]:
        scene = self.episode.scene
        if scene is None:
            return []
        shown = int(np.sum(np.asarray(scene.goal_steps) <= step))
        state = (min(self._reached(step), shown), shown)
        if state != self.goal_state:  # goals stand still for many pictures
            self.goal_state = state
            self.goals = self._take(draw_goals(self.ax, scene, state[0], n_shown=shown))
        return self.goals

    def _way_out(self, trail: np.ndarray) -> list[Artist]:
        """Only while the agent is beyond the view; the label stays where it was first put and counts on."""
        out = way_out(trail, self.limits, center_of(self.episode))
        inside = (trail[-1] >= self.limits[:2]).all() and (trail[-1] <= self.limits[2:]).all()
        if out is None or inside:
            return []
        if self.exit is None or not np.array_equal(self.exit.at, out.at):
            self.exit_marks = self._take(draw_way_out(self.ax, trail, self.limits, self.episode))
        self.exit = out
        for mark in self.exit_marks:
            if isinstance(mark, Text):
                mark.set_text(out.label)
        return self.exit_marks

    def _take(self, artists: Sequence[Any]) -> list[Artist]:
        """Off the axes again: these live for one picture."""
        for artist in artists:
            artist.remove()
            artist.axes = self.ax
            artist.set_figure(self.ax.figure)
        return list(artists)

    def _reached(self, step: int) -> int:
        if self.episode.goals_met is not None:
            return int(np.sum(self.episode.goals_met[:step]))
        scene = self.episode.scene
        return 0 if scene is None else int(np.sum(np.asarray(scene.goal_steps)[1:] <= step))

    def _score(self, step: int) -> str:
        parts = []
        if self.episode.goals_met is not None or self.episode.scene is not None:
            goals = self._reached(step)
            parts.append(f"{goals} goal{'' if goals == 1 else 's'}")
        if self.episode.costs is not None:
            parts.append(f"cost {float(np.sum(self.episode.costs[:step])):.0f}")
        return " · ".join(parts)


def _lay_out(n_panels: int, columns: int, panel_pixels: int) -> tuple[Figure, list[Axes]]:
    """A figure whose sides are even numbers of pixels, as video codecs want, and one square axes a panel."""
    gap, title, foot = 12, 30, 24
    rows = -(-n_panels // columns)
    width = gap + columns * (panel_pixels + gap)
    height = rows * (title + panel_pixels + foot)
    width, height = width + width % 2, height + height % 2
    figure = look.new_figure(width / 100, height / 100, layout=None)
    axes = []
    for i in range(n_panels):
        x = gap + (i % columns) * (panel_pixels + gap)
        y = height - (i // columns + 1) * (title + panel_pixels + foot) + foot
        axes.append(figure.add_axes((x / width, y / height, panel_pixels / width, panel_pixels / height)))
    return figure, axes


def _write(path: Path, kind: str, frames: Sequence[np.ndarray], fps: int, hold: float) -> None:
    if kind == ".gif":
        _write_gif(path, frames, fps, hold)
    else:
        _write_mp4(path, [*frames, *[frames[-1]] * round(hold * fps)], fps)


def _write_gif(path: Path, frames: Sequence[np.ndarray], fps: int, hold: float) -> None:
    # One palette for all pictures and no dithering: a picture then differs from the one before only where something
    # moved, and only that is stored.
    from PIL import Image

    palette = _palette([frames[0], frames[len(frames) // 2], frames[-1]])
    nearest = _nearest(palette)
    indexed = []
    for frame in frames:
        cell = (frame >> 2).astype(np.int32)
        image = Image.fromarray(nearest[cell[..., 0] << 12 | cell[..., 1] << 6 | cell[..., 2]])
        image.putpalette(palette.tobytes())
        indexed.append(image)
    duration = [round(1000 / fps)] * len(indexed)
    duration[-1] += round(1000 * hold)
    # With optimize, what did not change becomes transparent: an eighth of the size.
    indexed[0].save(
        path,
        format="GIF",
        save_all=True,
        append_images=indexed[1:],
        duration=duration,
        loop=0,
        optimize=True,
        disposal=1,
    )


def _palette(frames: Sequence[np.ndarray]) -> np.ndarray:
    """(GIF_COLORS, 3) uint8. Every colour counts once but for the commonest, or thin bright paths would lose theirs."""
    from PIL import Image

    pixels = np.concatenate([frame.reshape(-1, 3) for frame in frames]).astype(np.int32)
    codes, counts = np.unique(pixels @ (1 << 16, 1 << 8, 1), return_counts=True)
    colors = np.column_stack([codes >> 16, codes >> 8 & 255, codes & 255]).astype(np.uint8)
    common = colors[np.argsort(-counts, kind="stable")[:COMMON_COLORS]]
    spread = Image.fromarray(colors[None]).quantize(colors=GIF_COLORS - COMMON_COLORS).getpalette() or []
    palette = np.concatenate([common, np.array(spread, np.uint8).reshape(-1, 3)])[:GIF_COLORS]
    return np.concatenate([palette, np.zeros((GIF_COLORS - len(palette), 3), np.uint8)])


def _nearest(palette: np.ndarray) -> np.ndarray:
    """(64 ** 3,) uint8, the palette entry nearest to each cell of 4 x 4 x 4 colours; Pillow's own misses white."""
    levels = np.arange(64, dtype=np.float32) * (255 / 63)
    squares = [(levels[:, None] - palette[None, :, channel]) ** 2 for channel in range(3)]  # (64, colours) each
    nearest = np.empty((64, 64, 64), np.uint8)
    for red in range(64):
        distances = squares[0][red] + squares[1][:, None] + squares[2][None, :]  # (64, 64, colours)
        nearest[red] = distances.argmin(axis=-1)
    return nearest.ravel()


def _write_mp4(path: Path, frames: Sequence[np.ndarray], fps: int) -> None:
    import imageio.v2 as imageio

    # imageio asks for a known ending, which an atomic write's temporary file does not have.
    named = path.with_suffix(".mp4")
    try:
        with imageio.get_writer(named, format="FFMPEG", mode="I", fps=fps, macro_block_size=2) as writer:
            for frame in frames:
                writer.append_data(frame)  # pyright: ignore[reportAttributeAccessIssue]
        named.replace(path)
    finally:
        named.unlink(missing_ok=True)
