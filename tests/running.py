"""Whether a process is still there, for the tests that none is left behind."""

import os
from pathlib import Path


def is_running(pid: int) -> bool:
    """Whether there is such a process, and, where the system tells, it is not only waiting to be collected."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    if not Path("/proc").is_dir():
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
