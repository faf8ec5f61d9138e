"""Kill a long command at random instants, start it again, and see that it ends with what an undisturbed run gives.

    python benchmarks/kill_and_resume.py generate --kills 50
    python benchmarks/kill_and_resume.py train --kills 50

After every kill (SIGKILL to the command's process group: nothing of it gets to tidy up) the result must either not read
as complete or already be right; at the end it must be bit for bit the one of the undisturbed run. Exit status 1 if not.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mode_imitation.data.dataset import load_dataset
from mode_imitation.errors import UserError
from mode_imitation.training.run_folder import INFO, WEIGHTS, load_run
from mode_imitation.training.tensor_files import file_digest

MOST_KILLS = 5
"""Of one dataset or run, before it is left to finish."""

SAMPLE = "sample/two-experts-v0"

PROGRAM = (sys.executable, "-m", "mode_imitation")


@dataclass(frozen=True)
class Target:
    """A command that may be killed, and how to look at what it leaves."""

    command: Callable[[Path], Sequence[str]]
    """What starts it in a folder, or goes on with what is there."""
    result: Callable[[Path], str | None]
    """A fingerprint of the finished result in a folder; None while it does not read as complete."""


def generate(arguments: argparse.Namespace) -> Target:
    """A small dataset of two experts, made by two workers in several steps."""
    name = "benchmark/killed-v0"

    def command(folder: Path) -> list[str]:
        experts = [f"--expert={expert}={arguments.episodes}" for expert in ("goal_seeking", "forward_moving")]
        return [
            *(*PROGRAM, "generate", *experts, "--steps", str(arguments.steps), "--out", name),
            *("--root", str(folder), "--workers", "2", "--worlds", "2"),
        ]

    def result(folder: Path) -> str | None:
        try:
            return load_dataset(name, folder).checksum
        except UserError:
            return None

    return Target(command, result)


def train(arguments: argparse.Namespace) -> Target:
    """Both phases on the committed sample, with a checkpoint every few iterations."""
    data = Path(__file__).resolve().parent.parent / "data"
    settings = {
        "codes": 3,
        "iterations": arguments.iterations,
        "joint-iterations": arguments.iterations // 4,
        "checkpoint-every": 10,
    }

    def command(folder: Path) -> list[str]:
        out = folder / "run"
        if (out / INFO).exists():
            return [*PROGRAM, "train", "--resume", str(out), "--no-pictures"]
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [*PROGRAM, "train", SAMPLE, "--root", str(data), "--out", str(out), "--no-pictures", *options]

    def result(folder: Path) -> str | None:
        try:
            load_run(folder / "run")
        except UserError:
            return None
        return file_digest(folder / "run" / WEIGHTS)

    return Target(command, result)


TARGETS: dict[str, Callable[[argparse.Namespace], Target]] = {"generate": generate, "train": train}


def run(target: Target, folder: Path, kill_after: float | None) -> bool:
    """Start the command in `folder`; kill it after so many seconds. Returns whether it was killed."""
    log = folder.parent / "log.txt"
    with log.open("w") as output:
        process = subprocess.Popen(target.command(folder), stdout=output, stderr=output, start_new_session=True)
    try:
        status = process.wait(kill_after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    if status:
        raise RuntimeError(f"the command failed with status {status}: {log.read_text()[-2000:]}")
    return False


def kill_and_resume(target: Target, kills: int, seed: int, base: Path) -> tuple[int, int]:
    """Kill so many times, over as many datasets or runs as that takes.

    Returns:
        (results that were finished after kills and equal to the undisturbed one, results that differed)
    """
    undisturbed = base / "undisturbed"
    undisturbed.mkdir()
    started = time.monotonic()
    run(target, undisturbed, None)
    seconds = time.monotonic() - started
    expected = target.result(undisturbed)
    assert expected is not None, "the undisturbed run left no result"
    print(f"undisturbed run: {seconds:.1f} s, result {expected[:16]}", flush=True)

    rng = random.Random(seed)
    done = equal = different = 0
    while done < kills:
        folder = base / f"killed-from-{done}"
        folder.mkdir()
        here, found = 0, None
        at_most = min(rng.randint(1, MOST_KILLS), kills - done)
        while found is None:
            # Once its kills are spent, the command is left to finish.
            killed = run(target, folder, rng.uniform(0, seconds) if here < at_most else None)
            done, here = done + killed, here + killed
            found = target.result(folder)
            assert killed or found is not None, "the command ended well and left no result"
        equal, different = equal + (found == expected), different + (found != expected)
        verdict = "the same result" if found == expected else f"a DIFFERENT result, {found}"
        print(f"{done}/{kills} kills: killed {here} times, then {verdict}", flush=True)
        shutil.rmtree(folder)
    return equal, different


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("target", choices=sorted(TARGETS), help="the command to kill")
    parser.add_argument("--kills", type=int, default=50, help="how often (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="decides the instants (default: %(default)s)")
    parser.add_argument("--episodes", type=int, default=8, help="generate: per expert (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=400, help="generate: per episode (default: %(default)s)")
    parser.add_argument("--iterations", type=int, default=400, help="train: second phase (default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as base:
        target = TARGETS[arguments.target](arguments)
        equal, different = kill_and_resume(target, arguments.kills, arguments.seed, Path(base))
    print(f"{arguments.kills} kills of {arguments.target}: {equal} finished results the same, {different} different")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
