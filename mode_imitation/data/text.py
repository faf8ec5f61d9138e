"""Texts as episodes: what is seen are the last tokens, what is done is the next one.

A text of T tokens is an episode of T steps. Its observations, (T + 1, N), are the N tokens before each step, the newest
last; before the beginning there is the token START. Its actions, (T, 1), are the tokens of the text.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mode_imitation.data.episodes import Episode
from mode_imitation.data.spaces import ActionSpace, Sensor
from mode_imitation.errors import UserError

TokenKind = Literal["bytes", "words"]
KEY = "text"
"""Of a dataset's metadata and of run.json, where the vocabulary stands; and the name of the sensor."""
SEEN: dict[str, int] = {"bytes": 6, "words": 3}
"""Tokens of an observation."""
MOST_WORDS = 1000
"""Words of a vocabulary; rarer ones are spelt."""
OFTEN = 2
"""Times that a word occurs at least to be one."""
UNKNOWN = "\ufffd"
"""A character that is in no text of the vocabulary's."""
PIECE = re.compile(r" ?\w+| ?[^\w\s]+|\s")
"""Words, and what stands between them: together all of a text."""
SHORTEST = 2
"""Tokens of a document, so that there is something to go by."""


@dataclass(frozen=True)
class Vocabulary:
    """What each token stands for. START is one more than there are."""

    kind: TokenKind
    words: tuple[str, ...]
    """Of each token: the byte as a Latin-1 character; or the word, a space before it included, beside the characters
    that occur. UNKNOWN is one of them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_numbers", {word: number for number, word in enumerate(self.words)})

    @classmethod
    def of(cls, kind: TokenKind, texts: Iterable[str]) -> "Vocabulary":
        """The bytes of these texts; or their most frequent words and all of their characters."""
        characters, words = {UNKNOWN}, Counter[str]()
        for text in texts:
            if kind == "bytes":
                characters |= set(_as_bytes(text))
                continue
            characters |= set(text)
            words.update(piece for piece in PIECE.findall(text) if len(piece) > 1)
        frequent = [word for word, times in words.most_common(MOST_WORDS) if times >= OFTEN]
        return cls(kind, (*sorted(characters), *frequent))

    @property
    def size(self) -> int:
        """V, how many tokens there are to choose from."""
        return len(self.words)

    @property
    def start(self) -> int:
        """The token START, which no text holds."""
        return self.size

    def encode(self, text: str) -> np.ndarray:
        """(T,) int64; what the vocabulary does not have becomes UNKNOWN."""
        numbers: dict[str, int] = self._numbers  # type: ignore[attr-defined]
        unknown = numbers[UNKNOWN]
        if self.kind == "bytes":
            return np.array([numbers.get(one, unknown) for one in _as_bytes(text)], dtype=np.int64)
        found: list[int] = []
        for piece in PIECE.findall(text):
            known = numbers.get(piece)
            found += [known] if known is not None else [numbers.get(one, unknown) for one in piece]
        return np.array(found, dtype=np.int64)

    def decode(self, tokens: np.ndarray) -> str:
        """(T,) int -> the text; START is left out, and what is no UTF-8 becomes UNKNOWN."""
        written = "".join(self.words[token] for token in tokens if token < self.size)
        if self.kind == "words":
            return written
        return b"".join(b"\xff" if one == UNKNOWN else one.encode("latin-1") for one in written).decode(
            "utf-8", errors="replace"
        )

    def unknown_in(self, text: str) -> str | None:
        """The first character of a text that the vocabulary does not have; None where it has all."""
        unknown = self.words.index(UNKNOWN)
        return next((one for one in text if unknown in self.encode(one)), None)

    def seen(self, tokens: np.ndarray, n_seen: int) -> np.ndarray:
        """(T,) -> (T + 1, n_seen) float32, the tokens before each step and after the last."""
        padded = np.concatenate([np.full(n_seen, self.start), tokens])
        return np.lib.stride_tricks.sliding_window_view(padded, n_seen).astype(np.float32)

    def action_space(self) -> ActionSpace:
        return ActionSpace(1, (self.size,))

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it; `vocabulary_of` reads it back."""
        return {"kind": self.kind, "words": list(self.words)}


def vocabulary_of(known: Mapping[str, Any]) -> Vocabulary | None:
    """Of a dataset's metadata or of run.json; None where it is no text.

    Raises:
        UserError: what is there is no vocabulary.
    """
    said = known.get(KEY)
    if said is None:
        return None
    try:
        kind, words = said["kind"], said["words"]
        if kind not in SEEN or not all(isinstance(word, str) for word in words) or UNKNOWN not in words:
            raise ValueError
        return Vocabulary(kind, tuple(words))
    except (KeyError, TypeError, ValueError):
        raise UserError("the vocabulary cannot be read; import the text again") from None


def episodes_of_text(
    text: str, vocabulary: Vocabulary, length: int | None = None, n_seen: int | None = None, label: str | None = None
) -> list[Episode]:
    """A document as episodes of so many tokens; a rest of less than half that many belongs to the last one.

    What an episode sees at first is the end of the one before it.

    Args:
        text: at least SHORTEST tokens.
        vocabulary: of T tokens.
        length: tokens of an episode, at least SHORTEST; None: the whole document is one.
        n_seen: N, tokens of an observation; None: as many as are usual.
        label: for evaluation only.
    """
    tokens = vocabulary.encode(text)
    seen = vocabulary.seen(tokens, n_seen or SEEN[vocabulary.kind])
    edges = [0, *range(length, len(tokens), length)] if length else [0]
    if length and len(edges) > 1 and len(tokens) - edges[-1] < max(length / 2, SHORTEST):
        edges.pop()
    return [
        Episode(observations=seen[first : last + 1], actions=tokens[first:last, None], expert=label)
        for first, last in zip(edges, [*edges[1:], len(tokens)], strict=True)
    ]


def text_of(episode: Episode, vocabulary: Vocabulary) -> str:
    """What an episode writes."""
    return vocabulary.decode(episode.actions[:, 0])


def text_sensors(n_seen: int) -> dict[str, Sensor]:
    """The one sensor of a text."""
    return {KEY: Sensor(0, n_seen, "token")}


def in_vocabulary(episodes: Sequence[Episode], own: Vocabulary, other: Vocabulary) -> list[Episode]:
    """Episodes of one vocabulary as those of another, of as many tokens seen.

    A word that the other one spells is several steps there, so that episodes may become longer.
    """
    if own == other:
        return list(episodes)
    n_seen = episodes[0].observations.shape[1]
    return [one for ep in episodes for one in episodes_of_text(text_of(ep, own), other, None, n_seen, ep.expert)]


def _as_bytes(text: str) -> str:
    """A text's bytes, each as a Latin-1 character."""
    return text.encode("utf-8").decode("latin-1")
