"""The model that is trained, saved and steered: normaliser, encoder, codebook, decoder and actor."""

from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mode_imitation.data.windows import Memory
from mode_imitation.model.actor import GaussianActor
from mode_imitation.model.codebook import Codebook
from mode_imitation.model.config import ModelConfig
from mode_imitation.model.encoder import Decoder, Encoder, feature_dim
from mode_imitation.model.normalizer import Normalizer

FIRST_WEIGHT = "actor.trunk.0.weight"
"""(hidden, inputs + K): what the actor sees, then the context."""
FAR = 1e4
"""Added to the distance of a pruned entry: its weight in a softmax is then exactly 0."""


class Inference(NamedTuple):
    """What the encoder and the codebook make of a batch of windows, in groups that share a code."""

    features: Tensor
    """(B, H, F) normalised."""
    z: Tensor
    """(B, D)"""
    distances: Tensor
    """(B, K), averaged over the windows of a group."""
    codes: Tensor
    """(B,) int, the nearest entry by those distances."""
    probabilities: Tensor
    """(B, K) softmax(-distances / temperature)."""
    contexts: Tensor
    """(B, K) what the actor is told in training."""


class ModeModel(nn.Module):
    """Encoder -> distances to k codebook entries -> context -> Gaussian actor pi(a | s, context).

    After training the entries are ordered: modes 0 .. M-1 are the ones in use, by decreasing share of the data, the
    rest are pruned. Contexts keep the length K. All observations and actions that go in or come out are raw.
    """

    alive: Tensor
    mode_shares: Tensor
    typical_distances: Tensor

    def __init__(self, config: ModelConfig, generator: torch.Generator | None = None) -> None:
        """
        Args:
            config: sizes and kinds.
            generator: (CPU) draws the initial weights; None seeds one with 0.
        """
        super().__init__()
        generator = generator or torch.Generator().manual_seed(0)
        self.config = config
        features = feature_dim(config.window, config.obs_dim, config.act_dim)
        self.normalizer = Normalizer(config.obs_dim, config.act_dim, config.lidars, config.history, config.directions)
        self.encoder = Encoder(features, config.encoder_hidden, config.code_dim, generator)
        self.codebook = Codebook(config.n_codes, config.code_dim, config.codebook, generator)
        self.decoder = Decoder(features, config.window.horizon, config.encoder_hidden, config.code_dim, generator)
        self.actor = GaussianActor(
            config.actor_inputs,
            config.act_dim,
            config.n_codes,
            config.actor_hidden,
            config.sigma,
            config.min_log_sigma,
            generator,
        )
        self.register_buffer("alive", torch.ones(config.n_codes, dtype=torch.bool))
        self.register_buffer("mode_shares", torch.full((config.n_codes,), 1 / config.n_codes))
        self.register_buffer("typical_distances", torch.zeros(config.n_codes, config.n_codes))

    @property
    def n_modes(self) -> int:
        """Entries that are in use."""
        return int(self.alive.sum())

    def features(self, states: Tensor, deltas: Tensor, actions: Tensor) -> Tensor:
        """Raw windows (B, H, obs_dim), (B, H, obs_dim), (B, H, act_dim) -> (B, H, F), normalised, of what is seen."""
        window = self.config.window
        parts = [self.normalizer.deltas(deltas)]
        if window.include_state:
            parts.insert(0, self.normalizer.states(states))
        if window.include_action:
            parts.append(self.normalizer.actions(actions))
        return torch.cat(parts, dim=-1)

    def encode(self, states: Tensor, deltas: Tensor, actions: Tensor) -> Tensor:
        """Raw windows, (B, H, obs_dim), (B, H, obs_dim), (B, H, act_dim) -> z (B, D)"""
        return self.encoder(self.features(states, deltas, actions))

    def distances(self, z: Tensor) -> Tensor:
        """Mean squared distance to every entry: (B, D) -> (B, K)"""
        return self.codebook.distances(z)

    def probabilities(self, distances: Tensor) -> Tensor:
        """softmax(-distances / temperature) over the entries in use: (B, K) -> (B, K)"""
        return torch.softmax(-self.masked(distances) / self.config.temperature, dim=-1)

    def masked(self, distances: Tensor) -> Tensor:
        """(B, K) -> (B, K) with pruned entries out of reach."""
        return distances + FAR * (~self.alive)

    def context(self, distances: Tensor) -> Tensor:
        """What the actor is told about windows at these distances from the entries: (B, K) -> (B, K)"""
        return distances if self.config.context == "distances" else self.probabilities(distances)

    def mode_contexts(self) -> Tensor:
        """The context that stands for each mode: (K, K), row j for entry j.

        For "assignment" the context of a window that lies on the entry; for "distances" the typical distances of the
        windows of that code, so that steering contexts lie where training contexts lay.
        """
        if self.config.context == "distances":
            return self.typical_distances
        return self.probabilities(self.distances(self.codebook.entries))

    def action_distribution(self, observations: Tensor, contexts: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log sigma of raw actions, each (B, act_dim).

        Args:
            observations: (B, obs_dim) raw; (B, 1 + history, obs_dim), the newest first, where the model has a history.
            contexts: (B, K).
        """
        return self.distribution_of(self.normalizer.actor_inputs(observations), contexts)

    def distribution_of(self, inputs: Tensor, contexts: Tensor) -> tuple[Tensor, Tensor]:
        """`action_distribution` of what the normaliser has made of observations: (B, inputs), (B, K)"""
        mean, log_sigma = self.actor(inputs, contexts)
        scale = self.normalizer.act_scale
        return mean * scale + self.normalizer.act_mean, log_sigma + scale.log()

    def infer(self, states: Tensor, deltas: Tensor, actions: Tensor, group: int = 1) -> Inference:
        """Encode raw windows and choose codes; gradients reach the encoder through the contexts.

        Args:
            states: (B, H, obs_dim)
            deltas: (B, H, obs_dim)
            actions: (B, H, act_dim)
            group: this many consecutive windows come from one trajectory (or segment) and share their distances' mean.
        """
        features = self.features(states, deltas, actions)
        z = self.encoder(features)
        distances = self.distances(z)
        if group > 1:
            distances = distances.view(-1, group, distances.shape[-1]).mean(1).repeat_interleave(group, dim=0)
        codes = self.masked(distances).argmin(-1)
        probabilities = self.probabilities(distances)
        contexts = distances
        if self.config.context == "assignment":
            one_hot = F.one_hot(codes, self.config.n_codes).to(z)
            # Straight-through: one-hot going forward, the softmax's gradient going back.
            contexts = one_hot + probabilities - probabilities.detach()
        return Inference(features, z, distances, codes, probabilities, contexts)

    @torch.no_grad()
    def with_history(self, memory: Memory) -> "ModeModel":
        """The same function as a model whose actor is shown earlier observations too, which it does not heed yet.

        Args:
            memory: which ones; without any, this model is returned.
        """
        if not memory.history:
            return self
        config = replace(self.config, history=memory.history, history_gap=memory.gap)
        model = ModeModel(config).to(self.alive.device)
        weights = self.state_dict()
        inputs = self.config.actor_inputs
        seen, context = weights[FIRST_WEIGHT].split([inputs, config.n_codes], dim=1)
        earlier = seen.new_zeros(len(seen), config.actor_inputs - inputs)
        model.load_state_dict(weights | {FIRST_WEIGHT: torch.cat([seen, earlier, context], dim=1)})
        return model

    @torch.no_grad()
    def keep_codes(self, used: Tensor) -> None:
        """Prune every entry that is not in `used`, (K,) bool."""
        self.alive.copy_(used)

    @torch.no_grad()
    def reorder(self, order: Tensor) -> None:
        """Renumber the codes: new code i is old code order[i]. The function of every code stays what it was.

        Args:
            order: (K,) int, a permutation.
        """
        book = self.codebook
        for values in (book.entries, book.usage, book.sums, self.alive, self.mode_shares):
            values.copy_(values[order])
        self.typical_distances.copy_(self.typical_distances[order][:, order])
        first = self.actor.trunk[0]
        assert isinstance(first, nn.Linear)
        columns = first.weight[:, self.config.actor_inputs :]
        columns.copy_(columns[:, order])
        if self.config.sigma == "mode":
            self.actor.log_sigma.weight.copy_(self.actor.log_sigma.weight[:, order])
