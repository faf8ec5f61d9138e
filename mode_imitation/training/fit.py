"""From trajectories of several experts, mixed and unlabelled, to one policy that can be steered: the whole story.

    start    codes for trajectories, from the VQ-VAE under the joint objective    discovery.starts
    search   as many codes as laws bear out which never saw the trajectory,       discovery.search, evidence,
             and then a panel of networks that never saw it either                discovery.panel
    train    the policy on these codes, told the context of each one's mode       training.policy_training

Labels never come in. U units (trajectories, or segments of them), S steps, K codes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.discovery.evidence import evidence_of
from mode_imitation.discovery.ngrams import confidence_among, is_text, ngram_evidence
from mode_imitation.discovery.panel import as_entries, panel_of
from mode_imitation.discovery.search import find_codes, first_groups, pairs, score
from mode_imitation.discovery.starts import STARTS, JointTraining, kmeans_codes, nearest_codes, unit_distances
from mode_imitation.discovery.switches import (
    SwitchSearch,
    codes_by_episode,
    next_kind,
    stretches_by_episode,
    units_of_codes,
)
from mode_imitation.model.batches import FlatEpisodes, TrainingData, Units
from mode_imitation.model.config import ModelConfig
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.model.threads import one_thread
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.diagnostics import evaluate, joint_figures, policy_figures
from mode_imitation.training.loop import Job, seeded
from mode_imitation.training.policy_training import PolicyTraining, settle, settle_joint
from mode_imitation.training.preparation import (
    Codes,
    check,
    choose_device,
    codes_of_units,
    describe,
    digest_of,
    given_units,
    held_out_data,
    held_out_split,
    new_model,
    token_sizes,
)
from mode_imitation.training.run_folder import TENSORBOARD, WORK, Run, RunFolder, load_run
from mode_imitation.training.tensorboard import TrainingLog
from mode_imitation.training.whole_run import WholeRun

EVALUATE_EVERY = 5
"""Entries in the log from one evaluation on held-out episodes to the next."""


@dataclass(frozen=True)
class HookCall:
    """What a hook is told: it may look at the model and add to the log, and must change neither model nor data."""

    model: ModeModel
    iteration: int
    log: TrainingLog


Hook = Callable[[HookCall], None]


def fit(
    dataset: TrajectoryDataset,
    config: TrainConfig,
    out: Path | str,
    *,
    resume: bool = False,
    overwrite: bool = False,
    codes: Codes | None = None,
    hook: Hook | None = None,
    source: dict[str, Any] | None = None,
) -> Run:
    """Find modes in unlabelled trajectories and train one policy that is steered by them.

    A run that was killed at any instant and resumed ends with the same weights, bit for bit, as one that was not: on
    the same machine, on a CPU. On a GPU all draws are the same too, but torch does not fix the order of every sum.

    Args:
        dataset: only its observations, actions, disturbed marks, sensors, action space and mirror are used.
        config: settings.
        out: the run's folder.
        resume: go on with a run that was interrupted; a finished run is left as it is.
        overwrite: replace a run that is there.
        codes: for the start "given", from which reassignment goes on: (E,) int, of every episode; or an (T,) array for
            each episode, of its steps, which with rounds=0 stay as they are.
        hook: called every `hook_every` iterations of the policy's training and at its end; without refine, of the joint
            training.
        source: where the dataset came from, for the record: {"root": ...}.

    Raises:
        UserError: the folder, the data or the settings do not allow it; nothing is half-written.
    """
    device, config = choose_device(config.device), config.fitted_to(int(dataset.lengths.min()))
    training, held_out = held_out_split(len(dataset), config.held_out, config.seed)
    check(dataset, config, training, codes)
    record = {**describe(dataset, config, training, held_out), "given_codes": digest_of(codes), "source": source}
    flat = FlatEpisodes.of(dataset, training)
    units, given = given_units(codes, flat, config, training)
    data = TrainingData(flat, config.window, config.segment, device, units)
    data.check_drawable(dataset.name)
    sizes = config.model_config(dataset.obs_dim, dataset.action_space, dataset.sensors, token_sizes(dataset))
    new_model(sizes, data, config)  # what cannot be built is refused before anything is written
    if given is not None:
        given = given.to(device) if units else codes_of_units(data, given.to(device))
    with RunFolder(Path(out)).held(record, resume=resume, overwrite=overwrite) as folder, one_thread():
        if folder.complete:
            return load_run(folder.path)
        with WholeRun(config, dataset.name) as whole:
            # Where nothing is refined, the actor of the joint objective is the one that is steered.
            looked_with = sizes.for_discovery if config.refine else sizes
            looking = stage_job(folder.path, "codes", "start", looked_with, data, config, whole)
            look_for_codes(looking, data, config, given, None if config.refine else hook)
            job = policy_job(looking, folder.path, sizes, data, config, whole)
            if config.find_switches:
                data = sharpen(job, flat, data, config)
            images = data.and_images(flat, dataset.mirror) if config.mirror and dataset.mirror else None
            train_policy(job, data, config, held_out_data(dataset, held_out, config, device), hook, images)
        return folder.finish(job.state.model, summary(job, data, config), device)


def stage_job(
    out: Path, name: str, first: str, sizes: ModelConfig, data: TrainingData, config: TrainConfig, whole: WholeRun
) -> Job:
    """A job with a file of its own in the run's folder; it goes on from that file where there is one."""
    make_model = partial(new_model, sizes, data, config)
    return Job(out / WORK / f"{name}.safetensors", first, make_model, config, out / TENSORBOARD / name, whole.advance)


