"""`mode-imitation demo`: what `make demo` runs, the main job from end to end."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mode_imitation.errors import UserError
from mode_imitation.options import Repeated

if TYPE_CHECKING:
    from mode_imitation.reports.report_data import Report

DATASET, OTHER_DATASET = "pointgoal1/two-experts-v0", "demo/experts-v0"
ENV, EXPERTS = "SafetyPointGoal1-v0", ("goal_seeking", "forward_moving")


@dataclass(frozen=True, kw_only=True)
class DemoCommand:
    """Experts in a world, from nothing to pictures: generate, discover, train, report, steer."""

    out: Path = Path("runs/demo")
    """Everything goes here: data/, run/ with the report and the pictures."""
    world: Literal["avoiding", "circle2d", "takeball", "diagonal"] | None = None
    """A planar world's own demo, which needs no simulator and ends in one picture of every commanded behaviour; the
    options but --out, --layouts, --seed and --overwrite are its own."""
    env: str = ENV
    """The world, as `generate --env` takes it; another one needs --expert."""
    expert: Repeated = ()
    """EXPERT=EPISODES, as `generate --expert` takes it; left out, goal_seeking and forward_moving, 60 episodes each."""
    figure: Repeated = ()
    """A figure of your own, path/to/file.py:function of an episode that returns a number; the file is run."""
    codes: int = 4
    """k, an upper bound of the number of modes."""
    episodes: int = 60
    """Of each expert, where --expert is left out."""
    steps: int | None = None
    """Of each episode; left out, the world's own number, else 1000."""
    iterations: int = 4000
    """Of training's second phase."""
    joint_iterations: int = 800
    """Of training's first phase."""
    layouts: int = 20
    """Held-out layouts that modes and experts drive."""
    seed: int = 0
    """Of data and training."""
    overwrite: bool = False
    """Start anew; left out, what an earlier call with the same settings has finished is kept."""

    @property
    def dataset(self) -> str:
        """Its name below the demo's data folder."""
        return DATASET if self.env == ENV and not self.expert else OTHER_DATASET

    @property
    def experts(self) -> tuple[str, ...]:
        """With their numbers of episodes."""
        return self.expert or tuple(f"{name}={self.episodes}" for name in EXPERTS)


def run(config: DemoCommand) -> int:
    """Go through the stages; those that an earlier call has finished are kept."""
    if config.world is not None:
        from mode_imitation.commands import demo_planar

        return demo_planar.run(config)
    counts = (config.episodes, config.layouts, config.iterations, config.joint_iterations)
    if min(*counts, 1 if config.steps is None else config.steps) < 1:
        raise UserError("episodes, steps, layouts and iterations must each be at least 1")
    if config.env != ENV and not config.expert:
        raise UserError(
            f"the demo's own experts drive in {ENV} only; give two or more for {config.env}: "
            "--expert path/to/file.py:Class=20, once for each"
        )
    started = time.monotonic()
    generate(config)
    train(config)
    report = modes(config)
    animate(report, config)
    conclude(report, config, time.monotonic() - started)
    return 0


def generate(config: DemoCommand) -> None:
    """Stage 1: what the experts do, mixed."""
    from mode_imitation.data.dataset import read_metadata
    from mode_imitation.data.storage import data_folder, resolve_root
    from mode_imitation.worlds.config import GenerateConfig
    from mode_imitation.worlds.generate import generate as make

    root = resolve_root(config.out / "data")
    wanted = GenerateConfig(
        out=config.dataset,
        expert=config.experts,
        env=config.env,
        steps=config.steps,
        seed=config.seed,
        root=root,
        overwrite=config.overwrite,
    )
    if (root / config.dataset).exists() and not config.overwrite:
        found = read_metadata(data_folder(config.dataset, root)).get("settings") or {}
        own = wanted.settings | ({"steps": found.get("steps")} if config.steps is None else {})
        check_same(config, found == own)
        print(f"1/4 dataset: {root / config.dataset} is there already")
        return
    named = config.experts if len(config.experts) <= 8 else (*config.experts[:2], "...", config.experts[-1])
    print(f"1/4 dataset: episodes of {', '.join(named)}")
    make(wanted)


def check_same(config: DemoCommand, same: bool) -> None:
    """Refuse to go on from what an earlier call made with other settings.

    Raises:
        UserError: it did.
    """
    if not same:
        raise UserError(
            f"{config.out} holds a demo that was made with other settings, or by an earlier version; repeat those, "
            "choose another --out, or start anew with --overwrite"
        )


