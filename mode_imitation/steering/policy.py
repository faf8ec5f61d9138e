"""One trained policy under a context that can change at any step; NumPy in, NumPy out."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from mode_imitation.data.episodes import Episode
from mode_imitation.errors import UserError
from mode_imitation.steering.known_contexts import ContextDistance, context_distance
from mode_imitation.steering.recent import Recent

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


class Policy:
    """A mode model's actor and the context that it drives under.

        policy = load_policy("runs/two-experts")
        action = policy.steer(mode=1).act(observation)

    Where the model has a history, `act` remembers what it is shown: show it every step of an episode once, and call
    `reset` or `forget` where another one begins.

    Args:
        model: a trained mode model.
        device: "cpu", "cuda" or "auto".
    """

    def __init__(self, model: "ModeModel", device: str = "cpu") -> None:
        self.device = _device(device)
        self.model = model.to(self.device).eval()
        self.n_codes: int = model.config.n_codes
        self.obs_dim: int = model.config.obs_dim
        self.act_dim: int = model.config.act_dim
        self.modes: list[int] = np.flatnonzero(model.alive.cpu().numpy()).tolist()
        self._mode_contexts: np.ndarray = model.mode_contexts().detach().cpu().numpy()  # (K, K)
        self._context: np.ndarray | None = None
        self._tensor: torch.Tensor | None = None
        self._recent = Recent(model.config.memory)
        self.reset()

    @property
    def n_modes(self) -> int:
        """How many modes were found; `modes` lists them."""
        return len(self.modes)

    @property
    def shares(self) -> np.ndarray:
        """(K,) share of the training data that each code holds."""
        return self.model.mode_shares.detach().cpu().numpy()

    @property
    def context(self) -> np.ndarray | None:
        """(K,), or (N, K) for a batch: what the policy drives under; None until `steer` is called."""
        return None if self._context is None else self._context.copy()

    def reset(self, seed: int = 0) -> "Policy":
        """Begin the random draws of sampled actions anew, and forget what was seen; the context stays."""
        self._rng = np.random.default_rng(seed)
        return self.forget()

    def forget(self, ended: np.ndarray | None = None) -> "Policy":
        """Forget what was seen, as other episodes begin; without a history there is nothing to forget.

        Args:
            ended: (N,) bool, the rows of the batch of which the next observation is the first of an episode; None for
                all, and for a batch of another size.

        Raises:
            UserError: `ended` is not one bool for each row.
        """
        self._recent.forget(ended)
        return self

    def steer(
        self,
        *,
        mode: Modes | None = None,
        context: Context | None = None,
        like: Episode | None = None,
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
            from mode_imitation.steering.infer import infer_context

            if not isinstance(like, Episode):
                raise UserError(f"like is {_short(like)}; expected an episode, load_dataset(...).episodes[17] say")

            chosen = infer_context(self.model, like).context
        self._context = chosen.astype(np.float32)
        self._tensor = torch.from_numpy(self._context).to(self.device)
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
        """
        Raises:
            UserError: it is negative or not finite.
        """
        if not (np.isfinite(temperature) and temperature >= 0):
            raise UserError(f"temperature is {temperature}; expected 0 (the mean action) or more")

    def act(self, observation: np.ndarray, temperature: float = 0.0) -> np.ndarray:
        """The action for one observation or a batch, under the current context.

        Args:
            observation: (obs_dim,) or (N, obs_dim), as the environment gives it.
            temperature: 0 is the mean action, 1 a draw from the policy, between them a draw with a sigma scaled by it.

        Returns:
            (act_dim,) or (N, act_dim) float32; not clipped to the action space.

        Raises:
            UserError: `steer` has not been called, or the observation or the temperature does not fit; or the policy
                has a history, and the batch had another size at the step before.
        """
        if self._tensor is None or self._context is None:
            raise UserError("the policy has no context yet; call policy.steer(mode=...) first")
        self.check_temperature(temperature)
        try:
            observations = np.asarray(observation, dtype=np.float32)
        except (TypeError, ValueError):
            raise UserError(
                f"the observation is {_short(observation)}; expected {self.obs_dim} numbers, or a batch of them"
            ) from None
        batch = np.atleast_2d(observations)  # (N, obs_dim)
        if observations.ndim not in (1, 2) or observations.shape[-1] != self.obs_dim:
            raise UserError(
                f"the observation has shape {observations.shape}; the policy was trained on ({self.obs_dim},)"
            )
        if not np.isfinite(batch).all():
            raise UserError("the observation holds NaN or infinity; expected finite numbers")
        contexts = self._tensor
        if contexts.ndim == 1:
            contexts = contexts.expand(len(batch), -1)  # (K,) -> (N, K)
        elif len(contexts) != len(batch) or observations.ndim == 1:
            raise UserError(f"{len(contexts)} contexts were steered to, the observation has shape {observations.shape}")
        seen = self._recent.see(batch) if self.model.config.history else batch
        with torch.inference_mode():
            mean, log_sigma = self.model.action_distribution(torch.from_numpy(seen).to(self.device), contexts)
        actions = mean.cpu().numpy()  # (N, act_dim)
        if temperature > 0:
            noise = self._rng.standard_normal(actions.shape).astype(np.float32)
            actions = actions + np.float32(temperature) * np.exp(log_sigma.cpu().numpy()) * noise
        return actions[0] if observations.ndim == 1 else actions


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
    if name not in ("cpu", "cuda") and not name.startswith("cuda:"):
        raise UserError(f"there is no device {name!r}; expected cpu, cuda or auto")
    number = name.partition(":")[2] if ":" in name else "0"
    if not number.isdecimal():
        raise UserError(f"there is no device {name!r}; expected cpu, cuda, cuda:0 or auto")
    if name != "cpu" and int(number) >= torch.cuda.device_count():
        raise UserError(f"{name} was asked for and torch finds {torch.cuda.device_count()} of them; use cpu or auto")
    return torch.device(name)


def _short(thing: object) -> str:
    text = repr(thing)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _listed(values: np.ndarray) -> str:
    return np.array2string(values, threshold=8, separator=", ")
