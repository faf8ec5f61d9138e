"""From a name on the command line to an expert that is ready to drive, and to mistakes in one clear line."""

import difflib
import importlib
import inspect
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from experts.planar import PLANAR
from experts.protocol import Expert, ExpertSetting
from experts.switching import SwitchingExpert, parse_turns
from mode_imitation.errors import UserError
from mode_imitation.user_code import blamed_on, find

NAMES = {
    "goal_seeking": "experts.goal_seeking:GoalSeekingExpert",
    "forward_moving": "experts.steady_moving:ForwardMovingExpert",
    "circling": "experts.steady_moving:CirclingExpert",
    "backward_moving": "experts.steady_moving:BackwardMovingExpert",
    "slow_goal_seeking": "experts.goal_seeking:SlowGoalSeekingExpert",
    "agile_goal_seeking": "experts.goal_seeking:AgileGoalSeekingExpert",
    "hazard_avoiding": "experts.hazard_avoiding:HazardAvoidingExpert",
    "careful": "experts.careful:CarefulExpert",
}


OF_PLANAR_WORLDS = "route_0 to route_23, right_first, zigzag, ball_0, circle_left_small_slow and their like"
"""What a complaint says of the names in PLANAR, which are too many to list."""


def expert_names() -> list[str]:
    """The names of the project's own experts that drive robots."""
    return list(NAMES)


def _is_own(spec: str) -> bool:
    return spec in NAMES or spec in PLANAR


def expert_label(spec: str) -> str:
    """The name under which an expert is recorded: a registered name as it is, otherwise the name of the class."""
    turns = parse_turns(spec)
    if turns:
        return f"{'+'.join(map(expert_label, turns.specs))}@{turns.every}"
    return spec if _is_own(spec) else _split(spec)[1]


def check_labels(specs: Sequence[str]) -> None:
    """
    Raises:
        UserError: two different experts would be recorded under the same name.
    """
    spec_of: dict[str, str] = {}
    for spec in specs:
        label = expert_label(spec)
        other = spec_of.setdefault(label, spec)
        if other != spec:
            raise UserError(f"the experts {other} and {spec} would have the same name, {label}; rename one class")


def make_expert(spec: str, setting: ExpertSetting) -> Expert:
    """Find an expert and make it ready for a robot.

    Args:
        spec: a registered name, `path/to/file.py:Class`, `package.module:Class`, or several of them that take turns,
            `goal_seeking+forward_moving@250`.
        setting: where it will drive.

    Returns:
        The expert; each of its answers is checked for shape and finite values.

    Raises:
        UserError: there is no such expert, file, module or class; it has no `act`; it cannot drive this robot; and
            later, when it drives, its answer has a wrong shape or is not finite, or a user's own class raises.
    """
    turns = parse_turns(spec)
    if turns:
        members = [make_expert(member, setting) for member in turns.specs]
        return SwitchingExpert(members, [expert_label(member) for member in turns.specs], turns.every)
    cls = find_class(spec)
    label = expert_label(spec)
    robots = getattr(cls, "robots", ())
    if isinstance(robots, str):
        robots = (robots,)
    if robots and setting.robot not in robots:
        here = f"the robot {setting.robot}" if setting.robot else "here, where no robot is known by name"
        raise UserError(
            f"expert {label} cannot drive {here}, only {' and '.join(robots)}; "
            "choose another expert or an environment with another robot"
        )
    if not callable(getattr(cls, "act", None)):
        raise UserError(f"{spec} has no method act(observations); experts/protocol.py has an example of ten lines")
    return _Checked(cls, spec, setting, tuple(robots))


def find_class(spec: str) -> type:
    """The class that `spec` names.

    Raises:
        UserError: there is none.
    """
    if spec in PLANAR:
        return PLANAR[spec]
    location, name = _split(NAMES.get(spec, spec))
    if spec in NAMES:
        return getattr(importlib.import_module(location), name)
    return find(location, name, "class")


def _split(spec: str) -> tuple[str, str]:
    """`where:Class` -> (where, Class). The last colon counts: a path may begin with a drive."""
    location, colon, name = spec.rpartition(":")
    if not colon or not location or not name.isidentifier():
        near = difflib.get_close_matches(spec, [*NAMES, *PLANAR], n=1)
        hint = f", did you mean {near[0]!r}?" if near else ";"
        raise UserError(
            f"there is no expert {spec!r}{hint} there are {', '.join(NAMES)}, in planar worlds "
            f"{OF_PLANAR_WORLDS}, and your own as file.py:Class or package.module:Class"
        )
    return location, name


