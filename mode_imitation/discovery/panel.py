"""A panel of networks that settles codes: which two are one, and which unit has which.

Laws in closed form (discovery.evidence) are linear in features that nobody fitted. Where a controller's answer is
sharp, each of the orbits that it settles in has a law of its own, and the search ends with too many codes. So what it
found comes before networks. A network's layers serve all codes; every code has a head of its own, and so has the union
of every two codes that are close. Each network is fitted to some units of every code and judges others: none judges
what it saw.

- Two codes are two where the units of each are explained better by their own head than by the other's, and those of one
  at least than by the union's: else one policy does for both. Wilcoxon's signed ranks over units decide: one odd unit
  does not, and there is no threshold in nats.
- Every unit gets the code whose head explains it best.

U units, S steps, K codes, G groups (codes, then unions), N networks.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mode_imitation.discovery.config import DiscoveryConfig
from mode_imitation.discovery.evidence import Evidence, numbers_of, phase_of, seen_of
from mode_imitation.discovery.search import joining_gains, numbered, told_apart
from mode_imitation.model.batches import TrainingData
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.model.optimiser import adam, set_gradients, set_one_cycle
from mode_imitation.model.threads import side_by_side

NETWORKS = 4
"""Each is fitted to all units but a quarter; even, as one half of them is computed beside the other."""
WIDTH = 128
ITERATIONS, BATCH, LEARNING_RATE = 1000, 256, 8e-3
FREEDOM = 5.0
"""Degrees of Student's t in which a number lies around what a head expects: one surprise must not decide."""
LOG_OF_T = math.lgamma((FREEDOM + 1) / 2) - math.lgamma(FREEDOM / 2) - 0.5 * math.log(FREEDOM * math.pi)
RESOLUTION = math.log(0.1)
"""Of numbers, in units of their spread in the data: what is off by less counts as met, so that nobody is told apart by
the last digit of where a controller settles."""
CLOSEST = 4
"""Codes whose union with a code is judged."""
FEW_CODES = 6
"""So few that every union is judged."""
ROUNDS = 12
"""At most."""
UNSETTLED, PATIENCE = 0.02, 2
"""While more than this share of the units moves, only pairs that gain nothing are joined, for so many rounds."""
JOINED_AT_ONCE = 0.25
"""Pairs, as a share of the codes, but one at least."""
PIECE = 8192
"""Steps that are judged at a time."""


@dataclass
class Question:
    """What is to be explained of each step, by what."""

    inputs: Tensor
    """(S, R)"""
    answers: Tensor
    """(S, A) numbers of about spread 1, or choices from 0 on."""
    choices: tuple[int, ...] = ()
    """How many there are in each column; none: the answers are numbers."""

    @property
    def width(self) -> int:
        """Numbers that a head gives."""
        return sum(self.choices) or self.answers.shape[1]

    def log_density(self, expected: Tensor, log_spread: Tensor, answers: Tensor) -> Tensor:
        """(N, B, G, width), (N, 1, G, width), (N, B, A) -> (N, B, G)"""
        if not self.choices:
            log_spread = log_spread.clamp_min(RESOLUTION)
            off = (answers[:, :, None] - expected) * (-log_spread).exp()
            return (LOG_OF_T - log_spread - (FREEDOM + 1) / 2 * torch.log1p(off.square() / FREEDOM)).sum(-1)
        total = expected.new_zeros(expected.shape[:-1])
        for column, logits in enumerate(expected.split(self.choices, dim=-1)):
            taken = answers[:, :, None, column, None].expand(*logits.shape[:-1], 1)
            total = total + F.log_softmax(logits, dim=-1).gather(-1, taken)[..., 0]
        return total

    def marginal(self, steps: Tensor) -> tuple[Tensor, Tensor]:
        """What a head begins with that answers for these steps, whatever the state: (width,) expected, log spread."""
        answers = self.answers[steps]
        if not len(steps):
            return answers.new_zeros(self.width, dtype=torch.float), answers.new_zeros(self.width, dtype=torch.float)
        if not self.choices:
            return answers.mean(0), answers.std(0, correction=0).log().clamp_min(RESOLUTION)
        shares = [
            (torch.bincount(column, minlength=choices) + 1) / (len(column) + choices)
            for column, choices in zip(answers.T, self.choices, strict=True)
        ]
        return torch.cat(shares).log(), answers.new_zeros(self.width, dtype=torch.float)


