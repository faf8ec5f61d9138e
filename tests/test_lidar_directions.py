"""Mean directions of the lidars among what the actor sees: where they are asked for, and nowhere else."""

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from mode_imitation.errors import UserError
from mode_imitation.evaluation.sweep.cells import FORMAT_VERSION, cell_key
from mode_imitation.model.config import ModelConfig
from mode_imitation.training.run_folder import load_run
from mode_imitation.training.trainer import train
from mode_imitation.versions import versions
from tests.synthetic import two_laws
from tests.test_training import small


def test_mean_directions_are_shown_where_that_is_asked_for_alone(tmp_path: Path) -> None:
    data = dataclasses.replace(two_laws(), observation_slices={"gyro": slice(0, 1), "goal_lidar": slice(1, 3)})
    short = small(iterations=20, discovery_iterations=20)
    train(data, short, tmp_path / "plain")
    train(data, dataclasses.replace(short, lidar_directions=True), tmp_path / "shown")
    plain, shown = (load_run(tmp_path / name).model for name in ("plain", "shown"))
    assert plain.config.actor_inputs == 3 + 2
    assert shown.config.actor_inputs == 3 + 2 + 3
    assert shown.config == ModelConfig.from_dict(shown.config.to_dict())
    # Runs from before there was a choice had none.
    for config, name in ((short, "lidar_directions"), (plain.config, "directions")):
        old = {key: value for key, value in config.to_dict().items() if key != name}
        assert type(config).from_dict(old) == config


def test_mean_directions_need_a_lidar(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"names no observations that end in _lidar; leave out --lidar-directions"):
        train(two_laws(), small(lidar_directions=True), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match="leave out --no-relative-lidar or --lidar-directions"):
        small(lidar_directions=True, relative_lidar=False)


def test_a_sweep_goes_on_from_before_there_was_a_choice() -> None:
    dataset, config = two_laws(), small()
    before = {name: value for name, value in config.to_dict().items() if name != "lidar_directions"}
    made = {"dataset": dataset.checksum, "labels": dataset.labels, "versions": versions()}
    parts = {"format": FORMAT_VERSION, "training": before, "most_codes": 4, **made}
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    assert cell_key(dataset, config, 4) == key
    assert cell_key(dataset, small(lidar_directions=True), 4) != key
