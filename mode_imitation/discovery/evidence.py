"""How well one law explains what several trajectories do, in closed form; no network is fitted, no step is tuned to.

What a code's trajectories do in a state is explained by a linear law of random features of it (Rahimi & Recht 2007):
Bayesian linear regression with an unknown spread (Bishop 2006, exercise 3.12), whose prior is the law of all
trajectories. So a code answers for no state that it never visited: there its law is that of all, and unsure. All that a
law needs to know of steps are sums over them; they add where codes merge, and a trajectory is taken out of its code's
law by subtraction. So every trajectory is judged by laws that never saw it.

Each trajectory's steps are cut into blocks, odd and even ones: what odd blocks decide, even ones can judge.

U units (trajectories, or segments of them), S steps, F features, A numbers that are explained, K codes.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, Self

import torch
from torch import Tensor

from mode_imitation.discovery.config import DiscoveryConfig
from mode_imitation.model.batches import TrainingData
from mode_imitation.model.features import STATE_LIMIT
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.model.threads import side_by_side

DRAWS = 3
"""Of the random features, whose evidence is averaged: one draw alone may not see what two experts differ in."""
FEWEST_FEATURES, MOST_FEATURES, FEATURES_OF_MANY, MANY_UNITS = 16, 64, 32, 1000
"""Of a draw: half the square root of the number of steps within these bounds, as few steps tell of few weights; and
fewer where there are many units, as each keeps a matrix of them."""
PHASE_FEATURES = 24
PHASE_SCALE, PHASE_VARIANCE = 2.0, 16.0
SCALES = (1.0, 3.0)
"""Of a feature's slopes: how fast a law may change with the state."""
VARIANCES = (4.0, 16.0, 64.0, 256.0)
"""Of what codes may differ by, in units of what the law of all leaves. Both are chosen by the evidence."""
CHOSEN_BY = 100
"""Units, at most, by whose evidence they are chosen."""
BLOCK, FEWEST_BLOCKS = 20, 6
"""Steps of a block; fewer where a unit would have too few blocks."""
FAR = 5.0
"""An action this many spreads from the law of all counts as no odder: one surprise must not decide."""
SHAPE = 2.0
"""Of the gamma prior of a code's precision, its mean 1 in units of the spread that the law of all leaves."""
PIECE = 512
"""Units whose matrices are taken apart at a time."""


@dataclass(frozen=True)
class Sums:
    """Of each of N groups, what adds where groups merge: fields are arrays whose first axis is the groups."""

    def parts(self) -> tuple[Tensor, ...]:
        return tuple(getattr(self, entry.name) for entry in fields(self))

    def __add__(self, other: Self) -> Self:
        return type(self)(*(own + more for own, more in zip(self.parts(), other.parts(), strict=True)))

    def __sub__(self, other: Self) -> Self:
        return type(self)(*(own - less for own, less in zip(self.parts(), other.parts(), strict=True)))

    def take(self, groups: Tensor) -> Self:
        """Those of some groups, or (N,) bool."""
        return type(self)(*(part[groups] for part in self.parts()))

    def summed(self, codes: Tensor, n_codes: int) -> Self:
        """(N,) codes of the groups -> the sums of each code."""
        return type(self)(
            *(part.new_zeros(n_codes, *part.shape[1:]).index_add(0, codes, part) for part in self.parts())
        )


@dataclass(frozen=True)
class Moments(Sums):
    """Sums over the steps of each of N groups."""

    features: Tensor
    """(N, F, F) of the products of features."""
    products: Tensor
    """(N, F, A) of features times numbers."""
    squares: Tensor
    """(N, A) of squared numbers."""
    counts: Tensor
    """(N,) steps."""


