"""Generation in worker processes: users' own experts drive there, and what fails stops everything."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mode_imitation.data.dataset import load_dataset
from mode_imitation.errors import UserError
from mode_imitation.worlds.generate import generate
from tests.test_generate import NAME, SMALL

EXPERTS = """
import numpy as np

class Spinning:
    def act(self, observations):
        print("an expert may print")
        return np.tile([0.0, 1.0], (len(observations), 1))

class OneWorld:
    batched = False
    def reset(self, observation, rng):
        self.turn = rng.uniform()
    def act(self, observation):
        return np.array([1.0, self.turn])

class Broken:
    def act(self, observations):
        return np.full((len(observations), 2), np.nan)

class Buggy:
    def act(self, observations):
        raise ZeroDivisionError("not the user's command line")
"""


def test_a_users_own_experts_drive_in_worker_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(EXPERTS)
    monkeypatch.chdir(tmp_path)
    specs = ("mine.py:Spinning=1", "mine:OneWorld=2")
    config = replace(SMALL, expert=specs, action_noise=0.0, disturbances=False, worlds=1, steps=5, root=Path("root"))
    generate(replace(config, workers=2))
    dataset = load_dataset(NAME, "root")
    assert dataset.labels == ["Spinning", "OneWorld", "OneWorld"]
    np.testing.assert_array_equal(dataset.episodes[0].actions, np.tile([0, 1], (5, 1)))
    turns = {float(episode.actions[0, 1]) for episode in dataset.episodes[1:]}
    assert len(turns) == 2
    generate(replace(config, worlds=4, root=Path("other")))
    assert load_dataset(NAME, "other").checksum == dataset.checksum


@pytest.mark.parametrize(
    ("expert", "complaint"),
    [("Broken", "expected finite"), ("Buggy", "ZeroDivisionError: not the user's command line")],
)
def test_an_expert_that_fails_in_a_worker_stops_everything(tmp_path: Path, expert: str, complaint: str) -> None:
    (tmp_path / "mine.py").write_text(EXPERTS)
    config = replace(SMALL, expert=(f"{tmp_path / 'mine.py'}:{expert}=2",), worlds=1, workers=2, root=tmp_path / "root")
    with pytest.raises(UserError, match=complaint):
        generate(config)
    # Nothing was finished, so nothing is left that a corrected expert could not start from.
    assert not (tmp_path / "root" / ".unfinished").exists()
