"""Attribution: the right mode where it is known, "none" for a stranger, honest figures, mistakes in one line."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mode_imitation.cli import main
from mode_imitation.data.dataset import TrajectoryDataset, load_dataset
from mode_imitation.data.episodes import Episode
from mode_imitation.data.spaces import ActionSpace
from mode_imitation.data.writer import write_dataset
from mode_imitation.model.heads import GaussianHead
from mode_imitation.model.mode_model import ModeModel
from mode_imitation.reports.attribution import (
    LEAST_GAP,
    SURPRISE,
    Attribution,
    attribute_episodes,
    calibrate,
    correlation_time,
    log_densities,
    modes_of,
)
from mode_imitation.reports.attribution_report import EDGES, attribute_dataset, attribution_scores, reliability
from mode_imitation.reports.config import AttributeConfig
from mode_imitation.reports.turns import NONE, LabelledSteps
from mode_imitation.steering.policy import Policy
from mode_imitation.training.run_folder import write_info
from tests.small_models import CHOICES, NUMBERS, draw_actions, draw_observations, make_model
from tests.tiny_runs import N_CODES, SENSORS, SLICES, random_dataset, random_episode, random_model, save_run

STEPS = 320


def steered_model() -> ModeModel:
    """Its modes 0, 1 and 2 answer every observation with about the same three different actions."""
    model = random_model()
    model.codebook.entries.mul_(30)  # far apart: contexts become one-hot
    actor = model.actor
    for parameter in actor.parameters():
        parameter.zero_()
    actor.of_context.weight[:3, :3] = torch.eye(3)  # hidden units 0 .. 2 tell the modes apart
    assert isinstance(actor.head, GaussianHead)
    actor.head.mean.weight[:, :3] = torch.tensor([[0.8, -0.8, 0.0], [0.0, 0.0, 0.8]])
    actor.head.log_sigma.bias.fill_(-2.0)
    return model


def driven(modes: list[int | None], seed: int = 0, disturbed: np.ndarray | None = None, **more) -> Episode:
    """An episode of equally long stretches that modes of `steered_model` made; None makes uniform actions."""
    rng = np.random.default_rng(seed)
    means = {0: (0.8, 0.0), 1: (-0.8, 0.0), 2: (0.0, 0.8)}
    each = STEPS // len(modes)
    parts = [
        rng.uniform(-1, 1, (each, 2)) if mode is None else means[mode] + np.exp(-2.0) * rng.normal(size=(each, 2))
        for mode in modes
    ]
    actions = np.concatenate(parts).astype(np.float32)
    if disturbed is not None:
        actions[disturbed] = (0.0, -1.0)
    noise = random_episode(steps=len(actions), seed=seed)
    return Episode(observations=noise.observations, actions=actions, disturbed=disturbed, **more)


MODEL = steered_model()
CALIBRATION = calibrate(MODEL, [driven([mode], seed=mode) for mode in (0, 1, 2)])


def decode(*episodes: Episode) -> list[Attribution]:
    return attribute_episodes(MODEL, episodes, CALIBRATION, expected_steps=50)


def test_every_mode_is_told_and_so_is_a_stranger() -> None:
    episodes = [driven([mode], seed=10 + index) for index, mode in enumerate((0, 1, 2, None))]
    for mode, found in zip((0, 1, 2, NONE), decode(*episodes), strict=True):
        assert [part.mode for part in found.segments] == [mode]
        assert found.segments[0].probability > 0.95
        assert max(found.shares, key=lambda state: found.shares[state]) == mode


def test_switches_are_found_where_they_are() -> None:
    (found,) = decode(driven([0, 2, None, 1], seed=3))
    assert [part.mode for part in found.segments] == [0, 2, NONE, 1]
    edges = np.array([part.end for part in found.segments])
    assert np.abs(edges - [80, 160, 240, 320]).max() <= 5


def test_disturbed_steps_are_no_evidence() -> None:
    disturbed = np.zeros(STEPS, dtype=bool)
    disturbed[120:200] = True
    (marked,) = decode(driven([0], disturbed=disturbed))
    assert [part.mode for part in marked.segments] == [0]
    burst = driven([0], disturbed=disturbed)
    (unmarked,) = decode(Episode(observations=burst.observations, actions=burst.actions))
    assert [part.mode for part in unmarked.segments] == [0, NONE, 0]


def test_one_surprise_does_not_decide() -> None:
    episode = driven([0])
    episode.actions[80] = (-30.0, 30.0)
    (found,) = decode(episode)
    assert [part.mode for part in found.segments] == [0]


def test_episodes_do_not_depend_on_their_company() -> None:
    long, short = driven([0, 1]), driven([2])
    short = Episode(observations=short.observations[:31], actions=short.actions[:30])
    together = decode(long, short)
    for alone, beside in zip((*decode(long), *decode(short)), together, strict=True):
        np.testing.assert_array_equal(alone.states, beside.states)
        np.testing.assert_allclose(alone.probabilities, beside.probabilities, atol=1e-12)
        np.testing.assert_allclose(beside.probabilities.sum(axis=1), 1.0)


def test_the_densities_are_the_policys_under_each_modes_context() -> None:
    episode = driven([0, 1])
    found = log_densities(MODEL, episode)
    observations = torch.from_numpy(episode.observations[:-1])
    for column, mode in enumerate(modes_of(MODEL)):
        context = MODEL.mode_contexts()[mode].expand(len(observations), -1)
        mean, log_sigma = MODEL.predict(MODEL.features.rows(observations), context)[:, 0].chunk(2, dim=-1)
        expected = torch.distributions.Normal(mean, log_sigma.exp()).log_prob(torch.from_numpy(episode.actions)).sum(-1)
        np.testing.assert_allclose(found[:, column], expected.numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("head", ["gaussian", "mixture", "categorical"])
@pytest.mark.parametrize("memory", [0, 8])
def test_the_densities_are_those_of_any_head_after_all_that_was_seen_before(head: str, memory: int) -> None:
    model = make_model(head=head, action_space=CHOICES if head == "categorical" else NUMBERS, memory=memory).eval()
    observations, actions = draw_observations(model.config, 7), draw_actions(model.config, 6)
    found = log_densities(model, Episode(observations=observations.numpy(), actions=actions.numpy()))
    assert np.ptp(found, axis=1).min() > 1e-3
    model.requires_grad_(False)
    for column, mode in enumerate(modes_of(model)):
        context, state = torch.eye(model.config.n_codes)[[mode]], None
        for step in range(6):
            row = model.features.rows(observations[[step]])
            if memory:
                parameters, state = model.actor.recall(row[:, None], context[:, None], state)
            else:
                parameters = model.actor(row, context)
            expected = float(model.log_prob(parameters[:, 0], actions[[step]]).sum())
            assert found[step, column] == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_the_level_lets_through_the_share_of_blocks_that_was_asked_for() -> None:
    # An expert that is imitated badly: half of its blocks are 5 sigmas off.
    episode = driven([0], seed=1)
    episode.actions[: STEPS // 2, 1] += 5 * np.exp(-2.0)
    strict, lenient = calibrate(MODEL, [episode], false_alarm=0.8), calibrate(MODEL, [episode], false_alarm=0.1)
    assert lenient.level < strict.level == strict.typical - LEAST_GAP
    assert lenient.n_episodes == 1
    blocks = log_densities(MODEL, episode)[: STEPS // 25 * 25, 0]
    means = np.maximum(blocks, lenient.typical - SURPRISE).reshape(-1, 25).mean(axis=1)
    assert (means < lenient.level).mean() == pytest.approx(0.1, abs=1 / len(means))


@pytest.mark.parametrize("share", [0.01, 0.05, 0.13, 0.3])
def test_no_more_blocks_than_were_asked_for_lie_below_the_level(share: float) -> None:
    episode = driven([0], seed=1)
    offsets = np.random.default_rng(2).uniform(0, 6, STEPS // 25 + 1)  # sigmas, another one in every block
    episode.actions[:, 1] += np.exp(-2.0) * np.repeat(offsets, 25)[:STEPS]
    found = calibrate(MODEL, [episode], false_alarm=share)
    blocks = np.maximum(log_densities(MODEL, episode)[: STEPS // 25 * 25, 0], found.typical - SURPRISE)
    assert (blocks.reshape(-1, 25).mean(axis=1) < found.level).mean() <= share


def test_without_episodes_the_level_comes_from_the_spread_of_the_actions() -> None:
    blind = calibrate(MODEL, [])
    assert blind.n_episodes == 0
    # Actions of unit spread in both dimensions: minus the entropy of a standard normal pair.
    assert blind.level == pytest.approx(-np.log(2 * np.pi * np.e))
    assert attribute_episodes(MODEL, [driven([1])], blind)[0].segments[0].mode == 1


@pytest.mark.parametrize(
    ("head", "space"),
    [("gaussian", ActionSpace(2)), ("mixture", ActionSpace(2)), ("categorical", ActionSpace(2, (3, 4)))],
)
@pytest.mark.parametrize("memory", [0, 4])
def test_what_a_mode_itself_draws_is_attributed_to_it_whatever_the_head(
    head: str, space: ActionSpace, memory: int
) -> None:
    model = random_model(head=head, action_space=space, memory=memory)
    model.codebook.entries.mul_(30)
    for layer, first in model.actor.context_layers:  # the modes are as far apart as their contexts can make them
        layer.weight[:, first : first + N_CODES].mul_(20)
    for name in {"mean", "means", "logits"} & dict(model.actor.head.named_children()).keys():
        layer = model.actor.head.get_submodule(name)
        assert isinstance(layer, torch.nn.Linear)
        layer.weight.mul_(5)  # what a memory hands over lies within 1
    policy = Policy(model)

    def drawn(mode: int, seed: int) -> Episode:
        noise = random_episode(steps=STEPS, seed=seed)
        policy.reset(seed).steer(mode=mode)
        actions = np.stack([policy.actions(row[None], 1.0)[0] for row in noise.observations[:-1]])
        return Episode(observations=noise.observations, actions=actions)

    calibration = calibrate(model, [drawn(mode, mode) for mode in (0, 1, 2)])
    assert calibration.n_episodes == 3
    for mode in (0, 1, 2):
        (found,) = attribute_episodes(model, [drawn(mode, 10 + mode)], calibration, expected_steps=50)
        assert [part.mode for part in found.segments] == [mode]
        assert found.segments[0].probability > 0.95


def test_without_episodes_the_level_of_choices_is_chance() -> None:
    model = random_model(head="categorical", action_space=ActionSpace(2, (3, 4)))
    assert calibrate(model, []).level == pytest.approx(-np.log(3 * 4))


def test_the_correlation_time_of_an_autoregression_is_its_own() -> None:
    rng, series = np.random.default_rng(0), np.zeros(200_000)
    for step in range(1, len(series)):
        series[step] = 0.5 * series[step - 1] + rng.normal()
    assert correlation_time([(0, series)]) == pytest.approx((1 + 0.5) / (1 - 0.5), abs=0.3)
    assert correlation_time([(0, rng.normal(size=10_000))]) == 1.0
    assert correlation_time([(0, np.zeros(10))]) == 1.0


def test_scores_are_what_counting_step_by_step_gives() -> None:
    names = np.array(["left"] * 160 + ["right"] * 160)
    disturbed = np.arange(STEPS) < 10
    known = driven([0, 1], acting=names, disturbed=disturbed)
    stranger = driven([None], expert="stranger", seed=5)
    dataset = TrajectoryDataset("test/scored-v0", (known, stranger), SENSORS)
    found = decode(*dataset.episodes)
    matches = LabelledSteps.of(dataset, {0: found[0].states}).matches()
    assert matches == {0: "left", 1: "right"}
    scores = attribution_scores(dataset, found, matches, ["left", "right"])
    assert scores is not None
    judged: list[tuple[int, str, bool, bool, int]] = []  # episode, who, in the arena, right, state
    for index, (episode, item) in enumerate(zip(dataset.episodes, found, strict=True)):
        who = episode.expert_of_step
        assert who is not None
        for step in range(len(episode)):
            if episode.disturbed is None or not episode.disturbed[step]:
                seen = bool((episode.observations[step, SLICES["goal_lidar"]] > 0).any())
                state = int(item.states[step])
                right = matches.get(state, "stranger") == who[step]
                judged.append((index, str(who[step]), seen, right, state))

    def share(rows: list[tuple[int, str, bool, bool, int]]) -> float:
        return sum(right for *_, right, _ in rows) / len(rows)

    assert scores["right_per_step"] == pytest.approx(share(judged))
    inside = [row for row in judged if row[2]]
    assert 0 < len(inside) < len(judged)
    assert scores["right_per_step_in_arena"] == pytest.approx(share(inside))
    by_episode = [share([row for row in judged if row[0] == index]) > 0.5 for index in range(2)]
    assert scores["right_by_episode"] == pytest.approx(sum(by_episode) / 2)
    for name in ("left", "right", "stranger"):
        own = [row for row in judged if row[1] == name]
        assert scores["experts"][name]["steps"] == len(own)
        assert scores["experts"][name]["right"] == pytest.approx(share(own))
        for state, part in scores["experts"][name]["shares"].items():
            mode = -1 if state == "none" else int(state)
            assert part == pytest.approx(sum(row[4] == mode for row in own) / len(own))
    assert scores["experts"]["stranger"]["shares"]["none"] > 0.9
    assert not scores["experts"]["stranger"]["seen_in_training"]
    assert scores["switches"]["true"] == 1
    assert scores["switches"]["median_distance_steps"] <= 3
    assert scores["switches"]["recall"] == 1


def test_an_expert_that_was_seen_and_is_called_none_is_wrong() -> None:
    dataset = TrajectoryDataset("test/scored-v0", (driven([None], expert="left"),), SENSORS)
    scores = attribution_scores(dataset, decode(*dataset.episodes), {0: "left"}, ["left"])
    assert scores is not None
    assert scores["right_per_step"] < 0.1


def test_without_a_lidar_nobody_knows_what_is_right_in_the_arena() -> None:
    dataset = TrajectoryDataset("test/scored-v0", (driven([0], expert="left"),))
    scores = attribution_scores(dataset, decode(*dataset.episodes), {0: "left"}, ["left"])
    assert scores is not None
    assert scores["right_per_step"] > 0.9
    assert scores["right_per_step_in_arena"] is None


def test_the_calibration_error_is_the_mean_gap_between_said_and_right() -> None:
    said = np.array([0.95] * 10 + [0.6] * 10)
    right = np.array([True] * 9 + [False] + [True] * 3 + [False] * 7)
    found = reliability(said, right)
    assert found["error"] == pytest.approx((0.05 * 10 + 0.3 * 10) / 20)
    assert [part["steps"] for part in found["classes"]] == [10, 10]


said_and_right = st.tuples(st.floats(0, 1) | st.sampled_from(EDGES), st.booleans())


@given(st.lists(said_and_right, min_size=1, max_size=30))
def test_the_calibration_equals_a_slow_count(items: list[tuple[float, bool]]) -> None:
    classes, gaps = [], []
    for low, high in itertools.pairwise(EDGES):
        members = [item for item in items if low <= item[0] < high or item[0] == high == 1]
        if members:
            said, was = (sum(column) / len(members) for column in zip(*members, strict=True))
            classes.append({"from": low, "to": high, "steps": len(members), "probability": said, "right": was})
            gaps += [abs(said - was)] * len(members)
    found = reliability(np.array([said for said, _ in items]), np.array([right for _, right in items]))
    assert found["error"] == pytest.approx(sum(gaps) / len(items))
    assert found["classes"] == [pytest.approx(entry) for entry in classes]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    info = {"training_episodes": [2, 3, 4, 5], "assignment": [0, 1, 0, 1]}
    save_run(folder / "runs" / "tiny", folder / "data", random_dataset(), info)
    return folder / "runs" / "tiny"


def test_the_command_writes_every_segment_and_a_picture(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = run.parent.parent / "data"
    assert main(["attribute", str(run), "tiny/random-v0", "--root", str(root), "--birdseye", "3"]) == 0
    printed = capsys.readouterr().out
    assert "0-40" in printed
    assert "right:" in printed
    stem = run / "attribution-tiny-random-v0"
    data = json.loads(stem.with_suffix(".json").read_text())
    assert len(data["episodes"]) == 6
    for entry in data["episodes"]:
        assert [part["end"] for part in entry["segments"][:-1]] == [part["start"] for part in entry["segments"][1:]]
        assert entry["segments"][-1]["end"] == entry["steps"]
        assert sum(entry["shares"].values()) == pytest.approx(1.0, abs=1e-4)
    assert data["none"]["n_episodes"] == 2
    assert str(run.parent) not in json.dumps(data)
    pictures = [stem.with_suffix(".png"), stem.with_name(f"{stem.name}-birdseye.png")]
    assert all(picture.stat().st_size > 1000 for picture in pictures)
    assert main(["attribute", str(run), "tiny/random-v0", "--root", str(root)]) == 0
    assert not pictures[1].exists()


def attribute(tmp_path: Path, dataset: TrajectoryDataset, info: dict) -> dict:
    """What `attribute` finds in the data of a run with this run.json."""
    save_run(tmp_path / "run", tmp_path / "data", dataset, info)
    return attribute_dataset(AttributeConfig(run=tmp_path / "run", dataset=dataset.name, root=tmp_path / "data")).data


@pytest.mark.parametrize("codes", ["assignment", "segments"])
def test_modes_are_matched_by_the_codes_of_training(tmp_path: Path, codes: str) -> None:
    info: dict = {"held_out_episodes": [0], "training_episodes": [1, 2, 3, 4, 5], "assignment": [1, 0, 1, 0, 1]}
    if codes == "segments":
        info |= {"config": {"segment": 20}, "segments": [[code, code] for code in info["assignment"]]}
    data = attribute(tmp_path, random_dataset(), info)
    assert data["matches"] == {"0": "goal_seeking", "1": "forward_moving"}
    assert {name: found["seen_in_training"] for name, found in data["agreement"]["experts"].items()} == {
        "goal_seeking": True,
        "forward_moving": True,
    }
    uncalibrated = [line for line in data["left_out"] if line.startswith("calibration for mode")]
    assert len(uncalibrated) == 3 - len(data["none"]["modes"]) == 2


def test_an_expert_that_was_only_held_out_is_none_that_training_saw(tmp_path: Path) -> None:
    dataset = random_dataset()
    episodes = (replace(dataset.episodes[0], expert="stranger"), *dataset.episodes[1:])
    info = {"held_out_episodes": [0], "training_episodes": [1, 2, 3, 4, 5], "assignment": [1, 0, 1, 0, 1]}
    data = attribute(tmp_path, replace(dataset, episodes=episodes), info)
    assert not data["agreement"]["experts"]["stranger"]["seen_in_training"]
    assert data["agreement"]["experts"]["goal_seeking"]["seen_in_training"]


def test_held_out_episodes_that_are_not_there_are_passed_over(tmp_path: Path) -> None:
    info = {"held_out_episodes": [99, -1], "training_episodes": [1, 99], "assignment": [0, 1]}
    data = attribute(tmp_path, random_dataset(), info)
    assert any("the run held none out" in line for line in data["left_out"])
    assert data["none"]["n_episodes"] == 6


def test_without_labels_or_training_data_it_still_attributes_and_says_what_is_missing(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_run(tmp_path / "run", tmp_path / "gone", random_dataset(labels=False))
    write_info(tmp_path / "run", _info(tmp_path / "run") | {"source": {"root": str(tmp_path / "moved")}})
    root = str(run.parent.parent / "data")
    assert main(["attribute", str(tmp_path / "run"), "tiny/random-v0", "--root", root, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "only roughly calibrated" in printed
    assert "agreement with labels" in printed
    assert (tmp_path / "attribution-tiny-random-v0.json").exists()


def test_mistakes_end_in_one_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = run.parent.parent / "data"
    short = Episode(observations=np.zeros((5, 3), np.float32), actions=np.zeros((4, 1), np.float32))
    write_dataset("test/other-robot-v0", [short], root=root)
    save_run(tmp_path / "unfinished", tmp_path / "data", random_dataset())
    write_info(tmp_path / "unfinished", _info(tmp_path / "unfinished") | {"status": "running"})
    cases = {
        ("unfinished", "tiny/random-v0"): "not finished",
        ("nowhere", "tiny/random-v0"): "no run",
        (str(run), "test/other-robot-v0"): "3 and 1 numbers",
        (str(run), "test/missing-v0"): "test/missing-v0",
        (str(run), "tiny/random-v0", "--expected-steps", "inf"): "--expected-steps is inf; expected",
        (str(run), "tiny/random-v0", "--false-alarm", "2"): "--false-alarm is 2.0; expected",
        (str(run), "tiny/random-v0", "--birdseye", "-1"): "--birdseye is -1",
    }
    for (where, *rest), expected in cases.items():
        before = set((root.parent).rglob("*"))
        assert main(["attribute", str(tmp_path / where), *rest, "--root", str(root)]) == 2, where
        message = capsys.readouterr().err
        assert expected in message
        assert len([line for line in message.splitlines() if "error" in line]) == 1
        assert set((root.parent).rglob("*")) == before
    assert load_dataset("tiny/random-v0", root)


def _info(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())
