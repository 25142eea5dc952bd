"""Runs are found, grouped by arm and swept settings, and compared only where their queries are the same."""

import io

import pytest
from rich.console import Console

from ecc_fed.core.errors import ModelError, RunDirectoryError, TeacherError, UserError
from ecc_fed.core.failed_run import keep_failure
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.reporting.report import report
from ecc_fed.reporting.study import load_study


def labels(study):
    return [group.label for group in study.groups]


def test_runs_are_found_at_any_depth_and_ordered_by_arm_and_seed(make_run, tmp_path):
    make_run("b/deep/x", "local", 1, queries=2, judged=False)
    make_run("a", "local", 0, queries=2, judged=False)
    make_run("c", "none", 0, queries=2, judged=False)
    make_run("d", "mine", 0, queries=2, judged=False)
    study = load_study([tmp_path])
    assert labels(study) == ["none", "local", "mine"]
    assert study.groups[1].seeds == (0, 1)
    assert study.notes == ()
    assert len(load_study([tmp_path / "a", tmp_path / "c"]).runs) == 2
    assert len(load_study([tmp_path / "a", tmp_path]).runs) == 4


def test_a_folder_without_runs_names_it_and_how_to_make_one(tmp_path):
    with pytest.raises(UserError, match=r"holds no run.*ecc-fed run hydra.run.dir="):
        load_study([tmp_path])
    with pytest.raises(UserError, match=r"nowhere is no folder"):
        load_study([tmp_path / "nowhere"])
    (tmp_path / "x" / ".hydra").mkdir(parents=True)
    (tmp_path / "x" / ".hydra" / "config.yaml").write_text("seed: 0\n")
    with pytest.raises(UserError, match=r"holds only unfinished runs \(1\)"):
        load_study([tmp_path])


def test_unfinished_and_repeated_runs_are_left_out_with_a_note(make_run, tmp_path):
    make_run("2024-01-01", queries=2)
    kept = make_run("2024-01-02", queries=3, judged=False)
    (make_run("2024-01-03", queries=2) / "run.json").unlink()
    study = load_study([tmp_path])
    assert [run.directory.root for run in study.runs] == [kept.resolve()]
    assert len(study.notes) == 2
    assert "2024-01-03 did not finish" in study.notes[0]
    assert "2024-01-01 is left out" in study.notes[1]


def test_a_failed_run_stands_in_console_page_and_table_by_name_with_its_error(make_run, tmp_path):
    make_run("study/local_seed0", queries=3, judged=False)
    (make_run("study/none_seed0", "none", queries=3) / "run.json").unlink()
    evil = TeacherError("the <b>cloud</b> is gone")
    keep_failure(RunDirectory(tmp_path / "study" / "none_seed0"), "none_seed0", evil)
    keep_failure(RunDirectory(tmp_path / "study" / "=1+1"), "=1+1", ModelError("no such model"))
    # Finished after all, by itself: no failure any more.
    keep_failure(RunDirectory(tmp_path / "study" / "local_seed0"), "local_seed0", evil)
    study = load_study([tmp_path / "study"])
    assert [each.name for each in study.failed] == ["=1+1", "none_seed0"]
    assert study.notes == (
        "=1+1 failed and is left out: no such model",
        "none_seed0 failed and is left out: the <b>cloud</b> is gone",
    )
    console = Console(file=io.StringIO(), width=200)
    page = report([tmp_path / "study"], console=console).read_text(encoding="utf-8")
    assert "none_seed0 failed and is left out: the <b>cloud</b> is gone" in console.file.getvalue()
    section = page[page.index('<h2 id="failures">') : page.index('<h2 id="config">')]
    assert "none_seed0" in section and "TeacherError" in section and "the &lt;b&gt;cloud&lt;/b&gt; is gone" in section
    lines = (tmp_path / "study" / "failed.csv").read_text(encoding="utf-8").splitlines()
    assert lines == [
        "run,kind,error",
        "'=1+1,ModelError,no such model",
        "none_seed0,TeacherError,the <b>cloud</b> is gone",
    ]
    for path in (tmp_path / "study").glob("*.failed.json"):
        path.unlink()
    assert "Runs that failed" not in report([tmp_path / "study"]).read_text(encoding="utf-8")
    assert (tmp_path / "study" / "failed.csv").read_text(encoding="utf-8") == "run,kind,error\n"


def test_a_shop_without_test_replies_is_noted(make_run, tmp_path):
    run = make_run("a", queries=2, judged=False)
    path = run / "samples.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("".join(line + "\n" for line in lines if '"shop_id": "shop_02"' not in line))
    assert load_study([tmp_path]).notes == ("local, seed 0: no test reply after evolution from shop_02.",)


