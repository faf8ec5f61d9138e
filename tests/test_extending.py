"""The page on extending: its code runs as it stands, through the real `fit`."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from mode_imitation.model.encoders import ENCODERS
from mode_imitation.model.features import KINDS
from mode_imitation.model.heads import HEADS

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "extending.md").read_text()
MOST_LINES = 60


def sections() -> dict[str, str]:
    """Code by heading, in order."""
    parts = re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)
    named = zip(["the data", *parts[1::2]], parts[::2], strict=True)
    return {name: "\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)) for name, text in named}


@pytest.fixture
def registries() -> Iterator[None]:
    """Whatever the page registers is gone afterwards."""
    with patch.dict(ENCODERS), patch.dict(HEADS), patch.dict(KINDS):
        yield


@pytest.mark.usefixtures("registries")
def test_every_example_trains_and_drives(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("MINARI_DATASETS_PATH", raising=False)
    names: dict[str, Any] = {"__name__": "extending"}
    used = []
    for title, code in sections().items():
        if code:
            exec(compile(code, f"docs/extending.md, {title}", "exec"), names)
            if "run" in names:
                used.append(names["run"].model.config)
    assert [config.encoder for config in used] == ["convolution", *["pooled"] * 4]
    assert [config.head for config in used] == ["gaussian", "laplace", *["gaussian"] * 3]
    assert used[2].others == (("vector", 9, 12),)
    assert used[3].obs_dim == 2
    assert "4 drives of mode" in capsys.readouterr().out


@pytest.mark.parametrize("title", sections())
def test_examples_are_short(title: str) -> None:
    assert len(sections()[title].splitlines()) < MOST_LINES
