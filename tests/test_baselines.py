"""Baselines: the same model and data as ours, no label where none belongs, the bound and clusters that they claim."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.modes.categorical_vae import LONG, SHORT, bound_of, schedule_for
from benchmarks.modes.config import METHODS, REFERENCE
from benchmarks.modes.core import Setup
from benchmarks.modes.kmeans import clusters, groups, trajectory_codes, trajectory_features, weigh
from benchmarks.modes.methods import ON_CODES, OWN, train_method
from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.discovery.evidence import evidence_of
from mode_imitation.discovery.search import score
from mode_imitation.errors import UserError
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.reports.clustering import clustering_scores
from mode_imitation.steering.policy import load_policy
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.run_folder import load_run
from tests.synthetic import two_laws
from tests.tiny_runs import SLICES, random_dataset

TINY = TrainConfig(
    codes=3,
    iterations=8,
    joint_iterations=6,
    workers=1,
    horizon=3,
    gap=2,
    stride=2,
    pool=2,
    joint_windows=16,
    batch=32,
    judge_iterations=4,
    rounds=2,
    actor_hidden=(8,),
)


def shuffled(dataset: TrajectoryDataset) -> TrajectoryDataset:
    """The same episodes under each other's labels."""
    names = np.random.default_rng(0).permutation(dataset.labels or []).tolist()
    assert names != dataset.labels
    episodes = [replace(episode, expert=name) for episode, name in zip(dataset.episodes, names, strict=True)]
    return replace(dataset, episodes=tuple(episodes))


def test_every_method_of_the_benchmark_but_the_experts_can_be_trained() -> None:
    assert {*OWN, *ON_CODES, REFERENCE} == set(METHODS)