def test_swept_settings_name_the_groups(make_run, tmp_path):
    for share in (0.5, 0.0):
        for arm in ("local", "aggregated"):
            for seed in (0, 1):
                make_run(f"{arm}{share}{seed}", arm, seed, queries=2, platform_share=share)
    study = load_study([tmp_path])
    assert labels(study) == [
        "local (platform_share=0)", "local (platform_share=0.5)", "aggregated (platform_share=0)",
        "aggregated (platform_share=0.5)",
    ]  # fmt: skip
    assert all(group.seeds == (0, 1) for group in study.groups)
    assert [len(part.groups) for part in study.variants] == [2, 2]


def test_settings_that_differ_between_arms_or_seeds_are_no_sweep(make_run, tmp_path):
    make_run("a", "local", 0, queries=2, config="strategy:\n  name: none\nwhere: x/a\n")
    make_run("b", "aggregated", 0, queries=2, config="strategy:\n  name: fedavg\nwhere: x/b\n")
    make_run("c", "local", 1, queries=2, config="strategy:\n  name: none\nwhere: x/c\n")
    assert labels(load_study([tmp_path])) == ["local", "aggregated"]


def test_settings_that_change_together_are_named_once(make_run, tmp_path):
    for name, target, rate in (("a", "one.Teacher", 1), ("b", "two.Teacher", 2)):
        make_run(name, "local", 0, queries=2, config=f"teacher:\n  _target_: {target}\n  rate: {rate}\n")
    assert labels(load_study([tmp_path])) == ["local (rate=1)", "local (rate=2)"]


def test_two_swept_settings(make_run, tmp_path):
    for a in (1, 2):
        for b in ("x", "null"):
            config = f"adapter:\n  rank: {a}\nprivacy:\n  redaction: {b}\n"
            make_run(f"{a}{b}", "local", 0, queries=2, config=config)
    assert labels(load_study([tmp_path])) == [
        "local (rank=1)", "local (rank=1, redaction=x)", "local (rank=2)", "local (rank=2, redaction=x)",
    ]  # fmt: skip


def test_paths_inside_the_run_are_no_sweep(make_run, tmp_path):
    for rank in (1, 2):
        for seed in (0, 1):
            name = f"r{rank}s{seed}"
            path = tmp_path / "sweep" / name
            config = f"a_cache: {path}/cache\nadapter:\n  rank: {rank}\n"
            make_run(f"sweep/{name}", "local", seed, queries=2, config=config)
    study = load_study([tmp_path])
    assert labels(study) == ["local (rank=1)", "local (rank=2)"]
    assert study.groups[0].seeds == (0, 1)


def test_a_broken_config_is_named(make_run, tmp_path):
    make_run("a", queries=2, config="a: [1\nb: }\n")
    with pytest.raises(RunDirectoryError, match=r"config.yaml, line \d+: not YAML"):
        load_study([tmp_path])


def test_baselines_share_the_swept_setting(make_run, tmp_path):
    for share in (0.0, 0.5):
        for arm in ("none", "aggregated"):
            make_run(f"{arm}{share}", arm, 0, queries=4, platform_share=share, world=str(share))
    study = load_study([tmp_path])
    groups = {group.label: group for group in study.groups}
    aggregated = groups["aggregated (platform_share=0.5)"]
    assert study.baseline("none", aggregated) is groups["none (platform_share=0.5)"]
    assert study.baseline("local", aggregated) is None
    assert study.baseline("none", groups["none (platform_share=0)"]) is None
    assert aggregated.against(groups["none (platform_share=0.5)"]).unpaired == 0
    # Another world: nothing to pair, and that is said.
    other = aggregated.against(groups["none (platform_share=0)"])
    assert other.unpaired == 16
    assert other.differences["chrf"] is None


def test_seeds_are_pooled_as_queries_of_their_own(make_run, tmp_path):
    for seed in (0, 1, 2):
        make_run(f"s{seed}", "local", seed, queries=20)
    group = load_study([tmp_path]).groups[0]
    alone = load_study([tmp_path / "s0"]).groups[0]
    assert len(group.rows("final")) == 3 * len(alone.rows("final"))
    wide, narrow = alone.final["chrf"], group.final["chrf"]
    assert narrow.n == 3 * wide.n
    assert narrow.high - narrow.low < wide.high - wide.low


def test_gain_is_final_minus_base(make_run, tmp_path):
    group = load_study([make_run("a", "local", queries=40)]).groups[0]
    gain = group.gain()
    assert gain.unpaired == 0
    difference = gain.differences["chrf"]
    assert difference.mean == pytest.approx(group.final["chrf"].mean - group.base["chrf"].mean)
    assert difference.low > 0


def method(name):
    """Settings of a strategy as they stand in a resolved config; `own` is a setting that no other one has."""
    own = f"  {name}_own: 1\n  bound:\n    _target_: package.Bound\n"
    return f"strategy:\n  _target_: package.{name.lower()}.{name}\n{own}"


