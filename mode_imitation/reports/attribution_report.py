"""`mode-imitation attribute`: from a run and a dataset to attribution.json and pictures."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mode_imitation.atomic import check_folder, write_json
from mode_imitation.data.dataset import TrajectoryDataset, load_dataset
from mode_imitation.data.episodes import Episode
from mode_imitation.errors import UserError
from mode_imitation.model.threads import one_thread
from mode_imitation.progress import progress
from mode_imitation.reports.attribution import BLOCK, NONE, Attribution, Calibration, attribute_episodes, calibrate
from mode_imitation.reports.attribution_scores import attribution_scores, match_modes
from mode_imitation.reports.config import AttributeConfig
from mode_imitation.reports.turns import codes_of_steps
from mode_imitation.steering.policy import Policy, load_policy
from mode_imitation.training.run_folder import Run, load_run
from mode_imitation.training.sources import load_source
from mode_imitation.versions import platform_name, versions


@dataclass(frozen=True)
class AttributionReport:
    """What `attribute` found."""

    data: dict[str, Any]
    """What the JSON file holds."""
    dataset: TrajectoryDataset
    found: list[Attribution]
    matches: dict[int, str]
    """Mode -> expert, where the data that the run was trained on is labelled; for reading only."""


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
    dataset = load_dataset(config.dataset, config.root)
    policy = load_policy(run, config.device)
    _check_sizes(dataset, policy)
    if config.birdseye and not dataset.has("positions"):
        raise UserError(f"dataset {dataset.name} has no positions; leave --birdseye out")
    left_out: list[str] = []
    trained_on = training_data(run, left_out)
    known, matches = [], {}
    with one_thread():
        expected = config.expected_steps
        unseen = to_calibrate_on(run, trained_on, left_out) if trained_on is not None else []
        calibration = calibrate(policy.model, unseen, false_alarm=config.false_alarm, expected_steps=expected)
        if trained_on is not None:
            known = experts_in_training(run, trained_on)
            matches = match_run(run, trained_on, policy, calibration, expected)
        with progress("attributing", len(dataset), "episodes") as bar:
            found = attribute_episodes(
                policy.model, dataset.episodes, calibration, expected_steps=expected, progress=bar
            )
    if calibration.n_episodes == 0:
        left_out.append('"none of these" is only roughly calibrated, by the spread of all training actions')
    else:
        left_out += uncalibrated(calibration, policy.modes)
    scores = attribution_scores(dataset, found, matches, known) if matches else None
    if scores is None:
        named = any(episode.expert_of_step is not None for episode in dataset.episodes)
        unjudged = "every step was disturbed" if named else "the episodes name no expert"
        why = unjudged if matches else "no mode is matched with an expert"
        left_out.append(f"agreement with labels: {why}")
    data = {
        "run": config.run.name,
        "dataset": {"name": dataset.name, "checksum": dataset.checksum},
        "expected_steps": config.expected_steps,
        "modes": policy.modes,
        "none": calibration.as_dict(),
        "matches": {str(mode): name for mode, name in matches.items()},
        "episodes": [_episode(index, dataset, item) for index, item in enumerate(found)],
        "agreement": scores,
        "left_out": left_out,
        "versions": versions(),
        "platform": platform_name(),
    }
    return AttributionReport(data, dataset, found, matches)


def write_attribution(report: AttributionReport, folder: Path, *, birdseye: int = 0) -> list[Path]:
    """Write the pictures and then the JSON file, each as a whole.

    Args:
        report: from `attribute_dataset`.
        folder: is created.
        birdseye: episodes that are drawn from above, the first ones of each expert in turn.

    Returns:
        The files.
    """
    from mode_imitation.plots import Panel, plot_attribution, plot_panels, save_figure
    from mode_imitation.plots.attribution import Strip

    stem = f"attribution-{Path(report.dataset.name).as_posix().strip('/').replace('/', '-')}"
    episodes = report.dataset.episodes
    strips = [
        Strip(_label(index, episodes[index]), item.states, item.probability, episodes[index].expert_of_step)
        for index, item in enumerate(report.found)
    ]
    run = report.data["run"]
    title = f"{report.dataset.name}: which mode of the run {run} made which step"
    files = [save_figure(plot_attribution(strips, matches=report.matches, title=title), folder / f"{stem}.png")]
    paths = folder / f"{stem}-birdseye.png"
    if birdseye:
        panels = [
            Panel(
                title=f"#{index}",
                caption=_caption(episodes[index]),
                episode=episodes[index],
                modes=report.found[index].states,
            )
            for index in _one_of_each(report.dataset, birdseye)
        ]
        files.append(save_figure(plot_panels(panels, title=title), paths))
    else:
        paths.unlink(missing_ok=True)  # of an earlier attribution, which this one replaces
    write_json(folder / f"{stem}.json", report.data)
    return [folder / f"{stem}.json", *files]


def _check_sizes(dataset: TrajectoryDataset, policy: Policy) -> None:
    found, expected = (dataset.obs_dim, dataset.act_dim), (policy.obs_dim, policy.act_dim)
    if found != expected:
        raise UserError(
            f"dataset {dataset.name} has observations and actions of {found[0]} and {found[1]} numbers, the run was "
            f"trained on {expected[0]} and {expected[1]}; attribute episodes of the same task and robot"
        )


def _episode(index: int, dataset: TrajectoryDataset, item: Attribution) -> dict[str, Any]:
    return {
        "episode": index,
        "expert": dataset.episodes[index].expert,
        "steps": len(item.states),
        "segments": [
            {
                "start": part.start,
                "end": part.end,
                "mode": None if part.mode == NONE else part.mode,
                "probability": round(part.probability, 6),
            }
            for part in item.segments
        ],
        "shares": {"none" if mode == NONE else str(mode): round(share, 6) for mode, share in item.shares.items()},
    }


def _label(index: int, episode: Episode) -> str:
    """The number, and who drove where that was one."""
    return f"#{index} {episode.expert}" if episode.expert and episode.acting is None else f"#{index}"


def _caption(episode: Episode) -> str | None:
    from mode_imitation.plots.panels import caption_of

    parts = [] if episode.expert is None else [episode.expert.replace("_", " ").replace("+", ", ")]
    return " · ".join([*parts, caption_of(episode)]) or None


def _one_of_each(dataset: TrajectoryDataset, count: int) -> Sequence[int]:
    """`count` episodes: the first of each expert, then the second of each, ..."""
    seen: dict[str | None, int] = {}
    ranks = []
    for index, episode in enumerate(dataset.episodes):
        seen[episode.expert] = seen.get(episode.expert, -1) + 1
        ranks.append((seen[episode.expert], index))
    return [index for _, index in sorted(sorted(ranks)[:count])]


def training_data(run: Run, left_out: list[str]) -> TrajectoryDataset | None:
    """The dataset that a run was trained on; None, and a line in `left_out`, where it has gone or changed."""
    trained_on = run.info["dataset"]
    try:
        dataset = load_source(run.info)
    except UserError as error:
        left_out.append(f"calibration on held-out episodes: {error}")
        return None
    if dataset.checksum != trained_on["checksum"]:
        left_out.append(
            f"calibration on held-out episodes: {trained_on['name']} is no longer what the run was trained on"
        )
        return None
    return dataset


def to_calibrate_on(run: Run, dataset: TrajectoryDataset, left_out: list[str]) -> list[Episode]:
    """The episodes that training held out; all of them, and a line in `left_out`, where there are none."""
    chosen = run.held_out(len(dataset))
    if not chosen:
        left_out.append("calibration is on training episodes, for the run held none out: it is too strict")
    return [dataset.episodes[index] for index in chosen or range(len(dataset))]


def uncalibrated(calibration: Calibration, modes: list[int]) -> list[str]:
    """A line for each mode that the calibration knows nothing of."""
    return [
        f"calibration for mode {mode}: no episode that is calibrated on has {BLOCK} steps of it in a row, so that more "
        "of its steps may be called none than was asked for"
        for mode in modes
        if mode not in calibration.modes
    ]


def experts_in_training(run: Run, dataset: TrajectoryDataset) -> list[str]:
    """Everybody who drove a training episode, as far as episodes name somebody."""
    named = [dataset.episodes[index].expert_of_step for index in run.trained_on(len(dataset))]
    return sorted({str(name) for names in named if names is not None for name in np.unique(names)})


def match_run(
    run: Run, dataset: TrajectoryDataset, policy: Policy, calibration: Calibration, expected_steps: float
) -> dict[int, str]:
    """Mode -> the expert that it stands for in all of the data that the run was trained on.

    Training's own codes say which mode made its episodes; the others, held-out ones mostly, are attributed. These
    alone would be too few: a mode without a step in them would match nobody.
    """
    states = training_codes(run.info, dataset, policy.model.config.window.span)
    rest = [index for index in range(len(dataset)) if index not in states]
    episodes = [dataset.episodes[index] for index in rest]
    found = attribute_episodes(policy.model, episodes, calibration, expected_steps=expected_steps)
    states |= {index: item.states for index, item in zip(rest, found, strict=True)}
    matches = match_modes([dataset.episodes[index] for index in states], list(states.values()))
    return {mode: name for mode, name in matches.items() if mode in policy.modes}


def training_codes(info: Mapping[str, Any], dataset: TrajectoryDataset, span: int) -> dict[int, np.ndarray]:
    """The code that training settled on for every step of its episodes, {episode: (T,) int}.

    Args:
        info: run.json.
        dataset: what the run was trained on.
        span: steps of a window.
    """
    by_step = codes_of_steps(info, dataset, span)
    if by_step:
        return by_step
    rows = zip(info.get("training_episodes") or [], info.get("assignment") or [], strict=False)
    return {
        index: np.full(len(dataset.episodes[index]), code, dtype=np.int64)
        for index, code in rows
        if 0 <= index < len(dataset)
    }
