import json
import sys
import warnings
from pathlib import Path

import pytest

from ecc_fed.cli.arguments import CommandParser
from ecc_fed.cli.main import COMMANDS, main, quiet_libraries
from ecc_fed.cli.run import check_overrides
from ecc_fed.core.errors import ConfigError


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)
    assert main([]) == 2


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert f"ecc-fed {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu"], "There is no command rnu. Did you mean run? Commands: run, "),
        (["study", "quickstart", "--ouut", "x"], "There is no flag --ouut here. Did you mean --out?"),
        (["run", "finetune.step=3"], "Did you mean finetune.steps?"),
        (["run", "finetune.learning_rate=-1"], "finetune.learning_rate=-1.0 is out of range"),
        (
            ["run", "arm=locla"],
            "aggregated base_with_examples centralized cloud distilled local local_with_examples none personalized "
            "retrieval",
        ),
        (["run", "-m", "seed=0,1", "arm=local,nowhere"], "nowhere"),
        (["run", "corpus=jddc"], "corpus.path has no value"),
        (["run", "--config-dir", "nowhere"], "--config-dir nowhere: no such folder"),
        (["study", "quikstart"], "There is no study quikstart. Did you mean quickstart? Studies: "),
        (["study", "quickstart", "study.arms=[]"], "study.arms"),
        (["corpus", "corpus=jddc", "corpus.path=nowhere.txt"], "nowhere.txt"),
        (["corpus", "corpus.num_shops=0"], "num_shops"),
        (["corpus", "--pairs", "many"], "--pairs many: give a number"),
        (["report", "nowhere"], "nowhere"),
        (["report"], "run"),
        (
            ["run", "+hydra.callbacks.mine={_target_:os.system}"],
            "mine._target_=os.system is none of Hydra's",
        ),
        *[
            ([*command, "teacher=gemini", f"{name}=sk-abcdefghijklmnop"], f"{name.lstrip('+')} ")
            for command in (["run"], ["study", "quickstart"], ["corpus"], ["distill", "--yes"])
            for name in ("teacher.api_key_env", "+teacher.api_key")
        ],
    ],
)
def test_a_users_mistake_is_one_message_and_exit_code_2(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert message in " ".join((shown.out + shown.err).split())
    assert "Traceback" not in shown.out + shown.err and "abcdefgh" not in shown.out + shown.err
    assert not list(tmp_path.iterdir()), "a command that cannot start leaves nothing behind"


@pytest.mark.parametrize(
    "arguments",
    [
        ["corpus", "corpus=jsonl", "corpus.path=LONG"],
        ["chat", "LONG", "--shop", "a"],
        ["report", "LONG"],
        ["run", "--config-dir", "LONG"],
        ["run", "arm=LONG"],
        ["convert-chatglm3", "LONG", "LONG"],
    ],
)
def test_a_path_that_no_file_system_takes_is_one_message(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([given.replace("LONG", "x" * 5000) for given in arguments]) == 2
    shown = capsys.readouterr()
    assert "Error: " in shown.err and "xxx" in shown.err and len(shown.err) < 1200


def test_flags_and_words_are_told_apart_in_any_order() -> None:
    parser = CommandParser("", config_dirs=True)
    parser.add_argument("-m", action="store_true")
    parser.add_argument("--out")
    given = ["--out", "a=b", "seed=0,1", "-m", "--config-dir", ".", "arm=local", "-cd=..", "~arm", "--", "--out", "-m"]
    found, words = parser.read(given)
    assert (found.m, found.out) == (True, "a=b")
    assert words == ["seed=0,1", "arm=local", "~arm", "--out", "-m"]
    assert found.config_dirs == [str(Path.cwd()), str(Path.cwd().parent)]
    assert parser.read(["--out=[v2]/x (1)"])[0].out == "[v2]/x (1)"


def test_every_job_of_a_sweep_is_checked_before_any_starts() -> None:
    check_overrides(["seed=0,1", "arm=none,local"], multirun=True)
    with pytest.raises(ConfigError, match=r"finetune\.steps=-1"):
        check_overrides(["finetune.steps=5,-1"], multirun=True)


def test_the_simulated_corpus_is_shown_with_its_shops(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["corpus", "corpus.num_shops=2", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert len(shown["shops"]) == 2
    assert main(["corpus", "corpus.num_shops=2", "--pairs", "1"]) == 0
    assert "->" in capsys.readouterr().out


def test_a_users_own_corpus_is_one_class_and_one_yaml(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(
        "from ecc_fed.core.records import Pair, Shop\n"
        "class Mine:\n"
        "    def __init__(self, word: str) -> None:\n"
        "        self.word = word\n"
        "    def shop_ids(self):\n"
        "        return ('mine',)\n"
        "    def shop(self, shop_id):\n"
        "        pair = Pair('p', 's', shop_id, (), self.word, 'b')\n"
        "        return Shop(shop_id, (pair,), (), (pair,))\n"
        "    def truth(self, shop_id):\n"
        "        return {}\n"
    )
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "mine.yaml").write_text("_target_: mine.Mine\nword: hello\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert main(["corpus", "--config-dir", str(tmp_path), "--allow", "mine", "corpus=mine", "--pairs", "1"]) == 0
    assert "hello" in capsys.readouterr().out
    sys.modules.pop("mine", None)


def test_libraries_warn_nobody_who_did_not_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    def heard(module: str) -> list[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.resetwarnings()
            quiet_libraries()
            warnings.warn_explicit("old", FutureWarning, "file.py", 1, module=module)
        return [str(each.message) for each in caught]

    monkeypatch.setattr("sys.warnoptions", [])
    assert heard("transformers.modeling_utils") == []
    assert heard("my_transformers.own") == ["old"]
    monkeypatch.setattr("sys.warnoptions", ["default"])
    assert heard("transformers.modeling_utils") == ["old"]
