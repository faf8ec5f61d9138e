"""Judges of single steps: policies that never saw what they judge."""

import numpy as np
import pytest
import torch
from torch import Tensor

from mode_imitation.discovery.judges import STEP_LIMIT, Twins, fit_twins, limited
from tests.small_models import seeded
from tests.synthetic import prepared, two_laws
from tests.test_fit import SMALL, rich_dataset, small

RAGGED = two_laws(n_each=4, act_dim=2, ragged=True)
HALF_RANGES = torch.from_numpy(np.ptp(np.concatenate([episode.actions for episode in RAGGED.episodes]), axis=0) / 2)
CODES = torch.arange(8) % 2


def test_judges_are_fitted_to_nothing_of_their_own_side_and_to_no_disturbed_step() -> None:
    def fitted(change: Tensor | None) -> Twins:
        model, data = prepared(two_laws(n_each=4), SMALL)
        if change is not None:
            data.actions[change] = 0.9
        return fit_twins(model, data, CODES, CODES == 0, small(judge_iterations=5), seeded())

    _, data = prepared(two_laws(n_each=4), SMALL)
    disturbed = torch.ones(len(data.actions), dtype=torch.bool)
    disturbed[data.trainable] = False
    assert disturbed.any()
    plain, changed = fitted(None), fitted(disturbed)
    for own, other in zip(plain[:2], changed[:2], strict=True):
        assert all(map(torch.equal, own.parameters(), other.parameters()))
    assert CODES[5] == 1
    other = fitted(data.unit_of_step == 5)
    assert not torch.equal(plain.outside.of_inputs.weight, other.outside.of_inputs.weight)
    assert torch.equal(plain.inside.of_inputs.weight, other.inside.of_inputs.weight)


def test_one_step_counts_so_many_nats_for_each_number_of_its_action_and_no_more() -> None:
    for dataset, size, nats in ((RAGGED, 2, float(HALF_RANGES.log().sum())), (rich_dataset((3,)), 1, 0.0)):
        _, data = prepared(dataset, SMALL)
        assert data.action_nats == pytest.approx(nats, abs=1e-6)
        values = torch.tensor([-50.0, -1.0, 0.5, 50.0])
        expected = [max(-STEP_LIMIT * size, min(STEP_LIMIT * size, value + nats)) for value in values.tolist()]
        assert limited(data, values).tolist() == pytest.approx(expected, abs=1e-6)
