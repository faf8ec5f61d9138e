"""The model that is trained, saved and steered: windows -> distances to a codebook -> context -> policy.

B batch, H transitions in a window, F features of each, D numbers in a code, K codes, C actions at once, A numbers of an
action. All observations and actions that go in or come out are raw.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mode_imitation.model.config import CodebookKind, ModelConfig
from mode_imitation.model.encoders import Decoder, make_encoder
from mode_imitation.model.features import Features
from mode_imitation.model.heads import make_head
from mode_imitation.model.layers import gru, linear, mlp

FAR = 1e4
"""Added to the distance of a pruned code: its weight in a softmax is then exactly 0."""


class Codebook(nn.Module):
    """K points among the encoder's outputs (van den Oord et al. 2017; the moving average is their appendix A.1)."""

    usage: Tensor
    sums: Tensor

    def __init__(self, n_codes: int, code_dim: int, kind: CodebookKind, generator: torch.Generator) -> None:
        super().__init__()
        self.kind = kind
        # Where the encoder's layer norm puts windows: mean 0, spread 1.
        entries = F.layer_norm(torch.randn(n_codes, code_dim, generator=generator), (code_dim,))
        self.entries = nn.Parameter(entries, requires_grad=kind == "gradient")
        self.register_buffer("usage", torch.ones(n_codes))
        self.register_buffer("sums", entries.clone())

    def distances(self, z: Tensor) -> Tensor:
        """Mean squared distance to every code: (B, D) -> (B, K)"""
        return ((z[:, None] - self.entries) ** 2).mean(-1)

    @torch.no_grad()
    def place(self, z: Tensor, generator: torch.Generator, rounds: int = 10) -> None:
        """Put the codes among encoded windows, (B, D), by k-means++ and a few rounds of k-means."""
        n_codes = len(self.entries)
        centres = z[torch.randint(len(z), (1,), generator=generator, device=generator.device)]
        for _ in range(n_codes - 1):
            nearest = torch.cdist(z, centres).square().amin(1)
            # The small constant lets a draw succeed when all windows coincide.
            centres = torch.cat([centres, z[torch.multinomial(nearest + 1e-9, 1, generator=generator)]])
        for _ in range(rounds):
            members = F.one_hot(torch.cdist(z, centres).argmin(1), n_codes).to(z)  # (B, K)
            counts = members.sum(0)[:, None]
            centres = torch.where(counts > 0, (members.t() @ z) / counts.clamp_min(1), centres)
        self.entries.copy_(centres)
        self.usage.fill_(len(z) / n_codes)
        self.sums.copy_(centres * len(z) / n_codes)

    @torch.no_grad()
    def update(self, z: Tensor, codes: Tensor, decay: float, revive_below: float, generator: torch.Generator) -> int:
        """Count usage, move the codes if they follow averages, and revive the dead ones.

        Args:
            z: (B, D) encoded windows.
            codes: (B,) int, the one that each was given.
            decay: of the moving averages, .99 say.
            revive_below: a code with less than this share of the usage jumps to a random window's place.
            generator: draws those windows.

        Returns:
            How many were revived.
        """
        members = F.one_hot(codes, len(self.entries)).to(z)  # (B, K)
        self.usage.mul_(decay).add_(members.sum(0), alpha=1 - decay)
        if self.kind == "ema":
            self.sums.mul_(decay).add_(members.t() @ z, alpha=1 - decay)
            self.entries.copy_(self.sums / self.usage.clamp_min(1e-3)[:, None])
        dead = self.usage < revive_below * self.usage.sum()
        n_dead = int(dead.sum())
        if n_dead:
            places = z[torch.randint(len(z), (n_dead,), generator=generator, device=generator.device)]
            typical = self.usage.mean()
            self.entries[dead], self.usage[dead], self.sums[dead] = places, typical, places * typical
        return n_dead


