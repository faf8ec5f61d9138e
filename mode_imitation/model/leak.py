"""Does the context give the action away? What is inferred from it in training is not there when a mode is steered."""

from typing import NamedTuple


class Leak(NamedTuple):
    """Action NLL, nats per step, of the same actions under two contexts. Equal ones are good."""

    nll_inferred: float
    """Context inferred, as in training, from windows that hold the very actions that are predicted."""
    nll_fixed: float
    """Context of the unit's mode, which is what steering supplies."""

    @property
    def gap(self) -> float:
        """Positive where the inferred context tells more about the action than the mode does: it leaks."""
        return self.nll_fixed - self.nll_inferred

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return {"nll_inferred": self.nll_inferred, "nll_fixed": self.nll_fixed, "gap": self.gap}
