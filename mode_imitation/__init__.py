"""Discover the modes in mixed, unlabelled expert trajectories and steer one policy through them.

policy = mode_imitation.load_policy("runs/two-experts").steer(mode=1)
action = policy.act(observation)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mode_imitation.data.dataset import load_dataset
    from mode_imitation.steering.policy import Policy, load_policy

__version__ = "0.1.0"
__all__ = ["Policy", "__version__", "load_dataset", "load_policy"]


def __getattr__(name: str) -> Any:
    # Imported on first use: torch takes seconds, and `mode-imitation --help` needs none of it.
    if name in ("Policy", "load_policy"):
        from mode_imitation.steering import policy

        return getattr(policy, name)
    if name == "load_dataset":
        from mode_imitation.data.dataset import load_dataset

        return load_dataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
