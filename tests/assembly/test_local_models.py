"""Folders that a run names are looked at before any host starts."""

from pathlib import Path

import pytest

from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.assembly.local_models import check_local_models, convert_local_models
from ecc_fed.core.errors import ModelError
from ecc_fed.models.gguf.cache import cache_root
from tests.models.gguf.tiny_gguf import TinyFile

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


def check(*overrides: str) -> None:
    check_local_models(to_run_config(compose_run(list(overrides))))


def test_a_tokenizer_that_cannot_be_read_is_named(broken: Path) -> None:
    (broken / "model.safetensors").write_text("x")
    with pytest.raises(ModelError, match=r"^the end model .* has a tokenizer.json that cannot be read \(.+\): copy"):
        check(f"end_model.path={broken}")


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "model.safetensors").write_text(POINTER)
    return tmp_path


def test_what_comes_with_the_package_and_hub_ids_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("embedded", "minilm"):
        (tmp_path / name).mkdir()  # no model, and not what is meant
    monkeypatch.chdir(tmp_path)
    check()
    check("end_model=qwen2_5_0_5b", "judge=simbert_rocketqa", "teacher=local_transformers")
    check("judge=minilm", "teacher=retrieval")


@pytest.mark.parametrize(
    ("role", "overrides"),
    [
        ("end model", ["end_model.path=FOLDER"]),
        ("teacher model", ["teacher=local_transformers", "teacher.path=FOLDER"]),
        ("similarity model", ["judge=bge", "judge.similarity.path=FOLDER"]),
        ("relevance model", ["judge=simbert_rocketqa", "judge.relevance.path=FOLDER"]),
    ],
)
def test_a_broken_folder_is_named_with_its_role(broken: Path, role: str, overrides: list[str]) -> None:
    with pytest.raises(ModelError, match=rf"^the {role} {broken} has a git-lfs pointer in the place of model.safe"):
        check(*[each.replace("FOLDER", str(broken)) for each in overrides])


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    TinyFile("qwen2").write(tmp_path / "tiny.gguf")
    return tmp_path / "tiny.gguf"


@pytest.mark.parametrize(
    ("role", "overrides"),
    [
        ("end model", ["end_model=smollm2_135m", "end_model.path=FILE"]),
        ("teacher model", ["teacher=local_transformers", "teacher.path=FILE"]),
    ],
)
def test_a_gguf_file_is_looked_at_and_then_converted(file: Path, role: str, overrides: list[str]) -> None:
    given = [each.replace("FILE", str(file)) for each in overrides]
    check(*given)
    assert not cache_root().exists()
    convert_local_models(to_run_config(compose_run(given)))
    assert [path for path in cache_root().iterdir() if (path / "config.json").is_file()]
    file.write_bytes(file.read_bytes()[:-99])
    with pytest.raises(ModelError, match=rf"^the {role} {file} is cut off: "):
        check(*given)


def test_the_sha256_is_looked_at_before_hosts_start(file: Path) -> None:
    given = [f"end_model.path={file}", f"end_model.sha256={'f' * 64}"]
    with pytest.raises(ModelError, match=rf"^the end model {file} has the SHA-256 .* and not f+: "):
        check(*given)
    check(*given, "end_model.path=only/elsewhere")
