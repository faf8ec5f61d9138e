"""From codes to better codes, and to as many as the data bears out: nobody has to say how many there are.

Units begin each by itself, or with the codes of a start. Then, in turns,

- the two groups whose union loses least evidence are joined, as long as joining gains evidence, and beyond that
  wherever what one half of the blocks decides is not borne out by the other half (`told_apart`);
- every unit goes to the code whose law, which never saw it, explains it best.

U units, K codes.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mode_imitation.discovery.evidence import Evidence, Moments, Side
from mode_imitation.discovery.starts import kmeans_codes
from mode_imitation.model.batches import TrainingData

REASSIGNMENTS, REASSIGNMENTS_OF_MANY = 10, 2
"""In a row, at most; and of many units while there are many codes, which takes longest."""
MOST_JUDGED = 64
"""Units of a code, evenly spread, that tell whether two codes are two."""
FAR = 5.0
"""Nats a step that a trajectory may prefer a code by; beyond, it counts as no clearer."""
SMALLEST_SPREAD = 1e-3
"""Nats a step; trajectories that agree to the last digit are not endless evidence."""
CROSSWISE: tuple[tuple[Side, Side], ...] = (("odd", "even"), ("even", "odd"))
"""Which blocks decide, and which judge."""
MOST_GROUPS = 200
"""Groups that joining may begin with: pairs of them are compared."""


class Apart(NamedTuple):
    """How clearly two codes are told apart by steps that did not decide who has which."""

    gap: float
    """Nats a step that the trajectories of the less clear code lose under the other one."""
    clarity: float
    """That gap over its standard error, in units of what the confidence asks for: 1 or more tells them apart."""


class Found(NamedTuple):
    codes: Tensor
    """(U,) int, from 0 on."""
    score: float
    """Log density of what each unit's blocks show, under the code that its other blocks chose: nats a step."""


def find_codes(evidence: Evidence, codes: Tensor, n_codes: int, confidence: float, passes: int = 6) -> Found:
    """Join and reassign until the codes settle.

    Args:
        evidence: of U units.
        codes: (U,) int, groups to begin with.
        n_codes: K, the most codes there may be in the end.
        confidence: that two codes are two, .975 say.
        passes: of joining and reassigning, at most; they mostly settle in two.
    """
    few = REASSIGNMENTS if evidence.n_units <= MOST_GROUPS else REASSIGNMENTS_OF_MANY
    codes = reassigned(evidence, join(evidence, numbered(codes), n_codes, confidence, only_gains=True), few)
    for _ in range(passes):
        joined = join(evidence, codes, n_codes, confidence)
        settled = len(joined.unique()) == len(codes.unique())
        codes = reassigned(evidence, joined)
        if settled:
            break
    return Found(codes, score(evidence, codes))


