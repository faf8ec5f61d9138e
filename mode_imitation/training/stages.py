"""The stages of training: finding codes, reassigning units, choosing among the restarts, refining.

A stage is a function of the session: it goes on from where the session's state stands, enters the stage that follows,
and returns whether training is over.
"""

import copy
from typing import Any

import torch
from torch import Tensor

from mode_imitation.progress import progress
from mode_imitation.training.assignment import reassign, selection_score
from mode_imitation.training.diagnostics import discovery_figures, refinement_figures
from mode_imitation.training.discovery import Discovery, unit_codes, unit_distances
from mode_imitation.training.iterations import iterate
from mode_imitation.training.refinement import (
    Refinement,
    record_typical_distances,
    settle,
    settle_unrefined,
)
from mode_imitation.training.session import TrainingSession
from mode_imitation.training.splitting import settles, split_codes, splits_before, splits_to_come


def discover(session: TrainingSession) -> bool:
    """Phase 1, up to the codes of every unit."""
    state, config = session.state, session.config
    generator = session.generator("discovery", state.restart)
    stage = Discovery(state.model, session.data, config, generator, state.iteration)
    if not session.restore(stage.optimizer, generator):
        stage.start()
    label = "discovery" if config.restarts == 1 else f"discovery {state.restart + 1} of {config.restarts}"
    iterate(
        session,
        stage,
        generator,
        config.discovery_iterations,
        lambda done: discovery_figures(state.model, done),
        label=label,
        windows=config.discovery_windows,
        codes=None,
        last_hook=False,  # it comes once the codes are settled
    )
    distances = unit_distances(state.model, session.data, session.generator("codes"))
    state.codes = unit_codes(state.model, distances)
    record_typical_distances(state.model, state.codes, distances)  # so that the hook can steer
    session.log_evaluation(state.codes)
    session.call_hook()
    session.enter("switching" if config.find_switches else "assignment", state.restart)
    state.rounds = []
    return False


def assign(session: TrainingSession) -> bool:
    """Rounds of reassignment, and the choice among the restarts."""
    state, config = session.state, session.config
    generator = session.generator("assignment", state.restart, "cpu")
    if not session.restore(None, generator):
        session.save(None, generator)
    assert state.codes is not None
    data = session.data.showing(state.model.normalizer)
    rounds = config.rounds if config.refine else 0
    with progress("reassignment", rounds, "rounds") as bar:
        bar.advance(state.iteration)
        while state.iteration < rounds and (splits_to_come(state.iteration, rounds) or not settled(state.rounds)):
            n_split = 0
            if splits_before(state.iteration, rounds):
                split = split_codes(state.model, data, state.codes, generator)
                n_split = len(split.unique()) - len(state.codes.unique())
                state.codes = split
            # Parts need a round to sort their units out before they can be told from duplicates.
            merge = rounds == 1 or (state.iteration > 0 and n_split == 0)
            moved = state.moved if settles(state.iteration) else None
            done = reassign(state.model, data, state.codes, config, generator, merge=merge, moved=moved)
            state.codes, state.moved = done.codes, done.moved
            state.iteration += 1
            state.rounds.append(done.figures() | {"split": n_split})
            bar.advance(note=f"{done.n_codes} codes, {done.changed} units changed")
            known = {name: value for name, value in state.rounds[-1].items() if value is not None}
            session.log.scalars("assignment", known, session.step + state.iteration)
            session.save(None, generator)
    score = None
    if config.restarts > 1:
        # The same split and the same fit for every restart.
        selection = session.generator("selection", 0, "cpu")
        score = selection_score(state.model, data, state.codes, config, selection)
    if not choose(session, score):
        return False
    if config.refine:
        settle(state.model, session.data, state.codes, session.generator("settling"))
        session.enter("refinement", state.restart)
        return False
    state.codes = settle_unrefined(state.model, session.data, config.pool, session.generator("settling"))
    return True


def settled(rounds: list[dict[str, Any]]) -> bool:
    """Whether the last of the rounds, which may have merged codes, left every unit where it was."""
    return len(rounds) > 1 and rounds[-1]["changed"] == 0 and rounds[-1]["n_codes"] == rounds[-2]["n_codes"]


def choose(session: TrainingSession, score: float | None) -> bool:
    """Enter this restart's score; go on to the next restart (False), or with the best one where it was the last.

    It is the last, too, where it has found the very groups of the best one so far: what two starts from other weights
    agree on, a third would hardly change.
    """
    state, config = session.state, session.config
    assert state.codes is not None
    state.restarts.append({"score": score, "n_codes": len(state.codes.unique()), "rounds": state.rounds})
    scores = [entry["score"] for entry in state.restarts]
    found_again = state.best_codes is not None and same_partition(state.codes, state.best_codes)
    if score is None or score <= min(scores):
        state.best, state.best_codes = copy.deepcopy(state.model), state.codes.clone()
    if state.restart + 1 < config.restarts and not found_again:
        session.enter("discovery", state.restart + 1)
        state.model, state.codes = session.fresh_model(state.restart), None
        return False
    assert state.best is not None
    assert state.best_codes is not None
    state.model, state.codes = state.best, state.best_codes
    state.best = state.best_codes = None
    return True


def same_partition(codes: Tensor, others: Tensor) -> bool:
    """Whether two codings, (U,) and (U,), put the same units together, whatever they call the groups."""
    pairs = len(torch.stack([codes, others]).unique(dim=1).T)
    return pairs == len(codes.unique()) == len(others.unique())


def refine(session: TrainingSession) -> bool:
    """Phase 2."""
    state, config = session.state, session.config
    assert state.codes is not None
    generator = session.generator("refinement")
    if not state.model.config.history:  # not so where it goes on from a checkpoint
        state.model = state.model.with_history(config.memory)
    stage = Refinement(state.model, session.data.recalling(), state.codes, config, generator, state.iteration)
    if not session.restore(stage.optimizer, generator):
        session.save(stage.optimizer, generator)
    iterate(
        session,
        stage,
        generator,
        config.iterations,
        refinement_figures,
        label="refinement",
        windows=config.batch,
        codes=state.codes,
        last_hook=True,
    )
    return True
