"""One progress of all stages of a training, with the time left of the whole run."""

from typing import Any

from mode_imitation.discovery.switches import BLIND_ROUNDS, MOST_SIGHTED
from mode_imitation.progress import progress
from mode_imitation.training.config import TrainConfig

LAST_SHARE = 0.99
"""Of the plan is done, at most, before all of it is."""
NOTES = {
    "start": "looking for codes",
    "search": "looking for codes",
    "switches": "looking for switches",
    "policy": "training the policy",
}


def milliseconds(config: TrainConfig) -> dict[str, float]:
    """About how long each piece of a stage takes: it makes the stages' progress one number."""
    policy = 45 if config.ring == "attention" else 6
    return {"start": 9, "search": 12000, "switches": 3.75 * config.judge_iterations, "policy": policy}


class WholeRun:
    """See above."""

    def __init__(self, config: TrainConfig, name: str) -> None:
        self.units = milliseconds(config)
        pieces = {
            "start": config.joint_iterations * (config.start == "vqvae"),
            "search": config.refine,
            "switches": (BLIND_ROUNDS + MOST_SIGHTED) * config.find_switches,
            "policy": config.iterations * config.refine,
        }
        self.done, self._shown = 0.0, 0
        self.total = round(sum(self.units[stage] * count for stage, count in pieces.items()))
        self._progress = progress(f"training on {name}", self.total, "")

    def __enter__(self) -> "WholeRun":
        self.bar = self._progress.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            self._advance(max(0, self.total - self.done), "")  # what settled early left something of the plan
        self._progress.__exit__(*error)

    def _advance(self, units: float, note: str) -> None:
        # Rounds that merge codes come on top of the plan: what is not done yet is never shown as done.
        most = self.total if not note else LAST_SHARE * self.total
        self.done = max(self.done, min(self.done + units, most))
        self.bar.advance(round(self.done) - self._shown, note=note)
        self._shown = round(self.done)

    def advance(self, stage: str, done: int) -> None:
        """So many more pieces of a stage are done."""
        self._advance(done * self.units.get(stage, 0), NOTES.get(stage, ""))
