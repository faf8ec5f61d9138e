"""A Point robot that touches nothing, integrated for all worlds at once: its physics is three equations of motion.

MuJoCo spends some 60 microseconds on a step of a world in which one body slides over a plane. The same formulas, in the
same order of substeps, over two hundred worlds at once take three to five a world. They are MuJoCo's (its
documentation, "Computation": forces, actuators, and the semi-implicit Euler method with damping taken implicitly), with
constants read from the model: one step agrees with the library's to rounding. Over many steps the two part, as they do
between machines: the servo of the turn is stiff, so that a difference in the last bit grows until the two chatter
differently around the same motion. Worlds in which something is near stay with MuJoCo.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mode_imitation.worlds.safety.batched_layout import Layout
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


mujoco = import_mujoco()

SPARE = 0.05
"""Metres. A robot may touch within a step what is nearer than its speed takes it, and this much more: thrust and
turning change the speed by less than .2 m/s a step, which is 4 mm."""


class FreeWorlds:
    """Robots that have left MuJoCo's care until something is near.

    A world is free while all its vases are at rest and none is within reach. Its MuJoCo data are behind then, until
    `give_back`.

    Args:
        robot: the same in all worlds.
        layout: where things stand in the arrays.
        model: any world's.
        positions: (N, bodies, 3), read, and written where a world is free; so are the others.
        rotations: (N, 9) of the robots.
        sensors: (N, numbers)
    """

    def __init__(
        self,
        robot: FreeRobot,
        layout: Layout,
        model: Any,
        positions: np.ndarray,
        rotations: np.ndarray,
        sensors: np.ndarray,
    ) -> None:
        n_worlds = len(positions)
        self.free = np.zeros(n_worlds, dtype=bool)
        self._at_rest = np.zeros(n_worlds, dtype=bool)
        self._robot, self._layout = robot, layout
        self._positions, self._rotations, self._sensors = positions, rotations, sensors
        self._places, self._speeds = np.zeros((n_worlds, 3)), np.zeros((n_worlds, 3))
        self._actions = np.zeros((n_worlds, model.nu))
        self._origins, self._bases = np.zeros((n_worlds, 2)), np.zeros(n_worlds)
        self._data: list[Any] = [None] * n_worlds
        self._reach = reach_of(model, layout)
        self._doubtful = np.zeros(n_worlds, dtype=bool)
        """Worlds whose models may have been changed, and are looked at before their robots are free again."""

    @classmethod
    def of(cls, model: Any, layout: Layout, *arrays: np.ndarray) -> "FreeWorlds | None":
        """None where MuJoCo alone knows what moves."""
        robot = free_robot(model, layout)
        return None if robot is None or not robot.agrees(model) else cls(robot, layout, model, *arrays)

    def begin(self, world: int, model: Any, data: Any) -> None:
        """A new episode, with a new model."""
        agent = self._layout.agent
        self.free[world] = self._at_rest[world] = False
        self._doubtful[world] = True
        self._data[world] = (model, data)
        quaternion = model.body_quat[agent]
        self._origins[world] = model.body_pos[agent][:2]
        self._bases[world] = 2 * np.arctan2(quaternion[3], quaternion[0])

    def step(self, worlds: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Step those of worlds (M,) that are free, by actions (N, A); return the others, which MuJoCo is to step."""
        loose = self._at_rest[worlds] & ~self._near(worlds)
        for world in worlds[loose & ~self.free[worlds]].tolist():
            self._take(world)
        loose &= self.free[worlds]
        for world in worlds[~loose & self.free[worlds]].tolist():
            self.give_back(world)
        free = worlds[loose]
        if len(free):
            self._move(free, actions[free])
        return worlds[~loose]

    def look(self, worlds: np.ndarray) -> None:
        """See whether the vases of worlds (M,) that MuJoCo has stepped are at rest."""
        for world in worlds.tolist():
            self._at_rest[world] = self._data[world][1].ntree_awake <= 1  # the robot itself never sleeps

    def give_back(self, world: int) -> None:
        """Bring a world's MuJoCo data up to date."""
        if not self.free[world]:
            return
        self.free[world] = False
        model, data = self._data[world]
        data.qpos[:3], data.qvel[:3], data.ctrl[:] = self._places[world], self._speeds[world], self._actions[world]
        mujoco.mj_forward(model, data)

    def give_all_back(self) -> None:
        """Bring every world's MuJoCo data up to date, as someone may look at them, and change them too."""
        for world in np.flatnonzero(self.free).tolist():
            self.give_back(world)
        self._at_rest[:] = False
        self._doubtful[:] = True

    def _take(self, world: int) -> None:
        """Free a robot, unless its model is not that of the others."""
        model, data = self._data[world]
        if self._doubtful[world] and free_robot(model, self._layout) != self._robot:
            self._at_rest[world] = False
            return
        self._doubtful[world] = False
        self._places[world], self._speeds[world] = data.qpos[:3], data.qvel[:3]
        self.free[world] = True

    def _near(self, worlds: np.ndarray) -> np.ndarray:
        """(M,) bool, whether a vase may be touched in the next step."""
        agents = self._positions[worlds, self._layout.agent, :2]
        vases = self._positions[worlds[:, None], self._layout.vases, :2]  # (M, V, 2)
        apart = np.sqrt(((vases - agents[:, None]) ** 2).sum(-1)).min(axis=1, initial=np.inf)
        along = self._sensors[worlds, 3:5]  # the velocimeter
        robot = self._robot
        return apart < self._reach + np.sqrt((along**2).sum(-1)) * robot.substeps * robot.time_step

    def _move(self, worlds: np.ndarray, actions: np.ndarray) -> None:
        self._actions[worlds] = actions
        bases = self._bases[worlds]
        places, speeds, sensors = self._robot.step(self._places[worlds], self._speeds[worlds], actions, bases)
        self._places[worlds], self._speeds[worlds] = places, speeds
        self._sensors[worlds, : 3 * len(SENSORS)] = sensors
        sine, cosine = np.sin(bases), np.cos(bases)
        agent = self._layout.agent
        self._positions[worlds, agent, 0] = self._origins[worlds, 0] + cosine * places[:, 0] - sine * places[:, 1]
        self._positions[worlds, agent, 1] = self._origins[worlds, 1] + sine * places[:, 0] + cosine * places[:, 1]
        sine, cosine = np.sin(bases + places[:, 2]), np.cos(bases + places[:, 2])
        for column, values in ((0, cosine), (1, -sine), (3, sine), (4, cosine)):
            self._rotations[worlds, column] = values


