"""The stages that find the steps at which experts switch: blind rounds of every restart, sighted ones of the best."""

import numpy as np
import torch

from mode_imitation.progress import progress
from mode_imitation.training.refinement import settle
from mode_imitation.training.segmentation import BLIND_ROUNDS, MOST_SIGHTED, SwitchSearch, next_round, units_of_codes
from mode_imitation.training.session import TrainingSession
from mode_imitation.training.stages import choose


def switch(session: TrainingSession) -> bool:
    """From segments to steps: the rounds of every restart that are blind, and the choice among the restarts."""
    state = session.state
    # The same splits and the same fits for every restart.
    generator = session.generator("switching", 0, "cpu")
    if not session.restore(None, generator):
        assert state.codes is not None
        state.codes = state.codes[session.data.unit_of_step]
        session.save(None, generator)
    search_switches(session, generator, blind=True)
    if choose(session, state.rounds[-1]["nll"]):
        best = min(state.restarts, key=lambda entry: entry["score"])
        state.rounds = list(best["rounds"])
        session.enter("sharpening", state.restart)
    return False


def sharpen(session: TrainingSession) -> bool:
    """The rounds of the best restart that see everything; then the steps' codes cut episodes into units."""
    state = session.state
    generator = session.generator("sharpening", 0, "cpu")
    if not session.restore(None, generator):
        session.save(None, generator)
    search_switches(session, generator, blind=False)
    assert state.codes is not None
    min(state.restarts, key=lambda entry: entry["score"])["rounds"] = state.rounds
    lengths = np.array([len(session.dataset.episodes[index]) for index in session.training])
    steps, episodes, codes = units_of_codes(state.codes.cpu().numpy(), lengths, session.config.window.span)
    state.units = torch.from_numpy(np.stack([steps, episodes])).to(session.device)
    state.codes = torch.from_numpy(codes).to(session.device)
    session.data = session.tensors(session.training, state.units)
    settle(state.model, session.data, state.codes, session.generator("settling"))
    session.enter("refinement", state.restart)
    return False


def search_switches(session: TrainingSession, generator: torch.Generator, *, blind: bool) -> None:
    """Rounds of the search for switches, as long as they are of this kind."""
    state = session.state
    search = SwitchSearch(state.model, session.data, session.dataset.observation_slices, session.config)
    assert state.codes is not None
    most = BLIND_ROUNDS if blind else MOST_SIGHTED + len(state.codes.unique())
    with progress("blind rounds" if blind else "merging, sighted rounds", most, "rounds") as bar:
        while (kind := next_round(state.rounds, blind=blind)) is not None:
            state.codes, figures = search.round(kind, state.codes, generator)
            state.rounds.append(figures)
            state.iteration += 1
            bar.advance(note=f"{kind}, {figures['n_codes']} codes")
            known = {name: float(value) for name, value in figures.items() if isinstance(value, int | float)}
            session.log.scalars(state.stage, known, session.step + state.iteration)
            session.save(None, generator)
