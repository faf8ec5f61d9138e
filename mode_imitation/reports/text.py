"""What a run on texts writes, and which words tell its modes apart."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mode_imitation.data.dataset import TrajectoryDataset
from mode_imitation.data.episodes import Episode
from mode_imitation.data.text import KEY, Vocabulary, in_vocabulary, text_of, text_sensors, vocabulary_of
from mode_imitation.data.writer import write_dataset
from mode_imitation.errors import UserError
from mode_imitation.reports.config import RolloutConfig
from mode_imitation.steering.policy import Policy

WORD = re.compile(r"[^\W\d_]{2,}")
MOST_TELLING = 8
"""Words told of a mode."""
PRIOR_WORDS = 500.0
"""Words that the whole of the texts counts as in each mode's own."""
CLEAR = 1.0
"""Standard deviations of the log odds from which a word is worth telling."""
SAMPLES, SAMPLE_TOKENS = 3, 200
"""Texts that a mode writes for the report, and their length."""
WRITTEN_TOKENS = 400
"""Tokens of a text that `rollout` writes."""
TEMPERATURE = 1.0
"""The policy as it is: at 0 it would say the same again and again."""
FIRST_SEEDS = range(3)


@dataclass(frozen=True)
class TextOfMode:
    """What a mode is like where episodes are texts."""

    words: list[str]
    """The most telling ones, the clearest first."""
    samples: list[str]
    """What it writes."""


@dataclass(frozen=True)
class Written:
    """What `rollout` wrote."""

    what: str
    prompt: str
    texts: dict[int, str]
    """By seed, without the prompt."""
    folder: Path | None = None
    """Of the dataset that --out asks for."""


def telling_words(texts: Mapping[int, Sequence[str]], most: int = MOST_TELLING) -> dict[int, list[str]]:
    """The words that each mode has more often than the others, by log odds under a Dirichlet prior of all texts.

    Monroe, Colaresi & Quinn, Fightin' Words, 2008: rare words do not win by chance, nor frequent ones by their number.

    Args:
        texts: of each mode.
        most: words of a mode.
    """
    counts = {mode: Counter(word for text in own for word in WORD.findall(text.lower())) for mode, own in texts.items()}
    total = Counter[str]()
    for own in counts.values():
        total.update(own)
    n_total = total.total()
    found: dict[int, list[str]] = {}
    for mode, own in counts.items():
        clarity, n_own = {}, own.total()
        for word in own:
            prior = PRIOR_WORDS * total[word] / n_total
            mine, theirs = own[word] + prior, total[word] - own[word] + prior
            not_mine = n_own + PRIOR_WORDS - mine
            not_theirs = n_total - n_own + PRIOR_WORDS - theirs
            if not_mine > 0 and not_theirs > 0:
                odds = np.log(mine / not_mine) - np.log(theirs / not_theirs)
                clarity[word] = odds / np.sqrt(1 / mine + 1 / theirs)
        order = sorted((word for word in clarity if clarity[word] >= CLEAR), key=lambda word: (-clarity[word], word))
        found[mode] = order[:most]
    return found


def write_text(
    policy: Policy, vocabulary: Vocabulary, contexts: np.ndarray, tokens: int, temperature: float, prompt: str = ""
) -> np.ndarray:
    """(tokens,) int64 that the policy writes after a prompt.

    Args:
        policy: is begun anew; its draws go on.
        vocabulary: of the run.
        contexts: (T, K), of each token; the last one goes on.
        tokens: to write.
        temperature: 0 the likeliest token, 1 a draw.
        prompt: what is seen first; "": the beginning of a text.

    Raises:
        UserError: the prompt has a character that the texts never had, or the temperature cannot be.
    """
    if (odd := vocabulary.unknown_in(prompt)) is not None:
        raise UserError(f"the prompt has {odd!r}, which the texts of the run never have; leave it out")
    policy.begin().steer(context=contexts[0])
    seen = vocabulary.seen(vocabulary.encode(prompt), policy.obs_dim)
    if policy.model.config.memory:
        for one in seen[:-1]:
            policy.actions(one, temperature)
    now, written = seen[-1], []
    for step in range(tokens):
        if step < len(contexts):
            policy.steer(context=contexts[step])
        token = int(policy.actions(now, temperature)[0, 0])
        written.append(token)
        now = np.append(now[1:], np.float32(token))
    return np.array(written, dtype=np.int64)