def test_methods_are_named_as_people_type_them(make_run, tmp_path):
    for name in ("ffa_lora.FfaLora", "krum.MultiKrum", "fedavg.FedAvg"):
        own = f"  {name[:3]}_own: 1\n  bound:\n    _target_: package.Bound\n"
        config = f"strategy:\n  _target_: ecc_fed.federation.aggregation.{name}\n{own}"
        make_run(name, "aggregated", queries=2, config=config)
    study = load_study([tmp_path])
    # Two choices name MultiKrum, so that it has its own name.
    assert labels(study) == [f"aggregated (strategy={name})" for name in ("fedavg", "ffa_lora", "multi_krum")]
    # Draws start from what they started from before choices had names.
    assert [group.key for group in study.groups] == [
        f"aggregated (strategy={name})" for name in ("FedAvg", "FfaLora", "MultiKrum")
    ]


def test_a_class_of_ones_own_is_spelled_like_a_choice(make_run, tmp_path):
    for name in ("ZetaMean", "Alpha"):
        make_run(name, "aggregated", queries=2, config=method(name))
    assert labels(load_study([tmp_path])) == ["aggregated (strategy=alpha)", "aggregated (strategy=zeta_mean)"]


def test_an_arm_without_a_server_is_the_baseline_of_every_method_in_its_world(make_run, tmp_path):
    for share in (0.0, 0.5):
        for name in ("Alpha", "Beta"):
            make_run(f"{name}{share}", "aggregated", queries=2, platform_share=share, config=method(name))
        make_run(f"local{share}", "local", queries=2, platform_share=share, config=method("Default"))
    study = load_study([tmp_path])
    groups = {group.label: group for group in study.groups}
    beta = groups["aggregated (platform_share=0.5, strategy=beta)"]
    assert study.baseline("local", beta) is groups["local (platform_share=0.5, strategy=default)"]
    assert beta.world == (("platform_share", "0.5"),)
    assert (beta.method, beta.method_label) == ((("strategy", "beta"),), "aggregated (strategy=beta)")
    # What a server makes of its strategy is no baseline of another strategy.
    assert study.baseline("aggregated", groups["local (platform_share=0.5, strategy=default)"]) is None


def test_other_settings_must_agree_with_the_baseline(make_run, tmp_path):
    for rank in (2, 4):
        make_run(f"a{rank}", "aggregated", queries=2, config=f"adapter:\n  rank: {rank}\n{method('Beta')}")
        make_run(f"l{rank}", "local", queries=2, config=f"adapter:\n  rank: {rank}\n{method('Default')}")
    make_run("a8", "aggregated", queries=2, config=f"adapter:\n  rank: 8\n{method('Beta')}")
    study = load_study([tmp_path])
    found = {
        group.label: None if (other := study.baseline("local", group)) is None else other.label
        for group in study.groups
        if group.arm == "aggregated"
    }
    assert found == {
        "aggregated (rank=2)": "local (rank=2)", "aggregated (rank=4)": "local (rank=4)", "aggregated (rank=8)": None,
    }  # fmt: skip


def test_the_only_group_of_a_world_is_its_baseline_whatever_else_was_changed(make_run, tmp_path):
    for share in (0.0, 0.5):
        for rank in (2, 4):
            config = f"adapter:\n  rank: {rank}\n{method('Beta')}"
            make_run(f"a{share}{rank}", "aggregated", queries=2, platform_share=share, config=config)
        config = f"adapter:\n  rank: 2\n{method('Default')}"
        make_run(f"l{share}", "local", queries=2, platform_share=share, config=config)
    study = load_study([tmp_path])
    groups = {group.label: group for group in study.groups}
    for share in ("0", "0.5"):
        for rank in (2, 4):
            other = study.baseline("local", groups[f"aggregated (platform_share={share}, rank={rank})"])
            assert other is groups[f"local (platform_share={share}, rank=2)"]


def test_a_methods_label_tells_what_stands_out(make_run, tmp_path):
    for number in range(19):
        config = f"adapter:\n  rank: {8 if number == 1 else 2}\n  alpha: {number % 2}\n{method('Beta')}"
        make_run(f"a{number}", "aggregated", queries=2, config=f"{config}other: {number}\n")
    make_run("l", "local", queries=2, config=f"adapter:\n  rank: 2\n  alpha: 0\n{method('Default')}other: 0\n")
    told = [group.method_label for group in load_study([tmp_path]).groups]
    assert told[:3] == ["local (alpha=0, other=0)", "aggregated (alpha=0, other=0)", "aggregated (alpha=0, other=2)"]
    assert "aggregated (alpha=1, rank=8, other=1)" in told and "aggregated (alpha=1, other=3)" in told


def test_a_methods_label_is_silent_about_what_is_not_set(make_run, tmp_path):
    for name, shared in (("a", "null"), ("b", "4")):
        make_run(name, "aggregated", queries=2, config=f"adapter:\n  shared_rank: {shared}\n{method('Beta')}")
    groups = load_study([tmp_path]).groups
    assert [group.method_label for group in groups] == ["aggregated (shared_rank=4)", "aggregated"]
    assert [group.label for group in groups] == ["aggregated (shared_rank=4)", "aggregated"]
