from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf.errors import ConfigKeyError

from ecc_fed.assembly.compose import (
    compose_job,
    compose_run,
    conf_dir,
    hydra_setting,
    load_config,
    to_run_config,
    to_yaml,
)
from ecc_fed.assembly.schema import StudySettings
from ecc_fed.core.errors import ConfigError

FILES = sorted(conf_dir().glob("*/*.yaml"))


def test_defaults_compose_and_are_in_range() -> None:
    config = to_run_config(compose_run([]))
    assert config.seed == 0
    assert config.arm["name"] == "local"


@pytest.mark.parametrize(
    "path", sorted(conf_dir().glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}={path.stem}"
)
def test_every_yaml_composes(path: object) -> None:
    group, name = path.parent.name, path.stem  # type: ignore[attr-defined]
    needs = [f"{group}.path=somewhere"] if "path: ???" in path.read_text() else []  # type: ignore[attr-defined]
    needs += ["corpus.path=somewhere"] if name in ("real_jddc", "real_ecd", "real_rates", "real_teacher") else []
    # Where no adapter travels there is nothing to hide.
    needs += ["arm=aggregated"] if group == "secure_aggregation" else []
    to_run_config(compose_run([f"{group}={name}", *needs]), ["experiments"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("finetune.step=3", "There is no setting finetune.step. Did you mean finetune.steps?"),
        ("finetune.steps=abc", "'abc'.*Integer"),
        ("finetune.steps=-1", r"finetune.steps=-1 is out of range: 0 or more"),
        (
            "arm=foo",
            "aggregated base_with_examples centralized cloud distilled local local_with_examples none personalized "
            "retrieval",
        ),
        ("judge.score_alpha=2", r"judge.score_alpha=2.0 is out of range: 0 to 1"),
        ("evolution.server_rounds=-1", "evolution.server_rounds=-1"),
        ("judge.reference=gated", r"There is no setting judge.reference. Did you mean evolution.reference\?"),
        (
            "judge.reference_rate=0.1",
            r"There is no setting judge.reference_rate. Did you mean evolution.reference_rate\?",
        ),
        (
            "judge.gate_relevance=0.1",
            r"There is no setting judge.gate_relevance. Did you mean evolution.gate_relevance\?",
        ),
        ("evolution.reference=maybe", "evolution.reference=maybe is out of range: one of always, sampled, gated"),
        ("evolution.gate_relevance=-0.1", "evolution.gate_relevance=-0.1 is out of range: 0 to 1"),
        ("=3", "=3"),
        ("arm=locl", r"There is no arm=locl\. Did you mean local\? Choices: aggregated .* retrieval\."),
        ("experiment=quickstrat", r"There is no experiment=quickstrat\. Did you mean quickstart\?"),
        ("amr=local", r"There is no setting amr\. Did you mean arm\?"),
        ("corpus.path=x", r"There is no setting corpus\.path\. It is one of corpus=abcd or .* or jsonl or twcs\."),
        ("teacher.modle=x", r"Did you mean teacher\.model, of teacher=gemini or openai_compatible\?"),
        ("seed=0,1", r"seed=0,1 stands for several values: -m makes a run of each.*\"seed='0,1'\""),
        ("seed=range(0,3)", "stands for several values: -m makes a run of each"),
        ("finetune.steps=[1", "finetune.steps=\\[1 cannot be read: .* As a text: \"finetune.steps='\\[1'\""),
        ("end_model.path=[v2]", r"end_model.path=\[v2\] is no text\. As one: \"end_model.path='\[v2\]'\""),
        ("种子=1", "种子 is no name of a setting"),
        ("[/x]", r"^\[/x\] is no setting: give KEY=VALUE"),
        ("seed=-1", "seed=-1"),
        ("end_model.quantization=int3", "one of none, bf16, int8, nf4"),
    ],
)
def test_a_wrong_override_is_one_clear_message(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        to_run_config(compose_run([override]))


def test_more_personal_rounds_than_rounds_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"arm.personal_rounds=2.*evolution.server_rounds=1"):
        to_run_config(compose_run(["arm=personalized", "evolution.server_rounds=1"]))


