"""`mode-imitation generate`"""

from mode_imitation.worlds.config import GenerateConfig


def run(config: GenerateConfig) -> int:
    """Make the dataset and say where it is."""
    from mode_imitation.worlds.generate import generate

    folder = generate(config)
    print(f"{config.out}: complete, in {folder}")
    print(f"next: mode-imitation info {config.out}")
    return 0
