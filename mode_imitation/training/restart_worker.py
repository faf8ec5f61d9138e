"""A process of its own that looks for codes: what `restarts.run_restarts` starts one of for each restart."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mode_imitation.model.batches import FlatEpisodes, TrainingData
from mode_imitation.model.config import ModelConfig
from mode_imitation.model.threads import one_thread
from mode_imitation.processes import Advance
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.fit import find_codes
from mode_imitation.training.restarts import RestartPlan, units
from mode_imitation.training.tensor_files import read_tensors

REPORT_UNITS = 200
"""A line through a pipe for each iteration would be too dear."""


def prepare(job: dict[str, Any]) -> Callable[[int, Advance], None]:
    """What `processes.run_tasks` asks for: the job is settings and folder, a task the number of a restart."""
    config = TrainConfig.from_dict(job["config"])
    given = None if job["given"] is None else torch.tensor(job["given"])
    plan = RestartPlan(ModelConfig.from_dict(job["sizes"]), config, Path(job["out"]), given)
    tensors, _ = read_tensors(plan.data_path)
    flat = FlatEpisodes(**{name: tensor.numpy() for name, tensor in tensors.items()})
    data = TrainingData(flat, config.window, config.segment)

    def do(restart: int, advance: Advance) -> None:
        waiting, scale = 0.0, units(config)

        def count(stage: str, done: int) -> None:
            nonlocal waiting
            waiting += done * scale.get(stage, 0)
            if waiting >= REPORT_UNITS:
                advance(round(waiting))
                waiting = 0

        with one_thread():
            find_codes(plan.job(restart, data, count), data, config, restart, given)

    return do
