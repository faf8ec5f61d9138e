"""Which layouts are for training. Those from 1,000,000,000 on are for evaluation (reports/layouts.py)."""

from mode_imitation.errors import UserError

SEEDS, EPISODES = 1_000, 1_000_000


def training_layout_seed(seed: int, episode: int) -> int:
    """Seed of the layout of an episode: another one for every seed and episode, below 1,000,000,000.

    Args:
        seed: 0 .. 999, the dataset's.
        episode: 0 .. 999,999, index in the dataset.

    Raises:
        UserError: one of them is out of range.
    """
    if not 0 <= seed < SEEDS:
        raise UserError(f"--seed is {seed}; expected 0 to {SEEDS - 1}, so that no evaluation layout is trained on")
    if not 0 <= episode < EPISODES:
        raise UserError(f"{episode + 1:,} episodes are too many for one dataset; expected at most {EPISODES:,}")
    return seed * EPISODES + episode