def test_seed_zero_counts_and_the_resolved_yaml_has_no_interpolation() -> None:
    composed = compose_run(["seed=0"])
    assert to_run_config(composed).seed == 0
    assert "${" not in to_yaml(composed)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("runtime.shops_per_batch=0", "runtime.shops_per_batch=0 is out of range: 1 or more, or null"),
        ("runtime.gpu_memory_gib=1", "runtime.gpu_memory_gib=1.0 is out of range: 2 or more, or null"),
        ("runtime.host_memory_gib=0.1", "runtime.host_memory_gib=0.1 is out of range"),
        ("runtime.gpus_per_host=2", "runtime.gpus_per_host=2.0 is out of range: 0 to 1"),
        ("end_model.device=cuda", "end_model.device=cuda needs hosts with a GPU. Set runtime=rtx3090."),
    ],
)
def test_where_a_run_works_is_checked(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        to_run_config(compose_run([override]))


def test_the_presets_of_where_a_run_works() -> None:
    cpu, rtx3090, cluster = (
        to_run_config(compose_run([f"runtime={name}"])).runtime for name in ("cpu", "rtx3090", "cluster")
    )
    assert (cpu.gpus_per_host, cpu.ray_address, cpu.shops_per_batch) == (0, None, None)
    assert (rtx3090.gpus_per_host, rtx3090.gpu_memory_gib, rtx3090.ray_address) == (1, 24, None)
    assert (cluster.gpus_per_host, cluster.gpu_memory_gib, cluster.ray_address) == (1, 24, "auto")


def test_what_counts_as_relevant_belongs_to_the_judges_weights_unless_it_is_given() -> None:
    def gate(*overrides: str) -> float:
        return to_run_config(compose_run(list(overrides))).evolution.gate_relevance

    assert (gate(), gate("judge=minilm"), gate("judge=minilm", "evolution.gate_relevance=0.4")) == (0.5, 0.35, 0.4)


def test_the_config_of_a_run_is_read_back_as_it_was(tmp_path: Path) -> None:
    composed = compose_run(["experiment=paper_table6", "adapter=dora", "evolution.extra_queries=[hi, there]"])
    (tmp_path / "config.yaml").write_text(to_yaml(composed), encoding="utf-8")
    config = load_config(tmp_path / "config.yaml")
    # What study it was part of is no part of a run.
    assert replace(config, study=StudySettings()) == replace(
        to_run_config(composed, ["experiments"]), study=StudySettings()
    )
    assert config.evolution.extra_queries == ("hi", "there")
    changed = load_config(tmp_path / "config.yaml", ["chat.steps=3"])
    assert (changed.chat.steps, replace(changed, chat=config.chat)) == (3, config)
    changed = load_config(tmp_path / "config.yaml", ["gateway.cache_path=[v2]/own (1).sqlite", "decoding.sample=false"])
    assert changed.gateway.cache_path == str(Path.cwd() / "[v2]/own (1).sqlite") and not changed.decoding.sample
    for wrong, message in {
        "seed=[": "cannot be read",
        "seed=1,2": "several values",
        "~seed": "KEY=VALUE alone",
    }.items():
        with pytest.raises(ConfigError, match=message):
            load_config(tmp_path / "config.yaml", [wrong])


def test_an_older_runs_setting_that_has_moved_is_refused_by_its_new_name(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("seed: 1\njudge:\n  reference: gated\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"config\.yaml.*'reference'.*Did you mean evolution\.reference\?"):
        load_config(tmp_path / "config.yaml")


def test_a_setting_may_name_another() -> None:
    config = to_run_config(
        compose_run(["finetune.steps=${evolution.teacher_examples}", "evolution.teacher_examples=7"])
    )
    assert config.finetune.steps == 7


def test_what_comes_from_the_environment_is_not_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_MODEL", "geheim")
    given = ["teacher=gemini", "teacher.model=${oc.env:MY_MODEL}", "corpus.language=${teacher.model}"]
    composed = compose_run(given)
    text = to_yaml(composed)
    assert "geheim" not in text and "${oc.env:MY_MODEL}" in text
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    config = load_config(tmp_path / "config.yaml")
    assert config == to_run_config(composed)
    assert config.teacher["model"] == config.corpus["language"] == "geheim"


@pytest.mark.parametrize("text", ["a: &a [1, 2]\nb: *a\n", "a: " + "[" * 99 + "]" * 99])
def test_a_config_of_somebody_elses_cannot_grow(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be read as the config of a run"):
        load_config(tmp_path / "config.yaml")


@pytest.mark.parametrize(
    "given",
    [
        ["+update=[1,2]"],
        ["study.variants=${seed:1}"],
        ["strategy.weights=${oc.decode:'['}"],
        [f"+redaction={'x' * 5000}"],
        ["seed=${seed}"],
        ["nothing=personalized"],
        ["+nothing=1"],
        ["++a.b.c=none"],
        ["adapter.target_modules=true"],
        ["++study.variants=${seed}"],
    ],
)
def test_what_hydra_does_not_expect_is_one_message_too(given: list[str]) -> None:
    with pytest.raises(ConfigError):
        to_run_config(compose_run(given))


@pytest.mark.parametrize(
    "given", [[], ["arm=aggregated", "seed=3", "+note=x"], ["experiment=drift", "hydra.run.dir=x"]]
)
def test_a_job_is_what_a_run_composes_to_and_hydras_part_stands_beside_it(given: list[str]) -> None:
    job, whole = compose_job(given)
    assert "hydra" not in job and to_yaml(job) == to_yaml(compose_run(given))
    with pytest.raises(ConfigKeyError):
        job["seeds"] = 4  # typed as ever
    wanted = "x" if "hydra.run.dir=x" in given else f"_{job.arm.name}"
    found = hydra_setting("hydra.run.dir", whole, given)
    assert found is not None and found.endswith(wanted)


@pytest.mark.parametrize("compose", [compose_job, compose_run])
def test_a_folder_of_settings_that_is_not_there_is_an_error(compose: Callable[[list[str]], object]) -> None:
    with pytest.raises(ConfigError, match=r"hydra\.searchpath: there is no folder mine\. .*--config-dir"):
        compose(["hydra.searchpath=[mine]"])


def test_a_run_of_a_study_with_a_view_is_opened_without_it(tmp_path: Path) -> None:
    view = ["experiment=late_shops", "arm=local"]
    (tmp_path / "config.yaml").write_text(to_yaml(compose_run(view)), encoding="utf-8")
    config = load_config(tmp_path / "config.yaml")
    assert config.study.view is None and config.corpus["num_shops"] == 8
    with pytest.raises(ConfigError, match=r"study\.view\._target_=experiments\.late_shops"):
        to_run_config(compose_run(view))


def test_a_users_yaml_that_ours_would_hide_is_refused(tmp_path: Path) -> None:
    own = tmp_path / "arm" / "local.yaml"
    own.parent.mkdir()
    own.write_text("name: none\n")
    with pytest.raises(ConfigError, match=r"arm/local\.yaml has the name of a file of ecc_fed's own"):
        compose_run([], [str(tmp_path)])
    own.rename(own.with_name("mine.yaml"))
    assert compose_run(["arm=mine"], [str(tmp_path)]).arm.name == "none"
    assert compose_run([], [str(conf_dir())]).arm.name == "local"
