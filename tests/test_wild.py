"""The wild benchmark: every row, method, number of codes and seed is a cell that is kept; the peers find what they
must, and agree with slow, obvious versions."""

import json
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import norm

from benchmarks.wild import __main__ as wild
from benchmarks.wild import cells, clusters, given, made, packages, run, zbc
from benchmarks.wild.clones import Clones, clone, explained
from benchmarks.wild.config import WildConfig
from benchmarks.wild.experts import CautiousGoalSeeking, Climb, Idle, Settle
from benchmarks.wild.given import labels_given, two_halves
from benchmarks.wild.linear_experts import expectation_maximisation, first_shares, linear_experts, log_joint
from benchmarks.wild.methods import METHODS
from benchmarks.wild.pg_kmeans import joined
from benchmarks.wild.rows import chosen_rows, of_file
from benchmarks.wild.run import interval
from benchmarks.wild.steps import Steps, scaled, steps_of
from experts.protocol import ExpertSetting
from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.data.episodes import Episode
from mode_imitation.data.spaces import ActionSpace
from tests.synthetic import two_laws


def labels_of(dataset: TrajectoryDataset) -> np.ndarray:
    return np.unique(dataset.labels or [], return_inverse=True)[1]


def nmi(dataset: TrajectoryDataset, codes: np.ndarray) -> float:
    return cells.scores(labels_of(dataset), codes)["nmi"]


def shifted(dataset: TrajectoryDataset) -> TrajectoryDataset:
    """One expert's observations far from the other's: what all of a trajectory looks like tells them apart."""
    moved = [
        replace(episode, observations=episode.observations + 9.0 * (episode.expert == "plus"))
        for episode in dataset.episodes
    ]
    return replace(dataset, episodes=tuple(moved))


def two_habits(n_each: int = 6, steps: int = 50) -> TrajectoryDataset:
    """Two experts that choose one of three by the same observation, in opposite ways."""
    rng = np.random.default_rng(0)
    episodes = []
    for index in range(2 * n_each):
        observations = rng.normal(size=(steps + 1, 2)).astype(np.float32)
        wanted = np.where(observations[:-1, :1] > 0, 2, 0)
        actions = wanted if index % 2 else 2 - wanted
        episodes.append(Episode(observations=observations, actions=actions.astype(np.int64), expert=f"{index % 2}"))
    return TrajectoryDataset("habits", tuple(episodes), action_space=ActionSpace(1, (3,)))


