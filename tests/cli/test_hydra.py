"""What Hydra offers works for `ecc-fed run`, or is refused in words before anything is written."""

import copy
import io
import logging
from pathlib import Path

import pytest
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore

from ecc_fed.cli.main import main
from ecc_fed.cli.run import check_overrides
from ecc_fed.core.errors import ConfigError

JOBS, TUNE = "ecc-fed study NAME --jobs N", "ecc-fed tune METRIC"
# Of Hydra's flags those with which another config than the shipped one would be run, or a pickle be loaded.
REFUSED = {"--config-path", "-cp", "--config-name", "-cn", "--experimental-rerun", "--run", "-r"}


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    return " ".join((captured.out + captured.err).split())


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["-m", "hydra/launcher=joblib", "seed=0,1"], ("hydra/launcher=joblib is not for here", JOBS)),
        (["hydra/launcher=submitit_local"], ("hydra/launcher=submitit_local is not for here", JOBS)),
        (["-m", "hydra/sweeper=optuna", "seed=0,1"], ("hydra/sweeper=optuna is not for here", TUNE)),
        (["hydra.launcher._target_=mine.L", "--allow", "mine"], ("hydra.launcher._target_=mine.L is not for", JOBS)),
        (["-m", "+hydra.launcher.n_jobs=2", "seed=0,1"], ("hydra.launcher.n_jobs=2 is not for here", JOBS)),
        (["-m", "seed=interval(0,3)"], ("INTERVAL_SWEEP", TUNE)),
        (["hydra.mode=MULTIRUN", "seed=1"], ("hydra.mode: leave it out. -m makes a sweep.",)),
        (["-m", "--cfg", "job", "seed=0,1"], ("-m and --cfg do not go together",)),
        (["--resolve"], ("--resolve is about what --cfg prints: add --cfg job.",)),
        (["--cfg", "jobb"], ("--cfg/-c: invalid choice: 'jobb' (choose from 'job', 'hydra', 'all')",)),
        (["--mulitrun", "seed=0,1"], ("There is no flag --mulitrun here. Did you mean --multirun?",)),
        (["--resume", "x", "--cfg", "job"], ("--resume goes on with one run: leave the other flags out.",)),
        (["seed=0,1"], ("seed=0,1 stands for several values: -m makes a run of each",)),
        (["-m", "arm=glob(zz*)"], ("arm=glob(zz*) matches none of the choices: aggregated, ",)),
        (["-m", "seed=0,1", "arm=[a"], ("arm=[a cannot be read",)),
        (["-m", "seed=0,1", "arm=none,locl"], ("There is no arm=locl. Did you mean local?",)),
        (["-m", "seed=0,1", "finetune.stepps=1"], ("Did you mean finetune.steps?",)),
        (["corpus=jsonl", "corpus.path=数据/没有 (1).jsonl"], ("corpus file ", "/数据/没有 (1).jsonl does not exist")),
        (["corpus=jsonl", "corpus.path=[v2]"], ("is no text. A text in brackets is quoted", "corpus.path=\"'[…]'\"")),
        (["hydra.run.dir=[a]"], ("hydra.run.dir=[a] is no text. As one: \"hydra.run.dir='[a]'\"",)),
        (["--experimental-rerun=config.pickle"], ("There is no flag --experimental-rerun here.",)),
    ],
)
def test_what_is_not_for_here_is_refused_in_words_and_leaves_nothing(
    arguments: list[str],
    messages: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", *arguments]) == 2
    text = shown(capsys)
    assert all(message in text for message in messages), text
    assert "Traceback" not in text and not list(tmp_path.iterdir())


def test_a_plugin_that_is_installed_is_refused_by_the_same_words(monkeypatch: pytest.MonkeyPatch) -> None:
    store = ConfigStore.instance()
    monkeypatch.setattr(store, "repo", copy.deepcopy(store.repo))
    for group, plugin in {"launcher": "joblib", "sweeper": "optuna"}.items():
        node = {"_target_": f"hydra_plugins.{plugin}.Plugin", "n_jobs": 2}
        store.store(group=f"hydra/{group}", name=plugin, node=node)
        with pytest.raises(ConfigError, match=f"hydra/{group}={plugin} is not for here"):
            check_overrides([f"hydra/{group}={plugin}"], multirun=False)


def test_every_flag_of_hydras_is_known_or_meant_to_be_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for action in get_args_parser()._actions:
        for flag in action.option_strings:
            value = {"--cfg": ["bad"], "-c": ["bad"], "--info": ["bad"], "-i": ["bad"]}.get(flag, [])
            main(["run", flag, *value, "--no-such-flag"])
            text = shown(capsys)  # -cp is -c with a p to argparse
            refused = any(told in text for told in (f"no flag {flag} here", f"invalid choice: '{flag[2:]}'"))
            assert refused == (flag in REFUSED), flag


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["seed=7", "--cfg", "job", "arm=none"], ["seed: 7", "name: none"]),
        (["--cfg=job", "--package", "evolution", "evolution.extra_queries=[能便宜点吗？]"], ["- 能便宜点吗？"]),
        (["-c", "job", "-p", "finetune", "finetune.steps=${seed}", "--resolve", "seed=9"], ["steps: 9"]),
        (["--cfg", "hydra", "hydra.run.dir=结果 (1)/${seed}"], ["dir: 结果 (1)/${seed}"]),
        (["--info", "defaults"], ["Defaults List", "arm/local"]),
        (["-i", "searchpath"], ["Config search path"]),
        (["--hydra-help"], ["--shell-completion"]),
        (["--version"], ["0."]),
    ],
)
def test_what_hydra_prints(
    arguments: list[str],
    said: list[str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    before = list(root.handlers), root.level
    assert main(["run", *arguments]) == 0
    assert (root.handlers, root.level) == before, "what runs in this process next is logged as it was"
    text = shown(capsys)
    assert all(part in text for part in said), text
    assert not list(tmp_path.iterdir())


def test_a_sweep_over_choices_globs_and_a_files_own(tmp_path: Path) -> None:
    (tmp_path / "arm").mkdir()
    (tmp_path / "arm" / "local_mine.yaml").write_text("_target_: ecc_fed.federation.arms.Local\nname: local_mine\n")
    (tmp_path / "experiment").mkdir()
    own = "# @package _global_\nhydra:\n  sweeper:\n    params:\n      seed: 4,5\n"
    (tmp_path / "experiment" / "swept.yaml").write_text(own)
    folders = [str(tmp_path)]

    def jobs(*overrides: str) -> list[list[str]]:
        return [list(job.overrides) for job in check_overrides(overrides, True, folders)]

    assert jobs("arm=glob(local_m*)", "seed=range(0,2)") == [["arm=local_mine", f"seed={seed}"] for seed in (0, 1)]
    assert jobs("experiment=swept", "arm=none") == [[f"seed={seed}", "experiment=swept", "arm=none"] for seed in (4, 5)]


@pytest.mark.parametrize(
    ("line", "choices"),
    [
        ("ecc-fed st", {"study", "run", "tune"}),
        ("ecc-fed study quick", {"quickstart", "evolution"}),
        ("ecc-fed run arm=loc", {"arm=local", "arm=local_with_examples"}),
        ("ecc-fed run corpus=jsonl corpus.path=it's --allow x=y fine", {"finetune=", "finetune."}),
        ("ecc-fed study quickstart --out x=y seed=1 corpus.num_sh", {"corpus.num_shops="}),
        ("ecc-fed corpus --pa", set()),
        ("ecc-fed report ", set()),
    ],
)
def test_a_shell_completes_commands_studies_and_settings(
    line: str, choices: set[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMP_LINE", line)
    assert main(["-sc", "query=bash"]) == 0
    found = set(capsys.readouterr().out.split())
    assert choices <= found and bool(choices) == bool(found)
    if "=" in line.split()[-1]:
        assert found == choices


@pytest.mark.parametrize("before", [[], ["run"], ["study", "quickstart"]])
def test_completion_is_installed_for_the_program(before: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*before, "--shell-completion", "install=bash"]) == 0
    script = capsys.readouterr().out
    assert script.rstrip().endswith("complete -o nospace -o default -F hydra_bash_completion ecc-fed")
    assert main([*before, "-sc", "install=tcsh"]) == 2 and "eval" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["ascii", "cp936", "latin-1"])
def test_a_terminal_of_any_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", err)
    given = ["corpus.num_shops=1", "corpus.pairs_per_shop=8", "corpus.test_pairs_per_shop=4"]
    assert main(["corpus", *given, "--pairs", "2"]) == 0
    assert main(["run", "--cfg", "job", "-p", "evolution", "evolution.extra_queries=[能…é吗？\u0e01]"]) == 0
    assert main(["run", "[/能é\u0e01]"]) == 2 and main(["[/能é\u0e01]"]) == 2
    for stream in (out, err):
        stream.flush()
    text = out.buffer.getvalue().decode(encoding), err.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    assert "\\u0e01" in text[0] and text[1].count("[/") == 2
    assert ("能" in text[0]) == (encoding == "cp936")
