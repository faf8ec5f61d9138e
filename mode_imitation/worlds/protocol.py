"""What a world is: a gymnasium VectorEnv of any make, opened by id, file or function, with flat observations.

What its infos hold beside is recorded where it is there: `position` (N, 2) in metres, or `x_position` and `y_position`;
`heading` (N,) in radians; `cost` (N,); `goal_met` (N,) bool; `success` or `is_success` (N,) bool. A VectorEnv may also
have `sensors` (see `data.spaces`), `time_step` in seconds, `robot`, `max_episode_steps` and `scene(world)`.
"""

import inspect
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from mode_imitation.data.episodes import Scene
from mode_imitation.data.flattening import action_space_of, flatten, parts_of, sensors_of
from mode_imitation.data.spaces import ActionSpace, Mirror, Sensor
from mode_imitation.errors import UserError, near_matches
from mode_imitation.user_code import blamed_on, find, load_module
from mode_imitation.worlds import planar
from mode_imitation.worlds.safety.tasks import ENV_IDS, NAMESPACE

WorldSpec = str | VectorEnv | Callable[..., Any]
"""An id that gymnasium knows (`module:Id-v0` imports the module first); `path/to/file.py:function` or
`module:function`; a VectorEnv; or a function that returns an Env, or a VectorEnv (of `num_envs` worlds if it takes
that argument)."""
FILE_OR_FUNCTION = re.compile(r"(.+):([A-Za-z_]\w*)")


