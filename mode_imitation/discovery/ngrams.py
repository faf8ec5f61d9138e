"""How well one law explains what several texts are, in closed form: counts of which token follows which others.

Of data whose every step does what is seen next, a law is a distribution of the token for each context, which is the
last 0, 1 or 2 tokens: under a Dirichlet prior around the law of all texts, which is interpolated over shorter contexts
(MacKay & Peto, A Hierarchical Dirichlet Language Model, 1995). Counts add where codes merge and are taken out by
subtraction, as the moments of `discovery.evidence` are, whose place they take; contexts of each length are a view.

What only one text has says nothing on who has which code: its part of the evidence is the same whatever the codes are.
So it is kept as one number a text, which makes the rest several times smaller.

U units, S steps, V tokens, G n-grams, C contexts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mode_imitation.discovery.evidence import Evidence, Side, Sums, odd_blocks
from mode_imitation.model.batches import TrainingData
from mode_imitation.model.mode_model import ModeModel

ORDERS = (0, 1, 2)
"""Tokens of the contexts; as many as there are where fewer are seen."""
CONCENTRATIONS = (1.0, 4.0, 16.0, 64.0, 256.0)
"""How many tokens the law of all counts as, after each context; chosen by the evidence."""
BACKING = 5.0
"""Tokens that the law of the shorter context counts as in the law of all."""
PIECE = 2**22
"""Counts whose gamma functions are taken at a time."""


@dataclass(frozen=True)
class Counts(Sums):
    """Of each of N groups of texts: what follows what, and how often."""

    grams: Tensor
    """(N, G) of the n-grams that two units have at least."""
    contexts: Tensor
    """(N, C) of the contexts that two units have at least."""
    alone: Tensor
    """(N,) log evidence of what one unit only has."""
    counts: Tensor
    """(N,) steps."""


@dataclass(frozen=True)
class NgramView:
    """Contexts of one length: each unit's counts, of its odd and of its even blocks."""

    odd: Counts
    even: Counts
    prior: Tensor
    """(G,) the concentration times the law of all."""
    concentration: float
    weight: float
    """Of its evidence in the sum over all views."""

    def take(self, units: Tensor) -> "NgramView":
        return NgramView(self.odd.take(units), self.even.take(units), self.prior, self.concentration, self.weight)

    def log_evidence(self, counts: Counts) -> Tensor:
        """(N,) log probability of all tokens of each group, their laws integrated out."""
        grams = rising(self.prior, counts.grams)
        return grams - rising(self.prior.new_tensor([self.concentration]), counts.contexts) + counts.alone


class NgramEvidence(Evidence):
    """See `Evidence`, whose views are those of n-grams here."""

    views: list[NgramView]  # type: ignore[assignment]
    both: list[Counts]  # type: ignore[assignment]

    def take(self, units: Tensor) -> "NgramEvidence":
        return NgramEvidence([view.take(units) for view in self.views])  # type: ignore[arg-type]

    def log_evidence(self, moments: Sequence[Counts]) -> Tensor:  # type: ignore[override]
        each = [view.weight * view.log_evidence(counts) for view, counts in zip(self.views, moments, strict=True)]
        return torch.stack(each).sum(0)

    def predictive(self, codes: Tensor, side: Side = "both", who: Tensor | None = None) -> Tensor:
        """As `Evidence.predictive`, by what each unit has alone: the rest cancels, and is most of it."""
        n_codes, who = int(codes.max()) + 1, torch.arange(self.n_units, device=codes.device) if who is None else who
        densities = torch.zeros(len(who), n_codes, dtype=torch.double, device=codes.device)
        laws_of: Any = self.summed(codes, n_codes)
        judged_of: Any = self.side(side)
        for view, laws, own, judged in zip(self.views, laws_of, self.both, judged_of, strict=True):
            start = view.prior.new_tensor([view.concentration]).expand(laws.contexts.shape[1])
            grams = added(view.prior, laws.grams, own.grams[who], judged.grams[who], codes[who])
            contexts = added(start, laws.contexts, own.contexts[who], judged.contexts[who], codes[who])
            densities += view.weight * (grams - contexts + judged.alone[who, None])
        densities[:, torch.bincount(codes, minlength=n_codes) == 0] = -torch.inf
        return densities


def confidence_among(confidence: float, n_units: int) -> float:
    """That two codes of texts are two, where one error in any of so many units is to be as rare as asked for.

    Texts of one source differ among each other in what they are about, and the search finds the groups of them that
    differ most; so the confidence of one comparison is not enough.
    """
    return 1 - (1 - confidence) / n_units


def is_text(model: ModeModel, data: TrainingData) -> bool:
    """Whether all that is seen are names, and what every step does is what is seen last at the next."""
    config = model.config
    if len(config.tokens) != 1 or config.tokens[0][:2] != (0, config.obs_dim) or len(config.action_space.choices) != 1:
        return False
    return torch.equal(data.observations[data.row_of_step + 1, -1].long(), data.actions[:, 0].long())


def ngram_evidence(data: TrainingData) -> NgramEvidence:
    """The evidence of texts.

    Args:
        data: U units, for which `is_text` holds.
    """
    steps = data.telling
    units, odd = data.unit_of_step[steps], odd_blocks(data, steps)
    seen = data.observations[data.row_of_step[steps]].long()  # (S, N)
    done = data.actions_at(steps)[:, 0].long()
    n_tokens = 1 + int(max(seen.max(), done.max()))
    orders = [order for order in ORDERS if order <= seen.shape[1]]
    law = torch.full((len(steps),), 1 / n_tokens, dtype=torch.double, device=data.device)
    views = []
    for order in orders:
        context = _numbered(seen[:, seen.shape[1] - order :], n_tokens)
        gram = torch.unique(context * n_tokens + done, return_inverse=True)[1]
        law = (torch.bincount(gram)[gram] + BACKING * law) / (torch.bincount(context)[context] + BACKING)  # (S,)
        views.append(view_of(gram, context, law, units, odd, data.n_units, 1 / len(orders)))
    return NgramEvidence(views)  # type: ignore[arg-type]


