"""The fixed lists of layouts that training never sees, so that modes, experts and later runs face the same ones."""

from collections.abc import Iterable

from mode_imitation.errors import UserError

FIRST_HELD_OUT = 1_000_000_000
"""Seeds from here on belong to evaluation; `generate` draws its layouts below."""
BLOCK = 500_000
"""Layouts in a list."""
BLOCKS = {
    "report": FIRST_HELD_OUT,
    "tuning": FIRST_HELD_OUT + BLOCK,
    "benchmark": FIRST_HELD_OUT + 2 * BLOCK,
    "confirmation": FIRST_HELD_OUT + 3 * BLOCK,
}
"""First seed of each list. Nothing is to be tuned on `report`, which report cards and demos show, nor on `benchmark`,
which only the benchmark's final runs drive; `tuning` is for that, experts included. `confirmation` is for methods that
are settled: its figures are reported, whatever they are. What was changed after failures were seen on `benchmark`, and
what of `confirmation` was seen before, docs/results.md says."""


def held_out_layouts(n: int, block: str = "report") -> list[int]:
    """The first `n` layout seeds of a list; a longer list begins with the shorter one.

    Raises:
        UserError: `n` is not between 1 and 500,000, or there is no such list.
    """
    if block not in BLOCKS:
        raise UserError(f"there is no list of layouts {block!r}; expected {', '.join(BLOCKS)}")
    if not 1 <= n <= BLOCK:
        raise UserError(f"{n} layouts were asked for; expected 1 to {BLOCK:,}")
    return list(range(BLOCKS[block], BLOCKS[block] + n))


def layout_name(seed: int | None, *, laid_out: bool = True) -> str:
    """What a picture calls an episode's seed: "held-out layout 1" for the first of `report`, "layout 17" for one below.

    In a world that lays nothing out, "held-out start 1" and "seed 17".
    """
    for block, first in BLOCKS.items():
        if seed is not None and first <= seed < first + BLOCK:
            kind = "held-out" if block == "report" else block
            return f"{kind} {'layout' if laid_out else 'start'} {seed - first + 1}"
    return f"{'layout' if laid_out else 'seed'} {seed}"


def check_disjoint(layouts: Iterable[int], training_layouts: Iterable[int | None] | None) -> None:
    """Refuse layouts that training has seen.

    Args:
        layouts: seeds to be evaluated on.
        training_layouts: the training episodes' layout seeds; None, or None entries, where they are not known.

    Raises:
        UserError: a layout is in both.
    """
    common = sorted(set(layouts) & {seed for seed in training_layouts or () if seed is not None})
    if common:
        raise UserError(
            f"{len(common)} layouts were seen in training, {common[0]} for one; "
            f"evaluate on held-out ones, {FIRST_HELD_OUT} and above"
        )


def parse_seeds(text: str) -> list[int]:
    """Layout seeds from `500:510` (the end is left out), `7`, or several of these with commas.

    Raises:
        UserError: it cannot be read, is empty, or holds a seed outside of 0 .. 2^32 - 1.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, colon, last = part.strip().partition(":")
        try:
            start = int(first)
            stop = int(last) if colon else start + 1
        except ValueError:
            raise UserError(f"seeds {text!r} cannot be read; expected `500:510`, `7`, or `1,2,8:12`") from None
        if not 0 <= start < stop <= 2**32:
            raise UserError(f"seeds {part.strip()!r} name no layout; expected 0 <= first < last, as in `500:510`")
        if stop - start > BLOCK:
            raise UserError(f"seeds {part.strip()!r} name {stop - start:,} layouts; expected at most {BLOCK:,}")
        seeds += range(start, stop)
    return seeds