class World:
    """N worlds of one kind, with one row of numbers an observation."""

    def __init__(self, envs: VectorEnv, env_id: str, reopen: Callable[[int], VectorEnv] | None = None) -> None:
        """
        Args:
            envs: the worlds.
            env_id: their name.
            reopen: opens another number of them; None where nobody knows how.

        Raises:
            UserError: the observations are no rows of numbers, or the actions neither numbers nor choices.
        """
        self.envs, self.env_id, self._reopen = envs, env_id, reopen
        self._parts = parts_of(_described(envs.single_observation_space), env_id)
        self.action_space: ActionSpace = as_action_space(envs.single_action_space, env_id)
        self.sensors: dict[str, Sensor] | None = _offered(envs, "sensors") or sensors_of(self._parts)
        self.mirror: Mirror | None = _offered(envs, "mirror")
        self.autoreset = AutoresetMode(envs.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP))
        self.robot: str = _offered(envs, "robot") or ""
        self.time_step: float | None = _seconds(envs)
        """Seconds per step; None where that is not known."""
        self.max_episode_steps: int | None = _episode_steps(envs)
        """Steps after which the world ends every episode; None where that is not known."""
        self.takes_seeds = True
        """Whether seeds, or the first of them, decide where episodes begin; known from the first reset on."""
        self.starts: set[bytes] = set()
        """First observations (`start_of`) of episodes that there are: a world that takes no seeds passes them over."""
        self._tried = False
        self._fewer: World | None = None

    @property
    def num_envs(self) -> int:
        return self.envs.num_envs

    @property
    def obs_dim(self) -> int:
        return sum(part.size for part in self._parts)

    @property
    def observation_bounds(self) -> tuple[Any, Any]:
        """(low, high) of one array of numbers; none known for several parts."""
        space: Any = self.envs.single_observation_space
        plain = isinstance(space, gymnasium.spaces.Box)
        return (space.low.ravel(), space.high.ravel()) if plain else (-np.inf, np.inf)

    def of_size(self, n_worlds: int) -> "World":
        """`n_worlds` of these worlds, where they can be opened anew; they close with these ones."""
        if n_worlds == self.num_envs or self._reopen is None or not self.takes_seeds:
            return self  # who takes no seeds may show the same episodes each time it is opened
        if self._fewer is None or self._fewer.num_envs != n_worlds:
            if self._fewer is not None:
                self._fewer.close()
            self._fewer = World(self._reopen(n_worlds), self.env_id)
        self._fewer.starts = self.starts
        return self._fewer

    def flatten(self, observations: Any) -> np.ndarray:
        """What the VectorEnv shows -> (N, obs_dim), in memory of its own."""
        return np.array(flatten(self._parts, observations))

    def executed(self, wanted: Any) -> np.ndarray:
        """Actions (n, size) as they will be executed and recorded: float32 within the bounds, or int64 choices.

        Args:
            wanted: (n, size); (n,) will do for a single choice or number.

        Raises:
            UserError: another shape, or choices that there are not.
        """
        space, actions = self.action_space, np.asarray(wanted)
        if actions.ndim == 1 and space.size == 1:
            actions = actions[:, None]
        if actions.ndim != 2 or actions.shape[1] != space.size:
            raise UserError(f"actions of shape {actions.shape} for {self.env_id}; expected (N, {space.size})")
        if not space.discrete:
            return space.to_env(actions.astype(np.float32)).astype(np.float32)
        fits = (actions >= 0) & (actions < np.asarray(space.choices)) & (actions == np.floor(actions))
        if not fits.all():
            raise UserError(
                f"an action for {self.env_id} is {actions[~fits.all(axis=1)][0].tolist()}; expected choices by number "
                f"from 0 on, of {' and '.join(map(str, space.choices))}"
            )
        return actions.astype(np.int64)

    def reset(self, seeds: Sequence[int]) -> tuple[np.ndarray, dict[str, Any], bool]:
        """Start new episodes, one seed a world.

        The first reset is done twice, to see whether the seeds decide anything: not every world says that it ignores
        them. One that does shows its first episodes again wherever it is opened anew, so it is reset until it shows
        none of `starts`. Where that does not happen soon it begins in a few places only; `starts` is emptied then.

        Returns:
            (N, obs_dim) observations, infos, and whether each world took its own seed: some VectorEnvs, gymnasium's
            CartPoleVectorEnv for one, take a single seed for all, and EnvPool's none.
        """
        observations, infos, taken = self._reset(seeds)
        if taken is None:
            self.takes_seeds = False
        elif not self._tried:
            first = observations
            observations, infos, _ = self._reset(seeds)
            self.takes_seeds = np.allclose(first, observations, equal_nan=True)
        self._tried = True
        if self.takes_seeds:
            return observations, infos, isinstance(taken, list)
        for _ in range(len(self.starts)):
            if self.starts.isdisjoint(map(start_of, observations)):
                break
            observations, infos, _ = self._reset(seeds)
        else:
            self.starts.clear()
        return observations, infos, False

    def _reset(self, seeds: Sequence[int]) -> tuple[np.ndarray, dict[str, Any], list[int] | int | None]:
        """(N, obs_dim) observations, infos, and what the worlds took as their seed."""
        for seed in (list(seeds), int(seeds[0]), None):
            try:
                with warnings.catch_warnings():
                    warnings.filterwarnings("error", message="(?is).*seed.*ignored")  # as EnvPool says it
                    observations, infos = self.envs.reset(seed=seed)  # type: ignore[arg-type]
            except (gymnasium.error.Error, TypeError, UserWarning):
                if seed is None:
                    raise
            else:
                return self.flatten(observations), infos, seed
        raise AssertionError("unreachable")

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One step of every world; what it shows where an episode ends is that episode's, whatever the autoreset mode.

        Args:
            actions: (N, size), of `executed`.

        Returns:
            observations (N, obs_dim), rewards (N,), terminations (N,), truncations (N,), infos.
        """
        space: Any = self.envs.single_action_space
        sent = self.action_space.to_env(actions).astype(space.dtype).reshape(-1, *space.shape)
        observations, rewards, terminations, truncations, infos = self.envs.step(sent)
        shown = self.flatten(observations)
        if "final_obs" in infos:  # SAME_STEP: what is shown is the next episode's
            for row in np.flatnonzero(infos["_final_obs"]):
                last = infos["final_obs"][row]
                shown[row] = flatten(self._parts, _with_axis(last))[0]
            infos = _with_final(infos)
        return shown, np.asarray(rewards), np.asarray(terminations), np.asarray(truncations), infos

    def revive(self, ended: np.ndarray, seeds: Sequence[int]) -> None:
        """Let worlds whose episodes ended (N,) bool go on, from seeds (N,), where they do not do so of their own."""
        if self.autoreset == AutoresetMode.DISABLED and ended.any():
            self.envs.reset(seed=list(seeds), options={"reset_mask": ended})  # type: ignore[arg-type]

    def scene(self, world: int) -> Scene | None:
        """Where things stand, if the world can say that."""
        describe = _offered(self.envs, "scene")
        found = describe(world) if callable(describe) else None
        return found if isinstance(found, Scene) else None

    def close(self) -> None:
        """Free the worlds."""
        if self._fewer is not None:
            self._fewer.close()
        self.envs.close()


def open_worlds(
    spec: WorldSpec,
    n_worlds: int = 1,
    *,
    threads: int | None = None,
    path: str = "auto",
    max_episode_steps: int | None = None,
    physics: str = "exact",
) -> World:
    """Open worlds of any kind.

    Args:
        spec: see `WorldSpec`.
        n_worlds: how many; a VectorEnv keeps its own number.
        threads, path, physics: of safety-gymnasium's tasks, see `worlds.safety.make_vec`.
        max_episode_steps: of safety-gymnasium's tasks and the planar worlds, which can be longer than usual.

    Raises:
        UserError: there is no such environment, it cannot be made here, or it is none that can be driven.
    """
    if isinstance(spec, VectorEnv):
        return World(spec, _offered(spec, "env_id") or getattr(spec.spec, "id", type(spec).__name__))
    if isinstance(spec, str):
        env_id = spec.removeprefix(NAMESPACE)
        if planar.is_planar(env_id) and path == "auto":

            def make_planar(n: int) -> VectorEnv:
                limit = {} if max_episode_steps is None else {"max_episode_steps": max_episode_steps}
                return planar.make_vec(env_id, n, autoreset_mode=AutoresetMode.DISABLED, **limit)

            return World(make_planar(n_worlds), f"{NAMESPACE}{env_id}", make_planar)
        if env_id in ENV_IDS:
            from mode_imitation.worlds.safety.vector_env import make_vec

            def make(n: int) -> VectorEnv:
                options: dict[str, Any] = {"path": path, "physics": physics, "max_episode_steps": max_episode_steps}
                # Not reset of their own: a new layout is never needed, and may be one that cannot be placed.
                return make_vec(env_id, n, threads=threads, autoreset_mode=AutoresetMode.DISABLED, **options)

            return World(make(n_worlds), env_id, make)
    elif not callable(spec):
        raise UserError(f"{spec!r} is no environment; expected an id, a VectorEnv, or a function that returns one")
    if path != "auto":
        raise UserError(f"--path {path} is for safety-gymnasium's tasks only; leave it out for {spec}")
    reopen = _opener(spec)
    return World(reopen(n_worlds), spec if isinstance(spec, str) else getattr(spec, "__name__", "worlds"), reopen)


def start_of(observation: np.ndarray) -> bytes:
    """What tells where an episode began, from its first observation (obs_dim,)."""
    return np.asarray(observation, dtype=np.float32).tobytes()


def as_action_space(space: gymnasium.Space, whose: str) -> ActionSpace:
    """A space of gymnasium's as this project's.

    Raises:
        UserError: it holds neither numbers nor choices.
    """
    return action_space_of(_described(space), whose)


def as_world(worlds: World | VectorEnv) -> World:
    """A World as it is, a VectorEnv as one."""
    return worlds if isinstance(worlds, World) else open_worlds(worlds)


def make_env(spec: WorldSpec, **options: Any) -> gymnasium.Env:
    """One plain environment, to be filmed: gymnasium's of that id, or what the user's function returns.

    Raises:
        UserError: see `open_worlds`; or the function returns no single environment.
    """
    function = _function(spec)
    if function is None:
        return _gymnasium_make(str(spec), **options)
    taken = {name: value for name, value in options.items() if _takes(function, name)}
    with blamed_on(str(spec), __file__):
        env = function(**taken)
    if not isinstance(env, gymnasium.Env) or isinstance(env, VectorEnv):
        raise UserError(f"{spec} returned {type(env).__name__}; expected one gymnasium.Env to film")
    return env


def _opener(spec: WorldSpec) -> Callable[[int], VectorEnv]:
    function = _function(spec)
    if function is None:
        return lambda n: SyncVectorEnv([lambda: _gymnasium_make(str(spec), disable_env_checker=True)] * n)

    def open_them(n: int) -> VectorEnv:
        with blamed_on(str(spec), __file__):
            made = function(num_envs=n) if _takes(function, "num_envs") else function()
            if isinstance(made, gymnasium.Env) and not isinstance(made, VectorEnv):  # EnvPool's are both
                rest: list[Any] = [made]
                return SyncVectorEnv([lambda: rest.pop() if rest else function()] * n)
        if not isinstance(made, VectorEnv):
            raise UserError(
                f"{spec} returned {type(made).__name__}; expected a gymnasium.Env or a gymnasium.vector.VectorEnv"
            )
        return made

    return open_them


def _function(spec: WorldSpec) -> Callable[..., Any] | None:
    """The user's own function; None where `spec` is an id of gymnasium's."""
    if not isinstance(spec, str):
        return spec  # type: ignore[return-value]
    match = FILE_OR_FUNCTION.fullmatch(spec)
    if match is None:
        if spec.partition(":")[0].endswith(".py"):
            raise UserError(f"{spec} names no function; expected path/to/file.py:function")
        return None
    location, name = match.groups()
    if not location.endswith(".py") and not callable(getattr(load_module(location), name, None)):
        return None  # an id without a version, which the module registers
    return find(location, name)


def _gymnasium_make(env_id: str, **options: Any) -> gymnasium.Env:
    location = env_id.rpartition(":")[0]
    if location:
        load_module(location)
    try:
        return gymnasium.make(env_id, **options)
    except gymnasium.error.DependencyNotInstalled as error:
        raise UserError(f"{env_id} cannot be made: {_one_line(error)}") from None
    except gymnasium.error.UnregisteredEnv as error:
        known = [*gymnasium.registry, *ENV_IDS, *planar.WORLDS]
        raise UserError(
            f"there is no environment {env_id!r}{near_matches(env_id, known)} ({_one_line(error)}); expected an id "
            "that gymnasium knows, module:Id-v0, or path/to/file.py:function"
        ) from None
    except Exception as error:  # an environment's own constructor: anything can come
        raise UserError(f"{env_id} cannot be made: {type(error).__name__}: {_one_line(error)}") from error


def _takes(function: Callable[..., Any], name: str) -> bool:
    try:
        parameters = inspect.signature(function).parameters
    except ValueError:
        return False
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _described(space: gymnasium.Space) -> dict[str, Any]:
    """A space in Minari's notation."""
    from minari.serialization import serialize_space

    try:
        return serialize_space(space, to_string=False)  # type: ignore[return-value]
    except NotImplementedError:
        return {"type": type(space).__name__}


