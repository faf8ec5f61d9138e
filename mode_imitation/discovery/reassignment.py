"""From codes to better codes: split what holds two policies, give units to who explains them best, merge duplicates.

A hard EM whose E-step is cross-fitted (see `evidence`). U units, K codes.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from mode_imitation.discovery.config import DiscoveryConfig
from mode_imitation.discovery.evidence import code_gaps, fit_twins, halves, judged_units, unit_scores
from mode_imitation.model.batches import TrainingData
from mode_imitation.model.mode_model import ModeModel

FEW = 0.1
"""Share of the units up to which those that a round moved count as undecided."""
GAIN = 0.05
"""Nats per step below which another code explains a unit no better, once codes settle."""

SPLIT_BEFORE = (0, 2)
"""Rounds before which codes are taken apart: what the start found, and what the first merging left."""
FEWEST = 4
"""Units of a code that can be split: two on either side, one for each of the twins."""
LAW_STEPS = 1000
"""Fewer than twice as many steps of a unit are what its law is fitted to."""
PRIOR_STEPS = 30.0
"""The law of a unit is drawn to that of its whole code as by so many steps."""
COMPONENTS = 4
CLUSTER_STARTS, CLUSTER_ROUNDS = 16, 20
FAR = 2.0
"""A unit this many times as odd as the median one counts as no odder."""


class Round(NamedTuple):
    """What one round did."""

    codes: Tensor
    """(U,) int"""
    moved: Tensor
    """(U,) bool, the units that got another code, before merging."""
    figures: dict[str, Any]
    """For the log and the report: nll (nats per step under the new codes, by policies that never saw the unit), changed
    (units that moved), n_codes, smallest_gap (between the two most similar codes, before merging; None for one code),
    split (codes taken apart)."""


def next_round(
    model: ModeModel,
    data: TrainingData,
    codes: Tensor,
    config: DiscoveryConfig,
    generator: torch.Generator,
    done: list[dict[str, Any]],
    moved: Tensor | None,
) -> Round | None:
    """The round that follows those that are done; None where codes have settled, or there were enough.

    Args:
        model: its features and its actor's sizes are used; it is not changed.
        data: U units, `showing` the model's features.
        codes: (U,) int, as they are.
        config: rounds, merge_gap, and what judges are fitted with.
        generator: CPU generator.
        done: figures of the rounds before.
        moved: (U,) bool, what the last of them moved; None before the first.
    """
    number = len(done)
    splits_to_come = any(later + 1 < config.rounds for later in SPLIT_BEFORE if later >= number)
    if number >= config.rounds or (_settled(done) and not splits_to_come):
        return None
    n_split = 0
    # A round to sort the parts out, and one that may merge them again, have to follow a split.
    if number in SPLIT_BEFORE and number + 1 < config.rounds:
        split = split_codes(model, data, codes, generator)
        n_split = len(split.unique()) - len(codes.unique())
        codes = split
    merge = config.rounds == 1 or (number > 0 and n_split == 0)
    settling = number > max(SPLIT_BEFORE) + 1
    new, moved, figures = reassign(
        model, data, codes, config, generator, merge=merge, moved=moved if settling else None
    )
    return Round(new, moved, figures | {"split": n_split})


def _settled(done: list[dict[str, Any]]) -> bool:
    """Whether the last of the rounds, which may have merged codes, left every unit where it was."""
    return len(done) > 1 and done[-1]["changed"] == 0 and done[-1]["n_codes"] == done[-2]["n_codes"]


def reassign(
    model: ModeModel,
    data: TrainingData,
    codes: Tensor,
    config: DiscoveryConfig,
    generator: torch.Generator,
    *,
    merge: bool,
    moved: Tensor | None = None,
) -> Round:
    """Give every unit the code that explains it best, and merge codes that explain each other's units as well.

    Args:
        moved: (U,) bool, the units that the round before moved, where codes are to settle now: no policy is fitted to
            those that are `undecided`, and a unit keeps its code unless it gains by another; None before.
    """
    left_out = None if moved is None else undecided(codes, moved)
    twins = fit_twins(model, data, codes, halves(codes, generator), config, generator, left_out)
    scores = unit_scores(model, data, twins, codes.unique())
    own, best = scores.gather(1, codes[:, None])[:, 0], scores.min(1)
    new = best.indices if moved is None else torch.where(own - best.values > GAIN, best.indices, codes)
    # A unit without a step to be judged by keeps its code, unless it would be left alone with it: nobody knows what
    # such a code stands for, and no policy could be fitted to it.
    judged = judged_units(data)
    new = torch.where(judged, new, codes)
    if judged.any():
        new = torch.where(judged | torch.isin(codes, new[judged]), new, new[judged].mode().values)
    gaps = code_gaps(scores[judged], new[judged])
    nll = scores.gather(1, new[:, None])[judged].mean().item()
    merged = merge_codes(new, gaps, config.merge_gap) if merge else new
    figures = {
        "nll": nll,
        "changed": int((new != codes).sum()),
        "n_codes": len(merged.unique()),
        "smallest_gap": min(gaps.values(), default=None),
    }
    return Round(merged, new != codes, figures)


def undecided(codes: Tensor, moved: Tensor) -> Tensor | None:
    """Units that the last round moved, where they are few: no policy should be fitted to them before they have settled.

    A single unit in the wrong code is enough to keep it there, and to draw others after it: told that code, a policy
    learns to do as the unit's expert does wherever the code's own expert never is, and explains both.

    Args:
        codes: (U,) int, after the round.
        moved: (U,) bool.

    Returns:
        (U,) bool; None where nothing moved, or too much. Those that are most of their code are not among them, as
        nothing would be left to fit it to.
    """
    if not moved.any() or moved.double().mean() > FEW:
        return None
    sizes = torch.bincount(codes)
    most = 2 * torch.bincount(codes[moved], minlength=len(sizes)) > sizes
    chosen = moved & ~most[codes]
    return chosen if chosen.any() else None


def merge_codes(codes: Tensor, gaps: dict[tuple[int, int], float], threshold: float) -> Tensor:
    """Join every pair of codes whose gap is below the threshold, the closest first: (U,) -> (U,)"""
    names = list(range(int(codes.max()) + 1))
    for (first, second), gap in sorted(gaps.items(), key=lambda item: item[1]):
        if gap < threshold:
            kept, gone = names[first], names[second]
            names = [kept if name == gone else name for name in names]
    return torch.tensor(names, device=codes.device)[codes]


def same_partition(codes: Tensor, others: Tensor) -> bool:
    """Whether two codings, (U,) and (U,), put the same units together, whatever they call the groups."""
    pairs = len(torch.stack([codes, others]).unique(dim=1).T)
    return pairs == len(codes.unique()) == len(others.unique())


@torch.no_grad()
def split_codes(model: ModeModel, data: TrainingData, codes: Tensor, generator: torch.Generator) -> Tensor:
    """Give half of a code's units, those that act alike, to a code that is free: (U,) -> (U,)

    Reassignment can only keep a code that holds two experts: one policy is fitted to both, and no other code explains
    either better. So a linear law of the actor's features is fitted to each unit, and the laws are clustered in two;
    likelihood then decides whether the parts stay apart. The most clearly divided codes come first where fewer are free
    than in use. Units without an undisturbed step keep their code.
    """
    used = codes.unique().tolist()
    free = [code for code in range(model.config.n_codes) if code not in used]
    found = []
    acts = torch.bincount(data.unit_of_step[data.trainable], minlength=data.n_units) > 0
    for code in used if free else []:
        units = ((codes == code) & acts).nonzero()[:, 0]
        if len(units) >= FEWEST:
            side, clarity = two_means(unit_laws(model, data, units, code), generator, fewest=FEWEST // 2)
            if side.any():
                found.append((clarity, units[side]))
    codes = codes.clone()
    for (_, units), code in zip(sorted(found, key=lambda item: -item[0]), free, strict=False):
        codes[units] = code
    return codes


@torch.no_grad()
def unit_laws(model: ModeModel, data: TrainingData, units: Tensor, code: int) -> Tensor:
    """What each of a code's units does where all of them are: (N,) -> (N, P)

    A linear law of the actor's last hidden layer is fitted to every unit by ridge regression towards the law of all; of
    choices, to whether each was taken. The squared distance between two rows is how much the two laws' actions differ
    in a typical state of the code, in units of the spread that the law of all leaves.
    """
    context = torch.eye(model.config.n_codes, device=data.device)[code]
    moments, products, squares, counts = [], [], [], []
    for unit in units.tolist():
        steps = law_steps(data, unit)
        hidden = model.actor.hidden(data.rows_at(steps, model.features), context.expand(len(steps), -1))
        features = torch.cat([hidden, torch.ones(len(steps), 1, device=hidden.device)], dim=-1).double()
        actions = _as_numbers(model, data.actions_at(steps)).double()
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


def law_steps(data: TrainingData, unit: int) -> Tensor:
    """Undisturbed steps of a unit, evenly spread, fewer than twice LAW_STEPS; emphasised ones where it has such."""
    ends = torch.tensor([unit, unit + 1], device=data.device)
    for among in (data.emphasised, data.trainable):
        first, last = torch.searchsorted(data.unit_of_step[among], ends).tolist()
        if last > first:
            return among[first : last : max(1, (last - first) // LAW_STEPS)]
    return data.trainable[:0]


def _as_numbers(model: ModeModel, actions: Tensor) -> Tensor:
    """(B, A) raw -> normalised numbers, or one number for each choice."""
    space = model.config.action_space
    if not space.discrete:
        return model.features.actions(actions)
    columns = [torch.nn.functional.one_hot(actions[:, i], choices) for i, choices in enumerate(space.choices)]
    return torch.cat(columns, dim=-1)


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
    for _ in range(CLUSTER_STARTS):
        first = int(torch.randint(len(low), (1,), generator=generator))
        weights = ((low - low[first]) ** 2).sum(1).cpu().clamp_min(1e-12)
        second = int(torch.multinomial(weights, 1, generator=generator))
        centres = low[[first, second]]
        for _ in range(CLUSTER_ROUNDS):
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
