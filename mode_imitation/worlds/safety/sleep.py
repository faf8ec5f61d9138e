"""Vases that nobody touches may sleep: twice as many steps a second, and a robot that drives as it would till a touch.

A vase that stands there takes two thirds of the physics of a step: it never comes quite to rest, and its contacts with
the floor are solved anew in every substep. MuJoCo can put to sleep what is at rest, and wakes what is touched. As long
as the robot touches no vase, the same actions move it as if none slept, to the last bit; a sleeping vase stands a few
1e-9 m from where it would stand, which the lidar shows. What happens once a vase is pushed is as likely as what would
have happened, but not the same: that motion is chaotic. So vases sleep only where a figure is a mean over many layouts,
and never where data are made.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mode_imitation.worlds.safety.shim import import_mujoco

mujoco = import_mujoco()

REST = 1e-8
"""Metres per second (rotations times the vase's size) below which a vase sleeps: reached some .3 s after a reset, when
it has settled."""

SLEEP = int(getattr(mujoco.mjtEnableBit, "mjENBL_SLEEP", 0))


def can_sleep() -> bool:
    """Whether the installed mujoco lets things sleep (3.4 and later)."""
    return SLEEP != 0


def allow_sleep(model: Any) -> None:
    """Let what is at rest sleep; what has an actuator never does.

    What never moves counts as asleep: whoever puts it elsewhere does so, and calls mj_forward, within `awake`.
    """
    model.opt.enableflags |= SLEEP
    model.opt.sleep_tolerance = REST


@contextmanager
def awake(model: Any) -> Iterator[None]:
    """Compute everything, also where things stand that never move: these count as asleep, but goals are moved."""
    allowed = model.opt.enableflags & SLEEP
    model.opt.enableflags &= ~SLEEP
    try:
        yield
    finally:
        model.opt.enableflags |= allowed
