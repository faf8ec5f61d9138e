"""Which worlds' robots touch nothing in the next step, and those worlds' motion; the others are MuJoCo's."""

from typing import Any

import numpy as np

from mode_imitation.worlds.safety.batched_layout import Layout
from mode_imitation.worlds.safety.free_motion import SENSORS, FreeRobot
from mode_imitation.worlds.safety.shim import import_mujoco

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
