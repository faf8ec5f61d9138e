"""`mode-imitation rollout RUN --mode 1`"""

from mode_imitation.commands.tables import print_table
from mode_imitation.reports.config import RolloutConfig

UNITS = {
    "speed": "(m/s)",
    "turn_rate": "(rad/s, left +)",
    "approach": "(m per m driven)",
    "success": "(share of episodes)",
}


def title_of(figure: str) -> str:
    """A figure's name as it is printed."""
    return "length" if figure == "steps" else figure.replace("_", " ")


def run(config: RolloutConfig) -> int:
    """Drive, print the figures with their intervals, say what was written."""
    from mode_imitation.reports.rollout_command import rollout_run, written_by_run

    written = written_by_run(config)
    if written is not None:
        print(f"{written.what}, after {written.prompt!r}" if written.prompt else written.what)
        for seed, text in written.texts.items():
            print(f"--- seed {seed}\n{written.prompt}{text}")
        if written.folder is not None:
            print("wrote", written.folder)
        return 0
    result = rollout_run(config)
    count = len(result.drives)
    places = "layout" if any(drive.episode.scene is not None for drive in result.drives) else "seed"
    print_table(
        f"{result.what} on {count} {places}{'s' * (count != 1)} of {result.env_id}",
        ("figure", "mean [95% interval]"),
        [(f"{title_of(name)} {UNITS.get(name, '')}".strip(), figure.text()) for name, figure in result.figures.items()],
    )
    if result.segments:
        print_table(
            "by segment of the schedule",
            ("segment", "mode", "goals per episode [95% interval]"),
            [(f"steps {one.start}-{one.stop}", str(one.mode), one.goals.text()) for one in result.segments],
        )
    for note in result.notes:
        print(note)
    for path in result.written:
        print("wrote", path)
    return 0