def look_for_codes(
    job: Job, data: TrainingData, config: TrainConfig, given: Tensor | None, hook: Hook | None = None
) -> None:
    """A start, then the search from there. The job's state ends with (U,) codes, or (S,) where experts may switch."""
    state = job.state
    if state.stage == "start":
        with job.timed("start"):
            state.codes = start(job, data, config, given, hook)
        job.enter("search")
    if state.stage == "search":
        with job.timed("search"):
            search(job, data, config)
        job.enter("switches" if config.find_switches else "done")
    if state.stage == "switches":
        with job.timed("switches"):
            search_switches(job, data, config, seeded(config.seed, "switches"), blind=True)
        job.enter("done")


def start(job: Job, data: TrainingData, config: TrainConfig, given: Tensor | None, hook: Hook | None = None) -> Tensor:
    """(U,) the codes to begin with; the joint objective trains the job's model, too."""
    model, generator = job.state.model, seeded(config.seed, "start", data.device)
    if config.start == "given":
        assert given is not None
        return given
    if config.start in STARTS:
        return STARTS[config.start](data, config.codes, generator)
    joint = JointTraining(model, data, config, generator)
    job.iterate(
        config.joint_iterations,
        joint.step,
        generator,
        joint.optimiser,
        begin=joint.place_codes,
        figures=partial(joint_figures, model),
        watch=partial(call_hook, hook, job, config.hook_every, config.joint_iterations),
    )
    return nearest_codes(model, unit_distances(model, data, seeded(config.seed, "codes", data.device)))


def search(job: Job, data: TrainingData, config: TrainConfig) -> None:
    """From the start's codes, and from every trajectory by itself: the better of what both end with, settled."""
    state = job.state
    assert state.codes is not None
    if not (config.refine and config.rounds):
        return
    generator = seeded(config.seed, "search")
    text, shown = is_text(state.model, data), data.showing(state.model.features)
    evidence = ngram_evidence(data) if text else evidence_of(state.model, shown, config, generator)
    proposals = [state.codes, first_groups(data, state.codes, generator)]
    confidence = confidence_among(config.confidence, data.n_units) if text else config.confidence
    found = [find_codes(evidence, codes, config.codes, confidence, config.rounds) for codes in proposals]
    best = max(found, key=lambda one: one.score)
    if text:  # counts are no law that is linear in features: nothing is left for networks to see
        state.codes, told = best.codes, pairs(evidence, best.codes, confidence)
    else:
        panel = panel_of(state.model, shown, evidence, config, generator)
        state.codes = panel.settle(best.codes)
        told = as_entries(panel.verdicts)
    state.score = score(evidence, state.codes)
    if not config.find_switches:  # else the codes of the steps are others
        state.pairs = told
    job.log.scalars("search", {"score": state.score, "n_codes": len(state.codes.unique())}, 0)
    job.advance("search", 1)


def search_switches(
    job: Job, data: TrainingData, config: TrainConfig, generator: torch.Generator, *, blind: bool
) -> None:
    """Rounds that give every step a code of its own, (S,), as long as they are of this kind."""
    state = job.state
    assert state.codes is not None
    if not state.restore(generator) and blind:
        state.codes = state.codes[data.unit_of_step]
    search = SwitchSearch(state.model, data, config)
    while (kind := next_kind(state.rounds, blind=blind)) is not None:
        state.codes, figures = search.round(kind, state.codes, generator)
        state.rounds.append(figures)
        job.log.scalars("switches", figures, len(state.rounds))
        job.save(generator)
        job.advance("switches", 1)


def policy_job(
    looked: Job, out: Path, sizes: ModelConfig, data: TrainingData, config: TrainConfig, whole: WholeRun
) -> Job:
    """The job that goes on from the codes that were found and from the model they were found with."""
    first = "sharpen" if config.find_switches else "settle"
    job, found = stage_job(out, "policy", first, sizes, data, config, whole), looked.state
    state = job.state
    if state.stage == first and state.generator is None:
        state.model.take_over(found.model)
        state.codes, state.rounds, state.pairs = found.codes, list(found.rounds), found.pairs
        state.score, state.seconds = found.score, dict(found.seconds)
    return job


def sharpen(job: Job, flat: FlatEpisodes, data: TrainingData, config: TrainConfig) -> TrainingData:
    """The rounds that see everything; then the steps' codes cut episodes into units."""
    state = job.state
    if state.stage == "sharpen":
        with job.timed("switches"):
            search_switches(job, data, config, seeded(config.seed, "sharpen"), blind=False)
        assert state.codes is not None
        units, of_unit = units_of_codes(state.codes.cpu().numpy(), data.episode_lengths, config.window.span)
        state.units = torch.from_numpy(np.stack(units)).to(data.device)
        state.codes = torch.from_numpy(of_unit).to(data.device)
        job.enter("settle")
    assert state.units is not None
    steps, episodes = state.units.cpu().numpy()
    return TrainingData(flat, config.window, None, data.device, Units(steps, episodes))


