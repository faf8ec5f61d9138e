"""`mode-imitation attribute`: from a run and a dataset to attribution.json and pictures.

Labels serve only to read and to judge attributions; nothing of them reaches one.
"""

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mode_imitation.atomic import check_folder, write_json
from mode_imitation.data.dataset import TrajectoryDataset, load_dataset
from mode_imitation.data.episodes import Episode
from mode_imitation.data.text import Vocabulary, vocabulary_of
from mode_imitation.errors import UserError
from mode_imitation.model.threads import one_thread
from mode_imitation.progress import progress
from mode_imitation.reports.attribution import BLOCK, Attribution, Segment, attribute_episodes, calibrate
from mode_imitation.reports.config import AttributeConfig
from mode_imitation.reports.text import as_the_run_reads
from mode_imitation.reports.turns import NONE, LabelledSteps, codes_of_steps
from mode_imitation.steering.policy import load_policy
from mode_imitation.training.run_folder import load_run
from mode_imitation.training.sources import load_trained_on
from mode_imitation.versions import platform_name, versions

EDGES = (0.0, 0.5, 0.7, 0.9, 0.99, 1.0)
"""Of the classes of probabilities."""


@dataclass(frozen=True)
class AttributionReport:
    """What `attribute` found."""

    data: dict[str, Any]
    """What the JSON file holds."""
    dataset: TrajectoryDataset
    found: list[Attribution]
    matches: dict[int, str]
    """Mode -> the expert of most steps that training gave it, where those are labelled; for reading only."""


def attribute_dataset(config: AttributeConfig) -> AttributionReport:
    """Attribute every episode of a dataset; writes nothing.

    Raises:
        UserError: the run is missing, damaged or not finished, the dataset is missing, damaged, empty or of other
            observations or actions than the run's, or an option cannot be used.
    """
    if config.birdseye < 0:
        raise UserError(f"--birdseye is {config.birdseye}; expected a number of episodes, 0 for none")
    if not 1 < config.expected_steps < math.inf:
        raise UserError(f"--expected-steps is {config.expected_steps}; expected a number of more than 1, 250 say")
    if not 0 < config.false_alarm < 1:
        raise UserError(f"--false-alarm is {config.false_alarm}; expected a share between 0 and 1, 0.01 say")
    if config.out is not None:
        check_folder(config.out, "the attribution")
    run = load_run(config.run)
    dataset, vocabulary = load_dataset(config.dataset, config.root), vocabulary_of(run.info)
    if vocabulary is not None:
        dataset = as_the_run_reads(dataset, vocabulary)
    policy = load_policy(run, config.device)
    sizes, expected = (dataset.obs_dim, dataset.act_dim), (policy.obs_dim, policy.act_dim)
    if sizes != expected:
        raise UserError(
            f"dataset {dataset.name} has observations and actions of {sizes[0]} and {sizes[1]} numbers, the run was "
            f"trained on {expected[0]} and {expected[1]}; attribute episodes of the same task and robot"
        )
    if config.birdseye and not dataset.has("positions"):
        raise UserError(f"dataset {dataset.name} has no positions; leave --birdseye out")
    left_out: list[str] = []
    known: list[Episode] = []
    matches: dict[int, str] = {}
    seen: set[str] = set()
    try:
        trained_on = load_trained_on(run.info)
    except UserError as error:
        left_out.append(f"calibration on held-out episodes: {error}")
    else:
        known = [trained_on.episodes[index] for index in run.held_out(len(trained_on))]
        if not known:
            known = list(trained_on.episodes)
            left_out.append("calibration is on training episodes, for the run held none out: it is too strict")
        codes = codes_of_steps(run.info, trained_on, policy.model.config.window.span, whole=True)
        training = LabelledSteps.of(trained_on, codes)
        seen = set(training.names.tolist())
        matches = {mode: name for mode, name in training.matches().items() if mode in policy.modes}
    steps = config.expected_steps
    with one_thread():
        calibration = calibrate(policy.model, known, false_alarm=config.false_alarm, expected_steps=steps)
        with progress("attributing", len(dataset), "episodes") as bar:
            found = attribute_episodes(policy.model, dataset.episodes, calibration, expected_steps=steps, progress=bar)
    if calibration.n_episodes == 0:
        left_out.append('"none of these" is only roughly calibrated, by the spread of all training actions')
    else:
        left_out += [
            f"calibration for mode {mode}: no episode that is calibrated on has {BLOCK} steps of it in a row, so that "
            "more of its steps may be called none than was asked for"
            for mode in policy.modes
            if mode not in calibration.modes
        ]
    scores = attribution_scores(dataset, found, matches, seen) if matches else None
    if scores is None:
        named = any(episode.expert_of_step is not None for episode in dataset.episodes)
        unjudged = "every step was disturbed" if named else "the episodes name no expert"
        left_out.append(f"agreement with labels: {unjudged if matches else 'no mode is matched with an expert'}")
    data = {
        "run": config.run.name,
        "dataset": {"name": dataset.name, "checksum": dataset.checksum},
        "expected_steps": steps,
        "modes": policy.modes,
        "none": asdict(calibration),
        "matches": {str(mode): name for mode, name in matches.items()},
        "episodes": [_entry(index, dataset.episodes[index], item, vocabulary) for index, item in enumerate(found)],
        "agreement": scores,
        "left_out": left_out,
        "versions": versions(),
        "platform": platform_name(),
    }
    return AttributionReport(data, dataset, found, matches)


