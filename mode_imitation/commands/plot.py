"""`mode-imitation plot DATASET#EPISODE ...`"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from mode_imitation.commands.pictures import ANIMATIONS, PICTURES, picture_path
from mode_imitation.errors import UserError
from mode_imitation.options import Argument


@dataclass(frozen=True, kw_only=True)
class PlotCommand:
    """Which episodes to draw: from above where positions are known, else along the widest directions of the states."""

    episodes: Annotated[tuple[str, ...], Argument("DATASET#EPISODE")]
    """One or more episodes, "pointgoal1/two-experts-v0#17" say; without #, one episode of each expert."""
    out: Path | None = None
    """The picture: .png, .pdf or .svg; .gif or .mp4 makes an animation. Left out, runs/birdseye.png, made anew."""
    overwrite: bool = False
    """Replace a picture of that name."""
    view: Literal["arena", "all"] = "arena"
    """Show the arena, where there is one, or all of the path."""
    root: Path | None = None
    """Folder of the datasets; left out, MINARI_DATASETS_PATH or else ./data."""


def run(config: PlotCommand) -> int:
    """Draw one panel an episode."""
    from mode_imitation.data import load_dataset, load_episode
    from mode_imitation.data.episodes import Episode

    if not config.episodes:
        raise UserError("no episode is named; expected DATASET#EPISODE, pointgoal1/two-experts-v0#17 say")
    out = picture_path(config.out, Path("runs/birdseye.png"), (*PICTURES, *ANIMATIONS), overwrite=config.overwrite)
    chosen: dict[str, Episode] = {}
    for spec in config.episodes:
        if "#" in spec:
            episode = load_episode(spec, config.root)
            # Short enough to stand over a panel; the whole name where two datasets have an episode of that number.
            name = f"{episode.expert or 'episode'} #{spec.rpartition('#')[2]}"
            chosen[spec if name in chosen else name] = episode
            continue
        for index, episode in enumerate(load_dataset(spec, config.root).episodes):
            chosen.setdefault(episode.expert or f"{spec}#{index}", episode)
            if episode.expert is None:
                break
    if out.suffix.lower() in ANIMATIONS:
        from mode_imitation.plots import animate_birdseye

        animate_birdseye(chosen, out)
    else:
        from mode_imitation.plots import plot_panels, save_figure

        save_figure(plot_panels(chosen, view=config.view), out)
    print(f"drew {', '.join(chosen)} in {out}")
    return 0
