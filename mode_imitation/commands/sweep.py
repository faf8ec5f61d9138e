"""`mode-imitation sweep DATASET --codes 2,3,4,8 --strides 1,5,10,20 --seeds 3`"""

from mode_imitation.commands.tables import print_table
from mode_imitation.reports.sweep.config import SweepConfig


def run(config: SweepConfig) -> int:
    """Train the grid, print the table and the recommendation; 1 where a cell failed or nothing is recommended."""
    from mode_imitation.reports.sweep.sweep import sweep, write_sweep

    found = sweep(config)
    files = write_sweep(found)
    starred = ", * evaluation only" if found.labelled else ""
    print_table(f"{found.dataset.name}: {len(found.cells)} cells (< recommended{starred})", found.columns, found.rows)
    for line in found.notes:
        print(line)
    for file in files:
        print("wrote", file)
    for line in found.conclusion:
        print(line)
    return 1 if found.failed or found.command is None else 0
