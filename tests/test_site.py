"""The pages of the site: their Python runs as it stands, from top to bottom, on small data and with few iterations."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import mode_imitation as mi
from mode_imitation.data.writer import write_dataset

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
CODE = {
    str(page.relative_to(ROOT)): "".join(re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL))
    for page in PAGES
    if page.name != "extending.md"  # has a test of its own
}
FEW: dict[str, Any] = {
    "joint_iterations": 2,
    "judge_iterations": 10,
    "iterations": 2,
    "rounds": 0,
    "actor_hidden": (16,),
}
STEPS = 10

fit, rollout = mi.fit, mi.rollout


def short_fit(data: Any, **settings: Any) -> mi.FittedRun:
    """A run in a fraction of a second, of two modes where the data has the labels of two experts."""
    data = data if isinstance(data, mi.TrajectoryDataset) else mi.load_dataset(data)
    if data.labels is not None and "segment" not in settings:
        settings = {"given": np.unique(np.array(data.labels), return_inverse=True)[1]} | settings
    return fit(data, **settings | FEW)


def short_rollout(env: Any, policy: mi.Policy, **settings: Any) -> Any:
    return rollout(env, policy, **settings | {"seeds": [0], "steps": STEPS})


class Session:
    """In place of an exported policy, which has tests of its own."""

    def __init__(self, path: str) -> None:
        assert path == "runs/two-experts.onnx"

    def run(self, _: None, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        assert {name: values.shape for name, values in inputs.items()} == {"observation": (1, 60), "context": (1, 4)}
        return [np.zeros((1, 2)), np.zeros((1, 1, 4))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The datasets and the run that the pages name."""
    folder = tmp_path_factory.mktemp("site")
    sample = mi.load_dataset(ROOT / "data" / "sample" / "two-experts-v0")
    for name in ("pointgoal1/two-experts-v0", "pointgoal1/switching-v0", "mine/driving-v0"):
        write_dataset(name, [*sample.episodes] * 3, root=folder / "data", env_id=sample.env_id, sensors=sample.sensors)
    (folder / "data" / "sample").symlink_to(ROOT / "data" / "sample")
    short_fit(folder / "data" / "pointgoal1" / "two-experts-v0", codes=4, out=folder / "run")
    return folder


@pytest.mark.parametrize("page", [page for page, code in CODE.items() if code])
def test_the_python_of_a_page_runs(page: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "two-experts").symlink_to(folder / "run")
    (tmp_path / "data").symlink_to(folder / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINARI_DATASETS_PATH", raising=False)
    monkeypatch.setattr(mi, "fit", short_fit, raising=False)
    monkeypatch.setattr(mi, "rollout", short_rollout, raising=False)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    exec(compile(CODE[page], page, "exec"), {"__name__": "page"})
