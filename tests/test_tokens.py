"""Texts: imported as tokens without loss, told apart by counts, written and attributed by one policy."""

import itertools
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mode_imitation.cli import main
from mode_imitation.commands.modes import print_report
from mode_imitation.data.dataset import TrajectoryDataset, load_dataset
from mode_imitation.data.text import (
    KEY,
    TokenKind,
    Vocabulary,
    episodes_of_text,
    in_vocabulary,
    text_of,
    text_sensors,
    vocabulary_of,
)
from mode_imitation.data.windows import WindowShape
from mode_imitation.discovery.evidence import Evidence
from mode_imitation.discovery.ngrams import NgramEvidence, is_text, ngram_evidence
from mode_imitation.model.batches import FlatEpisodes, TrainingData
from mode_imitation.reports.config import ModesConfig
from mode_imitation.reports.report import make_report
from mode_imitation.reports.report_writer import as_markdown
from mode_imitation.reports.text import telling_words
from mode_imitation.training.config import TrainConfig
from mode_imitation.training.preparation import new_model, token_sizes

SUBJECTS = {"sea": ("the gull", "a seal", "the ship"), "land": ("der Wolf", "ein Bär", "das Reh")}
VERBS = {"sea": ("sails", "dives", "swims"), "land": ("läuft", "schläft", "jagt")}
PLACES = {"sea": ("off the shore", "by the rock"), "land": ("im Wald", "am Bach")}


def sentences(source: str, count: int, seed: int) -> str:
    """Of one of two small grammars."""
    generator = np.random.default_rng([seed, len(source)])
    parts = [[str(generator.choice(of[source])) for of in (SUBJECTS, VERBS, PLACES)] for _ in range(count)]
    return " ".join(f"{' '.join(words)}." for words in parts)


def corpus(folder: Path, texts: int = 8, count: int = 8) -> Path:
    """A folder of texts for each grammar."""
    for source in SUBJECTS:
        (folder / source).mkdir(parents=True)
        for index in range(texts):
            (folder / source / f"{index}.txt").write_text(sentences(source, count, index), encoding="utf-8")
    return folder


def dataset_of(texts: list[str], kind: TokenKind = "bytes") -> TrajectoryDataset:
    vocabulary = Vocabulary.of(kind, texts)
    episodes = [episode for text in texts for episode in episodes_of_text(text, vocabulary)]
    sensors = text_sensors(episodes[0].observations.shape[1])
    return TrajectoryDataset("text/made-v0", tuple(episodes), sensors, action_space=vocabulary.action_space())


def training_data(dataset: TrajectoryDataset) -> TrainingData:
    return TrainingData(FlatEpisodes.of(dataset, range(len(dataset))), WindowShape(2, 1, 1))


@pytest.mark.parametrize("kind", ["bytes", "words"])
@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=2, max_size=60), min_size=1, max_size=4),
    length=st.none() | st.integers(2, 20),
)
def test_what_is_read_is_written_back(kind: TokenKind, texts: list[str], length: int | None) -> None:
    vocabulary = Vocabulary.of(kind, texts)
    assert vocabulary_of(json.loads(json.dumps({KEY: vocabulary.to_dict()}))) == vocabulary
    for text in texts:
        tokens, episodes = vocabulary.encode(text), episodes_of_text(text, vocabulary, length)
        assert vocabulary.decode(tokens) == text
        assert np.array_equal(np.concatenate([episode.actions[:, 0] for episode in episodes]), tokens)
        if kind == "words":
            assert "".join(text_of(episode, vocabulary) for episode in episodes) == text
        for episode in episodes:
            # What was done is what is seen next; before the beginning there is nothing.
            assert np.array_equal(episode.observations[1:, -1], episode.actions[:, 0])
        assert (episodes[0].observations[0] == vocabulary.start).all()
        for one, following in itertools.pairwise(episodes):
            assert np.array_equal(one.observations[-1], following.observations[0])
        if length is not None and len(episodes) > 1:
            assert all(length <= len(episode) < 1.5 * length or len(episode) >= length / 2 for episode in episodes)


def test_words_are_the_frequent_ones_and_the_others_are_spelt() -> None:
    vocabulary = Vocabulary.of("words", ["so it goes, so it goes. once"])
    read = [vocabulary.words[token] for token in vocabulary.encode("so it goes once")]
    assert read == [*"so", " it", " goes", " ", *"once"]


def test_a_text_of_another_vocabulary_is_read_in_the_run_s_own() -> None:
    own, other = Vocabulary.of("words", ["ab ab cd cd"]), Vocabulary.of("words", ["ab cd cd xy"])
    (episode,) = in_vocabulary(episodes_of_text("ab cd xy", other), other, own)
    assert text_of(episode, own) == "ab cd \ufffd\ufffd"