def view_of(
    gram: Tensor, context: Tensor, law: Tensor, units: Tensor, odd: Tensor, n_units: int, weight: float
) -> NgramView:
    """Counts of one order, under the concentration by which units, each by itself, are explained best.

    Args:
        gram: (S,) from 0 on, the n-gram that each step ends.
        context: (S,) from 0 on.
        law: (S,) what the law of all gives each step; the same for all steps of an n-gram.
        units: (S,)
        odd: (S,) bool, whether the step lies in an odd block.
        n_units: U.
        weight: of the view.
    """
    of_gram = law.new_zeros(int(gram.max()) + 1).index_copy(0, gram, law)
    grams, contexts = (_pairs(what, units) for what in (gram, context))
    found = {c: _each_alone(grams, contexts, c, of_gram, n_units) for c in CONCENTRATIONS}
    concentration = max(found, key=lambda one: float(found[one].sum()))
    shared_grams, shared_contexts = (_shared(pairs) for pairs in (grams, contexts))

    def side(these: Tensor) -> Counts:
        return Counts(
            _table(shared_grams[gram[these]], units[these], n_units, int(shared_grams.max()) + 1),
            _table(shared_contexts[context[these]], units[these], n_units, int(shared_contexts.max()) + 1),
            alone if these is odd else torch.zeros_like(alone),
            torch.bincount(units[these], minlength=n_units).double(),
        )

    def lonely(pairs: tuple[Tensor, Tensor, Tensor], shared: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        chosen = shared[pairs[0]] < 0
        return pairs[0][chosen], pairs[1][chosen], pairs[2][chosen]

    # What the two sides of a unit have together is its own; it counts with the odd one.
    alone = _each_alone(lonely(grams, shared_grams), lonely(contexts, shared_contexts), concentration, of_gram, n_units)
    prior = concentration * of_gram[shared_grams >= 0]
    return NgramView(side(odd), side(~odd), prior, concentration, weight)


def rising(start: Tensor, times: Tensor) -> Tensor:
    """Log of start (start + 1) .. (start + times - 1), summed over the last axis: (G,) or (1,), (N, G) -> (N,)"""
    if not times.shape[1]:
        return times.sum(1)
    base = torch.lgamma(start)
    pieces = times.split(max(1, PIECE // times.shape[1]))
    return torch.cat([(torch.lgamma(start + piece) - base).sum(1) for piece in pieces])


def added(prior: Tensor, laws: Tensor, own: Tensor, judged: Tensor, codes: Tensor) -> Tensor:
    """What `rising` adds to each code's law where a unit's counts come to those of the code's other units: (N, K)

    Args:
        prior: (G,)
        laws: (K, G) counts of the codes.
        own: (N, G) all counts of each unit, which are in the law of its own code.
        judged: (N, G) those of them that are judged.
        codes: (N,)
    """
    rows, columns = judged.nonzero().unbind(1)
    times = judged[rows, columns, None]
    inside = codes[rows, None] == torch.arange(len(laws), device=codes.device)
    before = prior[columns, None] + laws[:, columns].T - own[rows, columns, None] * inside  # (nonzero, K)
    found = torch.lgamma(before + times) - torch.lgamma(before)
    return found.new_zeros(len(codes), len(laws)).index_add(0, rows, found)


def _numbered(seen: Tensor, n_tokens: int) -> Tensor:
    """(S, order) tokens -> (S,) a number from 0 on for each different row."""
    found = seen.new_zeros(len(seen))
    for column in seen.unbind(1):
        found = torch.unique(found * n_tokens + column, return_inverse=True)[1]
    return found


def _pairs(what: Tensor, units: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(S,), (S,) -> what, unit and count of every pair that occurs."""
    n_units = int(units.max()) + 1
    both, counts = torch.unique(what * n_units + units, return_counts=True)
    return both // n_units, both % n_units, counts.double()


def _shared(pairs: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Column of each thing that two units have at least, -1 of the others."""
    several = torch.bincount(pairs[0]) > 1
    return torch.where(several, several.cumsum(0) - 1, -1)


def _table(columns: Tensor, units: Tensor, n_units: int, n_columns: int) -> Tensor:
    """(S,) columns, -1 for none, and units -> (U, columns) counts"""
    kept = columns >= 0
    flat = torch.bincount(units[kept] * n_columns + columns[kept], minlength=n_units * n_columns)
    return flat.view(n_units, n_columns).double()


def _each_alone(
    grams: tuple[Tensor, Tensor, Tensor],
    contexts: tuple[Tensor, Tensor, Tensor],
    concentration: float,
    of_gram: Tensor,
    n_units: int,
) -> Tensor:
    """(U,) log evidence of each unit by itself, of these n-grams and contexts alone."""
    (gram, with_gram, times), (_, with_context, often) = grams, contexts
    prior = concentration * of_gram[gram]
    base = torch.tensor(concentration, dtype=torch.double, device=of_gram.device)
    total = of_gram.new_zeros(n_units)
    total = total.index_add(0, with_gram, torch.lgamma(prior + times) - torch.lgamma(prior))
    return total.index_add(0, with_context, torch.lgamma(base) - torch.lgamma(base + often))
