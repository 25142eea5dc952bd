"""A config is data: it runs this package's own classes, and those of packages that the user allows."""

import sys
from pathlib import Path

import pytest

from ecc_fed.assembly.compose import compose_job, compose_run, load_config, to_run_config, to_yaml
from ecc_fed.assembly.flower import ALLOW_VARIABLE, config_from_run_config
from ecc_fed.assembly.targets import instantiate, locate
from ecc_fed.cli.arguments import CommandParser
from ecc_fed.cli.main import main
from ecc_fed.core.errors import ConfigError, UserError
from ecc_fed.core.protocols import Corpus, Teacher
from tests.reporting.conftest import write_run

EVIL = "import pathlib\npathlib.Path(__file__).with_name('touched').touch()\nclass Corpus:\n    pass\n"
RUN_CODE = "Where you trust it, say so: --allow evil"


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder that somebody else filled; `touched` lies there once its code ran."""
    folder = tmp_path / "theirs"
    (folder / "corpus").mkdir(parents=True)
    for name in ("evil", "mutable_evil"):
        (folder / f"{name}.py").write_text(EVIL)
    (folder / "corpus" / "theirs.yaml").write_text("_target_: evil.Corpus\n")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    return folder


def allowed_by(arguments: list[str]) -> list[str]:
    return list(CommandParser("").read(arguments)[0].allow)


def _their_run(folder: Path) -> Path:
    root = Path(write_run(folder / "run", shops=1, queries=2))
    theirs = to_yaml(compose_run([])).replace("ecc_fed.federation.arms.Local", "evil.Corpus")
    (root / ".hydra" / "config.yaml").write_text(theirs)
    return root


@pytest.mark.parametrize("command", ["run", "study quickstart", "corpus", "distill --yes"])
@pytest.mark.parametrize("given", [["--config-dir", ".", "corpus=theirs"], ["++strategy._target_=evil.Corpus"]])
def test_every_command_refuses_a_class_of_theirs_before_it_is_imported(
    command: str, given: list[str], evil: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(evil.iterdir())
    assert main([*command.split(), *given]) == 2
    assert RUN_CODE in " ".join(capsys.readouterr().err.split())
    assert sorted(evil.iterdir()) == before


def test_a_run_folder_of_theirs_is_no_code_to_chat_and_report(evil: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = _their_run(evil)
    assert main(["chat", str(run), "--shop", "a"]) == 2
    assert RUN_CODE in " ".join(capsys.readouterr().err.split())
    assert main(["report", str(run)]) == 0  # which looks at no class
    assert not (evil / "touched").exists()
    with pytest.raises(ConfigError, match="has no method"):
        load_config(run / ".hydra" / "config.yaml", allowed=allowed_by(["--allow", "evil"]))
    assert (evil / "touched").exists()
    sys.modules.pop("evil")


@pytest.mark.parametrize(
    "path",
    ["os.system", "ecc_fed_evil.Corpus", "ecc_fedx.Corpus", "", "ecc_fed", "${corpus.language}.Corpus", "evils.Corpus"],
)
def test_only_whole_names_of_packages_count(path: str) -> None:
    with pytest.raises(ConfigError, match=r"--allow|is no class"):
        to_run_config(compose_run([f"++strategy._target_={path or chr(39) * 2}"]), ["evil"])


def test_a_class_anywhere_in_the_config_is_looked_at() -> None:
    with pytest.raises(ConfigError, match=r"^feedback\.more\.1\.deep\._target_=os\.system is no class of ecc_fed"):
        to_run_config(compose_run(["+feedback.more=[1,{deep:{_target_:os.system}}]"]))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("ecc_fed.core.run_directory.os.system", "is no class"),
        ("ecc_fed.core.run_directory.write_text", "is no class"),
        ("ecc_fed.core.run_directory.Path", "is defined in pathlib"),
        ("ecc_fed.cli.hydra_main.hydra.main", "is no class"),
        ("ecc_fed.corpus.store.SessionWriter", "is no Corpus: it has no method shop_ids"),
    ],
)
def test_what_a_name_reaches_must_be_a_class_of_its_package_for_its_place(path: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        instantiate({"_target_": path}, "corpus", Corpus)


def test_a_part_inside_a_part_must_be_what_its_place_asks_for() -> None:
    teacher = dict(to_run_config(compose_run([])).teacher)
    teacher["encoder"] = {"_target_": "ecc_fed.corpus.store.SessionWriter"}
    with pytest.raises(ConfigError, match=r"teacher\.encoder\._target_=.* is no TextEncoder: it has no method encode"):
        instantiate(teacher, "teacher", Teacher)
    corpus = {"_target_": "ecc_fed.corpus.formats.ecd.EcdCorpus", "num_shops": 1}
    corpus["path"] = {"_target_": "ecc_fed.corpus.store.SessionWriter"}
    with pytest.raises(ConfigError, match=r"corpus\.path\._target_=.* is no str"):
        instantiate(corpus, "corpus", Corpus, partition=None)
    assert locate({"_target_": corpus["_target_"]}, "corpus", Corpus).format == "ecd"


def test_packages_are_named_one_by_one_or_with_commas(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["first"])
    assert allowed_by(["seed=1"]) == [] and sys.path == ["first"]
    assert allowed_by(["--allow", "a,b.c", "seed=1", "--allow=d"]) == ["a", "b.c", "d"]
    assert sys.path == ["first", str(tmp_path)]  # never before what is installed
    for wrong in (["--allow"], ["--allow", ""], ["--allow", "a b"], ["--allow=../x"]):
        with pytest.raises(UserError, match="--allow"):
            allowed_by(wrong)


def test_under_flower_the_nodes_environment_allows_and_the_run_config_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"overrides": "++strategy._target_=tests.federation.toys.OnlyA ~strategy.weights", "allow": "tests"}
    with pytest.raises(ConfigError, match="--allow tests"):
        config_from_run_config(given)
    monkeypatch.setenv(ALLOW_VARIABLE, "other, tests.federation")
    assert config_from_run_config(given).strategy["_target_"].endswith("OnlyA")


@pytest.mark.parametrize(
    "given",
    [
        "+hydra.callbacks.mine={_target_:os.system}",
        "hydra.launcher._target_=evil.Launcher",
        "++hydra.job.env_set.LD_PRELOAD=evil.so",
        "++hydra.job_logging.handlers.file.class=evil.Handler",
        "++hydra.job_logging.formatters.simple={'()':os.system}",
        "++hydra.hydra_logging.handlers.console.stream='ext://os.system'",
        "++hydra.hydra_logging.handlers.console.stream='${hydra.help.app_name}'",
    ],
)
def test_hydras_own_part_runs_no_code_of_theirs(given: str) -> None:
    compose_job([])
    with pytest.raises(ConfigError, match=r"hydra\."):
        compose_job([given])
