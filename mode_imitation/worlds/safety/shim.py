"""Make safety-gymnasium 1.0.0 import and run on current Python, gymnasium, mujoco and numpy.

The only module that imports safety_gymnasium. The published package was written for gymnasium 0.28, mujoco 2.3.3 and
numpy 1; each repair below names what changed since. None of them touches a formula: rewards, costs, observations and
physics stay the library's own.
"""

import contextlib
import dataclasses
import functools
import importlib
import importlib.metadata
import importlib.util
import inspect
import io
import re
import sys
import types
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from mode_imitation.errors import UserError

SUPPORTED_VERSIONS = {
    "safety-gymnasium": ((1, 0, 0), (1, 0, 1)),
    "gymnasium": ((1, 1), (2,)),
    "mujoco": ((3, 3), (5,)),
    "numpy": ((2,), (3,)),
}
"""Package: (first supported version, first unsupported one)."""

INSTALL_HINT = "install the simulator with `uv sync` or `pip install --no-deps safety-gymnasium==1.0.0` (see README)"

SENSORS = ("accelerometer", "velocimeter", "gyro", "magnetometer")
GOAL1_KEYS = (*SENSORS, "goal_lidar", "hazards_lidar", "vases_lidar")
"""Order of the parts of a PointGoal1 observation; gymnasium 1.0.0 sorted them, which permutes the flat array."""


@functools.cache
def load() -> types.ModuleType:
    """The safety_gymnasium package, repaired and checked; imported on the first call.

    Raises:
        UserError: the simulator is not installed, or a version in use is not supported.
    """
    for package, (first, end) in SUPPORTED_VERSIONS.items():
        _check_version(package, first, end)
    # Both must be imported before `dataclass` is patched, so that nothing of theirs is built by the patched one.
    importlib.import_module("gymnasium.envs.mujoco")
    importlib.import_module("mujoco")
    _restore_gymnasium_modules()
    _replace_gymnasium_robotics()
    with (
        warnings.catch_warnings(action="ignore"),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        _array_defaults_in_dataclasses(),
    ):
        library = importlib.import_module("safety_gymnasium")
        importlib.import_module("safety_gymnasium.builder")
    _accept_old_spec_fields()
    _give_the_viewer_its_size()
    _repair_joint_sensors()
    _silence_the_action_space()
    _check_key_order()
    return library


def import_mujoco() -> Any:
    """The mujoco package, as Any: its types are not written down.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module("mujoco")
    except ModuleNotFoundError as error:
        if error.name != "mujoco":
            raise
        raise UserError(
            f"mujoco is not installed; expected {_range(*SUPPORTED_VERSIONS['mujoco'])}; {INSTALL_HINT}"
        ) from None


def _check_version(package: str, first: tuple[int, ...], end: tuple[int, ...]) -> None:
    try:
        found = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise UserError(f"{package} is not installed; expected {_range(first, end)}; {INSTALL_HINT}") from None
    if not first <= tuple(map(int, re.findall(r"\d+", found.partition("rc")[0]))) < end:
        raise UserError(
            f"{package} {found} is not supported by the simulator; expected {_range(first, end)}; "
            f"install a supported version"
        )


def _range(first: tuple[int, ...], end: tuple[int, ...]) -> str:
    return f">={'.'.join(map(str, first))},<{'.'.join(map(str, end))}"


@contextlib.contextmanager
def _array_defaults_in_dataclasses() -> Iterator[None]:
    """Python 3.11 refuses arrays as defaults of dataclass fields; give each instance its own copy instead."""
    original = dataclasses.dataclass

    def dataclass(cls: type | None = None, /, **options: Any) -> Any:
        def wrap(target: type) -> type:
            for name in inspect.get_annotations(target):
                default = target.__dict__.get(name)
                if isinstance(default, np.ndarray):
                    setattr(target, name, dataclasses.field(default_factory=default.copy))
            return original(**options)(target)

        return wrap if cls is None else wrap(cls)

    dataclasses.dataclass = dataclass  # type: ignore[assignment]
    try:
        yield
    finally:
        dataclasses.dataclass = original


def _provide(name: str, **attributes: Any) -> None:
    """A stand-in for the module `name`, unless the real one can be imported."""
    try:
        importlib.import_module(name)
    except ImportError:
        module = types.ModuleType(name)
        module.__dict__.update(attributes)
        sys.modules[name] = module


class _Missing:
    def __init__(self, *_: Any, **__: Any) -> None:
        raise NotImplementedError("this needs gymnasium < 1 or, for multi-agent tasks, gymnasium-robotics")


def _restore_gymnasium_modules() -> None:
    """gymnasium 1 merged its wrapper modules; the library subclasses them under their old names."""
    import gymnasium
    from gymnasium.wrappers import common, utils

    _provide("gymnasium.wrappers.compatibility", EnvCompatibility=_Missing)
    _provide("gymnasium.wrappers.autoreset", AutoResetWrapper=common.Autoreset)
    _provide("gymnasium.wrappers.env_checker", PassiveEnvChecker=common.PassiveEnvChecker)
    _provide("gymnasium.wrappers.time_limit", TimeLimit=common.TimeLimit)
    _provide(
        "gymnasium.wrappers.normalize",
        NormalizeObservation=gymnasium.wrappers.NormalizeObservation,
        NormalizeReward=gymnasium.wrappers.NormalizeReward,
        RunningMeanStd=utils.RunningMeanStd,
    )


def _replace_gymnasium_robotics() -> None:
    """Only the library's multi-agent tasks need gymnasium-robotics, which no longer installs beside the rest."""
    if importlib.util.find_spec("gymnasium_robotics") is None:
        for name in ("gymnasium_robotics", "gymnasium_robotics.envs", "gymnasium_robotics.envs.multiagent_mujoco"):
            _provide(name)
        _provide("gymnasium_robotics.envs.multiagent_mujoco.mujoco_multi", MultiAgentMujocoEnv=_Missing)