def train(config: DemoCommand, settings_beside: dict[str, Any] | None = None) -> None:
    """Stage 2: discover the modes and train the policy, with settings of training beside the demo's."""
    from mode_imitation.commands import train as command
    from mode_imitation.training.config import TrainConfig
    from mode_imitation.training.run_folder import read_info

    run, data = config.out / "run", config.out / "data"
    settings = TrainConfig(
        codes=config.codes,
        seed=config.seed,
        iterations=config.iterations,
        joint_iterations=config.joint_iterations,
        **settings_beside or {},
    )
    if (run / "run.json").exists() and not config.overwrite:
        info = read_info(run)
        recorded = TrainConfig.from_dict(info["config"])
        fitted = {name: getattr(recorded, name) for name in ("horizon", "gap", "stride")}  # to the data: not asked for
        check_same(config, recorded == replace(settings, **fitted))
        done = info.get("status") == "complete"
        print(f"2/4 train: {run} is there already" if done else f"2/4 train: going on with {run}")
        if not done:
            command.run(command.TrainCommand(resume=run, root=data))
        return
    print("2/4 train: discover the modes, without labels, and train one policy for all of them")
    command.run(
        command.TrainCommand(
            datasets=(config.dataset,), out=run, root=data, overwrite=config.overwrite, settings=settings
        )
    )


def modes(config: DemoCommand) -> "Report":
    """Stage 3: the report card."""
    from mode_imitation.reports.config import ModesConfig
    from mode_imitation.reports.report import make_report
    from mode_imitation.reports.report_writer import write_report

    print(f"3/4 modes: every mode and every expert on {config.layouts} layouts that training never saw")
    report = make_report(
        ModesConfig(
            run=config.out / "run",
            root=config.out / "data",
            layouts=config.layouts,
            steps=config.steps,
            expert=tuple(spec.rpartition("=")[0] for spec in config.expert if "+" not in spec),
            env=None if config.env == ENV else config.env,
            figure=config.figure,
            seed=config.seed,
        )
    )
    write_report(report, config.out / "run")
    return report


def animate(report: "Report", config: DemoCommand) -> None:
    """Stage 4: one policy switched from mode to mode, as a picture and as an animation."""
    from mode_imitation.plots import animate_birdseye, mode_color
    from mode_imitation.plots.animation import EVERY, until
    from mode_imitation.progress import progress
    from mode_imitation.reports.config import RolloutConfig
    from mode_imitation.reports.describe import titled
    from mode_imitation.reports.rollout_command import rollout_run
    from mode_imitation.steering.policy import load_policy

    print("4/4 steer: the same policy, switched from mode to mode in mid-episode")
    policy = load_policy(config.out / "run")
    # The mode that finds most (goals, or return) is left for a short while and taken up again, which shows both the
    # other mode and that the way back is found.
    found = {
        entry.mode: most.mean
        for entry in report.data.modes
        if (most := entry.figures["goals"] or entry.figures["return"]) is not None
    }
    best = max(found, key=lambda mode: found[mode])
    steps = max(len(drive.episode) for drives in report.modes.values() for drive in drives)
    others = [mode for mode in policy.modes if mode != best]
    before, away = steps // (4 * max(1, len(others))), max(1, steps // 20)
    stretches = [f"{best}:{before},{mode}:{away}" for mode in others]
    rollout_run(
        RolloutConfig(
            run=config.out / "run",
            schedule=",".join([*stretches, str(best)]),
            seeds="1000000000:1000000004",
            steps=max(steps // 2, len(others) * (before + away) + before),
            env=None if config.env == ENV else config.env,
            figure=config.figure,
            plot=config.out / "switching.png",
            overwrite=True,
        )
    )
    titles = {entry.mode: titled(entry.mode, entry.description) for entry in report.data.modes}
    episodes = {titles[mode]: until(drives[0].episode, steps) for mode, drives in report.modes.items()}
    colors = {title: mode_color(mode) for mode, title in titles.items()}
    with progress("animating", 1 - (-max(map(len, episodes.values())) // EVERY), "pictures") as shown:
        animate_birdseye(episodes, config.out / "modes.gif", colors=colors, progress=shown)


def conclude(report: "Report", config: DemoCommand, seconds: float) -> None:
    """What was found, and where to look."""
    from experts.switching import members
    from mode_imitation.commands.modes import print_report

    drove = {name for spec in config.experts for name in members(spec.rpartition("=")[0])}
    print(f"\nexperts: {len(drove)}; modes found without labels: {report.data.n_modes}")
    print_report(report.data)
    run = config.out / "run"
    print(f"look at {run / 'panels.png'}, {config.out / 'switching.png'} and {config.out / 'modes.gif'}")
    print(f"read    {run / 'report.md'}")
    print(f"steer   mode-imitation rollout {run} --mode 0 --plot {config.out / 'mode-0.png'}")
    print(f"log     tensorboard --logdir {run / 'tensorboard'}")
    print(f"took {seconds:.0f} s")