def texts_of_modes(
    policy: Policy, vocabulary: Vocabulary, episodes: Mapping[int, Sequence[Episode]], temperature: float
) -> dict[int, TextOfMode]:
    """The most telling words of the episodes of each mode, and what it writes."""
    words = telling_words({mode: [text_of(one, vocabulary) for one in own] for mode, own in episodes.items()})
    found = {}
    for mode in policy.modes:
        contexts = policy.mode_contexts(mode)[None]
        samples = [
            vocabulary.decode(write_text(policy, vocabulary, contexts, SAMPLE_TOKENS, temperature or TEMPERATURE))
            for _ in range(SAMPLES)
        ]
        found[mode] = TextOfMode(words.get(mode, []), samples)
    return found


def write_as_asked(
    config: RolloutConfig,
    policy: Policy,
    vocabulary: Vocabulary,
    contexts: np.ndarray,
    what: str,
    label: str,
    command: str,
) -> Written:
    """A text for each seed, as a dataset too where --out asks for it.

    Args:
        config: of `rollout`.
        policy: of the run.
        vocabulary: of the run.
        contexts: (T, K), of each token.
        what: steers, in words.
        label: recorded with the texts.
        command: likewise.
    """
    from mode_imitation.reports.layouts import parse_seeds

    for name in ("env", "video", "plot"):
        if getattr(config, name) is not None:
            raise UserError(f"--{name} is of worlds; the run is of texts, leave it out")
    if config.figure:
        raise UserError("--figure is of worlds; the run is of texts, leave it out")
    tokens = config.steps if config.steps is not None else WRITTEN_TOKENS
    if tokens < 1:
        raise UserError(f"--steps is {tokens}; expected at least 1 token")
    temperature = TEMPERATURE if config.temperature is None else config.temperature
    prompt = config.prompt or ""
    found = {}
    for seed in FIRST_SEEDS if config.seeds is None else parse_seeds(config.seeds):
        policy.reset(seed)
        found[seed] = write_text(policy, vocabulary, contexts, tokens, temperature, prompt)
    written = Written(what, prompt, {seed: vocabulary.decode(own) for seed, own in found.items()})
    if config.out is None:
        return written
    before, n_seen = vocabulary.encode(prompt), policy.obs_dim
    episodes = [
        Episode(
            observations=vocabulary.seen(np.concatenate([before, own]), n_seen)[len(before) :],
            actions=own[:, None],
            expert=label,
        )
        for own in found.values()
    ]
    folder = write_dataset(
        config.out,
        episodes,
        root=config.root,
        overwrite=config.overwrite,
        sensors=text_sensors(n_seen),
        action_space=vocabulary.action_space(),
        command=command,
        metadata={"steered_by": what, "run": config.run.name, "prompt": prompt, KEY: vocabulary.to_dict()},
    )
    return replace(written, folder=folder)


def as_the_run_reads(dataset: TrajectoryDataset, vocabulary: Vocabulary) -> TrajectoryDataset:
    """A dataset of texts in a run's vocabulary.

    Raises:
        UserError: it is no text, or of other tokens.
    """
    own = vocabulary_of(dataset.metadata)
    if own is None or own.kind != vocabulary.kind:
        found = "no text" if own is None else f"text of {own.kind}"
        raise UserError(f"dataset {dataset.name} is {found}; the run was trained on text of {vocabulary.kind}")
    episodes = in_vocabulary(dataset.episodes, own, vocabulary)
    return replace(dataset, episodes=tuple(episodes), action_space=vocabulary.action_space())