def _accept_old_spec_fields() -> None:
    """gymnasium 1 dropped two fields of EnvSpec that the library's `make` still passes and reads."""
    from gymnasium.envs.registration import EnvSpec
    from safety_gymnasium.utils import registration

    known = {field.name for field in dataclasses.fields(EnvSpec)}
    dropped = [name for name in ("autoreset", "apply_api_compatibility") if name not in known]

    class TolerantMeta(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, EnvSpec)

        def __call__(cls, *arguments: Any, **fields: Any) -> EnvSpec:
            return EnvSpec(*arguments, **{name: value for name, value in fields.items() if name not in dropped})

    for name in dropped:
        setattr(EnvSpec, name, False)
    registration.EnvSpec = TolerantMeta("EnvSpec", (), {})  # type: ignore[assignment]


def _give_the_viewer_its_size() -> None:
    """gymnasium 1 wants the size of the off-screen picture as arguments; the library sets it on the model."""
    from safety_gymnasium.bases import underlying

    viewer_class = underlying.OffScreenViewer

    def viewer(model: Any, data: Any) -> Any:
        size = model.vis.global_
        return viewer_class(model, data, size.offwidth, size.offheight)

    underlying.OffScreenViewer = viewer  # type: ignore[assignment]


class _IntegerJoints:
    """A model whose `jnt` takes the one-element arrays that mujoco 2 took (Car, Doggo, Ant, Racecar)."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def jnt(self, joint: Any) -> Any:
        return self._model.jnt(joint if isinstance(joint, str) else int(np.asarray(joint).item()))


class _ScalarArray(np.ndarray):
    """A one-element array that `float` takes, as it did before numpy 2.4."""

    def __float__(self) -> float:
        return float(self.item())


def _repair_joint_sensors() -> None:
    from safety_gymnasium.bases.base_agent import BaseAgent

    init_joint_sensors = BaseAgent._init_jnt_sensors
    get_sensor = BaseAgent.get_sensor

    @functools.wraps(init_joint_sensors)
    def init_with_integer_joints(self: Any) -> None:
        engine = self.engine
        self.engine = types.SimpleNamespace(model=_IntegerJoints(engine.model), data=engine.data)
        try:
            init_joint_sensors(self)
        finally:
            self.engine = engine

    @functools.wraps(get_sensor)
    def get_scalar_sensor(self: Any, name: str) -> np.ndarray:
        value = get_sensor(self, name)
        return value.view(_ScalarArray) if name in self.sensor_info.hinge_pos_names else value

    BaseAgent._init_jnt_sensors = init_with_integer_joints
    BaseAgent.get_sensor = get_scalar_sensor


def _silence_the_action_space() -> None:
    """Bounds in float32 for a space in float64: gymnasium's range check overflows on them, harmlessly but aloud."""
    from safety_gymnasium.bases.base_agent import BaseAgent

    BaseAgent._build_action_space = np.errstate(over="ignore")(BaseAgent._build_action_space)


def _check_key_order() -> None:
    from safety_gymnasium.builder import Builder

    spaces: Any = Builder("SafetyPointGoal1-v0", config={"agent_name": "Point"}).obs_space_dict
    found = tuple(spaces.spaces)
    if found != GOAL1_KEYS:
        versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in SUPPORTED_VERSIONS)
        raise UserError(
            f"the observation's parts come as {', '.join(found)}; expected {', '.join(GOAL1_KEYS)}, so flat "
            f"observations would be permuted; use supported versions instead of {versions}"
        )
