"""The physics of one environment step, with as few forward passes as the installed mujoco allows without a difference.

The library integrates ten times and then recomputes everything three times over: for the reward, the cost and the
observation. Where a forward pass changes nothing when repeated, one is enough; and what it computed can serve as the
first half of the next step. Sensors can rest in between. Whether that holds depends on the mujoco version, so it is
tried out, bit for bit.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from mode_imitation.worlds.safety.light_models import build_task
from mode_imitation.worlds.safety.shim import import_mujoco

mujoco = import_mujoco()

Advance = Callable[[Any, Any, int], None]
"""(model, data, substeps): integrate, and leave everything computed for the state reached. `ctrl` is set already."""

SELF_TEST_STEPS = 40
_NO_SENSORS = int(mujoco.mjtDisableBit.mjDSBL_SENSOR)


def as_in_the_library(model: Any, data: Any, substeps: int) -> None:
    """Three forward passes after the substeps."""
    mujoco.mj_step(model, data, nstep=substeps)
    mujoco.mj_forward(model, data)
    mujoco.mj_forward(model, data)
    mujoco.mj_forward(model, data)


def one_forward(model: Any, data: Any, substeps: int) -> None:
    """One forward pass: equal where a repeated one changes nothing (mujoco >= 3)."""
    mujoco.mj_step(model, data, nstep=substeps)
    mujoco.mj_forward(model, data)


def half_forward(model: Any, data: Any, substeps: int) -> None:
    """The last forward pass did the position and velocity stages of the first substep; go on with its second half.

    The actions enter in that second half only. Not for the RK4 integrator.
    """
    mujoco.mj_step2(model, data)
    mujoco.mj_step(model, data, nstep=substeps - 1)
    mujoco.mj_forward(model, data)


def half_forward_with_silent_substeps(model: Any, data: Any, substeps: int) -> None:
    """The same, and sensors, which nothing but an observation reads, are computed for the state reached only."""
    option = model.opt
    flags = option.disableflags
    option.disableflags = flags | _NO_SENSORS
    mujoco.mj_step2(model, data)
    mujoco.mj_step(model, data, nstep=substeps - 1)
    option.disableflags = flags
    mujoco.mj_forward(model, data)


@functools.cache
def fastest_exact(env_id: str) -> Advance:
    """The cheapest of these that reproduces the library's on this machine, tried once per process and task."""
    for candidate in (half_forward_with_silent_substeps, half_forward, one_forward):
        if _reproduces(candidate, env_id):
            return candidate
    return as_in_the_library


def _reproduces(candidate: Advance, env_id: str, seed: int = 0) -> bool:
    """Whether `candidate` leaves the same state, sensors and positions, bit for bit, over a lively trajectory."""
    builder = build_task(env_id)
    builder.reset(seed=seed)
    task: Any = builder.task
    model, data, substeps = task.model, task.data, task.sim_conf.frameskip_binom_n
    if model.opt.integrator == mujoco.mjtIntegrator.mjINT_RK4:
        return False
    rng = np.random.default_rng(seed)
    data.qvel[:] = rng.normal(scale=0.5, size=model.nv)  # everything moves, and much of it collides
    mujoco.mj_forward(model, data)
    reference = mujoco.MjData(model)
    mujoco.mj_copyData(reference, model, data)
    for _ in range(SELF_TEST_STEPS):
        data.ctrl[:] = reference.ctrl[:] = rng.uniform(-1, 1, model.nu)
        as_in_the_library(model, reference, substeps)
        candidate(model, data, substeps)
        for name in ("qpos", "qvel", "qacc_warmstart", "sensordata", "xpos", "xmat"):
            if not np.array_equal(getattr(data, name), getattr(reference, name)):
                return False
    return True
