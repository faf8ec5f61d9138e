"""A Point robot that touches nothing, integrated for all worlds at once: its physics is three equations of motion.

MuJoCo spends some 60 microseconds on a step of a world in which one body slides over a plane. The same formulas, in the
same order of substeps, over two hundred worlds at once take three to five a world. They are MuJoCo's (its
documentation, "Computation": forces, actuators, and the semi-implicit Euler method with damping taken implicitly), with
constants read from the model: one step agrees with the library's to rounding. Over many steps the two part, as they do
between machines: the servo of the turn is stiff, so that a difference in the last bit grows until the two chatter
differently around the same motion. Worlds in which something is near stay with MuJoCo.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mode_imitation.worlds.safety.shim import import_mujoco
from mode_imitation.worlds.safety.sleep import SLEEP

if TYPE_CHECKING:
    from mode_imitation.worlds.safety.batched_worlds import Layout

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
SPARE = 0.05
"""Metres. A robot may touch within a step what is nearer than its speed takes it, and this much more: thrust and
turning change the speed by less than .2 m/s a step, which is 4 mm."""
OF_BODIES = ("body_pos", "body_quat", "body_ipos", "body_iquat", "body_invweight0")
OF_DEGREES = ("actuator_acc0", "dof_invweight0", "dof_length", "dof_M0", "qpos0", "qpos_spring")
OF_LAYOUTS = (*OF_BODIES, *OF_DEGREES, "enableflags", "sleep_tolerance")
"""What a layout, or sleep, changes in a model, beside cameras and lights."""


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
    def of(cls, model: Any, substeps: int) -> "FreeRobot":
        """The constants of a compiled model of a Point robot."""
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
        gear, most_torque = self.gears[TURN], limit[TURN]
        sine, cosine = np.sin(angle), np.cos(angle)

        def accelerations(mass: float, inertia: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            """Ahead, to the left, and of the turn, each (N,), in the state that has been reached.

            In the body's axes: mass a_x = F_x + moment w2; and [mass, moment; moment, inertia] (a_y, w') = (F_y, T).
            """
            torque = gear * np.clip(wanted - self.servo * gear * turn, -most_torque, most_torque)
            torque = torque - self.turn_damping * turn
            drag_ahead = self.damping * (cosine * along_x + sine * along_y)
            drag_aside = self.damping * (cosine * along_y - sine * along_x)
            determinant = mass * inertia - self.moment * self.moment
            ahead = (thrust - drag_ahead + self.moment * turn * turn) / mass
            aside = (-drag_aside * inertia - torque * self.moment) / determinant
            return ahead, aside, (torque * mass + drag_aside * self.moment) / determinant

        for _ in range(self.substeps):
            # With damping taken implicitly, at the end of the substep.
            ahead, aside, spin = accelerations(self.mass + h * self.damping, self.inertia + h * self.turn_damping)
            along_x += h * (cosine * ahead - sine * aside)
            along_y += h * (sine * ahead + cosine * aside)
            turn += h * spin
            x += h * along_x
            y += h * along_y
            angle += h * turn
            sine, cosine = np.sin(angle), np.cos(angle)
        felt = accelerations(self.mass, self.inertia)
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


def is_plain(model: Any, plain: Any) -> bool:
    """Whether a model is what the library makes for a task, but for where things stand on the floor."""

    def same(one: Any, other: Any) -> bool:
        names = [name for name in dir(other) if not name.startswith(("_", "cam_", "light_"))]
        values = {
            name: getattr(other, name) for name in names if name not in (*OF_LAYOUTS, "enableflags", "sleep_tolerance")
        }
        numbers = {name: value for name, value in values.items() if isinstance(value, np.ndarray | int | float)}
        return all(np.array_equal(getattr(one, name), value) for name, value in numbers.items())

    agent = model.body("agent").id
    return (
        same(model, plain)
        and same(model.opt, plain.opt)
        and model.opt.enableflags | SLEEP == plain.opt.enableflags | SLEEP
        and FreeRobot.of(model, 1) == FreeRobot.of(plain, 1)
        and model.body_pos[agent, 2] == plain.body_pos[agent, 2]
        and not model.body_quat[agent, 1:3].any()
        and not model.qpos0[:3].any()
    )


class FreeWorlds:
    """Robots that have left MuJoCo's care until something is near.

    A world is free while all its vases are at rest and none is within reach. Its MuJoCo data are behind then, until
    `give_back`.
    """

    def __init__(
        self, robot: FreeRobot, layout: "Layout", positions: np.ndarray, rotations: np.ndarray, sensors: np.ndarray
    ) -> None:
        """
        Args:
            robot: the same in all worlds.
            layout: where things stand in the arrays.
            positions: (N, bodies, 3), read, and written where a world is free; so are the others.
            rotations: (N, 9) of the robots.
            sensors: (N, numbers)
        """
        n_worlds = len(positions)
        self.free = np.zeros(n_worlds, dtype=bool)
        self._at_rest = np.zeros(n_worlds, dtype=bool)
        self._robot, self._layout = robot, layout
        self._positions, self._rotations, self._sensors = positions, rotations, sensors
        self._places, self._speeds = np.zeros((n_worlds, 3)), np.zeros((n_worlds, 3))
        self._actions = np.zeros((n_worlds, layout.model.nu))
        self._origins, self._bases = np.zeros((n_worlds, 2)), np.zeros(n_worlds)
        self._data: list[Any] = [None] * n_worlds
        self._reach = reach_of(layout)
        self._handed_out = False
        """Whether someone may have changed what models are made from."""
        self._doubtful, self._changed = np.zeros(n_worlds, dtype=bool), np.zeros(n_worlds, dtype=bool)
        """Worlds whose models someone may have changed, and has."""

    @classmethod
    def of(cls, layout: "Layout", *arrays: np.ndarray) -> "FreeWorlds | None":
        """None where MuJoCo does not move the robot by these equations."""
        robot = FreeRobot.of(layout.model, layout.substeps)
        return cls(robot, layout, *arrays) if robot.agrees(layout.model) else None

    def begin(self, world: int, model: Any, data: Any) -> None:
        """A new episode, with a new model."""
        agent = self._layout.agent
        self.free[world] = self._at_rest[world] = self._changed[world] = False
        self._doubtful[world] = self._handed_out
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
        self._doubtful[:] = self._handed_out = True

    def _take(self, world: int) -> None:
        """Free a robot, unless someone has changed its model."""
        model, data = self._data[world]
        if self._doubtful[world]:
            self._doubtful[world], self._changed[world] = False, not is_plain(model, self._layout.model)
        if self._changed[world]:
            return
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


def reach_of(layout: "Layout") -> float:
    """Metres between the middles of a resting robot and a vase from which they cannot touch in the next step."""
    model = layout.model

    def extent(bodies: Any) -> float:
        geoms = np.flatnonzero(np.isin(model.geom_bodyid, bodies))
        around = np.linalg.norm(model.geom_pos[geoms], axis=1) + model.geom_rbound[geoms] + model.geom_margin[geoms]
        return float(around.max(initial=0.0))

    return extent([layout.agent]) + extent(layout.vases) + SPARE