def write_attribution(report: AttributionReport, folder: Path, *, birdseye: int = 0) -> list[Path]:
    """Write the pictures and then the JSON file, each as a whole, into a folder that is created.

    Args:
        report: from `attribute_dataset`.
        folder: of the files, which are returned.
        birdseye: episodes that are drawn from above, the first ones of each expert in turn.
    """
    from mode_imitation.plots import Panel, plot_attribution, plot_panels, save_figure
    from mode_imitation.plots.attribution import Strip

    stem = f"attribution-{Path(report.dataset.name).as_posix().strip('/').replace('/', '-')}"
    episodes = report.dataset.episodes
    strips = []
    for index, (episode, item) in enumerate(zip(episodes, report.found, strict=True)):
        label = f"#{index} {episode.expert}" if episode.expert and episode.acting is None else f"#{index}"
        strips.append(Strip(label, item.states, item.probability, episode.expert_of_step))
    title = f"{report.dataset.name}: which mode of the run {report.data['run']} made which step"
    files = [save_figure(plot_attribution(strips, matches=report.matches, title=title), folder / f"{stem}.png")]
    paths = folder / f"{stem}-birdseye.png"
    if birdseye:
        panels = [
            Panel(
                title=f"#{index}",
                episode=episodes[index],
                caption=_caption(episodes[index]),
                modes=report.found[index].states,
            )
            for index in _one_of_each(episodes, birdseye)
        ]
        files.append(save_figure(plot_panels(panels, title=title), paths))
    else:
        paths.unlink(missing_ok=True)  # of an earlier attribution, which this one replaces
    write_json(folder / f"{stem}.json", report.data)
    return [folder / f"{stem}.json", *files]


def _entry(index: int, episode: Episode, found: Attribution, vocabulary: Vocabulary | None) -> dict[str, Any]:
    """Of one episode, for JSON."""

    def text(part: Segment) -> dict[str, str]:
        return {"text": vocabulary.decode(episode.actions[part.start : part.end, 0])} if vocabulary else {}

    segments = [
        asdict(part)
        | {"mode": None if part.mode == NONE else part.mode, "probability": round(part.probability, 6)}
        | text(part)
        for part in found.segments
    ]
    return {
        "episode": index,
        "expert": episode.expert,
        "steps": len(found.states),
        "segments": segments,
        "shares": {_name(mode): round(share, 6) for mode, share in found.shares.items()},
    }


def _name(state: int) -> str:
    return "none" if state == NONE else str(state)


def _caption(episode: Episode) -> str | None:
    from mode_imitation.plots.panels import caption_of

    parts = [] if episode.expert is None else [episode.expert.replace("_", " ").replace("+", ", ")]
    return " · ".join([*parts, caption_of(episode)]) or None


def _one_of_each(episodes: Sequence[Episode], count: int) -> list[int]:
    """`count` episodes: the first of each expert, then the second of each, ..."""
    of_expert: dict[str | None, list[int]] = {}
    for index, episode in enumerate(episodes):
        of_expert.setdefault(episode.expert, []).append(index)
    in_turn = [index for group in itertools.zip_longest(*of_expert.values()) for index in group if index is not None]
    return sorted(in_turn[:count])


def attribution_scores(
    dataset: TrajectoryDataset, found: Sequence[Attribution], matches: Mapping[int, str], seen: Collection[str]
) -> dict[str, Any] | None:
    """How far attributions agree with the labels; disturbed steps are not judged.

    A step is right if its mode matches the expert that drove, or if it is none of the modes and the run never saw that
    expert. An expert that the run saw and that no mode matches is always wrong.

    Args:
        dataset: the episodes.
        found: one attribution an episode.
        matches: mode -> the expert that it matches.
        seen: experts that the run was trained on.

    Returns:
        For JSON; None where no step is labelled.
    """
    steps = LabelledSteps.of(dataset, {index: item.states for index, item in enumerate(found)})
    usable = steps.usable
    if not usable.any():
        return None
    right = np.where(steps.states == NONE, ~np.isin(steps.names, list(seen)), steps.right(matches))
    edges = np.cumsum(steps.lengths)[:-1]
    by_episode = [part[own] for part, own in zip(np.split(right, edges), np.split(usable, edges), strict=True)]
    named = [item for item, one in zip(found, dataset.episodes, strict=True) if one.expert_of_step is not None]
    sure = np.concatenate([item.probability for item in named])
    experts = {}
    for name in np.unique(steps.names[usable]).tolist():
        own = usable & (steps.names == name)
        states, counts = np.unique(steps.states[own], return_counts=True)
        experts[name] = {
            "seen_in_training": name in seen,
            "steps": int(own.sum()),
            "right": float(right[own].mean()),
            "shares": {_name(state): float(n / own.sum()) for state, n in zip(states, counts, strict=True)},
        }
    return {
        **steps.shares(right, usable),
        "right_by_episode": float(np.mean([part.mean() > 0.5 for part in by_episode if len(part)])),
        "experts": experts,
        "switches": steps.switches(),
        "calibration": reliability(sure[usable], right[usable]),
    }


def reliability(probabilities: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """Whether what is said with probability p is right in a share p of the cases.

    Args:
        probabilities: (N,) of what was said.
        right: (N,) bool.

    Returns:
        error: expected calibration error, the mean over N of |probability - share right| by class of probability
        (Naeini et al., Obtaining Well Calibrated Probabilities Using Bayesian Binning, 2015); classes: those.
    """
    which = np.clip(np.searchsorted(EDGES, probabilities, side="right") - 1, 0, len(EDGES) - 2)
    steps, said, was = (np.bincount(which, values, len(EDGES) - 1) for values in (None, probabilities, right))
    classes = [
        {"from": EDGES[i], "to": EDGES[i + 1], "steps": int(n), "probability": said[i] / n, "right": was[i] / n}
        for i, n in enumerate(steps)
        if n
    ]
    return {"error": float(np.abs(said - was).sum() / len(right)), "classes": classes}
