"""Mean directions of the lidars among what the actor sees: where there are lidars, unless they are not wanted."""

import dataclasses
import hashlib
import json
from pathlib import Path

from mode_imitation.data.spaces import Sensor
from mode_imitation.model.config import ModelConfig
from mode_imitation.reports.sweep.cells import FORMAT_VERSION, cell_key
from mode_imitation.training.run_folder import load_run
from mode_imitation.training.trainer import train
from mode_imitation.versions import versions
from tests.synthetic import two_laws
from tests.test_training import small


def test_mean_directions_are_shown_unless_they_are_not_wanted(tmp_path: Path) -> None:
    data = dataclasses.replace(two_laws(), sensors={"gyro": Sensor(0, 1), "goal_lidar": Sensor(1, 3, "ring")})
    short = small(iterations=20, discovery_iterations=20)
    unwanted = dataclasses.replace(short, lidar_directions=False)
    train(data, unwanted, tmp_path / "plain")
    train(data, short, tmp_path / "shown")
    plain, shown = (load_run(tmp_path / name).model for name in ("plain", "shown"))
    assert plain.config.actor_inputs == 3 + 2
    assert shown.config.actor_inputs == 3 + 2 + 3
    assert shown.config == ModelConfig.from_dict(shown.config.to_dict())
    # Runs from before there was a choice had none.
    for config, name in ((unwanted, "lidar_directions"), (plain.config, "directions")):
        old = {key: value for key, value in config.to_dict().items() if key != name}
        assert type(config).from_dict(old) == config


def test_without_lidars_or_relative_readings_no_directions_are_shown() -> None:
    assert not small().model_config(3, 2).directions
    slices = {"goal_lidar": slice(1, 3)}
    assert small().model_config(3, 2, slices).directions
    without = small(relative_lidar=False).model_config(3, 2, slices)
    assert (without.lidars, without.directions) == ((), False)


def test_a_sweep_goes_on_from_before_there_was_a_choice() -> None:
    dataset, config = two_laws(), small(lidar_directions=False)
    before = {name: value for name, value in config.to_dict().items() if name != "lidar_directions"}
    made = {"dataset": dataset.checksum, "labels": dataset.labels, "versions": versions()}
    parts = {"format": FORMAT_VERSION, "training": before, "most_codes": 4, **made}
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    assert cell_key(dataset, config, 4) == key
    assert cell_key(dataset, small(), 4) == key, "there is no lidar whose directions could be shown"
    seeing = dataclasses.replace(dataset, sensors={"goal_lidar": Sensor(1, 3, "ring")})
    assert cell_key(seeing, config, 4) == key
    assert cell_key(seeing, small(), 4) != key