def test_import_keeps_texts_and_takes_folders_for_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = corpus(tmp_path / "texts", texts=2)
    words = ["import", str(folder), "--tokens", "bytes", "--length", "64", "--out", "text/two-v0", "--root", "ROOT"]
    assert main([word.replace("ROOT", str(tmp_path / "data")) for word in words]) == 0
    assert "4 documents" in capsys.readouterr().out
    dataset = load_dataset("text/two-v0", tmp_path / "data")
    vocabulary = vocabulary_of(dataset.metadata)
    assert vocabulary is not None
    for source in SUBJECTS:
        tokens = [ep.actions[:, 0] for ep in dataset.episodes if ep.expert == source]
        assert vocabulary.decode(np.concatenate(tokens)) == "".join(sentences(source, 8, index) for index in range(2))
    assert set(dataset.lengths[:-1]) >= {64}


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"caf\xe9 au lait", ["--tokens", "bytes"], "0.txt is not UTF-8: byte 3 is 0xe9"),
        (b"", ["--tokens", "bytes"], "0.txt is empty"),
        (b" \n\n", ["--tokens", "words"], "0.txt is empty"),
        (b"a", ["--tokens", "bytes"], "'a' and no more; expected at least 2 tokens"),
        (None, ["--tokens", "bytes"], "has no .txt files"),
        (b"some text", ["--tokens", "bytes", "--sensor", "a=0:1"], "--sensor is of arrays"),
        (b"some text", ["--tokens", "bytes", "--length", "1"], "length"),
        (b"some text", ["--length", "9"], "--length is of text"),
        (b"some text", ["--tokens", "letters"], "letters"),
    ],
)
def test_bad_text_gives_one_line_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, options: list[str], message: str
) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    if content is not None:
        (folder / "0.txt").write_bytes(content)
    root = tmp_path / "data"
    assert main(["import", str(folder), *options, "--out", "text/bad-v0", "--root", str(root)]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not said.out
    assert not list(root.rglob("*.hdf5"))


def test_a_text_file_without_tokens_says_which_option_is_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("words")
    assert main(["import", str(tmp_path / "a.txt"), "--out", "text/bad-v0", "--root", str(tmp_path)]) == 2
    assert "say --tokens bytes or words" in capsys.readouterr().err


def slow_evidence(texts: list[np.ndarray], group: list[int], order: int, concentration: float) -> float:
    """Log probability of the texts of a group, token after token, under the law of what came before in the group."""

    def grams(text: np.ndarray, n: int) -> Iterator[tuple[int, ...]]:
        start = int(max(own.max() for own in texts)) + 1
        # START is one number to all; which one does not matter, as long as no token has it.
        padded = [-start] * n + text.tolist()
        return zip(*(padded[shift:] for shift in range(n + 1)), strict=False)

    n_tokens = 3 + int(max(text.max() for text in texts))  # with UNKNOWN and START

    def law(gram: tuple[int, ...]) -> float:
        if not gram:
            return 1 / n_tokens
        times, context = all_grams[len(gram) - 1][gram], all_contexts[len(gram) - 1][gram[:-1]]
        return (times + 5 * law(gram[1:])) / (context + 5)

    all_grams = [Counter(gram for text in texts for gram in grams(text, n)) for n in range(order + 1)]
    all_contexts = [Counter(gram[:-1] for text in texts for gram in grams(text, n)) for n in range(order + 1)]
    seen: dict[tuple[int, ...], int] = defaultdict(int)
    total, context = 0.0, defaultdict[tuple[int, ...], int](int)
    for unit in group:
        for gram in grams(texts[unit], order):
            total += math.log((concentration * law(gram) + seen[gram]) / (concentration + context[gram[:-1]]))
            seen[gram] += 1
            context[gram[:-1]] += 1
    return total


def made_evidence() -> tuple[list[np.ndarray], NgramEvidence]:
    texts = [sentences(source, 3, seed)[: 60 + 7 * seed] for seed in range(3) for source in SUBJECTS]
    dataset = dataset_of(texts)
    return [episode.actions[:, 0] for episode in dataset.episodes], ngram_evidence(training_data(dataset))


def test_the_evidence_of_a_group_is_what_reading_it_token_by_token_gives() -> None:
    texts, evidence = made_evidence()
    codes = torch.tensor([0, 1, 0, 1, 1, 0])
    for order, (view, counts) in enumerate(zip(evidence.views, evidence.summed(codes, 2), strict=True)):
        slow = [
            slow_evidence(texts, np.flatnonzero(codes.numpy() == code).tolist(), order, view.concentration)
            for code in (0, 1)
        ]
        np.testing.assert_allclose(view.log_evidence(counts).numpy(), slow, rtol=1e-9)  # type: ignore[arg-type]


@pytest.mark.parametrize("side", ["both", "odd", "even"])
def test_what_a_unit_adds_is_the_difference_of_evidences(side: str) -> None:
    _, evidence = made_evidence()
    codes = torch.tensor([0, 1, 0, 1, 3, 0])
    for who in (None, torch.tensor([4, 1])):
        slow = Evidence.predictive(evidence, codes, side, who)  # type: ignore[arg-type]
        fast = evidence.predictive(codes, side, who)  # type: ignore[arg-type]
        torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-7)
    some = evidence.take(torch.tensor([0, 1, 4]))
    assert some.n_units == 3
    assert float(some.steps["both"].sum()) == float(evidence.steps["both"][[0, 1, 4]].sum())


