"""One trained policy under a context that can change at any step; NumPy in, NumPy out."""

import os
import re
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from mode_imitation.data.episodes import Episode
from mode_imitation.errors import UserError
from mode_imitation.steering.known_contexts import ContextDistance, context_distance

if TYPE_CHECKING:
    from mode_imitation.model.mode_model import ModeModel
    from mode_imitation.training.run_folder import Run

Modes = int | Sequence[int] | np.ndarray
Context = Sequence[float] | np.ndarray


def load_policy(run: "str | os.PathLike | Run", device: str = "cpu") -> "Policy":
    """The policy of a run, ready to be steered.

    Args:
        run: a run's folder, or a run that is already loaded.
        device: "cpu", "cuda" or "auto".

    Raises:
        UserError: the run is missing, damaged or of a newer format; or there is no such device.
    """
    from mode_imitation.training.run_folder import load_run

    loaded = load_run(Path(run)) if isinstance(run, str | os.PathLike) else run
    return Policy(loaded.model, device=device)


@dataclass(frozen=True)
class PolicyState:
    """What a policy carries from one step to the next for each of N worlds; nothing without memory and chunks."""

    memory: np.ndarray
    """(N, M) float32, the actor's recurrent state; M is 0 without one."""
    planned: np.ndarray
    """(N, C, A) the actions that were predicted last, raw."""
    carried_out: np.ndarray
    """(N,) int, how many of them."""
    contexts: np.ndarray
    """(N, K) what they were predicted under."""


