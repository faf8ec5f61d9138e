"""The command line's promises: help at once, a user's mistake in one line with exit status 2, config files."""

import json
import re
import subprocess
import sys
from dataclasses import MISSING, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from mode_imitation.cli import COMMANDS, config_of, main, parse
from mode_imitation.commands.experts import ExpertsCommand
from mode_imitation.commands.train import TrainCommand
from mode_imitation.config_file import expand_config_file
from mode_imitation.errors import UserError
from mode_imitation.options import Repeated, all_options, read_options
from mode_imitation.training.config import TrainConfig


def failing(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    """The one line that a mistaken command prints on standard error."""
    assert main(list(arguments)) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("mode-imitation: error: ")
    return captured.err


def listed(shown: str) -> list[str]:
    """The options in a command's help."""
    return re.findall(r"^  (--[a-z][a-z-]*)", shown, flags=re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    assert COMMANDS[name] in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("buffering", ["-u", "-B"])
@pytest.mark.parametrize("words", ["--help", "--version", "train --help"])
def test_a_reader_that_goes_away_is_no_traceback(words: str, buffering: str) -> None:
    command = [sys.executable, buffering, "-m", "mode_imitation", *words.split()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # as head and less do
        assert process.stderr.read() == ""


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture) -> None:
    assert "did you mean 'train'?" in failing(capsys, "tran")


def test_an_unknown_option_is_one_line(capsys: pytest.CaptureFixture) -> None:
    assert "there is no option --colour;" in failing(capsys, "info", "some/data-v0", "--colour")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--code 4", "there is no option --code, did you mean --codes?"),
        ("--lr 0.1", "there is no option --lr, did you mean --learning-rate?"),
        ("--no-refin", "there is no option --no-refin, did you mean --refine?"),
        ("--find_switch=1", "there is no option --find-switch, did you mean --find-switches?"),
        ("--codes abc", "--codes is 'abc'; expected a whole number"),
        ("--segment abc", "--segment is 'abc'; expected a whole number"),
        ("--temperature warm", "--temperature is 'warm'; expected a number"),
        ("--objective som", "--objective is 'som', did you mean 'sum'?; expected sum, ratio or log_ratio"),
        ("--codes", "--codes has no value"),
        ("--find-switches=1", "--find-switches takes no value"),
        ("--codes 2 more", "'more' is more than was expected"),
        ("--codes 1", "codes is 1; expected at least 2"),
        ("--actor-hidden 64 big", "--actor-hidden is 'big'; expected a whole number"),
    ],
)
def test_a_mistaken_option_is_told_in_our_words(words: str, said: str, capsys: pytest.CaptureFixture) -> None:
    line = failing(capsys, "train", "some/data-v0", "--out", "run", *words.split())
    assert line.startswith(f"mode-imitation: error: {said}")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("some/data-v0", "--out is missing; name the run's folder"),
        ("--out run", "no dataset is named; expected"),
        ("--resume run --seed 1", "--resume goes on with the run's own settings"),
        ("--resume run --confidence 0.9", "--resume goes on with the run's own settings"),
        ("--resume run --overwrite", "--resume goes on with the run's own settings"),
        ("--resume run --out other", "--resume goes on with the run's own settings"),
        ("--resume run", "there is no run at run"),
    ],
)
def test_train_asks_for_what_it_needs_and_resume_for_nothing_else(
    words: str, said: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert failing(capsys, "train", *words.split()).startswith(f"mode-imitation: error: {said}")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--out FOLDER", "exists and is no run: it has no run.json; choose another --out"),
        ("--out FOLDER --overwrite", "exists and is no run: it has no run.json; choose another --out"),
        ("--out run --start kmean", "there is no start 'kmean', did you mean 'kmeans'?; expected vqvae, given, kmeans"),
        ("--out run --encoder lstm", "there is no encoder 'lstm'; expected pooled, gru, attention"),
        ("--out run --head mixtur", "there is no head 'mixtur', did you mean 'mixture'?; expected auto, gaussian"),
    ],
)
def test_train_refuses_settings_and_folders_before_it_reads_data(
    words: str, said: str, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").touch()
    line = failing(capsys, "train", "no/data-v0", *words.replace("FOLDER", str(tmp_path)).split())
    assert said in line


def test_a_missing_dataset_is_told_with_the_whole_path_of_its_folder(
    capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINARI_DATASETS_PATH", raising=False)
    assert f"there is no dataset no/data-v0 under {tmp_path / 'data'};" in failing(capsys, "info", "no/data-v0")


def test_settings_that_help_does_not_list_are_taken_too(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    shown = capsys.readouterr().out
    assert "--codes" in shown
    for name in ("--judge-iterations", "--objective", "--context"):
        assert name not in shown
    assert "encoder, head, horizon and all others of mode_imitation/training/config.py" in " ".join(shown.split())
    path = tmp_path / "settings.yaml"
    path.write_text("start: kmeans\nconfidence: 0.95\nactor_hidden: [8, 8]\n")
    words = ["a/b-v0", "c/d-v0", "--out", "run", "--no-see-states", "--confidence", "0.9", "--config", str(path)]
    expected = TrainConfig(start="kmeans", confidence=0.9, actor_hidden=(8, 8), see_states=False)
    command = parse("train", words)
    assert command == TrainCommand(datasets=("a/b-v0", "c/d-v0"), out=Path("run"), settings=expected)
    assert type(command) is TrainCommand
    assert type(command.settings) is TrainConfig


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_lists_few_options_and_it_takes_all_of_them(name: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main([name, "--help"])
    shown, options = listed(capsys.readouterr().out), all_options(config_of(name)).values()
    assert set(shown) == {option.flag for option in options if option.listed and not option.argument}
    assert 1 <= len([option for option in options if option.listed]) <= 15
    for option in options:
        value = [] if option.kind is bool else ["0" if option.kind in (int, float) else "word"]
        with pytest.raises(UserError) as refused:
            parse(name, [option.flag, *value, "--then-one-that-there-is-not"])
        assert option.argument or f"there is no option {option.flag}" not in str(refused.value)


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("name", COMMANDS)
def test_help_breaks_lines_where_the_terminal_ends(
    name: str, width: int, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    with pytest.raises(SystemExit):
        main([name, "--help"])
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= width
    for option in all_options(config_of(name)).values():
        if option.listed:
            assert option.help, option.name
            if option.kind in (int, float) and option.default not in (None, MISSING, ()):
                assert f"(default:{option.default})" in "".join(shown.split())
            assert "".join(option.help.split()) in "".join(shown.split())
    # A line goes on as far as it can: the next one's first word would not have fitted.
    for line, after in pairwise(shown.splitlines()):
        indent = len(after) - len(after.lstrip())
        if indent == 24 and line.startswith(" " * 24):
            assert len(line) + 1 + len(after.split()[0]) > width - 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("info", "DATASET is missing;"),
        ("attribute", "RUN and DATASET are missing;"),
        ("generate --expert goal_seeking=1", "--out is missing;"),
        ("generate --otu a/b-v0", "there is no option --otu, did you mean --out?;"),
    ],
)
def test_a_missing_argument_is_one_line(words: str, said: str, capsys: pytest.CaptureFixture) -> None:
    assert failing(capsys, *words.split()).startswith(f"mode-imitation: error: {said}")


@dataclass(frozen=True)
class Window:
    horizon: int = 8
    include_state: bool = True


@dataclass(frozen=True)
class Settings:
    codes: int = 4
    refine: bool = True
    window: Window = Window()
    label: Repeated = ()
    hidden: tuple[int, ...] = (64, 64)
    config: Path | None = None


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_a_config_file_sets_what_the_command_line_does_not(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"settings.{suffix}"
    values = {
        "codes": 7,
        "refine": False,
        "horizon": 3,
        "include-state": False,
        "hidden": [8, 9, 10],
        "label": ["a", 1],
    }
    path.write_text(json.dumps(values | {"label": ["a", 1]}))  # JSON is YAML too
    expected = Settings(codes=5, refine=False, window=Window(3, False), label=("a", "1"), hidden=(8, 9, 10))
    assert read_options("train", Settings, ["--codes", "5", "--config", str(path)], "") == expected


def test_a_config_file_of_unknown_settings_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("codez: 7\n")
    with pytest.raises(UserError, match="unknown setting codez; did you mean codes"):
        read_options("train", Settings, ["--config", str(path)], "")


@pytest.mark.parametrize(
    ("text", "complaint"), [("- 1\n- 2\n", "expected settings"), ("{", "is not valid"), (None, "No such file")]
)
def test_a_config_file_that_is_none_is_one_line(text: str | None, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=complaint):
        expand_config_file(["--config", str(path)], known=())


def test_config_without_a_file_name_is_one_line() -> None:
    with pytest.raises(UserError, match="names no file"):
        expand_config_file(["--config"], known=())


@pytest.mark.parametrize(
    ("text", "twice", "complaint"),
    [("config: other.yaml\n", False, "names another config file"), ("codes: 4\n", True, "is given 2 times")],
)
def test_settings_that_would_not_be_read_are_refused(text: str, twice: bool, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=complaint):
        read_options("train", Settings, ["--config", str(path)] * (1 + twice), "")


def test_a_folder_that_cannot_be_made_is_one_line(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    sample = Path(__file__).parents[1] / "data/sample/two-experts-v0"
    run = tmp_path / "file" / "run"
    assert "Not a directory" in failing(capsys, "train", str(sample), "--out", str(run), "--device", "cpu")


@pytest.mark.parametrize(
    "arguments",
    [
        ("rollout", "no-run", "--mode", "0", "--plot", "FILE/x.png"),
        ("rollout", "no-run", "--mode", "0", "--video", "FILE/x.gif"),
        ("modes", "no-run", "--out", "FILE/below"),
        ("attribute", "no-run", "no/data-v0", "--out", "FILE/below"),
    ],
)
def test_an_output_below_a_file_is_refused_before_any_work(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    words = [word.replace("FILE", f"{tmp_path}/file") for word in arguments]
    assert f"{tmp_path}/file is a file; expected a folder for" in failing(capsys, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_mistake_in_a_whole_config_does_not_name_its_class(capsys: pytest.CaptureFixture) -> None:
    assert failing(capsys, "sweep", "any/data-v0", "--codes", "0").startswith("mode-imitation: error: codes holds 0;")
    assert "--seeds is '1e3'; expected a whole number" in failing(capsys, "sweep", "any/data-v0", "--seeds", "1e3")


def test_driving_without_a_simulator_is_one_line(capsys: pytest.CaptureFixture, monkeypatch) -> None:
    def run(config: ExpertsCommand) -> int:
        raise ModuleNotFoundError("No module named 'mujoco'", name="mujoco")

    monkeypatch.setattr("mode_imitation.commands.experts.run", run)
    assert "the simulator's mujoco is not installed" in failing(capsys, "experts")


def test_data_of_another_simulator_trains_without_pictures(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    observations, actions = rng.normal(size=(400, 3)), rng.normal(size=(400, 1))
    np.savez(tmp_path / "arrays.npz", observations=observations, actions=actions, episode_lengths=[100] * 4)
    brief = ["--codes=2", "--iterations=2", "--joint-iterations=2"]
    for name, env in (("pen", "AdroitHandPen-v1"), ("other", "SafetyPointGoal1-v0")):
        dataset, root = f"some/{name}-v0", ["--root", str(tmp_path)]
        assert main(["import", str(tmp_path / "arrays.npz"), "--out", dataset, "--env", env, *root]) == 0
        assert main(["train", dataset, "--out", str(tmp_path / name), *root, *brief]) == 0
        assert "no pictures in the log" in capsys.readouterr().out


@pytest.mark.parametrize("joined", [False, True])
def test_after_ctrl_c_a_run_with_a_checkpoint_folder_is_resumed_by_name(
    joined: bool, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def run(config: TrainCommand) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("mode_imitation.commands.train.run", run)
    out = tmp_path / "my run"
    arguments = ["train", "some/data-v0", *([f"--out={out}"] if joined else ["--out", str(out)])]
    assert main(arguments) == 130
    assert "nothing was half-written; to start again: mode-imitation train some/data-v0" in capsys.readouterr().err
    out.mkdir()
    (out / "run.json").touch()
    assert main(arguments) == 130
    assert f"mode-imitation train --resume '{out}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "means"),
    [
        ("", None),
        ("--disturbances", True),
        ("--no-disturbances", False),
        ("--disturbances True", True),
        ("--disturbances=False", False),
    ],
)
def test_a_choice_that_may_be_left_out_is_taken_with_and_without_a_value(typed: str, means: bool | None) -> None:
    assert parse("generate", ["--out", "a/b-v0", *typed.split()]).disturbances is means
