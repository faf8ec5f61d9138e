"""Options of `modes`, `rollout` and `attribute`; imports nothing heavy, as --help must be quick."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from mode_imitation.options import Argument, Repeated, Suppress


@dataclass(frozen=True, kw_only=True)
class ModesConfig:
    """The report card of every mode: how it drives on held-out layouts, and how modes and labels agree."""

    run: Annotated[Path, Argument("RUN")]
    """The run's folder, as `train --out` made it."""
    layouts: int = 20
    """How many held-out layouts every mode and every expert drives; always the same ones, so that figures compare."""
    steps: int | None = None
    """Steps per episode; left out, the environment's own number, else 1000."""
    expert: Repeated = ()
    """Experts to drive the same layouts: names, path/to/file.py:Class or package.module:Class.
    Left out, those that the dataset names, as far as they can be found."""
    action_noise: Suppress[float] = 0.1
    """Standard deviation of the experts' action noise, as in their demonstrations."""
    temperature: float = 0.0
    """0 drives the policy's mean action; 1 draws from its distribution."""
    env: str | None = None
    """The environment, as `generate --env` takes it; left out, the dataset's own."""
    figure: Repeated = ()
    """A figure of your own, path/to/file.py:function of an episode that returns a number; may be repeated. The file is
    run."""
    dataset: str | None = None
    """The dataset to sort into modes; left out, the one that the run was trained on."""
    root: Path | None = None
    """Folder of the datasets; left out, MINARI_DATASETS_PATH or else ./data."""
    confidence: float = 0.95
    """Of the guarantees: the probability with which each kind of bound of a figure holds for all modes together."""
    require: str | None = None
    """Which modes are good enough? `goals>=9,cost<=60`, judged by the guarantees; exit status 0 if some mode is,
    else 1. Of goals, return and straightness (>=) and of cost (<=)."""
    blend: str | None = None
    """Two modes, `0,1`: drive what lies between them too, on at most 20 of the layouts put aside for tuning."""
    window_every: Suppress[int] = 5
    """Every how many steps a window is taken for clustering."""
    out: Path | None = None
    """Folder for report.json, report.md and the pictures; left out, the run's folder."""
    seed: int = 0
    """Of the experts' noise, of sampled actions and of the intervals."""
    threads: Suppress[int | None] = None
    """Threads of the simulator; left out, one a core. Does not change the figures."""
    worlds: Suppress[int] = 128
    """Worlds simulated at a time, at most; more take more memory."""
    device: str = "cpu"
    """Where the policy runs: cpu, cuda or auto."""


@dataclass(frozen=True, kw_only=True)
class RolloutConfig:
    """Steer a trained policy through its world: by one mode, context, demonstration or schedule."""

    run: Annotated[Path, Argument("RUN")]
    """The run's folder, as `train --out` made it."""
    mode: int | None = None
    """The mode that drives; `mode-imitation modes RUN` says which there are."""
    context: str | None = None
    """A context of one weight a code, `0.1,0.9,0,0`; some may be negative, `--context=-0.5,1.5,0,0`. How far it lies
    from what was trained is printed."""
    like: str | None = None
    """A demonstration to drive like, `DATASET#17`: the context is inferred from that episode, counted from 0."""
    schedule: str | None = None
    """Modes one after the other, MODE:STEPS each: `0:400,1:100,0`."""
    seeds: str | None = None
    """Seeds of the episodes (layouts, where a world has them), `500:510` (the end is left out) or `1,2,7`; left out,
    the first 10 held-out ones."""
    steps: int | None = None
    """Steps per episode; left out, the environment's own number, else 1000."""
    temperature: float | None = None
    """0 drives the policy's mean action; 1 draws from its distribution. Left out, 0, and 1 where it writes text."""
    prompt: str | None = None
    """Of a run on text: what the policy goes on from; left out, the beginning of a text."""
    env: str | None = None
    """The environment, as `generate --env` takes it; left out, that of the data that the run was trained on."""
    figure: Suppress[Repeated] = ()
    """A figure of your own, path/to/file.py:function of an episode that returns a number; may be repeated. The file is
    run."""
    out: str | None = None
    """Write the rollouts as a dataset of this name, namespace/name-vN."""
    root: Path | None = None
    """Folder of the datasets; left out, MINARI_DATASETS_PATH or else ./data."""
    overwrite: bool = False
    """Replace a dataset, video or picture that exists."""
    video: Path | None = None
    """Film the first rollout as the environment renders it: a name that ends in .mp4 or .gif."""
    plot: Path | None = None
    """Draw the rollouts: a name that ends in .png, .pdf or .svg. From above where positions are known, else along the
    two widest directions of the states."""
    seed: Suppress[int] = 0
    """Of sampled actions and of the intervals."""
    threads: Suppress[int | None] = None
    """Threads of the simulator; left out, one a core. Does not change the figures."""
    worlds: Suppress[int] = 128
    """Worlds simulated at a time, at most."""
    device: Suppress[str] = "cpu"
    """Where the policy runs: cpu, cuda or auto."""


@dataclass(frozen=True, kw_only=True)
class AttributeConfig:
    """Which mode made which part of which episode, with a probability, or none of the modes."""

    run: Annotated[Path, Argument("RUN")]
    """The run's folder, as `train --out` made it."""
    dataset: Annotated[str, Argument("DATASET")]
    """The episodes to attribute: a name below the root (namespace/name-vN), or a path."""
    root: Path | None = None
    """Folder of the datasets; left out, MINARI_DATASETS_PATH or else ./data."""
    out: Path | None = None
    """Folder for attribution-DATASET.json and the pictures; left out, the run's folder."""
    expected_steps: float = 250.0
    """Steps that one mode is expected to last; longer ones give fewer switches."""
    false_alarm: float = 0.01
    """How often "none of these" may explain 25 steps of a held-out training episode better than the episode's own mode:
    this sets how good an explanation a mode must be."""
    birdseye: int = 0
    """Draw so many episodes from above too, their paths in the colours of the modes."""
    device: str = "cpu"
    """Where the policy runs: cpu, cuda or auto."""