def reach_of(model: Any, layout: Layout) -> float:
    """Metres between the middles of a resting robot and a vase from which they cannot touch in the next step."""

    def extent(bodies: Any) -> float:
        geoms = np.flatnonzero(np.isin(model.geom_bodyid, bodies))
        around = np.linalg.norm(model.geom_pos[geoms], axis=1) + model.geom_rbound[geoms] + model.geom_margin[geoms]
        return float(around.max(initial=0.0))

    return extent([layout.agent]) + extent(layout.vases) + SPARE


def free_robot(model: Any, layout: Layout) -> FreeRobot | None:
    """The robot of a model in which nothing but vases can get in its way, and its equations are all there is."""
    return FreeRobot.of(model, layout.substeps) if only_vases_touch(model, layout) else None


def only_vases_touch(model: Any, layout: Layout) -> bool:
    """Whether vases are all that the robot can touch but for the floor, and all else that moves; and whether the floor
    leaves it alone, as it does while the robot is not the least bit within it: its friction would act at once."""
    solid = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
    floor = (model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE) & (model.geom_bodyid == 0) & solid
    ours = model.geom_bodyid == layout.agent
    known = ours | np.isin(model.geom_bodyid, layout.vases)
    bodies = np.flatnonzero(model.body_dofnum)
    height = float(model.body_pos[layout.agent, 2])
    clear = all(
        np.array_equal(model.geom_quat[geom], [1, 0, 0, 0]) and height - lowest >= model.geom_pos[geom, 2]
        for geom in np.flatnonzero(floor)
        for lowest in depths(model, np.flatnonzero(ours & solid))
    )
    return bool(
        clear
        and not model.geom_margin[ours | floor].any()
        and model.npair == 0
        and (~solid | floor | known).all()
        and np.isin(bodies, [layout.agent, *layout.vases]).all()
    )


def depths(model: Any, geoms: np.ndarray) -> list[float]:
    """Metres that spheres and upright boxes reach below their body's origin; infinite for what is something else."""
    kinds, found = mujoco.mjtGeom, []
    for geom in geoms.tolist():
        size, upright = model.geom_size[geom], not model.geom_quat[geom][1:3].any()
        half = {kinds.mjGEOM_SPHERE: size[0], kinds.mjGEOM_BOX: size[2]}.get(int(model.geom_type[geom]))
        found.append(float(half - model.geom_pos[geom, 2]) if half is not None and upright else np.inf)
    return found
