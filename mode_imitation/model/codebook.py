"""The codebook: k points among the encoder's outputs, moved by their windows' averages or by gradient."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mode_imitation.model.config import CodebookKind


class Codebook(nn.Module):
    """k entries of size D (van den Oord et al. 2017; the moving average is that paper's appendix A.1)."""

    usage: Tensor
    sums: Tensor

    def __init__(self, n_codes: int, code_dim: int, kind: CodebookKind, generator: torch.Generator) -> None:
        super().__init__()
        self.kind = kind
        entries = 0.1 * torch.randn(n_codes, code_dim, generator=generator)
        self.entries = nn.Parameter(entries, requires_grad=kind == "gradient")
        self.register_buffer("usage", torch.ones(n_codes))
        self.register_buffer("sums", entries.clone())

    @property
    def n_codes(self) -> int:
        return len(self.entries)

    def distances(self, z: Tensor) -> Tensor:
        """Mean squared distance to every entry: (B, D) -> (B, K)"""
        return ((z[:, None] - self.entries) ** 2).mean(-1)

    @torch.no_grad()
    def start_from(self, z: Tensor, generator: torch.Generator, rounds: int = 10) -> None:
        """Place the entries by k-means++ and a few rounds of k-means on encoded windows, (B, D)."""
        centres = z[_randint(len(z), 1, generator)]
        for _ in range(self.n_codes - 1):
            nearest = torch.cdist(z, centres).square().amin(1)
            # The small constant lets a draw succeed when all windows coincide.
            centres = torch.cat([centres, z[torch.multinomial(nearest + 1e-9, 1, generator=generator)]])
        for _ in range(rounds):
            members = F.one_hot(torch.cdist(z, centres).argmin(1), self.n_codes).to(z)  # (B, K)
            counts = members.sum(0)[:, None]
            centres = torch.where(counts > 0, (members.t() @ z) / counts.clamp_min(1), centres)
        share = len(z) / self.n_codes
        self.entries.copy_(centres)
        self.usage.fill_(share)
        self.sums.copy_(centres * share)

    @torch.no_grad()
    def update(self, z: Tensor, codes: Tensor, decay: float, revive_below: float, generator: torch.Generator) -> int:
        """Count usage, move the entries if they follow averages, and revive the dead ones.

        Args:
            z: (B, D) encoded windows.
            codes: (B,) int, the entry that each was given.
            decay: of the moving averages, .99 say.
            revive_below: an entry with less than this share of the usage jumps to a random window's place.
            generator: draws those windows.

        Returns:
            How many entries were revived.
        """
        members = F.one_hot(codes, self.n_codes).to(z)  # (B, K)
        self.usage.mul_(decay).add_(members.sum(0), alpha=1 - decay)
        if self.kind == "ema":
            self.sums.mul_(decay).add_(members.t() @ z, alpha=1 - decay)
            self.entries.copy_(self.sums / self.usage.clamp_min(1e-3)[:, None])
        dead = self.usage < revive_below * self.usage.sum()
        n_dead = int(dead.sum())
        if n_dead:
            places = z[_randint(len(z), n_dead, generator)]
            typical = self.usage.mean()
            self.entries[dead] = places
            self.usage[dead] = typical
            self.sums[dead] = places * typical
        return n_dead


def _randint(high: int, count: int, generator: torch.Generator) -> Tensor:
    return torch.randint(high, (count,), generator=generator, device=generator.device)