def first_groups(data: TrainingData, codes: Tensor, generator: torch.Generator) -> Tensor:
    """(U,) every unit by itself; of too many, clusters of what they do on average, none across codes: (U,) -> (U,)"""
    if data.n_units <= MOST_GROUPS:
        return torch.arange(data.n_units, device=data.device)
    clusters = kmeans_codes(data, MOST_GROUPS // 2, generator)
    return numbered(clusters * (int(codes.max()) + 1) + codes)


def join(evidence: Evidence, codes: Tensor, n_codes: int, confidence: float, *, only_gains: bool = False) -> Tensor:
    """Join pairs of codes, the one that loses least evidence first: (U,) numbered -> (U,) numbered

    Args:
        evidence: of U units.
        codes: without gaps in their numbers.
        n_codes: K.
        confidence: see `told_apart`.
        only_gains: stop where no pair gains; else pairs that are not told apart are joined too, and where more than K
            codes are left then, those that lose least.
    """
    n_groups = int(codes.max()) + 1
    moments = evidence.summed(codes, n_groups)
    own = evidence.log_evidence(moments)
    gains = torch.full((n_groups, n_groups), -torch.inf, dtype=torch.double)
    apart = torch.zeros(n_groups, n_groups, dtype=torch.bool)
    alive = list(range(n_groups))

    def compare(group: int, others: list[int]) -> None:
        found = joining_gains(evidence, moments, own, group, others).cpu()
        gains[group, others] = found
        gains[others, group] = found

    for group in alive[:-1]:
        compare(group, alive[group + 1 :])
    while len(alive) > 1:
        open_gains = gains.masked_fill(apart, -torch.inf)
        first, second = divmod(int(open_gains.argmax()), n_groups)
        if open_gains[first, second] == -torch.inf:
            if len(alive) <= n_codes:
                break
            first, second = divmod(int(gains.argmax()), n_groups)
        elif open_gains[first, second] < 0:
            if only_gains:
                break
            if told_apart(evidence, codes, first, second, confidence).clarity >= 1:
                apart[first, second] = apart[second, first] = True
                continue
        for of_view in moments:
            for part in of_view.parts():
                part[first] += part[second]
        own[first] = evidence.log_evidence([of_view.take(codes.new_tensor([first])) for of_view in moments])[0]
        codes = torch.where(codes == second, first, codes)
        alive.remove(second)
        gains[second] = gains[:, second] = -torch.inf
        apart[first] = apart[:, first] = False
        if len(alive) > 1:
            compare(first, [group for group in alive if group != first])
    return numbered(codes)


def joining_gains(
    evidence: Evidence, moments: Sequence[Moments], own: Tensor, group: int, others: Sequence[int]
) -> Tensor:
    """Nats that are gained where one law stands for a group and each of some others: (len(others),)

    Args:
        moments: of each view, those of N groups.
        own: (N,) log evidence of the groups.
    """
    index = torch.tensor(others, device=own.device)
    joined = [of_view.take(index) + of_view.take(index.new_tensor([group])) for of_view in moments]
    return evidence.log_evidence(joined) - own[index] - own[group]


def reassigned(evidence: Evidence, codes: Tensor, times: int = REASSIGNMENTS) -> Tensor:
    """Every unit with the code whose other units' law explains it best, until none moves: (U,) -> (U,) numbered

    A unit without a step to be judged by goes where most are.
    """
    judged = evidence.steps["both"] > 0
    for _ in range(times):
        found = evidence.predictive(codes).argmax(1)
        if judged.any() and not judged.all():
            known = torch.isin(codes, found[judged])
            found = torch.where(judged, found, torch.where(known, codes, found[judged].mode().values))
        if torch.equal(found, codes):
            break
        codes = numbered(found)
    return codes


def told_apart(evidence: Evidence, codes: Tensor, first: int, second: int, confidence: float) -> Apart:
    """Whether two codes are two, with this confidence.

    Each unit chooses between them by its odd blocks and is judged by its even ones, and the other way round, under laws
    that never saw it.

    The gap of a code is how much those that chose it prefer it; its standard error is taken over units, their spread
    pooled over both codes. The less clear code counts.
    """
    units = ((codes == first) | (codes == second)).nonzero()[:, 0]
    pair, sides = evidence.take(units), (codes[units] == second).long()
    each = [(sides == side).nonzero()[:, 0] for side in (0, 1)]
    who = torch.cat([of_side[:: -(-len(of_side) // MOST_JUDGED)] for of_side in each])
    chosen, preferred, known = [], [], []
    for decides, judges in CROSSWISE:
        choice, steps = pair.predictive(sides, decides, who).argmax(1), pair.steps[judges][who]
        densities = pair.predictive(sides, judges, who) / steps.clamp_min(1)[:, None]
        preference = densities.gather(1, choice[:, None]) - densities.gather(1, 1 - choice[:, None])
        chosen.append(choice)
        preferred.append(preference[:, 0].clamp(-FAR, FAR))
        known.append(steps > 0)
    choices, preferences, counted = torch.stack(chosen), torch.stack(preferred), torch.stack(known)  # (2, N)
    gaps = []
    for side in (0, 1):
        here = counted & (choices == side)
        total, times = (preferences * here).sum(0), here.sum(0)
        gaps.append(total[times > 0] / times[times > 0])
    sizes = [len(of_side) for of_side in gaps]
    freedom = sum(sizes) - 2
    if min(sizes) < 1 or freedom < 1:
        return Apart(0.0, 0.0)
    off = torch.cat([of_side - of_side.mean() for of_side in gaps])
    spread = float(off.square().sum() / freedom) ** 0.5
    clarity, gap = min(
        (float(of_side.mean()) / (spread / len(of_side) ** 0.5 + SMALLEST_SPREAD), float(of_side.mean()))
        for of_side in gaps
    )
    return Apart(gap, clarity / students_quantile(confidence, freedom))


def unit_scores(evidence: Evidence, codes: Tensor) -> Tensor:
    """Log density of what each unit's blocks of one side show, under the code that those of the other side chose: (U,)

    In nats a step, of both sides; not a number where a unit has no step to be judged by.
    """
    total = torch.zeros(evidence.n_units, dtype=torch.double, device=codes.device)
    for decides, judges in CROSSWISE:
        choice = evidence.predictive(codes, decides).argmax(1)
        total += evidence.predictive(codes, judges).gather(1, choice[:, None])[:, 0]
    steps = evidence.steps["both"]
    return torch.where(steps > 0, total / steps, torch.nan)


def score(evidence: Evidence, codes: Tensor) -> float:
    """Mean of `unit_scores` over all steps; more is better, whatever the number of codes."""
    steps = evidence.steps["both"]
    return float((unit_scores(evidence, codes).nan_to_num() * steps).sum() / steps.sum().clamp_min(1))


def pairs(evidence: Evidence, codes: Tensor, confidence: float) -> list[dict[str, Any]]:
    """How clearly each pair of codes is told apart, the least clear first; for the report."""
    used = codes.unique().tolist()
    found = [
        {"first": first, "second": second, **told_apart(evidence, codes, first, second, confidence)._asdict()}
        for index, first in enumerate(used)
        for second in used[index + 1 :]
    ]
    return sorted(found, key=lambda entry: entry["clarity"])


def numbered(codes: Tensor) -> Tensor:
    """Codes without gaps in their numbers: (U,) -> (U,)"""
    return codes.unique(return_inverse=True)[1]


def same_partition(codes: Tensor, others: Tensor) -> bool:
    """Whether two codings, (U,) and (U,), put the same units together, whatever they call the groups."""
    both = len(torch.stack([codes, others]).unique(dim=1).T)
    return both == len(codes.unique()) == len(others.unique())


@functools.cache
def students_quantile(confidence: float, freedom: int) -> float:
    """Of Student's t with so many degrees of freedom."""
    from scipy.stats import t  # scikit-learn brings it

    return float(t.ppf(confidence, freedom))
