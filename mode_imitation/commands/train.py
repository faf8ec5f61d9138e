"""`mode-imitation train DATASET --out RUN`, `mode-imitation train --resume RUN`"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from mode_imitation.data.windows import WindowShape
from mode_imitation.errors import UserError
from mode_imitation.options import Argument, Suppress
from mode_imitation.training.config import TrainConfig

if TYPE_CHECKING:
    from mode_imitation.data import TrajectoryDataset
    from mode_imitation.training.fit import Hook
    from mode_imitation.training.run_folder import Run

PRINTED = {
    "actor/nll": "action NLL",
    "actor/error": "error of the likeliest action",
    "leak/gap": "leak",
    "codebook/perplexity": "codebook perplexity",
}
"""Figures of the log that are worth a line at the end; the log has them all."""


@dataclass(frozen=True, kw_only=True)
class TrainCommand:
    """What to train on, and where the run goes."""

    datasets: Annotated[tuple[str, ...], Argument("DATASET ...")] = ()
    """Name below the root (namespace/name-vN), or a path; several train together. Not needed with --resume."""
    out: Path | None = None
    """The run's folder, runs/two-experts say."""
    resume: Path | None = None
    """Go on with the run in this folder from its last checkpoint; it ends with the same weights as if it had never
    been stopped."""
    overwrite: bool = False
    """Replace the run at --out; refused where anything else lies in its folder."""
    root: Path | None = None
    """Folder of the datasets; left out, MINARI_DATASETS_PATH or else ./data."""
    config: Path | None = None
    """A YAML or JSON file with any of these settings; what is typed wins."""
    pictures: Suppress[bool] = True
    """Draw the modes from above into the log now and then, where a simulator is installed."""
    settings: TrainConfig = field(default_factory=TrainConfig)


def run(config: TrainCommand) -> int:
    """Train, or go on training, and say what was found."""
    report(resume(config.resume, config) if config.resume else start(config))
    return 0


def start(config: TrainCommand) -> "Run":
    """A new run."""
    if not config.datasets:
        raise UserError(
            "no dataset is named; expected `mode-imitation train DATASET --out RUN` or `train --resume RUN`"
        )
    if config.out is None:
        raise UserError("--out is missing; name the run's folder, --out runs/two-experts say")
    from mode_imitation.training.fit import fit
    from mode_imitation.training.preparation import check_parts
    from mode_imitation.training.run_folder import check_folder
    from mode_imitation.training.sources import load_joined, source_of

    check_parts(config.settings)
    check_folder(config.out, resume=False, overwrite=config.overwrite)
    dataset = load_joined(config.datasets, config.root)
    source = source_of(config.datasets, config.root)
    hook = pictures(dataset) if config.pictures else None
    return fit(dataset, config.settings, config.out, overwrite=config.overwrite, hook=hook, source=source)


def resume(folder: Path, config: TrainCommand) -> "Run":
    """Go on with a run; its settings and datasets are on record."""
    from mode_imitation.training.fit import fit
    from mode_imitation.training.run_folder import read_info
    from mode_imitation.training.sources import load_joined, load_source, recorded_root

    if config.settings != TrainConfig() or config.out is not None or config.overwrite:
        raise UserError("--resume goes on with the run's own settings; leave the other options out, or start a new run")
    info = read_info(folder)
    if config.datasets:
        dataset = load_joined(config.datasets, config.root or recorded_root(info))
    else:
        dataset = load_source(info, config.root)
    hook = pictures(dataset) if config.pictures else None
    return fit(
        dataset, TrainConfig.from_dict(info["config"]), folder, resume=True, hook=hook, source=info.get("source")
    )


def pictures(dataset: "TrajectoryDataset") -> "Hook | None":
    """What draws the modes into the log; None where there is no simulator or no environment that it can draw."""
    from importlib.util import find_spec

    if dataset.env_id is None or find_spec("mujoco") is None or find_spec("safety_gymnasium") is None:
        return None
    from mode_imitation.worlds.planar import is_planar

    if is_planar(dataset.env_id):
        return None  # `modes` draws them, and nothing here needs the simulator
    from mode_imitation.reports.report_pictures import draw_modes
    from mode_imitation.worlds.safety import make_vec

    try:
        env = make_vec(dataset.env_id, 1)
    except UserError:
        # Data of another simulator trains as well as ours.
        print(f"no pictures in the log: {dataset.env_id} is no world of Safety Gymnasium; `modes` draws them")
        return None
    simulated = env.single_observation_space.shape, env.single_action_space.shape
    env.close()
    recorded = (dataset.obs_dim,), (dataset.act_dim,)
    if simulated != recorded:
        print(f"no pictures in the log: {dataset.env_id} has shapes {simulated}, the dataset {recorded}")
        return None
    return draw_modes(dataset.env_id)


PAIRS_LISTED = 6
"""The least clear ones: what is clear needs no look."""


def told_apart(pairs: "list[dict[str, Any]]", confidence: float) -> None:
    """Print how clearly the modes are told apart; the pairs come the least clear first."""
    if not pairs:
        return
    from mode_imitation.commands.tables import print_table

    listed = [
        (f"{pair['first']} and {pair['second']}", f"{pair['gap']:.2f}", f"{pair['clarity']:.1f}")
        for pair in pairs[:PAIRS_LISTED]
    ]
    more = f"; {len(pairs) - len(listed)} pairs are clearer" if len(pairs) > len(listed) else ""
    print_table(
        f"How clearly modes are told apart, by judges that never saw the trajectory (1: with {confidence:.4g} "
        f"confidence{more})",
        ("modes", "gap (nats a step)", "clarity"),
        listed,
    )


FAITHFUL = 0.95
"""Share of the trajectories to which the encoder gives their own mode, below which that is said."""


def beside(others: "dict[str, float | None]", n_modes: int) -> None:
    """Print how the modes stand beside those that the encoder and k-means give."""
    if (alike := others.get("kmeans")) is not None:
        print(f"k-means of what trajectories do on average, told {n_modes}, groups them alike with NMI {alike:.2f}")
    if (own := others.get("encoder")) is not None and own < FAITHFUL:
        print(
            f"the encoder gives only {own:.0%} of the training trajectories their own mode: what infers a mode from an "
            "episode (--like, attribute, modes) is wrong as often; train with more --joint-iterations or --iterations"
        )


def report(run: "Run") -> None:
    """Print what came out."""
    summary, window = run.info["summary"], TrainConfig.from_dict(run.info["config"]).window
    if window.span < (usual := WindowShape().span):
        print(f"windows span {window.span} steps ({usual} where every episode is long enough)")
    n_modes, shares = summary["n_modes"], enumerate(summary["shares"])
    listed = ", ".join(f"mode {mode} {share:.0%}" for mode, share in shares)
    print(f"{n_modes} mode{'s' * (n_modes != 1)} ({listed} of the training steps)")
    if n_modes == 1:
        print(
            "one mode only: more episodes, --evidence behaviour or --confidence 0.6 may tell more apart; the guide "
            '"One mode only, what now?" says how to find out'
        )
    told_apart(summary["pairs"], run.info["config"]["confidence"])
    beside(summary.get("beside") or {}, n_modes)
    for name, figures in summary["figures"].items():
        listed = ", ".join(f"{words} {figures[key]:.3f}" for key, words in PRINTED.items() if key in figures)
        print(f"{name.replace('_', '-')} episodes: {listed}")
    took = ", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in summary["seconds"].items())
    print(f"run: {run.path} ({took})")
    print(f"next: mode-imitation modes {run.path}")
