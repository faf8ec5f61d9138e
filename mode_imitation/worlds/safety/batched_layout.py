"""Where the batched path finds in a task's models what its formulas read."""

from typing import Any

import numpy as np

from mode_imitation.worlds.safety.observation import sensors_of

LIDAR_KINDS = ("goal", "hazards", "vases")

AGENT, VASE = 1, 16
"""Codes of geoms in a contact; only agent + vase sums to their sum."""


class Layout:
    """Where things stand in the arrays of a task's models, and the constants of its formulas; alike in all worlds."""

    def __init__(self, builder: Any) -> None:
        task = builder.task
        model = task.model
        slices = {name: sensor.columns for name, sensor in sensors_of(builder).items()}
        self.substeps = int(task.sim_conf.frameskip_binom_n)
        self.lowest_action, self.highest_action = model.actuator_ctrlrange.T.copy()

        self.agent = model.body("agent").id
        self.goal = model.body("goal").id
        self.goal_size = task.goal.size
        self.reward_distance = task.goal.reward_distance
        self.reward_goal = task.goal.reward_goal
        self.reward_clip = task.reward_conf.reward_clip or np.inf

        counts = {kind: _count(task, kind) for kind in LIDAR_KINDS if hasattr(task, kind)}
        bodies = {
            kind: [model.body(kind if kind == "goal" else f"{kind[:-1]}{i}").id for i in range(count)]
            for kind, count in counts.items()
        }
        self.objects = np.concatenate([bodies[kind] for kind in counts]).astype(np.int64)
        self.object_kinds = np.repeat(np.arange(len(counts)), list(counts.values()))
        self.lidar_columns = [slices[f"{kind}_lidar"] for kind in counts]
        self.n_bins = task.lidar_conf.num_bins
        self.lidar_range = task.lidar_conf.max_dist

        hazards = getattr(task, "hazards", None)
        self.hazards = np.array(bodies.get("hazards", []), dtype=np.int64)
        self.hazards_size = hazards.size if hazards else 0.0
        self.hazards_cost = bool(hazards and hazards.is_constrained and hazards.cost > 0 and len(self.hazards))

        vases = getattr(task, "vases", None)
        self.has_costly_vases = bool(vases and vases.is_constrained and vases.num)
        self.vases = np.array(bodies.get("vases", []), dtype=np.int64)
        self.vases_velocity_threshold = vases.velocity_threshold if vases else 0.0
        # A free joint's linear velocity is its body's: what mj_jacBody times qvel gives.
        joints = [model.jnt_dofadr[model.body_jntadr[body]] for body in self.vases]
        self.vase_velocities = np.array([[start, start + 1, start + 2] for start in joints], dtype=np.int64)
        names = [model.geom(geom).name for geom in range(model.ngeom)]
        robot = set(task.agent.body_info.geom_names)
        self.geom_codes = np.array([VASE if n.startswith("vase") else AGENT if n in robot else 0 for n in names])

        balls = list(task.agent.sensor_info.ballquat_names)
        sensors = [name for name in slices if not name.endswith("_lidar") and name not in balls]
        starts = {model.sensor(i).name: int(model.sensor_adr[i]) for i in range(model.nsensor)}
        self.balls = [starts[name] for name in balls]
        self.ball_columns = [slices[name] for name in balls]
        self.sensor_columns = np.concatenate([np.r_[slices[name]] for name in sensors])
        self.sensor_sources = np.concatenate(
            [starts[name] + np.arange(slices[name].stop - slices[name].start) for name in sensors]
        )


def _count(task: Any, kind: str) -> int:
    return int(getattr(getattr(task, kind), "num", 1))
