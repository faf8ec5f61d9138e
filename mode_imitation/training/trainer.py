"""`train`: both phases on one model, with restarts, a log and checkpoints; labels never come in."""

import copy
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.errors import UserError
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.progress import progress
from mode_imitation.training.assignment import reassign, selection_score
from mode_imitation.training.batches import TrainingData
from mode_imitation.training.checkpoint import Checkpoint, TrainingState, save_checkpoint
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.diagnostics import code_figures, evaluate, gradient_norms
from mode_imitation.training.discovery import Discovery, unit_codes, unit_distances
from mode_imitation.training.preparation import check_data, choose_device, describe_run, held_out_split, same_run
from mode_imitation.training.refinement import (
    Refinement,
    order_by_share,
    record_typical_distances,
    settle,
    settle_unrefined,
)
from mode_imitation.training.run_folder import (
    CHECKPOINT,
    TENSORBOARD,
    check_folder,
    load_run,
    read_info,
    save_model,
    start_folder,
    tidy_folder,
    write_info,
)
from mode_imitation.training.segmentation import (
    BLIND_ROUNDS,
    MOST_SIGHTED,
    SwitchSearch,
    next_round,
    stretches_by_episode,
    units_of_codes,
)
from mode_imitation.training.splitting import split_codes, splits_before, splits_to_come
from mode_imitation.training.tensorboard import TrainingLog

EVALUATE_EVERY = 5
"""Entries in the log from one evaluation on held-out episodes to the next."""


@dataclass(frozen=True)
class HookCall:
    """What a hook is told: it may look at the model and add to the log, and must change neither model nor data."""

    model: ModeModel
    stage: str
    step: int
    """Iterations of the whole run so far."""
    log: TrainingLog


Hook = Callable[[HookCall], None]


@dataclass(frozen=True)
class RunSummary:
    """What came out of a run."""

    path: Path
    n_modes: int
    shares: list[float]
    """(n_modes,) share of the training steps that each mode explains."""
    restarts: list[dict[str, Any]]
    """Of every restart: score (cross-fitted nats per step), codes, rounds."""
    seconds: dict[str, float]
    """By stage."""
    figures: dict[str, dict[str, float]]
    """"train" and, where there are held-out episodes, "held_out"."""


def train(
    dataset: TrajectoryDataset,
    config: TrainConfig | None,
    out: Path | str,
    *,
    resume: bool = False,
    overwrite: bool = False,
    hook: Hook | None = None,
    source: dict[str, Any] | None = None,
) -> RunSummary:
    """Find modes in unlabelled trajectories and train one policy that is steered by them.

    A run that was killed at any instant and resumed ends with the same weights, bit for bit, as one that was not: on
    the same machine, on a CPU. On a GPU all draws are the same too, but torch does not fix the order of every sum.

    Args:
        dataset: only its observations, actions, disturbed marks and the sensors' slices are used.
        config: settings; None, on resuming, takes those of the run.
        out: the run's folder.
        resume: go on from the last checkpoint of a run that was interrupted; a finished run is left as it is.
        overwrite: replace a run that is there.
        hook: called every `hook_every` iterations of either phase and after each phase.
        source: where the dataset came from, for the record: {"root": ...}.

    Raises:
        UserError: the folder, the data or the settings do not allow it; nothing is half-written.
    """
    out = Path(out)
    device = choose_device(config.device) if config else None
    if config is not None:
        check_data(dataset, config)
    going_on = check_folder(out, resume=resume, overwrite=overwrite)
    if going_on:
        info = read_info(out)
        config = same_run(info, dataset, config, out)
        if info.get("status") == "complete":
            load_run(out)  # says so where its weights were damaged since
            return RunSummary(out, **info["summary"])
        device = choose_device(config.device)
        check_data(dataset, config)
    if config is None or device is None:
        raise UserError(f"there is no run at {out} to resume; give a dataset and --out {out} to start one")
    with _threads(config.threads):
        return _Trainer(dataset, config, out, device, hook, source, going_on=going_on).run()