class Actor(nn.Module):
    """pi(a | s, context): what each kind of sensor gives, a multilayer perceptron, a memory if asked for, a head."""

    def __init__(self, config: ModelConfig, features: Features, generator: torch.Generator) -> None:
        super().__init__()
        self.row_sizes = [kind.n_rows for kind in features.kinds]
        self.sensors = nn.ModuleList(
            kind.module(self.row_sizes[0], config.n_codes, generator) for kind in features.kinds
        )
        first, *widths = config.actor_hidden
        n_inputs = sum(module.n_out for module in self.sensors)  # type: ignore[misc]
        self.of_inputs = linear(n_inputs, first, generator)
        self.of_context = linear(config.n_codes, first, generator, bias=False)
        self.trunk = nn.Sequential(nn.ReLU(), *mlp([first, *widths], generator), *([nn.ReLU()] if widths else []))
        width = config.actor_hidden[-1]
        if config.memory:
            self.memory = gru(width, config.memory, generator)
        self.width = config.memory or width
        self.head = make_head(config.head, self.width, config.n_codes, config.action_space, config.chunk, generator)

    def hidden(self, rows: Tensor, contexts: Tensor) -> Tensor:
        """The last layer before memory and head: (B, row_size), (B, K) -> (B, W)"""
        parts = rows.split(self.row_sizes, dim=-1)
        inputs = parts[0]
        if len(parts) > 1:
            rest = torch.cat([parts[0], contexts], dim=-1)
            inputs = torch.cat([module(part, rest) for module, part in zip(self.sensors, parts, strict=True)], dim=-1)
        return self.trunk(self.of_inputs(inputs) + self.of_context(contexts))

    def forward(self, rows: Tensor, contexts: Tensor) -> Tensor:
        """Parameters of the head, without memory: (B, row_size), (B, K) -> (B, C, P)"""
        return self.head(self.hidden(rows, contexts), contexts)

    def recall(self, rows: Tensor, contexts: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Parameters with memory, step by step.

        Args:
            rows: (B, T, row_size).
            contexts: (B, T, K).
            state: (B, memory) what was remembered before; None: nothing.

        Returns:
            (B * T, C, P) parameters, and (B, memory) what is remembered.
        """
        hidden = self.hidden(rows.flatten(0, 1), contexts.flatten(0, 1)).view(*rows.shape[:2], -1)
        recalled, last = self.memory(hidden, None if state is None else state[None].contiguous())
        return self.head(recalled.flatten(0, 1), contexts.flatten(0, 1)), last[0]

    @property
    def context_layers(self) -> Iterator[tuple[nn.Linear, int]]:
        """Layers that the context enters, and at which of their inputs it begins."""
        yield self.of_context, 0
        yield from ((layer, 0) for layer in self.head.context_layers)
        for module in self.sensors:
            yield from module.context_layers  # type: ignore[misc]


class Inference(NamedTuple):
    """What the encoder and the codebook make of a batch of windows, in groups that share a code."""

    features: Tensor
    """(B, H, F) normalised."""
    z: Tensor
    """(B, D)"""
    distances: Tensor
    """(B, K), averaged over the windows of a group."""
    codes: Tensor
    """(B,) int, the nearest code by those distances."""
    probabilities: Tensor
    """(B, K) softmax(-distances / temperature)."""
    contexts: Tensor
    """(B, K) what the actor is told."""


class ModeModel(nn.Module):
    """Encoder -> distances to K codes -> context -> actor.

    After training the codes are ordered: modes 0 .. M-1 are the ones in use, by decreasing share of the data, the rest
    are pruned. Contexts keep the length K.
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
        self.features = Features(config)
        n_features, hidden, code_dim = self.features.window_size, config.encoder_hidden, config.code_dim
        self.encoder = make_encoder(config.encoder, n_features, hidden, code_dim, generator)
        self.codebook = Codebook(config.n_codes, code_dim, config.codebook, generator)
        self.decoder = Decoder(n_features, config.window.horizon, hidden, code_dim, generator)
        self.actor = Actor(config, self.features, generator)
        self.register_buffer("alive", torch.ones(config.n_codes, dtype=torch.bool))
        self.register_buffer("mode_shares", torch.full((config.n_codes,), 1 / config.n_codes))
        self.register_buffer("typical_distances", torch.zeros(config.n_codes, config.n_codes))

    @property
    def n_modes(self) -> int:
        """Codes that are in use."""
        return int(self.alive.sum())

    def encode(self, states: Tensor, deltas: Tensor, actions: Tensor) -> Tensor:
        """Raw windows, (B, H, obs_dim), (B, H, obs_dim), (B, H, A) -> z (B, D)"""
        return self.encoder(self.features.window(states, deltas, actions))

    def masked(self, distances: Tensor) -> Tensor:
        """(B, K) -> (B, K) with pruned codes out of reach."""
        return distances + FAR * (~self.alive)

    def context(self, distances: Tensor) -> Tensor:
        """What the actor is told of windows at these distances from the codes: (B, K) -> (B, K)

        Of kind "distances" these themselves. Of kind "assignment" softmax(-distances / temperature), whose largest
        weight counts as 1: one-hot going forward, the softmax's gradient going back (Bengio et al. 2013).
        """
        if self.config.context == "distances":
            return distances
        soft = torch.softmax(-self.masked(distances) / self.config.temperature, dim=-1)
        hard = F.one_hot(soft.argmax(-1), self.config.n_codes).to(soft)
        return hard + soft - soft.detach()

    def mode_contexts(self) -> Tensor:
        """The contexts that stand for the modes, which the actor was trained under: (K, K), row j for code j."""
        if self.config.context == "distances":
            return self.typical_distances
        return torch.eye(self.config.n_codes, device=self.alive.device)

    def infer(self, states: Tensor, deltas: Tensor, actions: Tensor, group: int = 1) -> Inference:
        """Encode raw windows and choose codes; gradients reach the encoder through the contexts.

        Args:
            states: (B, H, obs_dim)
            deltas: (B, H, obs_dim)
            actions: (B, H, A)
            group: this many consecutive windows come from one trajectory (or segment) and share their distances' mean.
        """
        features = self.features.window(states, deltas, actions)
        z = self.encoder(features)
        distances = self.codebook.distances(z)
        if group > 1:
            distances = distances.view(-1, group, distances.shape[-1]).mean(1).repeat_interleave(group, dim=0)
        masked = self.masked(distances)
        probabilities = torch.softmax(-masked / self.config.temperature, dim=-1)
        return Inference(features, z, distances, masked.argmin(-1), probabilities, self.context(distances))

    def predict(self, rows: Tensor, contexts: Tensor) -> Tensor:
        """The actor's parameters for single steps: (B, row_size), (B, K) -> (B, C, P); a memory is empty at each."""
        if not self.config.memory:
            return self.actor(rows, contexts)
        return self.actor.recall(rows[:, None], contexts[:, None], None)[0]

    def follow(self, rows: Tensor, contexts: Tensor) -> Tensor:
        """The same for the consecutive steps of one episode, from its first on, which a memory takes up."""
        if not self.config.memory:
            return self.actor(rows, contexts)
        return self.actor.recall(rows[None], contexts[None], None)[0]

    def log_prob(self, parameters: Tensor, actions: Tensor) -> Tensor:
        """Log densities of raw actions: (..., P), (..., A) -> (..., parts), see Head.log_prob."""
        return log_prob(self.actor, self.features, parameters, actions)

    def judge(self, generator: torch.Generator) -> Actor:
        """A fresh policy of the actor's size, told the code one-hot, to judge codes by."""
        return Actor(self.config, self.features, generator).to(self.alive.device)

    @torch.no_grad()
    def take_over(self, found: "ModeModel") -> None:
        """Take the weights of the model that codes were found with, all that both have; the actor's only where the two
        are built alike."""
        alike = self.config == found.config
        own = self.state_dict()
        taken = {name: value for name, value in found.state_dict().items() if alike or not name.startswith("actor.")}
        self.load_state_dict(own | {name: value for name, value in taken.items() if name in own})

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
        for layer, first in self.actor.context_layers:
            columns = layer.weight[:, first : first + len(order)]
            columns.copy_(columns[:, order])


def log_prob(actor: Actor, features: Features, parameters: Tensor, actions: Tensor) -> Tensor:
    """Log densities of raw actions under an actor of these features: (..., P), (..., A) -> (..., parts)"""
    density = actor.head.log_prob(parameters, features.actions(actions))
    volumes = features.act_scale.log()  # what the density of a raw number lies below that of its normalised one
    return density - (volumes if density.shape[-1] == len(volumes) else volumes.sum() / density.shape[-1])