@pytest.mark.parametrize("method", [*OWN, *ON_CODES])
def test_shuffled_labels_change_no_weight_except_where_labels_are_given(method: str, tmp_path: Path) -> None:
    dataset = two_laws()
    for name, data in (("as-is", dataset), ("shuffled", shuffled(dataset))):
        train_method(method, data, TINY, tmp_path / name)
        policy = load_policy(tmp_path / name)
        assert policy.steer(mode=policy.modes[0]).act(np.zeros(3)).shape == (1,)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("as-is", "shuffled")]
    assert (weights[0] == weights[1]) is (method != "true-label")


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    train_method("bc", two_laws(), TINY, tmp_path / "run")
    before = (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns
    train_method("bc", two_laws(), TINY, tmp_path / "run")
    assert (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns == before
    (tmp_path / "run" / "model.json").unlink()
    train_method("bc", two_laws(), TINY, tmp_path / "run")
    assert load_run(tmp_path / "run").model.n_modes == 1


@pytest.mark.parametrize("method", ["ours", "bc"])
def test_a_finished_run_that_was_damaged_since_is_trained_again(method: str, tmp_path: Path) -> None:
    train_method(method, two_laws(), TINY, tmp_path)
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").unlink()
    assert train_method(method, two_laws(), TINY, tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == weights


@pytest.mark.parametrize("method", [*OWN, *ON_CODES])
def test_all_methods_train_on_the_cpu(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # to take it would fail
    train_method(method, two_laws(), TINY, tmp_path)


def test_all_methods_hold_out_the_same_episodes(tmp_path: Path) -> None:
    dataset, found = two_laws(n_each=10), []
    for method in ("ours", "bc", "original", "true-label"):
        train_method(method, dataset, TINY, tmp_path / method)
        found.append(load_run(tmp_path / method).info["held_out_episodes"])
    assert len(found[0]) == 2
    assert all(held_out == found[0] for held_out in found)


def test_the_original_method_sees_as_many_samples_as_the_others(tmp_path: Path) -> None:
    train_method("original", two_laws(), TINY, tmp_path / "run")
    config = TrainConfig.from_dict(load_run(tmp_path / "run").info["config"])
    assert config.joint_iterations * config.joint_windows * config.joint_steps == TINY.iterations * TINY.policy_batch
    assert (config.objective, config.context, config.horizon, config.refine) == ("ratio", "distances", 1, False)


def test_codes_of_training_units_are_those_of_their_episodes_and_steps(tmp_path: Path) -> None:
    dataset = two_laws(n_each=10)
    whole = Setup(dataset, TINY)
    codes = torch.arange(whole.data.n_units) % 3
    of_episode = whole.of_episodes(codes)
    assert isinstance(of_episode, np.ndarray)
    assert of_episode[whole.split[0]].tolist() == codes.tolist()
    cut = Setup(dataset, replace(TINY, segment=20))
    of_step = cut.of_episodes(torch.arange(cut.data.n_units))
    assert [len(part) for part in of_step] == dataset.lengths.tolist()
    found = np.concatenate([of_step[index] for index in cut.split[0]])
    np.testing.assert_array_equal(found, cut.data.unit_of_step.numpy())


def test_given_codes_stay_as_they_are_and_unused_ones_are_pruned(tmp_path: Path) -> None:
    train_method("true-label", two_laws(), TINY, tmp_path / "run")
    run = load_run(tmp_path / "run")
    assert run.model.n_modes == 2
    labels = [two_laws().episodes[index].expert for index in run.info["training_episodes"]]
    assert len(set(zip(labels, run.info["assignment"], strict=True))) == 2
    np.testing.assert_array_equal(run.model.mode_contexts().numpy(), np.eye(3))


def test_the_variational_bound_equals_a_slow_one() -> None:
    setup = Setup(two_laws(), TINY)
    model, data, pool, window = setup.fresh_model(), setup.data, 2, TINY.window
    generator = torch.Generator().manual_seed(0)
    units = torch.tensor([0, 0, 3, 3, 5, 5])
    starts = data.draw_starts(units, generator)
    windows = data.windows(starts)
    asked = torch.randint(3, (6, 2), generator=generator)
    steps = data.steps(starts[:, None] + asked * window.gap, model.features)
    with torch.no_grad():
        found = bound_of(model, windows, steps, pool)
        distances = model.codebook.distances(model.encode(*windows))
        nlls, kls = [], []
        for group in range(3):
            members = range(group * pool, (group + 1) * pool)
            pooled = torch.stack([distances[member] for member in members]).mean(0)
            scaled = [-float(pooled[code]) / model.config.temperature for code in range(3)]
            total = sum(math.exp(value) for value in scaled)
            q = [math.exp(value) / total for value in scaled]
            expected = 0.0
            for code in range(3):
                terms = []
                for member in members:
                    for step in asked[member].tolist():
                        state, action = windows.states[member, step], windows.actions[member, step]
                        parameters = model.predict(model.features.rows(state[None]), torch.eye(3)[code][None])
                        terms.append(-float(model.log_prob(parameters[:, 0], action[None]).sum()))
                expected += q[code] * sum(terms) / len(terms)
            nlls.append(expected)
            kls.append(sum(share * math.log(share * 3) for share in q))
    assert float(found.nll) == pytest.approx(sum(nlls) / 3, rel=1e-4)
    assert float(found.kl) == pytest.approx(sum(kls) / 3, abs=1e-5)
    assert float(found.negative(0.5)) == pytest.approx(sum(nlls) / 3 + 0.5 * sum(kls) / 3, rel=1e-4)


def test_k_means_finds_planted_clusters() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(30) % 3
    points = (10 * rng.normal(size=(3, 20)))[truth] + rng.normal(size=(30, 20))
    found = clusters(points, 3, 0)
    assert clustering_scores([str(label) for label in truth], found)["nmi"] == pytest.approx(1.0)


def test_every_sensor_has_the_same_weight_in_the_features_of_k_means() -> None:
    setup = Setup(random_dataset(), replace(TINY, codes=4, held_out=0.0))
    covered = [index for part in groups(setup) for index in range(part.start, part.stop)]
    sensors = SLICES.values()
    assert covered == [base + i for base in (0, 60) for part in sensors for i in range(60)[part]] + [120, 121]
    features = trajectory_features(setup)
    assert features.shape == (setup.data.n_units, 2 * len(covered))
    first = features[:, : SLICES["magnetometer"].stop - SLICES["magnetometer"].start]
    assert first.var(axis=0).sum() == pytest.approx(1.0)
    assert weigh(np.ones((5, 3))).shape == (5, 0)


def test_k_means_takes_the_number_of_clusters_under_which_actions_are_likeliest() -> None:
    config = replace(TINY, codes=4)
    apart = [
        replace(one, observations=one.observations + np.float32(3 * (one.expert == "plus")))
        for one in two_laws(n_each=12, steps=100).episodes
    ]
    setup = Setup(TrajectoryDataset("test/apart-v0", tuple(apart)), config)
    codes = trajectory_codes(setup)
    features = trajectory_features(setup)
    evidence = evidence_of(setup.fresh_model(), setup.data, config, setup.generator("search"))
    every = {count: torch.from_numpy(clusters(features, count, config.seed)) for count in (2, 3, 4)}
    scores = {count: score(evidence, found) for count, found in every.items()}
    torch.testing.assert_close(codes, every[max(scores, key=lambda count: scores[count])])
    assert len(set(scores.values())) == 3


def test_true_labels_need_labels_and_enough_codes(tmp_path: Path) -> None:
    dataset = two_laws()
    unlabelled = replace(dataset, episodes=tuple(replace(episode, expert=None) for episode in dataset.episodes))
    with pytest.raises(UserError, match="has no labels"):
        train_method("true-label", unlabelled, TINY, tmp_path / "run")
    many = [replace(episode, expert=f"expert {index % 4}") for index, episode in enumerate(dataset.episodes)]
    with pytest.raises(UserError, match="4 experts and only 3 codes"):
        train_method("true-label", replace(dataset, episodes=tuple(many)), TINY, tmp_path / "run")
    for method in ("bc", "kmeans"):
        train_method(method, unlabelled, TINY, tmp_path / method)
        assert isinstance(load_run(tmp_path / method).model, ModeModel)


def test_a_method_that_begins_again_does_so_with_other_weights_and_draws() -> None:
    setup = Setup(two_laws(), TINY)
    assert setup.generator("vae").initial_seed() != setup.generator("vae", 1).initial_seed()
    one, same, other = (setup.fresh_model(restart).actor.state_dict().values() for restart in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_vae_is_given_the_schedule_for_its_number_of_codes() -> None:
    few, many = (Setup(two_laws(), replace(TINY, codes=codes)) for codes in (4, 8))
    assert schedule_for(few) == SHORT
    assert schedule_for(many) == LONG
