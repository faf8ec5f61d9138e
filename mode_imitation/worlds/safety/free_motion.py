"""A Point robot that touches nothing, integrated for all worlds at once: its physics is three equations of motion.

MuJoCo spends some 60 microseconds on a step of a world in which one body slides over a plane. The same formulas, in the
same order of substeps, over two hundred worlds at once take three to five a world. They are MuJoCo's (its
documentation, "Computation": forces, actuators, and the semi-implicit Euler method with damping taken implicitly), with
constants read from the model: one step agrees with the library's to rounding. Over many steps the two part, as they do
between machines: the servo of the turn is stiff, so that a difference in the last bit grows until the two chatter
differently around the same motion.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mode_imitation.worlds.safety.shim import import_mujoco
from mode_imitation.worlds.safety.sleep import SLEEP

mujoco = import_mujoco()

SENSORS = ("accelerometer", "velocimeter", "gyro", "magnetometer")
"""In this order, three numbers each, at the beginning of the sensors' data."""
DRIVE, TURN = 0, 1
"""Actuators: thrust ahead, and the servo of the turn's speed."""
TRIED_STEPS = 20
FAR_AWAY = 1000.0
"""Metres from everything."""
ALIKE = 1e-7
"""Metres, radians, and per second: what rounding makes in a step is less."""