def write_set(path: Path, dataset: TrajectoryDataset) -> None:
    episodes = dataset.episodes
    np.savez(
        path,
        observations=np.concatenate([episode.observations for episode in episodes]),
        actions=np.concatenate([episode.actions for episode in episodes]),
        episode_lengths=[len(episode) for episode in episodes],
        labels=[str(episode.expert) for episode in episodes],
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_set(tmp_path / "long.npz", two_laws(n_each=6, steps=60, disturbed=False))
    write_set(tmp_path / "short.npz", two_laws(n_each=6, steps=30, disturbed=False))
    return tmp_path


def test_every_row_method_and_seed_is_a_cell_and_what_is_finished_is_kept(
    folder: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = folder / "out"
    typed = ["--data", str(folder), "--rows", "folder", "--methods", "linear-experts,kmeans", "--seeds", "2"]
    typed += ["--out", str(out), "--publish", str(folder / "docs")]
    assert wild.main(typed) == 0
    told = capsys.readouterr().out
    assert [line.split()[:4] for line in told.splitlines() if line.strip().startswith(("long", "short"))] == [
        ["long", "12", "60", "2"],
        ["short", "12", "30", "2"],
    ]
    kept = sorted(out.glob("cells/*/*.json"))
    assert len(kept) == 2 * 2 * 2
    monkeypatch.setattr(run, "make", lambda *arguments: pytest.fail("it was made already"))
    assert wild.main(typed) == 0
    assert capsys.readouterr().out == told
    published = json.loads((folder / "docs" / "wild.json").read_text())
    assert published["rows"]["long"]["methods"]["linear-experts"]["nmi"]["mean"] == 1.0
    assert "/" not in published["command"].replace("--data FOLDER", "")
    assert "| long | 12 | 60 | 2 |" in (out / "results.md").read_text()
    # A damaged cell is made again; --finished makes none.
    kept[0].write_text("{")
    assert wild.main([*typed, "--finished"]) == 0
    with pytest.raises(pytest.fail.Exception, match="made already"):
        wild.main(typed)


def test_a_method_that_refuses_the_data_has_failed_and_is_asked_again(
    folder: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(dataset: TrajectoryDataset, classes: int, seed: int) -> np.ndarray:
        asked.append(dataset.name)
        raise cells.UserError("these are no trajectories")

    monkeypatch.setitem(METHODS, "kmeans", replace(METHODS["kmeans"], run=refuse))
    typed = ["--data", str(folder), "--rows", "long", "--methods", "kmeans", "--seeds", "1", "--out", str(folder / "o")]
    for _ in range(2):
        assert wild.main(typed) == 1
        assert "failed: long, kmeans, seed 0: these are no trajectories" in capsys.readouterr().out
    assert asked == ["long", "long"]


def test_our_method_and_the_original_are_cells_like_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = WildConfig(data=folder, rows="short", methods="ours", seeds=1, times="1", out=folder / "out")
    entry = run.run_benchmark(config)["rows"]["short"]["methods"]["ours"]
    assert entry["by_times"]["1"]["modes"] == [2]
    assert entry["nmi"]["mean"] == 1.0
    asked = []

    class Done:
        assignment = np.array([0, 1] * 6)

    monkeypatch.setattr("mode_imitation.fit", lambda *_, **settings: asked.append(settings) or Done())
    for name in ("ours", "ours-attention", "ours-behaviour", "original"):
        for row in ("short", "long"):
            METHODS[name].find(of_file(folder / f"{row}.npz"), 2, 4, 7)
    assert [(one.get("horizon"), one["codes"], one["seed"]) for one in asked[:2]] == [(None, 4, 7), (None, 4, 7)]
    assert (asked[2]["encoder"], asked[4]["evidence"]) == ("attention", "behaviour")
    assert (asked[6]["config"].objective, asked[6]["config"].codes) == ("ratio", 4)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["--data", "nowhere"], "expected a folder of .npz files"),
        (["--rows", "longer"], "there is no row 'longer', did you mean 'long'?"),
        (["--rows", ","], "--rows names no row"),
        (["--methods", "k-means"], "there is no method 'k-means', did you mean 'kmeans'?"),
        (["--times", "2,x"], "expected whole numbers from 1 on"),
        (["--seeds", "0"], "--seeds is 0; expected at least 1"),
        (["--rows", "empty"], "empty.npz has no actions"),
        (["--rows", "broken"], "broken.npz is no readable .npz file"),
        (["--rows", "alike"], "row alike has no labels of two classes"),
    ],
)
def test_mistakes_are_one_line(folder: Path, capsys: pytest.CaptureFixture, typed: list[str], message: str) -> None:
    np.savez(folder / "empty.npz", observations=np.zeros((3, 2)))
    (folder / "broken.npz").write_text("no zip")
    one = two_laws(n_each=2, steps=30, disturbed=False)
    write_set(folder / "alike.npz", one.subset([0, 2]))
    given = typed if "--data" in typed else ["--data", str(folder), *typed]
    assert wild.main([*given, "--out", str(folder / "out")]) == 2
    told = capsys.readouterr().err.splitlines()
    assert message in told[-1]
    assert all(not line.startswith("Traceback") for line in told)