def _offered(envs: Any, name: str) -> Any:
    """An attribute that the VectorEnv has beyond gymnasium's; None where it has none."""
    try:
        return getattr(envs, name, None)
    except Exception:  # wrappers ask what they wrap, which may complain in its own way
        return None


def _seconds(envs: VectorEnv) -> float | None:
    one = (_offered(envs, "envs") or [None])[0]
    found = _offered(envs, "time_step") or getattr(getattr(one, "unwrapped", None), "dt", None)
    return float(found) if isinstance(found, int | float | np.number) and found > 0 else None


def _episode_steps(envs: VectorEnv) -> int | None:
    specs = [getattr(one, "spec", None) for one in (envs, *(_offered(envs, "envs") or ())[:1])]
    places = [envs, *specs, *(getattr(spec, "config", None) for spec in specs)]  # the last are EnvPool's
    found = (_offered(place, "max_episode_steps") for place in places)
    return next((int(steps) for steps in found if isinstance(steps, int | np.integer) and steps > 0), None)


def _with_axis(observation: Any) -> Any:
    """One observation as a batch of one."""
    if isinstance(observation, dict):
        return {key: _with_axis(value) for key, value in observation.items()}
    return np.asarray(observation)[None]


def _with_final(infos: dict[str, Any]) -> dict[str, Any]:
    """Infos whose rows of ended episodes are those of `final_info`."""
    merged, final = dict(infos), infos.get("final_info", {})
    for key, values in final.items():
        if key.startswith("_") or isinstance(values, dict):
            continue
        rows = np.asarray(final.get(f"_{key}", infos["_final_obs"]), dtype=bool)
        here = np.array(infos[key]) if key in infos else np.zeros_like(values)
        here[rows] = np.asarray(values)[rows]
        merged[key] = here
        merged[f"_{key}"] = np.asarray(infos.get(f"_{key}", np.zeros(len(rows), dtype=bool))) | rows
    return merged


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