class Policy:
    """A mode model's actor and the context that it drives under.

        policy = load_policy("runs/two-experts")
        action = policy.steer(mode=1).act(observation)

    Where the model has a memory, or predicts several actions at once, `act` goes on from what it was shown: show it
    every step of an episode once, and call `begin` where another one begins. `predict` hands that state to the caller.

    Args:
        model: a trained mode model.
        device: "cpu", "cuda" or "auto".
    """

    def __init__(self, model: "ModeModel", device: str = "cpu") -> None:
        self.device = _device(device)
        self.model = model.to(self.device).eval().requires_grad_(False)
        self.n_codes: int = model.config.n_codes
        self.obs_dim: int = model.config.obs_dim
        self.action_space = model.config.action_space
        self.act_dim: int = self.action_space.size
        self.modes: list[int] = np.flatnonzero(model.alive.cpu().numpy()).tolist()
        self.n_modes = len(self.modes)
        self.shares: np.ndarray = model.mode_shares.detach().cpu().numpy()
        """(K,) share of the training data that each code holds."""
        self.carried = max(1, model.config.chunk // 2)
        """How many of the actions that are predicted at once are carried out."""
        self._mode_contexts: np.ndarray = model.mode_contexts().detach().cpu().numpy()  # (K, K)
        self._context: np.ndarray | None = None
        self.reset()

    def __repr__(self) -> str:
        shares = ", ".join(f"mode {mode} {share:.0%}" for mode, share in zip(self.modes, self.shares, strict=False))
        what = f"{self.act_dim} choices" if self.action_space.discrete else f"{self.act_dim} numbers"
        steered = "not steered yet" if self._context is None else f"context {_listed(np.round(self._context, 3))}"
        return (
            f"Policy of {self.n_modes} mode{'s' * (self.n_modes != 1)} ({shares} of the training steps)\n"
            f"  observations of {self.obs_dim} numbers -> actions of {what}, on {self.device}\n"
            f"  {steered}; policy.steer(mode=...).act(observation)"
        )

    @property
    def context(self) -> np.ndarray | None:
        """(K,), or (N, K) for a batch: what the policy drives under; None until `steer` is called."""
        return None if self._context is None else self._context.copy()

    def reset(self, seed: int = 0) -> "Policy":
        """Begin the random draws of sampled actions anew, and forget what was seen; the context stays."""
        self._generator = torch.Generator().manual_seed(seed)
        return self.begin()

    def begin(self, ended: np.ndarray | None = None) -> "Policy":
        """Tell that other episodes begin; without memory and chunks there is nothing to forget.

        Args:
            ended: (N,) bool, the rows of the batch of which the next observation is the first of an episode; None for
                all, and for a batch of another size.

        Raises:
            UserError: `ended` is not one bool for each row.
        """
        if ended is None:
            self._state: PolicyState | None = None
            self._begun: np.ndarray | None = None
            return self
        before = self._begun if self._state is None else self._state.carried_out
        marks = _check_begun(np.asarray(ended), None if before is None else len(before))
        self._begun = marks if self._begun is None else self._begun | marks
        return self

    def steer(
        self, *, mode: Modes | None = None, context: Context | None = None, like: Episode | None = None
    ) -> "Policy":
        """Choose what to drive like, by exactly one of three; may be called between any two steps.

        Args:
            mode: one mode, or (N,) of them for a batch of N observations.
            context: (K,) weights of the codes, or (N, K) for a batch. For a model of context kind "assignment"
                they are scaled to a sum of 1; some may be negative, for arithmetic such as one mode less another.
                Nothing is known of behaviour far from the modes' own contexts: see `context_distance`.
            like: a demonstration; its context is inferred from its windows.

        Returns:
            The policy itself.

        Raises:
            UserError: not exactly one was given, the mode does not exist, the context has the wrong length, is not
                finite or adds up to 0 or less, or the demonstration does not fit the model.
        """
        if sum(given is not None for given in (mode, context, like)) != 1:
            raise UserError("steer by exactly one of mode=, context= and like=")
        if mode is not None:
            chosen = self.mode_contexts(mode)
        elif context is not None:
            chosen = self.check_context(context)
        else:
            from mode_imitation.steering.infer import encode_windows

            if not isinstance(like, Episode):
                raise UserError(
                    f"like is {reprlib.repr(like)}; expected an episode, load_dataset(...).episodes[17] say"
                )
            chosen = encode_windows(self.model, like).context
        self._context = chosen.astype(np.float32)
        return self

    def mode_contexts(self, mode: Modes) -> np.ndarray:
        """(K,) the context of a mode, or (N, K) of N modes.

        Raises:
            UserError: a mode does not exist.
        """
        wanted = np.asarray(mode)
        if wanted.dtype.kind not in "iu" or wanted.ndim > 1:
            raise UserError(f"mode is {mode!r}; expected a whole number, or one for each observation")
        for index in np.unique(wanted):
            if index not in self.modes:
                raise UserError(f"there is no mode {index}; this run has modes {', '.join(map(str, self.modes))}")
        return self._mode_contexts[wanted]

    def check_context(self, context: Context) -> np.ndarray:
        """(K,) or (N, K) float64: the context as the policy takes it.

        Raises:
            UserError: as in `steer`.
        """
        try:
            values = np.asarray(context, dtype=np.float64)
        except (TypeError, ValueError):
            raise UserError(f"a context is {self.n_codes} numbers, one a code; got {context!r}") from None
        if values.ndim not in (1, 2) or values.shape[-1] != self.n_codes:
            found = f"{values.shape[-1]}" if values.ndim else "a single number"
            raise UserError(f"a context has {self.n_codes} numbers, one for each code of the run; got {found}")
        if not np.isfinite(values).all():
            raise UserError(f"a context must be finite; got {_listed(values)}")
        if self.model.config.context == "distances":
            if (values < 0).any():
                raise UserError(f"distances cannot be negative; got {_listed(values)}")
            return values
        totals = values.sum(axis=-1, keepdims=True)
        if (totals <= 0).any():
            raise UserError(f"the weights of a context must add up to more than 0; got {_listed(values)}")
        return values / totals

    def context_distance(self, context: Context) -> ContextDistance:
        """How far a context lies from those of the modes, which are the ones that the policy was trained under.

        Args:
            context: (K,) or (N, K), as `steer` takes it.

        Returns:
            (nearest, distance, on_pruned), each () or (N,). A distance of 0 is a mode's own context, 1 is as far from
            it as its nearest other mode.

        Raises:
            UserError: as in `steer`.
        """
        return context_distance(
            self.check_context(context),
            self._mode_contexts,
            self.modes,
            weights=self.model.config.context == "assignment",
        )

    @staticmethod
    def check_temperature(temperature: float) -> None:
        """Refuse, by a UserError, a temperature that is negative or not finite."""
        if not (np.isfinite(temperature) and temperature >= 0):
            raise UserError(f"temperature is {temperature}; expected 0 (the mean action) or more")

    def act(self, observation: np.ndarray, temperature: float = 0.0, *, clip: bool = True) -> np.ndarray:
        """The action for one observation or a batch, under the current context, as the environment takes it.

        Args:
            observation: (obs_dim,) or (N, obs_dim), as the environment gives it.
            temperature: 0 is the likeliest action, 1 a draw from the policy, between them a narrower draw.
            clip: whether numbers are clipped to the bounds of the action space.

        Returns:
            (act_dim,) or (N, act_dim) float32; of choices int64 as the environment counts them, for a single column
            () or (N,).

        Raises:
            UserError: `steer` has not been called, or the observation or the temperature does not fit; or the policy
                remembers, and the batch had another size at the step before.
        """
        actions = self.actions(observation, temperature)
        shaped = self.action_space.to_env(actions) if clip or self.action_space.discrete else actions
        return shaped[0] if np.ndim(observation) == 1 else shaped

    def actions(self, observations: np.ndarray, temperature: float = 0.0) -> np.ndarray:
        """(N, obs_dim) -> (N, act_dim) actions as episodes hold them: numbers, not clipped, or choices from 0 on.

        Raises:
            UserError: as in `act`.
        """
        actions, self._state = self._step(observations, self._state, self._begun, temperature)
        self._begun = None
        return actions

    def predict(
        self,
        observation: np.ndarray,
        state: PolicyState | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, PolicyState | None]:
        """The same as Stable-Baselines3's `predict`, so that what drives its policies drives this one.

        Args:
            observation: (obs_dim,) or (N, obs_dim).
            state: what the call before returned; None at first.
            episode_start: (N,) bool, rows whose episode begins with this observation.
            deterministic: the likeliest action, or a draw from the policy.

        Returns:
            Actions as `act` gives them, and the state for the next call.

        Raises:
            UserError: as in `act` and `begin`.
        """
        begun = None if episode_start is None else np.atleast_1d(np.asarray(episode_start, dtype=bool))
        actions, state = self._step(observation, state, begun, 0.0 if deterministic else 1.0)
        shaped = self.action_space.to_env(actions)
        return (shaped[0] if np.ndim(observation) == 1 else shaped), state

    def _batch(self, observation: np.ndarray) -> np.ndarray:
        """(N, obs_dim) float32 of one observation or several."""
        try:
            observations = np.asarray(observation, dtype=np.float32)
        except (TypeError, ValueError):
            raise UserError(
                f"the observation is {reprlib.repr(observation)}; expected {self.obs_dim} numbers, or a batch of them"
            ) from None
        if observations.ndim not in (1, 2) or observations.shape[-1] != self.obs_dim:
            raise UserError(
                f"the observation has shape {observations.shape}; the policy was trained on ({self.obs_dim},)"
            )
        if not np.isfinite(observations).all():
            raise UserError("the observation holds NaN or infinity; expected finite numbers")
        return np.atleast_2d(observations)

    @torch.inference_mode()
    def _step(
        self, observation: np.ndarray, state: PolicyState | None, begun: np.ndarray | None, temperature: float
    ) -> tuple[np.ndarray, PolicyState | None]:
        """(N, obs_dim) observations -> (N, A) actions, and the state after them."""
        batch = self._batch(observation)
        model, n_worlds = self.model, len(batch)
        if self._context is None:
            raise UserError("the policy has no context yet; call policy.steer(mode=...) first")
        if self._context.ndim == 2 and len(self._context) != n_worlds:
            raise UserError(f"{len(self._context)} contexts were steered to, the batch has {n_worlds} observations")
        contexts = np.broadcast_to(self._context, (n_worlds, self.n_codes))
        self.check_temperature(temperature)
        if state is not None and len(state.carried_out) != n_worlds:
            raise UserError(
                f"there were {len(state.carried_out)} observations at the last step and there are {n_worlds} now; "
                "call policy.begin() where other episodes begin"
            )
        rows = model.features.rows(torch.from_numpy(batch).to(self.device))
        told = torch.from_numpy(contexts.copy()).to(self.device)
        first = np.full(n_worlds, state is None)
        if begun is not None:
            first |= _check_begun(begun, n_worlds)
        memory = torch.zeros(n_worlds, model.config.memory, device=self.device)
        if model.config.memory:
            if state is not None:
                memory[~first] = torch.from_numpy(state.memory[~first]).to(self.device)
            parameters, memory = model.actor.recall(rows[:, None], told[:, None], memory)
        else:
            parameters = model.actor(rows, told)
        head = model.actor.head
        drawn = head.sample(parameters, temperature, self._generator) if temperature > 0 else head.mode(parameters)
        planned = model.features.raw_actions(drawn).cpu().numpy()  # (N, C, A)
        if not model.config.memory and self.carried == 1:
            return planned[:, 0], None
        carried_out = np.zeros(n_worlds, dtype=np.int64)
        if state is not None:
            # A plan is carried on with where it is not used up and its context still holds.
            holds = ~first & (state.carried_out < self.carried) & (state.contexts == contexts).all(axis=1)
            planned = np.where(holds[:, None, None], state.planned, planned)
            carried_out = np.where(holds, state.carried_out, 0)
        actions = planned[np.arange(n_worlds), carried_out]
        return actions, PolicyState(memory.cpu().numpy(), planned, carried_out + 1, contexts.copy())


def parse_context(text: str) -> list[float]:
    """Read `0.1,0.9,0,0`; `Policy.check_context` checks the rest.

    Raises:
        UserError: it is not a list of numbers.
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UserError(
            f"context {text!r} is not a list of numbers; expected one a code, as in `0.1,0.9,0,0`"
        ) from None


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not (known := re.fullmatch(r"cpu|cuda(?::(\d+))?", name, re.ASCII)):
        raise UserError(f"there is no device {name!r}; expected cpu, cuda, cuda:0 or auto")
    if name != "cpu" and int(known[1] or 0) >= torch.cuda.device_count():
        raise UserError(f"{name} was asked for and torch finds {torch.cuda.device_count()} of them; use cpu or auto")
    return torch.device(name)


def _check_begun(ended: np.ndarray, n_worlds: int | None) -> np.ndarray:
    """The marks of rows that begin, where there is a bool for each."""
    if ended.dtype != bool or ended.ndim != 1 or n_worlds not in (None, len(ended)):
        expected = f"({'N' if n_worlds is None else n_worlds},) bool, one for each observation"
        raise UserError(f"which rows begin is {ended.dtype} of shape {ended.shape}; expected {expected}")
    return ended


def _listed(values: np.ndarray) -> str:
    return np.array2string(values, threshold=8, separator=", ")