def test_a_row_whose_package_is_missing_is_left_out_or_said_to_need_it(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(packages, "distribution", missing)
    assert wild.main(["--rows", "vowels", "--out", str(tmp_path)]) == 2
    assert "row vowels needs the package sktime: pip install" in capsys.readouterr().err
    rows, notes = chosen_rows(WildConfig())
    assert {row.group for row in rows} == {"made"}
    assert "left out: vowels, which needs the package sktime" in " ".join(notes)
    assert "--data names one" in notes[-1]


@pytest.mark.parametrize(
    ("name", "n", "classes", "obs_dim"),
    [("vowels", 640, 9, 12), ("gunpoint", 200, 2, 2), ("appliances", 200, 10, 2)],
)
def test_sets_of_packages_are_what_their_papers_say(name: str, n: int, classes: int, obs_dim: int) -> None:
    one = packages.SETS[name]
    if one.lacking():
        pytest.skip(f"{one.package} is not installed")
    dataset = one.load()
    assert (len(dataset), len(set(dataset.labels or [])), dataset.obs_dim) == (n, classes, obs_dim)
    episode = dataset.episodes[0]
    np.testing.assert_allclose(episode.actions, np.diff(episode.observations, axis=0), atol=1e-5)


def test_a_ts_file_has_a_line_a_series_and_its_label_last(tmp_path: Path) -> None:
    path = tmp_path / "some.ts"
    path.write_text("# about\n@classLabel true a b\n@data\n1,2,3:4,5,6:a\n\n7,8:9,10:b\n")
    series, labels = packages.read_ts(path)
    assert labels == ["a", "b"]
    np.testing.assert_array_equal(series[0], [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(packages.with_change(series[1]), [[8, 10, 1, 1]])


def test_a_set_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experts = made.each(tuple(f"{made.HERE}:{name}" for name in ("Climb", "Settle", "Idle")), 2)
    monkeypatch.setitem(made.SETS, "mountaincar", made.MadeSet("MountainCar-v0", experts, steps=20))
    dataset = made.make("mountaincar", tmp_path)
    assert sorted(set(dataset.labels or [])) == ["Climb", "Idle", "Settle"]
    assert dataset.action_space.discrete
    monkeypatch.setitem(made.SETS, "mountaincar", made.MadeSet("no world", ()))
    assert made.make("mountaincar", tmp_path).checksum == dataset.checksum


def test_experts_of_the_made_rows() -> None:
    rolling = np.array([[0.0, 0.01], [0.0, -0.01]])
    assert [list(expert().act(rolling)) for expert in (Climb, Settle, Idle)] == [[2, 0], [0, 2], [1, 1]]
    slices = {"velocimeter": slice(0, 3), "gyro": slice(3, 6), "goal_lidar": slice(6, 22)}
    slices["hazards_lidar"] = slice(22, 38)
    setting = ExpertSetting("Point", slices, 0.02, 2)
    seen = np.zeros((3, 38))
    seen[:, 6 + 12] = 0.5  # the goal is on the right
    seen[1, 22], seen[2, 22 + 8] = 0.9, 0.9  # a hazard is near ahead; and one behind
    turns = CautiousGoalSeeking(setting).act(seen)[:, 1]
    assert turns[0] < 0
    assert turns[1] == 1.0
    assert turns[2] == turns[0]


def test_steps_leave_out_disturbed_ones_and_show_choices_as_columns() -> None:
    dataset = two_laws(n_each=3, steps=40, ragged=True)
    steps = steps_of(dataset)
    kept = [~np.asarray(episode.disturbed) for episode in dataset.episodes]
    assert len(steps.states) == sum(map(sum, kept))
    raw = np.concatenate([episode.observations[:-1][own] for episode, own in zip(dataset.episodes, kept, strict=True)])
    np.testing.assert_allclose(steps.states, scaled(raw.astype(np.float64)), atol=1e-5)
    values = np.random.default_rng(0).normal(size=(2, len(steps.states)))
    slow = [[row[steps.trajectory == index].mean() for index in range(6)] for row in values]
    np.testing.assert_allclose(steps.means(values), slow)
    assert np.bincount(steps_of(dataset, most=10).trajectory).tolist() == [10] * 6
    habits = steps_of(two_habits(1, 5))
    assert habits.choices == (3,)
    np.testing.assert_array_equal(habits.actions.sum(1), 1)


@pytest.mark.parametrize("method", ["kmeans", "paths", "mixture"])
def test_clusters_tell_trajectories_apart_that_look_different(method: str) -> None:
    dataset = shifted(two_laws(n_each=20, steps=40, disturbed=False))
    assert nmi(dataset, METHODS[method].find(dataset, 2, None, 0)) == pytest.approx(1.0)


def test_statistics_are_means_and_spreads() -> None:
    dataset = two_laws(n_each=2, steps=30, disturbed=False)
    steps = steps_of(dataset)
    columns = np.concatenate([steps.states, steps.changes, steps.actions], axis=1)
    parts = [columns[steps.trajectory == index] for index in range(4)]
    slow = np.array([np.concatenate([part.mean(0), part.std(0)]) for part in parts])
    np.testing.assert_allclose(clusters.statistics(dataset), scaled(slow), atol=1e-3)


@pytest.mark.parametrize("dataset", [two_laws(n_each=8, steps=60), two_habits(8)], ids=["numbers", "choices"])
@pytest.mark.parametrize("method", ["linear-experts", "pg-kmeans", "zbc", "labels"])
def test_those_that_look_at_actions_tell_opposite_laws_apart(
    method: str, dataset: TrajectoryDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zbc, "ITERATIONS", 500)  # laws as plain as these
    monkeypatch.setattr(given, "ITERATIONS", 150)
    find = METHODS[method].find
    assert nmi(dataset, find(dataset, 2, None if METHODS[method].told else 4, 0)) == pytest.approx(1.0)


def test_the_same_seed_gives_the_same_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zbc, "ITERATIONS", 20)
    monkeypatch.setattr(given, "ITERATIONS", 20)
    dataset = two_laws(n_each=4, steps=30)
    for find in (linear_experts, labels_given):
        np.testing.assert_array_equal(find(dataset, 2, 3), find(dataset, 2, 3))
    np.testing.assert_array_equal(zbc.vectors(dataset, 1), zbc.vectors(dataset, 1))


def test_linear_experts_climb_and_agree_with_an_obvious_version() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(6, 20, 3))
    outputs = rng.normal(size=(6, 20, 2))
    squares, products = np.einsum("etd,etf->edf", inputs, inputs), np.einsum("etd,eta->eda", inputs, outputs)
    moments = (np.full(6, 20.0), squares, products, (outputs**2).sum(1))
    shares = rng.dirichlet(np.ones(2), size=6)
    found = log_joint(moments, shares)
    for k in range(2):
        weight = np.repeat(shares[:, k], 20)
        flat_in, flat_out = inputs.reshape(-1, 3), outputs.reshape(-1, 2)
        gram = (flat_in.T * weight) @ flat_in + 1e-3 * weight.sum() * np.eye(3)
        policy = np.linalg.solve(gram, (flat_in.T * weight) @ flat_out)
        errors = outputs - inputs @ policy
        spread = np.sqrt((weight[:, None] * errors.reshape(-1, 2) ** 2).sum(0) / weight.sum())
        slow = norm.logpdf(errors, scale=spread).sum((1, 2)) + np.log(shares[:, k].mean())
        np.testing.assert_allclose(found[:, k], slow)
    reached = [float(np.sum(np.asarray(logsumexp(log_joint(moments, shares), axis=1))))]
    for _ in range(5):
        joint = log_joint(moments, shares)
        shares = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
        reached.append(float(np.sum(np.asarray(logsumexp(log_joint(moments, shares), axis=1)))))
    assert all(after >= before - 1e-2 for before, after in pairwise(reached))
    assert expectation_maximisation(moments, first_shares(6, 2, rng))[1].shape == (6, 2)


def tiny_steps(choices: tuple[int, ...] = ()) -> Steps:
    rng = np.random.default_rng(0)
    actions = np.eye(3)[rng.integers(0, 3, 40)] if choices else rng.normal(size=(40, 2))
    states = rng.normal(size=(40, 3)).astype(np.float32)
    return Steps(states, states, actions.astype(np.float32), np.repeat(np.arange(4), 10), choices)


def test_a_clone_s_likelihood_is_that_of_torch_distributions() -> None:
    steps, generator = tiny_steps(), torch.Generator().manual_seed(0)
    clones = Clones(2, 3, steps, generator)
    with torch.no_grad():
        clones.log_spread.copy_(torch.tensor([[[-0.5, 0.2]], [[0.1, -1.0]]]))
    states, actions = torch.from_numpy(steps.states), torch.from_numpy(steps.actions)
    means = states
    for layer in range(3):
        means = means @ clones.weights[layer] + clones.biases[layer]
        means = torch.relu(means) if layer < 2 else means
    expected = torch.distributions.Normal(means, clones.log_spread.exp()).log_prob(actions).sum(-1)
    found = clones.log_prob(states[None], actions[None])
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)
    clipped = torch.from_numpy(steps.means(expected.detach().clamp(min=-6).double().numpy()))
    torch.testing.assert_close(explained(clones, steps), clipped, atol=1e-3, rtol=1e-3)
    choosing = tiny_steps((3,))
    clones = Clones(2, 3, choosing, generator)
    total = sum(clones.log_prob(states[None], torch.eye(3)[torch.full((1, 40), choice)]).exp() for choice in range(3))
    torch.testing.assert_close(total, torch.ones(2, 40))