def _users_code(spec: str) -> AbstractContextManager[None]:
    """Where a user's own class raises, say so in one line; what one of our experts raises is a bug and stays one."""
    return nullcontext() if _is_own(spec) else blamed_on(spec, __file__)


def _construct(cls: type, setting: ExpertSetting, spec: str) -> Any:
    for arguments in ((setting,), ()):
        if _accepts(cls, *arguments):
            return cls(*arguments)
    raise UserError(f"{spec} cannot be made; expected a constructor that takes nothing or one argument, the setting")


def _accepts(function: Callable[..., Any], *arguments: object) -> bool:
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # no signature to read: let the call itself tell
        return True
    return True


class _Checked:
    """Holds an expert to what it promised; whoever records its actions need not look."""

    def __init__(self, cls: type, spec: str, setting: ExpertSetting, robots: tuple[str, ...]) -> None:
        self.cls, self.spec, self.setting, self.robots = cls, spec, setting, robots
        self.label = expert_label(spec)
        self.batched: bool = getattr(cls, "batched", True)
        with _users_code(spec):
            # One for all worlds, or the first of one each: made here, so that a constructor's mistake shows at once.
            self.experts = [_construct(cls, setting, spec)]

    def reset(self, observations: np.ndarray, rngs: Sequence[np.random.Generator]) -> None:
        """As in `protocol.Expert`."""
        observations = _contiguous(observations)
        with _users_code(self.spec):
            if self.batched:
                self._reset(self.experts[0], observations, rngs)
                return
            self.experts = [_construct(self.cls, self.setting, self.spec) for _ in rngs]
            for expert, observation, rng in zip(self.experts, observations, rngs, strict=True):
                self._reset(expert, observation, rng)

    def _reset(self, expert: Any, *arguments: object) -> None:
        reset = getattr(expert, "reset", None)
        if reset is None:
            return
        if not _accepts(reset, *arguments):
            raise UserError(
                f"{self.spec}: reset does not take two arguments; expected reset(observations, rngs), or no reset"
            )
        reset(*arguments)

    def _one_by_one(self, observations: np.ndarray) -> np.ndarray:
        answers = [np.atleast_1d(np.asarray(e.act(o))) for e, o in zip(self.experts, observations, strict=True)]
        shapes = {answer.shape for answer in answers}
        if len(shapes) > 1 or any(len(shape) != 1 for shape in shapes):
            raise UserError(
                f"expert {self.label} answered with the shapes {sorted(shapes)}; it has batched = False, expected "
                "(act_dim,) for every observation"
            )
        return np.stack(answers)

    def act(self, observations: np.ndarray) -> np.ndarray:
        """As in `protocol.Expert`."""
        observations = _contiguous(observations)
        with _users_code(self.spec):
            answer = self.experts[0].act(observations) if self.batched else self._one_by_one(observations)
        try:
            actions = np.array(answer, dtype=np.float64)
        except (TypeError, ValueError):
            raise UserError(
                f"expert {self.label} answered with {type(answer).__name__}; expected an array of numbers"
            ) from None
        expected = (len(observations), self.setting.act_dim)
        if actions.ndim == 1 and expected[1] == 1:
            actions = actions.reshape(-1, 1)  # one number a world needs no second axis
        if actions.shape != expected:
            raise UserError(
                f"expert {self.label} answered with shape {actions.shape}, expected {expected}: one row a world, "
                "one column for each of an action's numbers; a class that drives one world sets batched = False"
            )
        if self.setting.choices:
            return self._choices(actions)
        bad = np.flatnonzero(~np.isfinite(actions).all(axis=1))
        if len(bad):
            raise UserError(
                f"expert {self.label} answered with {actions[bad[0]].tolist()} in world {bad[0]}; expected finite "
                "numbers; look for a division by zero in its act"
            )
        return actions

    def _choices(self, actions: np.ndarray) -> np.ndarray:
        """(N, act_dim) int64, of which each is one of the choices."""
        choices = self.setting.choices
        fits = (actions == np.floor(actions)) & (actions >= 0) & (actions < choices)  # NaN fits nothing
        bad = np.flatnonzero(~fits.all(axis=1))
        if len(bad):
            ranges = " and ".join(f"0 to {n - 1}" for n in choices)
            raise UserError(
                f"expert {self.label} answered with {actions[bad[0]].tolist()} in world {bad[0]}; expected choices by "
                f"number, {ranges}"
            )
        return actions.astype(np.int64)


def _contiguous(observations: np.ndarray) -> np.ndarray:
    # The order of numpy's sums follows the memory layout; one layout makes rows independent of the batch they came in.
    return np.ascontiguousarray(observations, dtype=np.float64)
