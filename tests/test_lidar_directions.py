"""Mean directions of the lidars among what the actor sees: where there are lidars, unless they are not wanted."""

import dataclasses
from pathlib import Path

from mode_imitation.model.config import ModelConfig
from mode_imitation.training.run_folder import load_run
from mode_imitation.training.trainer import train
from tests.synthetic import two_laws
from tests.test_training import small


def test_mean_directions_are_shown_unless_they_are_not_wanted(tmp_path: Path) -> None:
    data = dataclasses.replace(two_laws(), observation_slices={"gyro": slice(0, 1), "goal_lidar": slice(1, 3)})
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
