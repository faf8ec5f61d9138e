"""`mode-imitation attribute RUN DATASET`"""

from collections.abc import Mapping
from typing import Any

from mode_imitation.commands.tables import print_table
from mode_imitation.reports.config import AttributeConfig

MOST_ROWS = 40
MOST_SEGMENTS = 6
"""Printed for an episode; the file has all of them."""
EXCERPT = 40
"""Characters of a stretch of text."""


def run(config: AttributeConfig) -> int:
    """Attribute, print the segments, say where the rest is."""
    from mode_imitation.reports.attribution_report import attribute_dataset, write_attribution

    report = attribute_dataset(config)
    files = write_attribution(report, config.out or config.run, birdseye=config.birdseye)
    print_attribution(report.data)
    for file in files:
        print("wrote", file)
    return 0


def print_attribution(data: Mapping[str, Any]) -> None:
    """The segments of the episodes, and how far they agree with labels where there are any."""
    entries = data["episodes"]
    labelled = any(entry["expert"] for entry in entries)
    rows = []
    names = {part["mode"]: _name(part["mode"], data["matches"]) for entry in entries for part in entry["segments"]}
    width = max(map(len, names.values()))
    for entry in entries[:MOST_ROWS]:
        parts = [
            f"{part['start']:>5}-{part['end']:<5} {names[part['mode']]:<{width}} {part['probability']:.3f}"
            + _begins(part)
            for part in entry["segments"]
        ]
        more = len(parts) - MOST_SEGMENTS
        # One more than fits is shown rather than counted.
        shown = parts if more <= 1 else [*parts[:MOST_SEGMENTS], f"and {more} more"]
        rows.append((str(entry["episode"]), *([entry["expert"] or "-"] if labelled else []), "\n".join(shown)))
    print_table(
        f"Which mode of {data['run']} made which steps of {data['dataset']['name']}, with probabilities",
        ("episode", *(["expert"] if labelled else []), "segments"),
        rows,
    )
    if len(entries) > MOST_ROWS:
        print(f"and {len(entries) - MOST_ROWS} more episodes")
    if data["agreement"]:
        print_agreement(data["agreement"])
    for line in data["left_out"]:
        print(line)


def print_agreement(scores: Mapping[str, Any]) -> None:
    """Right steps by expert, switches, and how far probabilities can be believed."""
    from mode_imitation.reports.turns import switch_line

    print_table(
        "Beside the labels, which the attribution did not see (undisturbed steps)",
        ("expert", "seen in training", "steps", "right", "attributed to"),
        [
            (
                name,
                "yes" if found["seen_in_training"] else "no",
                f"{found['steps']:,}",
                f"{found['right']:.3f}",
                ", ".join(f"{_state(state)} {share:.3f}" for state, share in _by_share(found["shares"])),
            )
            for name, found in scores["experts"].items()
        ],
    )
    arena = scores["right_per_step_in_arena"]
    inside = "" if arena is None else f", {arena:.3f} in the arena"
    print(
        f"right: {scores['right_per_step']:.3f} of the steps{inside}; {scores['right_by_episode']:.3f} of the episodes"
    )
    if line := switch_line(scores["switches"]):
        print(line)
    classes = ", ".join(
        f"{part['probability']:.3f} is {part['right']:.3f} ({part['steps']:,})"
        for part in scores["calibration"]["classes"]
    )
    print(f"probabilities: error {scores['calibration']['error']:.3f}; said and right (steps): {classes}")


def _name(mode: int | None, matches: Mapping[str, str]) -> str:
    if mode is None:
        return "none"
    expert = matches.get(str(mode))
    return f"mode {mode}" + (f" ({expert})" if expert else "")


def _begins(part: Mapping[str, Any]) -> str:
    """The first words of a stretch of text."""
    words = " ".join(part["text"].split()) if "text" in part else ""
    return f"  {words[:EXCERPT]}{'..' if len(words) > EXCERPT else ''}" if words else ""


def _state(state: str) -> str:
    return "none" if state == "none" else f"mode {state}"


def _by_share(shares: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(shares.items(), key=lambda item: -item[1])