def test_clones_learn_their_own_steps_alone() -> None:
    steps, generator = tiny_steps(), torch.Generator().manual_seed(0)
    clones = Clones(3, 3, steps, generator)
    before = [parameter.detach().clone() for parameter in clones.parameters()]
    owners = torch.from_numpy((steps.trajectory >= 2).astype(np.int64))
    clone(clones, steps, owners, 60, generator)
    scores = explained(clones, steps)
    assert scores.argmax(0).tolist() == [0, 0, 1, 1]
    for parameter, old in zip(clones.parameters(), before, strict=True):
        torch.testing.assert_close(parameter[2], old[2])  # the third has no steps


def test_clusters_are_joined_where_it_costs_least() -> None:
    # The third explains what the second has nearly as well as the second does; the first does not.
    scores = np.array([[0.0, -9.0, -9.0, -9.0], [-9.0, 0.0, 0.0, -5.0], [-9.0, -1.0, -1.0, 0.0]])
    assert joined(scores, 3).tolist() == [0, 1, 1, 2]
    assert joined(scores, 2).tolist() == [0, 2, 2, 2]
    assert joined(scores, 9).tolist() == [0, 1, 1, 2]


def test_what_is_finished_is_shown_without_making_anything(folder: Path, capsys: pytest.CaptureFixture) -> None:
    typed = ["--data", str(folder), "--out", str(folder / "out"), "--methods", "kmeans"]
    assert wild.main([*typed, "--rows", "long", "--seeds", "1"]) == 0
    capsys.readouterr()
    assert wild.main([*typed, "--rows", "folder,mountaincar", "--seeds", "2", "--finished"]) == 0
    told = capsys.readouterr().out
    assert "in brackets: how many seeds" in told
    rows = {line.split()[0]: line.split() for line in told.splitlines() if line.strip().startswith(("long", "short"))}
    assert (rows["long"][-1], rows["short"][-1]) == ("(1)", "-")
    assert "mountaincar" not in told
    assert not (folder / "out" / "data").exists()


def test_halves_divide_each_class_evenly() -> None:
    labels = np.array([0] * 6 + [1] * 4 + [2])
    halves = two_halves(labels, np.random.default_rng(0))
    assert [halves[labels == label].sum() for label in range(3)] == [3, 2, 0]


def test_intervals_are_student_s_and_stay_where_nmi_can_be() -> None:
    found = interval([0.5, 0.6, 0.7])
    assert found["mean"] == pytest.approx(0.6)
    assert found["low"] == pytest.approx(0.6 - 4.302653 * 0.1 / np.sqrt(3), abs=1e-5)
    assert interval([0.9, 1.0])["high"] == 1.0
    assert interval([0.3]) == {"mean": 0.3, "low": 0.3, "high": 0.3, "values": [0.3]}