class _Trainer:
    def __init__(
        self,
        dataset: TrajectoryDataset,
        config: TrainConfig,
        out: Path,
        device: torch.device,
        hook: Hook | None,
        source: dict[str, Any] | None,
        *,
        going_on: bool,
    ) -> None:
        self.config, self.out, self.device, self.hook = config, out, device, hook
        self.dataset = dataset
        self.training, self.held_out = held_out_split(len(dataset), config.held_out, config.seed)
        self.data = self.tensors(self.training)
        self.unseen = self.tensors(self.held_out) if len(self.held_out) else None
        if len(self.data.drawable) == 0:
            raise UserError(
                f"dataset {dataset.name} has no window of {config.window.span} undisturbed steps; "
                "lower --horizon, --gap or --stride, or record with fewer disturbances"
            )
        if self.unseen is not None and len(self.unseen.drawable) == 0:
            self.unseen = None
        self.info = describe_run(dataset, config, self.training, self.held_out) | {"source": source}
        self.checkpoint: Checkpoint | None = None
        path = out / CHECKPOINT
        if not going_on:
            # Only now that data and settings are known to fit: an old run is not lost to a mistake.
            start_folder(out, self.info)
        tidy_folder(out)
        if path.exists():
            self.checkpoint = Checkpoint(path, self.fresh_model(0))
            self.state = self.checkpoint.state
        else:
            self.state = TrainingState(self.fresh_model(0))
        if self.state.units is not None:
            self.data = self.tensors(self.training, self.state.units)
        self.log: TrainingLog

    def tensors(self, episodes: np.ndarray, units: Tensor | None = None) -> TrainingData:
        """The episodes in units of the settings' segments, or in those of `units` (2, U), see TrainingState."""
        chosen = [self.dataset.episodes[index] for index in episodes]
        slices, config = self.dataset.observation_slices, self.config
        given = None if units is None else (units[0].cpu().numpy(), units[1].cpu().numpy())
        return TrainingData(chosen, slices, config.window, config.segment, self.device, given)

    def fresh_model(self, restart: int) -> ModeModel:
        """A model of this restart's initial weights, its normaliser fitted to the training episodes."""
        config = self.config.model_config(self.dataset.obs_dim, self.dataset.act_dim)
        model = ModeModel(config, self.generator("weights", restart, "cpu")).to(self.device)
        data = self.data
        model.normalizer.fit(data.observations, data.some_deltas(), data.actions[data.trainable])
        return model

    def generator(self, purpose: str, restart: int = 0, device: torch.device | str | None = None) -> torch.Generator:
        """A generator of its own for everything that draws."""
        words = [self.config.seed, restart, *purpose.encode()]
        seed = int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))
        return torch.Generator(device or self.device).manual_seed(seed)

    @property
    def step(self) -> int:
        """Iterations of the whole run so far, the log's axis."""
        state, config = self.state, self.config
        if state.stage == "discovery":
            return state.restart * config.discovery_iterations + state.iteration
        done = (state.restart + 1) * config.discovery_iterations
        return done + (state.iteration if state.stage == "refinement" else 0)

    def run(self) -> RunSummary:
        stages = {
            "discovery": self.discover,
            "assignment": self.assign,
            "switching": self.switch,
            "sharpening": self.sharpen,
            "refinement": self.refine,
        }
        with TrainingLog(self.out / TENSORBOARD, self.step) as self.log:
            while True:
                stage = self.state.stage
                started = time.monotonic()
                finished = stages[stage](started)
                self.count_seconds(stage, started)
                self.checkpoint = None
                if finished:
                    return self.finish()

    def count_seconds(self, stage: str, started: float) -> None:
        self.state.seconds[stage] = self.state.seconds.get(stage, 0.0) + time.monotonic() - started

    def save(self, optimizer: torch.optim.Optimizer | None, generator: torch.Generator) -> None:
        self.log.flush()
        save_checkpoint(self.out / CHECKPOINT, self.state, optimizer, generator)

    def restore(self, optimizer: torch.optim.Optimizer | None, generator: torch.Generator) -> bool:
        """Take up the stage that was under way when the process died; False where it starts."""
        if self.checkpoint is None:
            return False
        self.checkpoint.restore(optimizer, generator)
        return True

    def enter(self, stage, restart: int) -> None:
        self.state.stage, self.state.restart, self.state.iteration = stage, restart, 0

    def discover(self, started: float) -> bool:
        """Phase 1, up to the codes of every unit."""
        state, config = self.state, self.config
        generator = self.generator("discovery", state.restart)
        stage = Discovery(state.model, self.data, config, generator, state.iteration)
        if not self.restore(stage.optimizer, generator):
            stage.start()
        label = "discovery" if config.restarts == 1 else f"discovery {state.restart + 1} of {config.restarts}"
        clock = _Clock(config.discovery_windows)
        with progress(label, config.discovery_iterations, "iterations") as bar:
            bar.advance(stage.iteration)
            while stage.iteration < config.discovery_iterations:
                done = stage.step()
                clock.count()
                state.iteration = stage.iteration
                bar.advance()
                if state.iteration % config.log_every == 0:
                    self.check_finite()
                    parts = {f"loss/{name}": value.item() for name, value in done.objective.parts.items()}
                    parts |= code_figures(done.objective.inference) | gradient_norms(state.model) | clock.rate()
                    parts |= {"learning_rate": done.learning_rate, "gradient_norm/all": done.gradient_norm.item()}
                    self.log.scalars("discovery", parts | {"codebook/revived": done.revived}, self.step)
                if state.iteration % (EVALUATE_EVERY * config.log_every) == 0:
                    self.log_evaluation(None)
                if state.iteration % config.hook_every == 0 and state.iteration < config.discovery_iterations:
                    self.call_hook()  # the last one comes once the codes are settled
                if state.iteration % config.checkpoint_every == 0:
                    self.save(stage.optimizer, generator)
        self.check_finite()
        distances = unit_distances(state.model, self.data, self.generator("codes"))
        state.codes = unit_codes(state.model, distances)
        record_typical_distances(state.model, state.codes, distances)  # so that the hook can steer
        self.log_evaluation(state.codes)
        self.call_hook()
        self.enter("switching" if config.find_switches else "assignment", state.restart)
        state.rounds = []
        return False

    def assign(self, started: float) -> bool:
        """Rounds of reassignment, and the choice among the restarts."""
        state, config = self.state, self.config
        generator = self.generator("assignment", state.restart, "cpu")
        if not self.restore(None, generator):
            self.save(None, generator)
        assert state.codes is not None
        rounds = config.rounds if config.refine else 0
        with progress("reassignment", rounds, "rounds") as bar:
            bar.advance(state.iteration)
            while state.iteration < rounds and (splits_to_come(state.iteration, rounds) or not settled(state.rounds)):
                n_split = 0
                if splits_before(state.iteration, rounds):
                    split = split_codes(state.model, self.data, state.codes, generator)
                    n_split = len(split.unique()) - len(state.codes.unique())
                    state.codes = split
                # Parts need a round to sort their units out before they can be told from duplicates.
                merge = rounds == 1 or (state.iteration > 0 and n_split == 0)
                done = reassign(state.model, self.data, state.codes, config, generator, merge=merge)
                state.codes = done.codes
                state.iteration += 1
                figures = {name: value for name, value in done._asdict().items() if name != "codes"}
                state.rounds.append(figures | {"split": n_split})
                bar.advance(note=f"{done.n_codes} codes, {done.changed} units changed")
                known = {name: value for name, value in state.rounds[-1].items() if value is not None}
                self.log.scalars("assignment", known, self.step + state.iteration)
                self.save(None, generator)
        score = None
        if config.restarts > 1:
            # The same split and the same fit for every restart.
            selection = self.generator("selection", 0, "cpu")
            score = selection_score(state.model, self.data, state.codes, config, selection)
        if not self.choose(score):
            return False
        if config.refine:
            settle(state.model, self.data, state.codes, self.generator("settling"))
            self.enter("refinement", state.restart)
            return False
        state.codes = settle_unrefined(state.model, self.data, config.pool, self.generator("settling"))
        return True

    def choose(self, score: float | None) -> bool:
        """Enter this restart's score; go on to the next restart (False), or with the best one where it was the last."""
        state, config = self.state, self.config
        assert state.codes is not None
        state.restarts.append({"score": score, "n_codes": len(state.codes.unique()), "rounds": state.rounds})
        scores = [entry["score"] for entry in state.restarts]
        if score is None or score <= min(scores):
            state.best, state.best_codes = copy.deepcopy(state.model), state.codes.clone()
        if state.restart + 1 < config.restarts:
            self.enter("discovery", state.restart + 1)
            state.model, state.codes = self.fresh_model(state.restart), None
            return False
        assert state.best is not None
        assert state.best_codes is not None
        state.model, state.codes = state.best, state.best_codes
        state.best = state.best_codes = None
        return True

    def switch(self, started: float) -> bool:
        """From segments to steps: the rounds of every restart that are blind, and the choice among the restarts."""
        state = self.state
        # The same splits and the same fits for every restart.
        generator = self.generator("switching", 0, "cpu")
        if not self.restore(None, generator):
            assert state.codes is not None
            state.codes = state.codes[self.data.unit_of_step]
            self.save(None, generator)
        self.search_switches(generator, blind=True)
        if self.choose(state.rounds[-1]["nll"]):
            best = min(state.restarts, key=lambda entry: entry["score"])
            state.rounds = list(best["rounds"])
            self.enter("sharpening", state.restart)
        return False

    def sharpen(self, started: float) -> bool:
        """The rounds of the best restart that see everything; then the steps' codes cut episodes into units."""
        state = self.state
        generator = self.generator("sharpening", 0, "cpu")
        if not self.restore(None, generator):
            self.save(None, generator)
        self.search_switches(generator, blind=False)
        assert state.codes is not None
        min(state.restarts, key=lambda entry: entry["score"])["rounds"] = state.rounds
        lengths = np.array([len(self.dataset.episodes[index]) for index in self.training])
        steps, episodes, codes = units_of_codes(state.codes.cpu().numpy(), lengths, self.config.window.span)
        state.units = torch.from_numpy(np.stack([steps, episodes])).to(self.device)
        state.codes = torch.from_numpy(codes).to(self.device)
        self.data = self.tensors(self.training, state.units)
        settle(state.model, self.data, state.codes, self.generator("settling"))
        self.enter("refinement", state.restart)
        return False

    def search_switches(self, generator: torch.Generator, *, blind: bool) -> None:
        """Rounds of the search for switches, as long as they are of this kind."""
        state = self.state
        search = SwitchSearch(state.model, self.data, self.dataset.observation_slices, self.config)
        assert state.codes is not None
        most = BLIND_ROUNDS if blind else MOST_SIGHTED + len(state.codes.unique())
        with progress("blind rounds" if blind else "merging, sighted rounds", most, "rounds") as bar:
            while (kind := next_round(state.rounds)) is not None and (kind == "blind") == blind:
                state.codes, figures = search.round(kind, state.codes, generator)
                state.rounds.append(figures)
                state.iteration += 1
                bar.advance(note=f"{kind}, {figures['n_codes']} codes")
                known = {name: float(value) for name, value in figures.items() if isinstance(value, int | float)}
                self.log.scalars(state.stage, known, self.step + state.iteration)
                self.save(None, generator)

    def refine(self, started: float) -> bool:
        """Phase 2."""
        state, config = self.state, self.config
        assert state.codes is not None
        generator = self.generator("refinement")
        stage = Refinement(state.model, self.data, state.codes, config, generator, state.iteration)
        if not self.restore(stage.optimizer, generator):
            self.save(stage.optimizer, generator)
        clock = _Clock(config.batch)
        with progress("refinement", config.iterations, "iterations") as bar:
            bar.advance(stage.iteration)
            while stage.iteration < config.iterations:
                done = stage.step()
                clock.count()
                state.iteration = stage.iteration
                bar.advance()
                if state.iteration % config.log_every == 0:
                    self.check_finite()
                    parts = {"loss/action_nll": done.action_nll.item(), "learning_rate": done.learning_rate}
                    parts |= gradient_norms(state.model) | clock.rate()
                    self.log.scalars("refinement", parts | done.agreement_figures(), self.step)
                if state.iteration % (EVALUATE_EVERY * config.log_every) == 0:
                    self.log_evaluation(state.codes)
                if state.iteration % config.hook_every == 0:
                    self.call_hook()
                if state.iteration % config.checkpoint_every == 0:
                    self.save(stage.optimizer, generator)
        self.check_finite()
        return True

    def log_evaluation(self, codes: Tensor | None) -> dict[str, dict[str, float]]:
        """Log and return figures on the training data and on the held-out episodes."""
        figures = {"train": evaluate(self.state.model, self.data, self.config, codes)}
        if self.unseen is not None:
            figures["held_out"] = evaluate(self.state.model, self.unseen, self.config)
        for name, values in figures.items():
            self.log.scalars(f"{self.state.stage}/{name}", values, self.step)
        return figures

    def check_finite(self) -> None:
        """Stop a run that has diverged before its weights are saved."""
        if all(bool(torch.isfinite(weights).all()) for weights in self.state.model.parameters()):
            return
        raise UserError(
            f"training diverged: a weight is not finite after {self.state.iteration} iterations of {self.state.stage}; "
            f"train again with --overwrite and a --learning-rate below {self.config.learning_rate:g}"
        )

    def call_hook(self) -> None:
        if self.hook is not None:
            self.hook(HookCall(self.state.model, self.state.stage, self.step, self.log))

    def finish(self) -> RunSummary:
        """Order the modes, write the model, and mark the run complete."""
        state = self.state
        assert state.codes is not None
        codes = order_by_share(state.model, state.codes)
        figures = self.log_evaluation(codes)
        self.call_hook()
        n_modes = state.model.n_modes
        summary = {
            "n_modes": n_modes,
            "shares": state.model.mode_shares[:n_modes].tolist(),
            "restarts": state.restarts,
            "seconds": {stage: round(seconds, 2) for stage, seconds in state.seconds.items()},
            "figures": figures,
        }
        save_model(self.out, state.model)
        info = self.info | {"status": "complete", "assignment": self.by_episode(codes), "summary": summary}
        if self.config.find_switches:
            info["switches"] = stretches_by_episode(self.data, codes)
        elif self.config.segment is not None:
            info["segments"] = [
                codes[self.data.episode_of_unit == index].tolist() for index in range(len(self.training))
            ]
        write_info(self.out, info)
        return RunSummary(self.out, **summary)

    def by_episode(self, codes: Tensor) -> list[int]:
        """(U,) codes of units -> the code that most steps of each training episode have."""
        votes = np.zeros((len(self.training), self.config.codes), dtype=np.int64)
        np.add.at(votes, (self.data.episode_of_unit, codes.cpu().numpy()), self.data.unit_lengths)
        return votes.argmax(1).tolist()


def settled(rounds: list[dict[str, Any]]) -> bool:
    """Whether the last of the rounds, which may have merged codes, left every unit where it was."""
    return len(rounds) > 1 and rounds[-1]["changed"] == 0 and rounds[-1]["n_codes"] == rounds[-2]["n_codes"]


class _Clock:
    """Windows (or steps) per second since the last time it was asked."""

    def __init__(self, per_iteration: int) -> None:
        self.per_iteration = per_iteration
        self.iterations = 0
        self.since = time.monotonic()

    def count(self) -> None:
        self.iterations += 1

    def rate(self) -> dict[str, float]:
        now = time.monotonic()
        per_second = self.iterations * self.per_iteration / max(now - self.since, 1e-9)
        self.iterations, self.since = 0, now
        return {"windows_per_second": per_second}


@contextmanager
def _threads(count: int):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
