"""Whether a process is still there, for the tests that none is left behind; and what one imports."""

import os
import subprocess
import sys
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


def imported_folders(*modules: str) -> set[str]:
    """Folders of the project, below its root, whose code is loaded with these modules."""
    root = Path(__file__).parent.parent
    code = f"import sys, {', '.join(modules)}; print(*[getattr(m, '__file__', '') or '' for m in sys.modules.values()])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    paths = [Path(word) for word in done.stdout.split()]
    inside = [path.relative_to(root) for path in paths if path.is_relative_to(root) and ".venv" not in path.parts]
    return {path.parent.as_posix() for path in inside}
