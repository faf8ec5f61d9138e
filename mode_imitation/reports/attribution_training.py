"""What an attribution takes from the data that its run was trained on: episodes to calibrate on, and who drives how."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.data.episodes import Episode
from mode_imitation.errors import UserError
from mode_imitation.reports.attribution import BLOCK, Calibration, attribute_episodes
from mode_imitation.reports.attribution_scores import match_modes
from mode_imitation.reports.turns import codes_of_steps
from mode_imitation.steering.policy import Policy
from mode_imitation.training.run_folder import Run
from mode_imitation.training.sources import load_source


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