def log_evidence(moments: Moments, precision: float) -> Tensor:
    """Log density of all that was done, with law and spread integrated out, up to a constant a step: (N,)

    Args:
        moments: of numbers that are measured from the law of all, in units of the spread that it leaves.
        precision: of the normal prior of each feature's weight, in the same units.
    """
    pieces = []
    for group in torch.arange(len(moments.counts), device=moments.counts.device).split(PIECE):
        features, products, squares, counts = moments.take(group).parts()
        n_features = features.shape[-1]
        root = torch.linalg.cholesky(
            features + precision * torch.eye(n_features, dtype=features.dtype, device=features.device)
        )
        explained = torch.linalg.solve_triangular(root, products, upper=False).square().sum(-2)  # (N, A)
        volume = root.diagonal(dim1=-2, dim2=-1).log().sum(-1)  # (N,)
        rate = SHAPE + 0.5 * (squares - explained).clamp_min(0)
        shape = SHAPE + 0.5 * counts
        spread = SHAPE * math.log(SHAPE) - shape[:, None] * rate.log() + torch.lgamma(shape)[:, None]
        law = 0.5 * n_features * math.log(precision) - volume
        pieces.append(spread.sum(-1) + squares.shape[-1] * (law - math.lgamma(SHAPE)))
    return torch.cat(pieces)


@dataclass(frozen=True)
class View:
    """What is explained by which features: each unit's moments, of its odd and of its even blocks."""

    odd: Moments
    even: Moments
    precision: float
    weight: float
    """Of its evidence in the sum over all views."""

    def take(self, units: Tensor) -> "View":
        return View(self.odd.take(units), self.even.take(units), self.precision, self.weight)


Side = Literal["odd", "even", "both"]


class Evidence:
    """Of U units: how well a law explains groups of them, over all views."""

    def __init__(self, views: Sequence[View]) -> None:
        self.views = list(views)
        self.both = [view.odd + view.even for view in self.views]
        self.steps = {
            "odd": views[0].odd.counts,
            "even": views[0].even.counts,
            "both": views[0].odd.counts + views[0].even.counts,
        }
        """(U,) steps that count, by side."""
        self.n_units = len(views[0].odd.counts)

    def take(self, units: Tensor) -> "Evidence":
        """Of some units alone."""
        return Evidence([view.take(units) for view in self.views])

    def side(self, side: Side) -> list[Moments]:
        """Each view's moments of the units."""
        return self.both if side == "both" else [getattr(view, side) for view in self.views]

    def summed(self, codes: Tensor, n_codes: int) -> list[Moments]:
        """Each view's moments of the codes: (U,) -> K groups"""
        return [moments.summed(codes, n_codes) for moments in self.both]

    def log_evidence(self, moments: Sequence[Moments]) -> Tensor:
        """(N,) of the groups of moments, one for each view."""

        def weighed(pair: tuple[View, Moments]) -> Tensor:
            return pair[0].weight * log_evidence(pair[1], pair[0].precision)

        on_cpu = moments[0].counts.device.type == "cpu" and len(moments[0].counts) > 1
        each = side_by_side(weighed, list(zip(self.views, moments, strict=True)), None if on_cpu else 1)
        return torch.stack(each).sum(0)

    def predictive(self, codes: Tensor, side: Side = "both", who: Tensor | None = None) -> Tensor:
        """Log density of what units do on a side under the law of each code's other units: (U,) -> (N, K)

        Codes without a unit are minus infinity.

        Args:
            codes: (U,) int.
            side: the blocks that are judged; laws are made of both.
            who: (N,) units that are judged; None: all.
        """
        n_codes, who = int(codes.max()) + 1, torch.arange(self.n_units, device=codes.device) if who is None else who
        wholes, units, judged = self.summed(codes, n_codes), self.both, self.side(side)
        densities = torch.full((len(who), n_codes), -torch.inf, dtype=torch.double, device=codes.device)
        of_laws = self.log_evidence(wholes)
        for code in codes.unique().tolist():
            inside = codes[who] == code
            others, own = who[~inside], who[inside]
            law = [whole.take(codes.new_tensor([code])) for whole in wholes]
            if len(others):
                joined = [whole + done.take(others) for whole, done in zip(law, judged, strict=True)]
                densities[~inside, code] = self.log_evidence(joined) - of_laws[code]
            if len(own):
                left = [whole - unit.take(own) for whole, unit in zip(law, units, strict=True)]
                again = [whole + done.take(own) for whole, done in zip(left, judged, strict=True)]
                densities[inside, code] = self.log_evidence(again) - self.log_evidence(left)
        return densities


