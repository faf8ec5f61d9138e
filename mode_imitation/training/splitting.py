"""Take apart a code that discovery gave to two experts; likelihood then decides whether the parts stay apart.

Reassignment moves units between codes and merges codes, but a code that holds two experts it can only keep: one policy
is fitted to both, and no other code explains either better. So each code's units are compared by what they do: a
linear law of the actor's features is fitted to each of them, and the laws are clustered in two.
"""

import torch
from torch import Tensor

from mode_imitation.model.mode_model import ModeModel
from mode_imitation.training.batches import TrainingData

SPLIT_BEFORE = (0, 2)
"""Rounds of reassignment before which codes are taken apart: what was discovered, and what the first merging left."""
FEWEST = 4
"""Units of a code that can be split: two on either side, one for each of the twins."""
LAW_STEPS = 1000
"""Fewer than twice as many steps of a unit are what its law is fitted to."""
PRIOR_STEPS = 30.0
"""The law of a unit is drawn to that of its whole code as by so many steps."""
COMPONENTS = 4
STARTS, ITERATIONS = 16, 20
FAR = 2.0
"""A unit this many times as odd as the median one counts as no odder."""


def splits_before(iteration: int, rounds: int) -> bool:
    """Whether codes are taken apart before this round.

    A round to sort the parts out and one that may merge them again have to follow.
    """
    return iteration in SPLIT_BEFORE and iteration + 1 < rounds


def splits_to_come(iteration: int, rounds: int) -> bool:
    """Whether codes are taken apart before this round or a later one."""
    return any(splits_before(later, rounds) for later in SPLIT_BEFORE if later >= iteration)


def settles(iteration: int) -> bool:
    """Whether the codes are to settle in the round after `iteration` of them: parts were split and merged before."""
    return iteration > max(SPLIT_BEFORE) + 1


@torch.no_grad()
def split_codes(model: ModeModel, data: TrainingData, codes: Tensor, generator: torch.Generator) -> Tensor:
    """Give half of a code's units, those that act alike, to a code that is free: (U,) -> (U,)

    The most clearly divided codes come first where fewer are free than in use. Units without an undisturbed step keep
    their code.

    Args:
        model: its actor's features are used; it is not changed.
        data: U units.
        codes: (U,) int, as they are.
        generator: CPU generator.
    """
    used = codes.unique().tolist()
    free = [code for code in range(model.config.n_codes) if code not in used]
    if not free:
        return codes.clone()
    found = []
    acts = torch.bincount(data.unit_of_step[data.trainable], minlength=data.n_units) > 0
    for code in used:
        units = ((codes == code) & acts).nonzero()[:, 0]
        if len(units) < FEWEST:
            continue
        laws = unit_laws(model, data, units, code)
        side, clarity = two_means(laws, generator, fewest=FEWEST // 2)
        if side.any():
            found.append((clarity, units[side]))
    found.sort(key=lambda item: -item[0])
    codes = codes.clone()
    for (_, units), code in zip(found, free, strict=False):
        codes[units] = code
    return codes


@torch.no_grad()
def unit_laws(model: ModeModel, data: TrainingData, units: Tensor, code: int) -> Tensor:
    """What each of a code's units does where all of them are: (N,) -> (N, P)

    A linear law of the actor's last hidden layer is fitted to every unit by ridge regression towards the law of all.
    The squared distance between two rows is how much the two laws' actions differ in a typical state of the code, in
    units of the spread that the law of all leaves.
    """
    context = model.mode_contexts()[code]
    moments, products, squares, counts = [], [], [], []
    for unit in units.tolist():
        steps = data.law_steps(unit, LAW_STEPS)
        states = data.actor_inputs_at(steps, model.normalizer)
        hidden = model.actor.trunk(torch.cat([states, context.expand(len(steps), -1)], dim=-1))
        features = torch.cat([hidden, torch.ones(len(steps), 1, device=hidden.device)], dim=-1).double()
        actions = model.normalizer.actions(data.actions_at(steps)).double()
        moments.append(features.T @ features)
        products.append(features.T @ actions)
        squares.append((actions**2).sum(0))
        counts.append(len(steps))
    moment, product = torch.stack(moments), torch.stack(products)  # (N, F, F), (N, F, A)
    total = sum(counts)
    typical = moment.sum(0) / total
    jitter = 1e-4 * typical.diagonal().mean() * torch.eye(len(typical), dtype=typical.dtype, device=typical.device)
    law = torch.linalg.solve(typical + jitter, product.sum(0) / total)  # (F, A), of all
    left = torch.stack(squares).sum(0) / total - (law * (2 * product.sum(0) / total - typical @ law)).sum(0)
    own = torch.linalg.solve(moment + PRIOR_STEPS * (typical + jitter), product - moment @ law)  # (N, F, A)
    root = torch.linalg.cholesky(typical + jitter)
    return ((root.T @ own) / left.clamp_min(1e-6).sqrt()).flatten(1)


def two_means(points: Tensor, generator: torch.Generator, fewest: int = 1) -> tuple[Tensor, float]:
    """Cluster in two along the directions of most variance.

    Args:
        points: (N, P), at least 2.
        generator: CPU generator.
        fewest: points on either side; a stray one must not hide two heaps.

    Returns:
        side: (N,) bool, all False where no such clusters were found.
        clarity: squared distance of the two centres over the spread around them; higher is clearer.
    """
    centred = points - points.median(0).values
    norms = centred.norm(dim=1, keepdim=True)
    centred = centred * (FAR * norms.median() / norms.clamp_min(1e-12)).clamp_max(1.0)
    left, strengths, _ = torch.linalg.svd(centred - centred.mean(0), full_matrices=False)
    low = (left * strengths)[:, :COMPONENTS]  # (N, C)
    best, side, clarity = torch.inf, torch.zeros(len(points), dtype=torch.bool, device=points.device), 0.0
    for _ in range(STARTS):
        first = int(torch.randint(len(low), (1,), generator=generator))
        weights = ((low - low[first]) ** 2).sum(1).cpu().clamp_min(1e-12)
        second = int(torch.multinomial(weights, 1, generator=generator))
        centres = low[[first, second]]
        for _ in range(ITERATIONS):
            now = torch.cdist(low, centres).argmin(1) == 1
            if min(int(now.sum()), int((~now).sum())) < fewest:
                break
            centres = torch.stack([low[~now].mean(0), low[now].mean(0)])
        else:
            spread = float(((low - centres[now.long()]) ** 2).sum())
            if spread < best:
                best, side = spread, now
                clarity = float(((centres[0] - centres[1]) ** 2).sum()) / max(spread / len(low), 1e-12)
    return side, clarity