def test_text_is_what_does_what_is_seen_next() -> None:
    dataset = dataset_of([sentences("sea", 3, seed) for seed in range(4)])
    config = TrainConfig(codes=2)
    model = new_model(
        config.model_config(dataset.obs_dim, dataset.action_space, dataset.sensors, token_sizes(dataset)),
        training_data(dataset),
        config,
    )
    data = training_data(dataset)
    assert is_text(model, data)
    data.actions = data.actions.roll(1, 0)
    assert not is_text(model, data)


def test_telling_words_are_those_of_one_mode_and_not_the_rare_or_the_common() -> None:
    texts = {0: ["the sea the sea the sea and the gull"] * 5, 1: ["the land the land the land and the wolf"] * 5}
    found = telling_words(texts, most=1)
    assert found == {0: ["sea"], 1: ["land"]}
    assert "the" not in {word for words in telling_words(texts).values() for word in words}


@pytest.fixture(scope="module")
def text_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data/ and the run of a small training on two grammars."""
    folder = tmp_path_factory.mktemp("text")
    texts, root = corpus(folder / "texts"), str(folder / "data")
    assert main(["import", str(texts), "--tokens", "bytes", "--out", "text/two-v0", "--root", root]) == 0
    words = ["train", "text/two-v0", "--root", root, "--codes", "4", "--out", str(folder / "run"), "--device", "cpu"]
    words += ["--iterations", "150", "--start", "random", "--batch", "256", "--actor-hidden", "64"]
    assert main([*words, "--no-pictures"]) == 0
    return folder


def test_two_grammars_are_two_modes(text_run: Path) -> None:
    info = json.loads((text_run / "run" / "run.json").read_text())
    labels = load_dataset("text/two-v0", text_run / "data").labels
    assert labels is not None
    pairs = {(labels[index], code) for index, code in zip(info["training_episodes"], info["assignment"], strict=True)}
    assert len(pairs) == info["summary"]["n_modes"] == 2


def test_modes_tells_words_and_samples(text_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = make_report(ModesConfig(run=text_run / "run", root=text_run / "data"))  # without pictures
    words = {entry.expert: entry.text.words for entry in report.data.modes if entry.text}
    assert set(words["sea"]) & {"the", "seal", "gull", "shore", "rock"}
    assert set(words["land"]) & {"der", "das", "ein", "im", "am"}
    assert all(len(entry.text.samples) == 3 for entry in report.data.modes if entry.text)
    assert json.loads(json.dumps(report.data.as_dict(), default=str))["modes"][0]["text"]["samples"]
    print_report(report.data)
    said = capsys.readouterr().out
    assert said.count("its words: ") == 2
    assert "goals" not in said
    assert "## What each mode writes" in as_markdown(report.data)


def test_what_a_mode_writes_goes_on_from_the_prompt_and_is_attributed_to_it(
    text_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, root = str(text_run / "run"), str(text_run / "data")
    words = ["rollout", run, "--prompt", "the ", "--seeds", "0:2", "--root", root]
    assert main([*words, "--mode", "0", "--steps", "90"]) == 0
    first = capsys.readouterr().out
    assert first.count("\nthe ") == 2
    assert main([*words, "--mode", "0", "--steps", "90"]) == 0
    assert capsys.readouterr().out == first  # a seed is a text
    schedule = ["--schedule", "0:150,1", "--steps", "300", "--out", "text/written-v0"]
    assert main([*words, *schedule]) == 0
    assert main(["attribute", run, "text/written-v0", "--root", root, "--out", str(text_run / "attributed")]) == 0
    assert "mode 0" in capsys.readouterr().out
    (file,) = (text_run / "attributed").glob("*.json")
    for entry in json.loads(file.read_text())["episodes"]:
        assert [part["mode"] for part in entry["segments"] if part["mode"] is not None] == [0, 1]
        assert abs(entry["segments"][0]["end"] - 150) < 20
        assert 250 < sum(len(part["text"]) for part in entry["segments"]) <= 300


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--mode", "0", "--prompt", "Ωmega"], "the prompt has 'Ω', which the texts of the run never have"),
        (["--mode", "0", "--steps", "0"], "--steps is 0; expected at least 1 token"),
        (["--mode", "0", "--plot", "a.png"], "--plot is of worlds"),
        (["--mode", "9"], "there is no mode 9"),
        (["--prompt", "the"], "steer by one of --mode"),
    ],
)
def test_what_cannot_be_written_is_one_line(
    text_run: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["rollout", str(text_run / "run"), *options]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