class Networks:
    """N networks of two shared layers, with a head for each of G groups, for one question; as arrays, not modules."""

    def __init__(self, question: Question, members: Sequence[Sequence[Tensor]], generator: torch.Generator) -> None:
        """
        Args:
            members: of each of N networks and each of G groups, the steps that the head is fitted to.
            generator: CPU generator.
        """
        self.question, self.groups, count = question, len(members[0]), len(members)
        sizes = (question.inputs.shape[1], WIDTH, WIDTH, self.groups * question.width)
        self.weights, self.offsets = [], []
        for n_in, n_out in itertools.pairwise(sizes):
            drawn = torch.rand(count, n_in + 1, n_out, generator=generator).to(question.inputs.device)
            drawn = (2 * drawn - 1) / math.sqrt(n_in)
            self.weights.append(drawn[:, 1:].contiguous())
            self.offsets.append(drawn[:, :1].contiguous())
        self.weights[-1] *= 0.3  # heads begin near what their groups do on average
        begin = [[torch.cat(question.marginal(steps)) for steps in of_one] for of_one in members]
        expected, log_spread = torch.stack([torch.stack(of_one) for of_one in begin])[:, None].chunk(2, dim=-1)
        self.offsets[-1], self.log_spread = expected.flatten(2).contiguous(), log_spread.contiguous()

    def parameters(self) -> list[Tensor]:
        return [*self.weights, *self.offsets, self.log_spread]

    def half(self, second: bool) -> "Networks":
        """One half of the networks, which shares their memory."""
        some = slice(len(self.log_spread) // 2, None) if second else slice(len(self.log_spread) // 2)
        part = object.__new__(Networks)
        part.question, part.groups = self.question, self.groups
        part.weights = [weights[some].detach().requires_grad_() for weights in self.weights]
        part.offsets = [offsets[some].detach().requires_grad_() for offsets in self.offsets]
        part.log_spread = self.log_spread[some].detach().requires_grad_()
        return part

    def log_density(self, steps: Tensor) -> Tensor:
        """(N, B) steps, of each network its own -> (N, B, G)"""
        hidden = self.question.inputs[steps]
        for weights, offsets in zip(self.weights[:-1], self.offsets[:-1], strict=True):
            hidden = F.silu(torch.baddbmm(offsets, hidden, weights))
        expected = torch.baddbmm(self.offsets[-1], hidden, self.weights[-1])
        expected = expected.unflatten(-1, (self.groups, self.question.width))
        return self.question.log_density(expected, self.log_spread, self.question.answers[steps])


class Verdict(NamedTuple):
    """What the panel says of two codes."""

    first: int
    second: int
    gap: float
    """Nats a step that the units of the less clear code lose, in the median, under the other's head."""
    clarity: float
    """Signed ranks of those losses, or of those under the union's head where they are less clear, in units of what the
    confidence asks for: 1 or more tells the codes apart."""


@dataclass
class Panel:
    """Settles the codes of U units."""

    evidence: Evidence
    questions: list[Question]
    unit_of_step: Tensor
    """(S,) of the steps that are asked about."""
    confidence: float
    generator: torch.Generator
    """CPU generator."""
    verdicts: list[Verdict] = field(default_factory=list)
    """On the codes that `settle` ended with, the least clear pair first."""

    def settle(self, codes: Tensor) -> Tensor:
        """(U,) numbered codes -> (U,) numbered codes, as few or fewer"""
        judged = torch.bincount(self.unit_of_step, minlength=len(codes)) > 0
        unsettled = 0
        for turn in range(ROUNDS):
            codes = self.without_singles(codes, judged)
            if (n_codes := int(codes.max()) + 1) == 1:
                self.verdicts = []
                break
            unions = self.close_pairs(codes, n_codes)
            scores = self.scores(codes, unions)
            self.verdicts = self.compare(codes, unions, scores)
            moved = 0 if scores is None else int((scores[:, :n_codes].argmax(1) != codes)[judged].sum())
            settling = moved <= UNSETTLED * len(codes) or unsettled >= PATIENCE
            heads = self.joined(unions, n_codes, 1.0 if settling else 0.0)
            joining = len(set(heads)) < n_codes
            if turn == ROUNDS - 1 or not (joining or (moved and unsettled <= PATIENCE)):
                break
            unsettled = 0 if joining else unsettled + 1
            found = codes.new_tensor(heads)[codes]
            if scores is not None:
                used = found.unique()
                found = torch.where(judged, used[scores[:, used].argmax(1)], found)
            # A unit without a step to go by is never left alone with a code.
            alone = ~judged & ~torch.isin(found, found[judged])
            codes = numbered(torch.where(alone, found[judged].mode().values, found))
        return codes

    def without_singles(self, codes: Tensor, judged: Tensor) -> Tensor:
        """A code of one unit has no head that could judge it, and would spoil another's: the unit goes where laws say.

        Args:
            codes: (U,) numbered.
            judged: (U,) whether a unit has a step to go by.
        """
        many = torch.bincount(codes[judged], minlength=int(codes.max()) + 1) > 1
        if many.all() or not many.any():
            return codes if many.any() else torch.zeros_like(codes)
        others = self.evidence.predictive(codes).masked_fill(~many, -torch.inf).argmax(1)
        return numbered(torch.where(many[codes], codes, others))

    def close_pairs(self, codes: Tensor, n_codes: int) -> list[tuple[int, int]]:
        """Pairs of codes whose union is judged: those that lose least evidence when they are joined."""
        if n_codes <= FEW_CODES:
            return [(first, second) for first in range(n_codes) for second in range(first + 1, n_codes)]
        moments = self.evidence.summed(codes, n_codes)
        own = self.evidence.log_evidence(moments)
        close = set()
        for code in range(n_codes):
            others = [other for other in range(n_codes) if other != code]
            gains = joining_gains(self.evidence, moments, own, code, others)
            for closest in gains.argsort(descending=True)[:CLOSEST].tolist():
                close.add((min(code, others[closest]), max(code, others[closest])))
        return sorted(close)

    def scores(self, codes: Tensor, unions: Sequence[tuple[int, int]]) -> Tensor | None:
        """Nats a step of every unit under every head, by networks that never saw the unit: (U,) -> (U, G)

        None where the networks learnt nothing that holds for other units: then there are too few to judge by.
        """
        n_codes, device = int(codes.max()) + 1, codes.device
        answers = torch.zeros(n_codes, n_codes + len(unions), device=device)  # which heads answer for a code
        answers[:, :n_codes] = torch.eye(n_codes)
        for column, pair in enumerate(unions, n_codes):
            answers[list(pair), column] = 1
        fold = self.folds(codes)
        code_of_step, fold_of_step = codes[self.unit_of_step], fold[self.unit_of_step]
        seen = [(fold_of_step != one).nonzero()[:, 0] for one in range(NETWORKS)]
        members = [[own[answers[code_of_step[own], group] > 0] for group in range(answers.shape[1])] for own in seen]
        before, after = (torch.zeros(len(codes), answers.shape[1], dtype=torch.double, device=device) for _ in range(2))
        for question in self.questions:
            networks = Networks(question, members, self.generator)
            self.add_scores(before, networks, fold_of_step)
            self.fit(networks, seen, answers[code_of_step])
            self.add_scores(after, networks, fold_of_step)
        if float((after - before).gather(1, codes[:, None]).sum()) <= 0:
            return None
        steps = torch.bincount(self.unit_of_step, minlength=len(codes))
        return after / steps.clamp_min(1)[:, None]

    def add_scores(self, total: Tensor, networks: Networks, fold_of_step: Tensor) -> None:
        """Add each unit's log density under every head of the network of its fold, to (U, G)."""
        for piece in torch.arange(len(fold_of_step), device=total.device).split(PIECE):
            of_all = networks.log_density(piece.expand(NETWORKS, -1))
            own = of_all[fold_of_step[piece], torch.arange(len(piece), device=total.device)]
            total.index_add_(0, self.unit_of_step[piece], own.double())

    def folds(self, codes: Tensor) -> Tensor:
        """Which network judges each unit, every code spread over all of them: (U,) -> (U,)"""
        chance = torch.rand(len(codes), generator=self.generator).to(codes.device)
        order = (codes + chance.double()).argsort()
        fold = torch.empty_like(codes)
        fold[order] = torch.arange(len(codes), device=codes.device) % NETWORKS
        return fold

    def fit(self, networks: Networks, seen: Sequence[Tensor], answers: Tensor) -> None:
        """Fit each network to its own steps.

        Args:
            seen: of each network, steps.
            answers: (S, G), 1 where the group's head answers for the step.
        """
        device = answers.device
        batches = torch.Generator(device).manual_seed(int(torch.randint(2**62, (1,), generator=self.generator)))
        halves = [networks.half(False), networks.half(True)]
        optimiser = adam([parameter for half in halves for parameter in half.parameters()], LEARNING_RATE)

        def gradients(drawn: tuple[Networks, Tensor]) -> tuple[Tensor, ...]:
            half, steps = drawn
            weights = answers[steps]
            loss = -(half.log_density(steps) * weights).sum((1, 2)) / weights.sum((1, 2))
            return torch.autograd.grad(loss.sum(), half.parameters(), allow_unused=True, materialize_grads=True)

        for iteration in range(ITERATIONS):
            set_one_cycle(optimiser, iteration, ITERATIONS, LEARNING_RATE)
            steps = torch.stack(
                [own[torch.randint(len(own), (BATCH,), generator=batches, device=device)] for own in seen]
            )
            drawn = list(zip(halves, steps.chunk(2), strict=True))
            for (half, _), found in zip(
                drawn, side_by_side(gradients, drawn, None if device.type == "cpu" else 1), strict=True
            ):
                set_gradients(half.parameters(), found)
            optimiser.step()

    def compare(self, codes: Tensor, unions: Sequence[tuple[int, int]], scores: Tensor | None) -> list[Verdict]:
        """On every pair whose union was judged, the least clear one first; without scores by the laws alone."""
        if scores is None:
            found = [Verdict(*pair, *told_apart(self.evidence, codes, *pair, self.confidence)) for pair in unions]
            return sorted(found, key=lambda verdict: verdict.clarity)
        n_codes = int(codes.max()) + 1
        known = torch.bincount(self.unit_of_step, minlength=len(codes)) > 0
        law = NormalDist()
        both = law.inv_cdf(max(0.6, 1 - 2 * (1 - self.confidence)))  # less of each side, as both have to reach it
        either = law.inv_cdf(1 - (1 - self.confidence) / 2)
        found = []
        for column, pair in enumerate(unions, n_codes):
            sides = [((codes == code) & known).nonzero()[:, 0] for code in pair]
            own = [scores[side, code] for side, code in zip(sides, pair, strict=True)]
            to_other = [mine - scores[side, code] for mine, side, code in zip(own, sides, pair[::-1], strict=True)]
            to_union = [mine - scores[side, column] for mine, side in zip(own, sides, strict=True)]
            clarity = min(
                *(clarity_of(lost, both) for lost in to_other), max(clarity_of(lost, either) for lost in to_union)
            )
            found.append(Verdict(*pair, min(float(lost.median()) for lost in to_other), clarity))
        return sorted(found, key=lambda verdict: verdict.clarity)

    def joined(self, unions: Sequence[tuple[int, int]], n_codes: int, below: float) -> list[int]:
        """The head that stands for each code from now on, by the verdicts: of (K,) codes

        The least clear pairs are joined: all that gain nothing, and a few where they are less clear than `below`.
        """
        heads, left = list(range(n_codes)), max(1, int(JOINED_AT_ONCE * n_codes))
        columns = {pair: column for column, pair in enumerate(unions, n_codes)}
        for verdict in self.verdicts:
            first, second = verdict.first, verdict.second
            apart = verdict.clarity >= (below if left > 0 else 0.0)
            if not apart and heads[first] == first and heads[second] == second:
                heads[first] = heads[second] = columns[first, second]
                left -= 1
        return heads


def signed_ranks(values: Tensor) -> float:
    """Wilcoxon's signed-rank statistic in units of its standard deviation under a symmetric law around 0: (N,) -> z

    Positive where values tend to be positive. It is scipy.stats.wilcoxon's z without its corrections.
    """
    from scipy.stats import rankdata  # scikit-learn brings it

    found = values.cpu().numpy()
    ranks = rankdata(np.abs(found))
    return float((np.sign(found) * ranks).sum() / np.sqrt(np.square(ranks).sum())) if len(found) else 0.0


def clarity_of(values: Tensor, asked: float) -> float:
    """`signed_ranks` in units of what is asked for; of few values no more is asked than that all are positive."""
    n = len(values)
    return signed_ranks(values) / min(asked, (1.5 * n * (n + 1) / (2 * n + 1)) ** 0.5)


def panel_of(
    model: ModeModel, data: TrainingData, evidence: Evidence, config: DiscoveryConfig, generator: torch.Generator
) -> Panel:
    """The panel that the settings ask for; see `evidence_of` for the arguments."""
    steps, space = data.telling, model.config.action_space
    seen = seen_of(model, data, steps).float()
    if space.discrete:
        questions = [Question(seen, data.actions_at(steps).long(), tuple(space.choices))]
    else:
        questions = [Question(seen, numbers_of(model, data, steps).float())]
    if config.evidence == "behaviour":
        questions.append(Question(phase_of(data, steps), seen))
    return Panel(evidence, questions, data.unit_of_step[steps], config.confidence, generator)


def as_entries(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """For the report."""
    return [verdict._asdict() for verdict in verdicts]