def evidence_of(model: ModeModel, data: TrainingData, config: DiscoveryConfig, generator: torch.Generator) -> Evidence:
    """The evidence that the settings ask for.

    Args:
        model: its features say what is seen of a state; it is not changed.
        data: U units.
        config: `evidence`: what is done in a state ("policy"), or that and which states are visited when ("behaviour").
        generator: CPU generator, draws the random features.
    """
    steps = data.telling
    seen, done = seen_of(model, data, steps), numbers_of(model, data, steps)
    sides = odd_blocks(data, steps)
    units = data.unit_of_step[steps]
    most = MOST_FEATURES if data.n_units <= MANY_UNITS else FEATURES_OF_MANY
    n_features = min(most, max(FEWEST_FEATURES, round(0.5 * math.sqrt(len(steps)))))
    draws = [random_directions(seen.shape[1], n_features, generator, data.device) for _ in range(DRAWS)]
    sample = torch.isin(units, torch.arange(0, data.n_units, max(1, data.n_units // CHOSEN_BY), device=data.device))
    scale, variance = choose(draws[0], seen[sample], done[sample], units[sample].unique(return_inverse=True)[1])
    views = []
    for directions in draws:
        features = random_features(seen, directions, scale)
        views.append(_view(features, done, units, sides, data.n_units, n_features / variance, 1 / DRAWS))
    if config.evidence == "behaviour":
        directions = random_directions(1, PHASE_FEATURES, generator, data.device)
        features = random_features(phase_of(data, steps), (directions[0], PHASE_SCALE * directions[1]), PHASE_SCALE)
        precision = PHASE_FEATURES / PHASE_VARIANCE
        views.append(_view(features, seen, units, sides, data.n_units, precision, 1.0))
    return Evidence(views)


def seen_of(model: ModeModel, data: TrainingData, steps: Tensor) -> Tensor:
    """What the actor sees at these steps, as numbers: (B,) -> (B, R)"""
    rows = data.rows_at(steps, model.features)
    parts = rows.split([kind.n_rows for kind in model.features.kinds], dim=-1)
    return torch.cat([kind.quantities(part) for kind, part in zip(model.features.kinds, parts, strict=True)], dim=-1)


def numbers_of(model: ModeModel, data: TrainingData, steps: Tensor) -> Tensor:
    """The actions of these steps as numbers, (B, A); of choices, whether each but the last was taken."""
    actions, space = data.actions_at(steps), model.config.action_space
    if not space.discrete:
        return model.features.actions(actions)
    columns = [
        torch.nn.functional.one_hot(actions[:, column], choices)[:, : max(1, choices - 1)]
        for column, choices in enumerate(space.choices)
    ]
    return torch.cat(columns, dim=-1).float()


def phase_of(data: TrainingData, steps: Tensor) -> Tensor:
    """How much of its unit lies behind each step, of mean 0 and spread 1: (B,) -> (B, 1)"""
    lengths = torch.from_numpy(data.unit_lengths).to(data.device)
    share = steps_into_unit(data, steps) / lengths[data.unit_of_step[steps]]
    return (share - 0.5)[:, None].float() * math.sqrt(12)


def odd_blocks(data: TrainingData, steps: Tensor) -> Tensor:
    """Whether each step lies in an odd block of its unit: (B,) -> (B,) bool"""
    median = int(torch.from_numpy(data.unit_lengths).median())
    block = min(BLOCK, max(1, median // FEWEST_BLOCKS))
    return (steps_into_unit(data, steps) // block) % 2 == 1


def steps_into_unit(data: TrainingData, steps: Tensor) -> Tensor:
    """How many steps of its unit lie before each: (B,) -> (B,)"""
    lengths = torch.from_numpy(data.unit_lengths).to(data.device)
    return steps - (lengths.cumsum(0) - lengths)[data.unit_of_step[steps]]


Directions = tuple[Tensor, Tensor]
"""(R, F) slopes and (F,) offsets of random features."""


def random_directions(n_inputs: int, n_features: int, generator: torch.Generator, device: torch.device) -> Directions:
    """A draw of the directions along which features rise, and of where they begin to."""
    slopes = torch.randn(n_inputs, n_features, generator=generator) / math.sqrt(n_inputs)
    return slopes.to(device), torch.randn(n_features, generator=generator).to(device)


def random_features(inputs: Tensor, directions: Directions, scale: float) -> Tensor:
    """Rectified random directions and a constant, each of mean square 1: (B, R) -> (B, F + 1) float64"""
    slopes, offsets = directions
    features = torch.relu(inputs @ (scale * slopes) + offsets)
    features = torch.cat([features, torch.ones_like(features[:, :1])], dim=-1).double()
    return features / features.square().mean(0).sqrt().clamp_min(1e-6)


def choose(directions: Directions, seen: Tensor, done: Tensor, units: Tensor) -> tuple[float, float]:
    """The scale and the variance under which units, each by itself, are explained best."""
    best, chosen = -math.inf, (SCALES[0], VARIANCES[0])
    n_units, everything = int(units.max()) + 1, torch.ones_like(units, dtype=torch.bool)
    for scale in SCALES:
        features = random_features(seen, directions, scale)
        left, spread = beyond_the_common_law(features, done)
        moments = moments_of(features, left, units, everything, n_units)
        for variance in VARIANCES:
            found = float(
                log_evidence(moments, (features.shape[1] - 1) / variance).sum() - len(done) * spread.log().sum()
            )
            if found > best:
                best, chosen = found, (scale, variance)
    return chosen


def _view(
    features: Tensor, done: Tensor, units: Tensor, odd: Tensor, n_units: int, precision: float, weight: float
) -> View:
    left, _ = beyond_the_common_law(features, done)
    of_odd, of_even = (moments_of(features, left, units, side, n_units) for side in (odd, ~odd))
    return View(of_odd, of_even, precision, weight)


def beyond_the_common_law(features: Tensor, done: Tensor) -> tuple[Tensor, Tensor]:
    """What the law of all leaves, in units of its spread and never FAR off: (B, A); and that spread, (A,)"""
    done = done.double().clamp(-STATE_LIMIT, STATE_LIMIT)
    scale = done.std(0, correction=0).clamp_min(1e-6)
    done = (done - done.mean(0)) / scale
    ridge = 1e-3 * len(features) * torch.eye(features.shape[1], dtype=features.dtype, device=features.device)
    left = done - features @ torch.linalg.solve(features.T @ features + ridge, features.T @ done)
    spread = left.std(0, correction=0).clamp_min(1e-6)
    return (left / spread).clamp(-FAR, FAR), spread * scale


def moments_of(features: Tensor, done: Tensor, units: Tensor, among: Tensor, n_units: int) -> Moments:
    """Sums over the steps of each unit that are among these: (B, F), (B, A), ascending (B,), (B,) bool -> U groups"""
    features, done, units = features[among], done[among], units[among]
    ends = torch.searchsorted(units, torch.arange(n_units + 1, device=units.device)).tolist()
    products = []
    for first, last in itertools.pairwise(ends):
        both = torch.cat([features[first:last], done[first:last]], dim=-1)
        products.append(features[first:last].T @ both)
    found = torch.stack(products)  # (U, F, F + A)
    n_features = features.shape[1]
    squares = features.new_zeros(n_units, done.shape[1]).index_add(0, units, done.square())
    counts = torch.bincount(units, minlength=n_units).double()
    return Moments(found[..., :n_features].contiguous(), found[..., n_features:].contiguous(), squares, counts)