def train_policy(
    job: Job,
    data: TrainingData,
    config: TrainConfig,
    unseen: TrainingData | None,
    hook: Hook | None,
    images: TrainingData | None = None,
) -> None:
    """Prune and order the codes, then train the policy on them; where there are `images`, on U units and those of them
    in a mirror."""
    state = job.state
    assert state.codes is not None
    if state.stage == "settle":
        generator = seeded(config.seed, "settle", data.device)
        if config.refine:
            before = state.codes
            state.codes = settle(state.model, data, before, generator)
            state.pairs = renamed(state.pairs, before, state.codes)
        else:
            state.codes = settle_joint(state.model, data, config.pool, generator)
        job.enter("policy" if config.refine else "done")
    if state.stage == "policy":
        generator = seeded(config.seed, "policy", data.device)
        shown, codes = (images, state.codes.repeat(2)) if images else (data, state.codes)
        training = PolicyTraining(state.model, shown, codes, config, generator)

        def watch(iteration: int) -> None:
            if iteration % (EVALUATE_EVERY * config.log_every) == 0 and iteration < config.iterations:
                log_figures(job, data, config, unseen, iteration)
            call_hook(hook, job, config.hook_every, config.iterations, iteration)

        with job.timed("policy"):
            job.iterate(
                config.iterations, training.step, generator, training.optimiser, figures=policy_figures, watch=watch
            )
        job.enter("done")
    last = config.iterations if config.refine else config.joint_iterations
    state.figures = log_figures(job, data, config, unseen, last)


def call_hook(hook: Hook | None, job: Job, every: int, last: int, iteration: int) -> None:
    """Let the user's hook look at the model after so many iterations and after the last one."""
    if hook is not None and (iteration % every == 0 or iteration == last):
        hook(HookCall(job.state.model, iteration, job.log))


def log_figures(
    job: Job, data: TrainingData, config: TrainConfig, unseen: TrainingData | None, iteration: int
) -> dict[str, dict[str, float]]:
    """Log and return figures on the training data and on the held-out episodes, after so many iterations."""
    state = job.state
    figures = {"train": evaluate(state.model, data, config, state.codes)}
    if unseen is not None:
        figures["held_out"] = evaluate(state.model, unseen, config)
    for name, values in figures.items():
        job.log.scalars(f"policy/{name}", values, iteration)
    return figures


def renamed(pairs: list[dict[str, Any]], before: Tensor, after: Tensor) -> list[dict[str, Any]]:
    """The pairs of codes by their new names: (U,) before and after."""
    names = dict(zip(before.tolist(), after.tolist(), strict=True))
    found = [(*sorted((names[entry["first"]], names[entry["second"]])), entry) for entry in pairs]
    return [entry | {"first": first, "second": second} for first, second, entry in found]


def compare(model: ModeModel, data: TrainingData, codes: Tensor, config: TrainConfig) -> dict[str, float | None]:
    """How (U,) codes stand beside others: the share of units to which the encoder gives their own code, and the
    normalised mutual information with k-means of what units do on average, told as many; None where neither is asked.
    """
    if config.find_switches or not config.refine or model.n_modes < 2:
        return {"encoder": None, "kmeans": None}
    from sklearn.metrics import normalized_mutual_info_score

    found = nearest_codes(model, unit_distances(model, data, seeded(config.seed, "compare", data.device)))
    clusters = kmeans_codes(data, model.n_modes, seeded(config.seed, "compare", data.device))
    alike = normalized_mutual_info_score(codes.cpu().numpy(), clusters.cpu().numpy())
    return {"encoder": float((found == codes).double().mean()), "kmeans": float(alike)}


def summary(job: Job, data: TrainingData, config: TrainConfig) -> dict[str, Any]:
    """What run.json says of a finished run."""
    state = job.state
    codes = state.codes
    assert codes is not None
    model, n_modes = state.model, state.model.n_modes
    found: dict[str, Any] = {"assignment": codes_by_episode(data, codes, config.codes)}
    if config.find_switches or (
        config.start == "given" and config.segment is None and data.n_units > len(data.episode_lengths)
    ):
        found["switches"] = stretches_by_episode(data, codes)
    elif config.segment is not None:
        n_episodes = len(data.episode_lengths)
        found["segments"] = [codes[data.episode_of_unit == index].tolist() for index in range(n_episodes)]
    return found | {
        "summary": {
            "n_modes": n_modes,
            "shares": model.mode_shares[:n_modes].tolist(),
            "score": state.score,
            "pairs": state.pairs,
            "beside": compare(model, data, codes, config),
            "rounds": state.rounds,
            "seconds": {stage: round(seconds, 2) for stage, seconds in state.seconds.items()},
            "figures": state.figures,
        }
    }


__all__ = ["Hook", "HookCall", "fit"]
