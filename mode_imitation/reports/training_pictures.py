"""Bird's-eye pictures of the modes while they are being trained, for the log."""

import copy
import warnings
from collections.abc import Callable

from mode_imitation.reports.closed_loop import run_modes
from mode_imitation.reports.layouts import held_out_layouts
from mode_imitation.training.fit import HookCall


def draw_modes(env_id: str, n_steps: int = 500) -> Callable[[HookCall], None]:
    """A hook for `train` that drives every mode on one layout and adds the picture to the log.

    The layout is one of those that are put aside for tuning, never a reported one.
    """
    from mode_imitation.plots import figure_to_array, plot_panels
    from mode_imitation.steering.policy import Policy
    from mode_imitation.worlds.safety import make_vec

    layout = held_out_layouts(1, block="tuning")

    def hook(call: HookCall) -> None:
        policy = Policy(copy.deepcopy(call.model))  # steering must leave the model in training as it is
        modes = policy.modes
        env = make_vec(env_id, len(modes))
        try:
            drives = run_modes(policy, env, layout, n_steps, modes=modes)
        finally:
            env.close()
        episodes = {f"mode {mode}": driven[0].episode for mode, driven in drives.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a font that lacks a glyph must not stop a training run
            call.log.image("policy/modes", figure_to_array(plot_panels(episodes)), call.iteration)

    return hook
