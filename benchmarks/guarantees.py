"""How tight and how safe the guarantees are: the betting bound beside its rivals on simulated episodes.

    python benchmarks/guarantees.py

Each row draws data sets of n layouts from a distribution with the look of a mode's goals or costs, and prints the mean
lower bound of the expectation (or upper one, for costs) and how often it was wrong; a 95% bound may be wrong in 5%.
"""

import argparse
from collections.abc import Callable

import numpy as np

from mode_imitation.reports.guarantees import lower_bound

ALPHA = 0.05
Draw = Callable[[np.random.Generator, int], np.ndarray]
CASES: dict[str, tuple[Draw, float, float]] = {
    # name: draw, expectation, ceiling
    "goals of a seeker": (lambda rng, n: rng.binomial(40, 0.29, n).astype(float), 11.6, 100.0),
    "goals of a driver": (lambda rng, n: rng.poisson(0.2, n).astype(float), 0.2, 100.0),
    "goals, some fail": (lambda rng, n: rng.binomial(40, 0.29, n) * (rng.random(n) < 0.9), 10.44, 100.0),
    "1000 - cost of a seeker": (lambda rng, n: 1000 - rng.gamma(2.0, 25.0, n).clip(0, 1000), 950.0, 1000.0),
    "30 + return of a seeker": (lambda rng, n: rng.normal(53.4, 2.0, n).clip(0), 53.4, 130.0),
}


def hoeffding(x: np.ndarray, ceiling: float) -> float:
    return x.mean() - ceiling * np.sqrt(np.log(1 / ALPHA) / (2 * len(x)))


def empirical_bernstein(x: np.ndarray, ceiling: float) -> float:
    """Maurer and Pontil 2009, theorem 4."""
    n, log = len(x), np.log(2 / ALPHA)
    return x.mean() - np.sqrt(2 * x.var(ddof=1) * log / n) - 7 * ceiling * log / (3 * (n - 1))


def anderson(x: np.ndarray, ceiling: float) -> float:
    """Anderson 1969 with the one-sided Dvoretzky-Kiefer-Wolfowitz band: the top share of the values becomes 0."""
    n = len(x)
    band = np.sqrt(np.log(1 / ALPHA) / (2 * n))
    above = np.clip(1 - np.arange(n) / n - band, 0, 1)
    return float((above * np.diff(np.sort(x), prepend=0)).sum())


def plug_in_betting(x: np.ndarray, ceiling: float) -> float:
    """Waudby-Smith and Ramdas 2024, theorem 3 with their predictable plug-in bets, for values in [0, 1]; one-sided."""
    x = x / ceiling
    n = len(x)
    order = np.arange(1, n + 1)
    means = (0.5 + np.cumsum(x)) / (order + 1)
    variances = (0.25 + np.cumsum((x - means) ** 2)) / (order + 1)
    before = np.concatenate([[0.25], variances[:-1]])
    bets = np.sqrt(2 * np.log(1 / ALPHA) / (n * before))
    low, high = 0.0, 1.0
    for _ in range(40):
        m = (low + high) / 2
        capital = np.cumsum(np.log1p(np.minimum(bets, 0.5 / m) * (x - m))).max()
        low, high = (m, high) if capital >= np.log(1 / ALPHA) else (low, m)
    return low * ceiling


BOUNDS: dict[str, Callable[[np.ndarray, float], float]] = {
    "Hoeffding": hoeffding,
    "empirical Bernstein": empirical_bernstein,
    "Anderson": anderson,
    "plug-in betting": plug_in_betting,
    "mixture betting (ours)": lambda x, _: lower_bound(x, 1 - ALPHA),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layouts", default="20,50,200,1000", help="values in a data set, with commas")
    parser.add_argument("--draws", type=int, default=200, help="data sets a row")
    args = parser.parse_args()
    print(f"mean lower bound at 95% confidence, and the share of {args.draws} data sets in which it was too high")
    print(f"{'':26}{'n':>5} {'mean':>7}" + "".join(f"{name:>24}" for name in BOUNDS))
    for name, (draw, mean, ceiling) in CASES.items():
        for n in map(int, args.layouts.split(",")):
            rng = np.random.default_rng(n)
            data = [draw(rng, n) for _ in range(args.draws)]
            cells = []
            for bound in BOUNDS.values():
                found = np.array([max(bound(x, ceiling), 0.0) for x in data])
                cells.append(f"{found.mean():.2f} ({(found > mean).mean():.3f})")
            print(f"{name:26}{n:5d} {mean:7.1f}" + "".join(f"{cell:>24}" for cell in cells))


if __name__ == "__main__":
    main()