@dataclass(frozen=True)
class FreeRobot:
    """Constants of a robot on a plane: two slides and a hinge, all with their axes at the body's origin."""

    substeps: int
    time_step: float
    """Seconds of a substep."""
    mass: float
    """kg"""
    moment: float
    """kg m, mass times the distance of its centre ahead of the axis."""
    inertia: float
    """kg m2 about the axis."""
    damping: float
    """N s/m, of both slides."""
    turn_damping: float
    """N m s"""
    gears: tuple[float, float]
    servo: float
    """Force the servo takes off for each unit of speed."""
    most_force: tuple[float, float]
    """Bounds of the actuators' forces before gears."""
    gravity: float
    """m/s2 that the accelerometer shows upwards."""
    field: tuple[float, float, float]
    """Magnetic field."""

    @classmethod
    def of(cls, model: Any, substeps: int) -> "FreeRobot | None":
        """The constants of a compiled model; None where the robot is another one, or the model has what these equations
        leave out."""
        if not is_plain(model):
            return None
        agent = model.body("agent").id
        mass, ahead = float(model.body_mass[agent]), float(model.body_ipos[agent][0])
        rotation = np.zeros(9)
        mujoco.mju_quat2Mat(rotation, model.body_iquat[agent])
        about_centre = rotation.reshape(3, 3) @ np.diag(model.body_inertia[agent]) @ rotation.reshape(3, 3).T
        return cls(
            substeps=substeps,
            time_step=float(model.opt.timestep),
            mass=mass,
            moment=mass * ahead,
            inertia=float(about_centre[2, 2]) + mass * ahead**2,
            damping=float(model.dof_damping[0]),
            turn_damping=float(model.dof_damping[2]),
            gears=(float(model.actuator_gear[DRIVE, 0]), float(model.actuator_gear[TURN, 0])),
            servo=-float(model.actuator_biasprm[TURN, 2]),
            most_force=(float(model.actuator_forcerange[DRIVE, 1]), float(model.actuator_forcerange[TURN, 1])),
            gravity=-float(model.opt.gravity[2]),
            field=(float(model.opt.magnetic[0]), float(model.opt.magnetic[1]), float(model.opt.magnetic[2])),
        )

    def step(
        self, places: np.ndarray, speeds: np.ndarray, actions: np.ndarray, base: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One environment step.

        Args:
            places: (N, 3) slides and hinge, in metres and radians.
            speeds: (N, 3) of them.
            actions: (N, 2) within the actuators' range.
            base: (N,) radians by which the body was turned before the hinge turns it.

        Returns:
            places (N, 3), speeds (N, 3) and the sensors' data (N, 12) of the state reached.
        """
        (x, y, angle), (along_x, along_y, turn) = places.T.copy(), speeds.T.copy()
        limit, h = self.most_force, self.time_step
        thrust = self.gears[DRIVE] * np.clip(actions[:, DRIVE], -limit[DRIVE], limit[DRIVE])
        wanted = actions[:, TURN]
        # With damping taken implicitly, at the end of the substep.
        mass, inertia = self.mass + h * self.damping, self.inertia + h * self.turn_damping
        sine, cosine = np.sin(angle), np.cos(angle)
        for _ in range(self.substeps):
            ahead, aside, spin = self._accelerations(
                sine, cosine, along_x, along_y, turn, thrust, wanted, mass, inertia
            )
            along_x += h * (cosine * ahead - sine * aside)
            along_y += h * (sine * ahead + cosine * aside)
            turn += h * spin
            x += h * along_x
            y += h * along_y
            angle += h * turn
            sine, cosine = np.sin(angle), np.cos(angle)
        felt = self._accelerations(sine, cosine, along_x, along_y, turn, thrust, wanted, self.mass, self.inertia)
        sensors = np.zeros((len(places), 3 * len(SENSORS)))
        sensors[:, 0], sensors[:, 1], sensors[:, 2] = felt[0], felt[1], self.gravity
        sensors[:, 3] = cosine * along_x + sine * along_y
        sensors[:, 4] = cosine * along_y - sine * along_x
        sensors[:, 8] = turn
        heading = base + angle
        sine, cosine = np.sin(heading), np.cos(heading)
        sensors[:, 9] = cosine * self.field[0] + sine * self.field[1]
        sensors[:, 10] = cosine * self.field[1] - sine * self.field[0]
        sensors[:, 11] = self.field[2]
        return np.stack([x, y, angle], axis=1), np.stack([along_x, along_y, turn], axis=1), sensors

    def agrees(self, model: Any) -> bool:
        """Whether MuJoCo makes the same of a few steps, whatever else may be set in the model."""
        data = mujoco.MjData(model)
        rng = np.random.default_rng(0)
        base = np.zeros(1)
        mujoco.mj_resetData(model, data)
        data.qpos[:2] = FAR_AWAY
        known = 3 * (len(SENSORS) - 1)  # the magnetometer shows how the body stood at first, too
        for _ in range(TRIED_STEPS):
            before = data.qpos[None, :3].copy(), data.qvel[None, :3].copy()
            data.ctrl[:] = rng.uniform(-1, 1, 2)
            places, speeds, sensors = self.step(*before, data.ctrl[None].copy(), base)
            mujoco.mj_step(model, data, nstep=self.substeps)
            mujoco.mj_forward(model, data)
            if not (
                np.allclose(places[0], data.qpos[:3], rtol=0, atol=ALIKE)
                and np.allclose(speeds[0], data.qvel[:3], rtol=0, atol=ALIKE)
                and np.allclose(sensors[0, :known], data.sensordata[:known], rtol=0, atol=1e2 * ALIKE)
            ):
                return False
        return True

    def _accelerations(
        self,
        sine: np.ndarray,
        cosine: np.ndarray,
        along_x: np.ndarray,
        along_y: np.ndarray,
        turn: np.ndarray,
        thrust: np.ndarray,
        wanted: np.ndarray,
        mass: float,
        inertia: float,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ahead, to the left, and of the turn, each (N,), for this mass and inertia.

        In the body's axes: mass a_x = F_x + moment w2; and [mass, moment; moment, inertia] (a_y, w') = (F_y, T).
        """
        gear, limit = self.gears[TURN], self.most_force[TURN]
        torque = gear * np.clip(wanted - self.servo * gear * turn, -limit, limit) - self.turn_damping * turn
        drag_ahead = self.damping * (cosine * along_x + sine * along_y)
        drag_aside = self.damping * (cosine * along_y - sine * along_x)
        ahead = (thrust - drag_ahead + self.moment * turn * turn) / mass
        determinant = mass * inertia - self.moment * self.moment
        aside = (-drag_aside * inertia - torque * self.moment) / determinant
        spin = (torque * mass + drag_aside * self.moment) / determinant
        return ahead, aside, spin


def is_plain(model: Any) -> bool:
    """Whether these equations are all of this robot's: a plane, two actuators as a Point has them, no other forces."""
    agent = model.body("agent").id
    joints = model.jnt_type[:3].tolist()
    kinds = mujoco.mjtJoint
    option, mass_axis = model.opt, model.body_ipos[agent]
    return bool(
        model.body_dofadr[agent] == 0
        and model.body_dofnum[agent] == 3
        and int((model.body_rootid == agent).sum()) == 1
        and joints == [kinds.mjJNT_SLIDE, kinds.mjJNT_SLIDE, kinds.mjJNT_HINGE]
        and np.array_equal(model.jnt_axis[:3], np.eye(3))
        and not model.jnt_pos[:3].any()
        and not model.jnt_limited[:3].any()
        and not model.jnt_stiffness[:3].any()
        and not model.qpos0[:3].any()
        and not model.jnt_actfrclimited[:3].any()
        and not model.dof_armature[:3].any()
        and not model.dof_frictionloss[:3].any()
        and model.dof_damping[0] == model.dof_damping[1]
        and not mass_axis[1:].any()
        and not model.body_quat[agent][1:3].any()
        and option.integrator == mujoco.mjtIntegrator.mjINT_EULER
        and option.disableflags == option.disableactuator == 0
        and option.enableflags & ~SLEEP == 0
        and not option.gravity[:2].any()
        and not option.wind.any()
        and option.density == option.viscosity == 0
        and has_two_motors(model)
        and [model.sensor(i).name for i in range(len(SENSORS))] == list(SENSORS)
        and model.nplugin == 0
        and not model.sensor_cutoff[: len(SENSORS)].any()
        and model.neq == model.ntendon == 0
    )


def has_two_motors(model: Any) -> bool:
    """Whether a thrust at the body's own site and a servo on its hinge are all that drives it."""
    kinds = mujoco.mjtTrn
    return bool(
        model.nu == 2
        and model.actuator_trntype.tolist() == [kinds.mjTRN_SITE, kinds.mjTRN_JOINTINPARENT]
        and model.actuator_trnid[TURN, 0] == 2
        and model.actuator_trnid[DRIVE, 1] == -1
        and not model.site_pos[model.actuator_trnid[DRIVE, 0]].any()
        and np.array_equal(model.site_quat[model.actuator_trnid[DRIVE, 0]], [1, 0, 0, 0])
        and not model.actuator_gear[:, 1:].any()
        and not model.actuator_dyntype.any()
        and not model.actuator_gaintype.any()
        and np.array_equal(model.actuator_gainprm[:, 0], [1, 1])
        and model.actuator_biastype.tolist() == [mujoco.mjtBias.mjBIAS_NONE, mujoco.mjtBias.mjBIAS_AFFINE]
        and not model.actuator_biasprm[TURN, :2].any()
        and model.actuator_forcelimited.all()
        and np.array_equal(model.actuator_forcerange[:, 0], -model.actuator_forcerange[:, 1])
    )
