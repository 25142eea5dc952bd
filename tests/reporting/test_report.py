"""The page opens offline, escapes what it shows, says what is missing, and is the same twice."""

import csv
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from rich.console import Console

from ecc_fed.core.errors import RunDirectoryError, UserError
from ecc_fed.core.rows import FailureRow, SampleRow, UpdateRow, encode, read_rows, write_rows
from ecc_fed.core.run_directory import read_jsonl, write_jsonl
from ecc_fed.reporting.dialogues import choose, verdicts
from ecc_fed.reporting.plots.svg import COLOURS, colour
from ecc_fed.reporting.report import report
from ecc_fed.reporting.study import ARM_ORDER, load_study
from ecc_fed.reporting.summary import summarise
from ecc_fed.reporting.tables.export import csv_table, markdown_table
from ecc_fed.reporting.tables.rows import arm_rows, cells
from ecc_fed.reporting.tables.terminal import terminal_tables

# What a link on the page may lead to: a place on it, or a table that it holds itself.
OWN = ("#", "data:text/csv;", "data:text/x-tex;")
VOID = {"meta", "br", "hr", "img", "input", "link", "path", "use"}


class Checker(HTMLParser):
    """Collects ids, references and unbalanced tags."""

    def __init__(self):
        super().__init__()
        self.stack, self.ids, self.links, self.text = [], [], [], []

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.stack.append(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name in ("href", "src", "xlink:href"):
                self.links.append(value)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.stack.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.stack.pop() == tag

    def handle_data(self, data):
        if self.stack[-1:] != ["script"]:
            self.text.append(data)


PHASES = ("base", "final", "teacher", "human")


def check(path):
    page = path.read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(page)
    assert checker.stack == []
    assert len(checker.ids) == len(set(checker.ids)), "ids clash"
    assert all(link.startswith(OWN) for link in checker.links)
    assert all(link[1:] in checker.ids for link in checker.links if link.startswith("#"))
    assert not re.search(r"<script [^>]*src|@import|url\((?!#)|<link|<img|fetch\(|XMLHttp", page)
    assert len(re.findall("<script", page)) == len(re.findall('<form id="filter"', page)) <= 1
    assert set(re.findall(r"https?://[^\"'\s<>]+", page)) <= {
        "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink",
    }  # fmt: skip
    return page, " ".join(checker.text)


def test_one_run(make_run):
    run = make_run("run", "local")
    path = report([run])
    page, text = check(path)
    assert path == run / "report.html"
    assert "Run: local, seed 0" in text
    assert "Before and after evolution" in text
    assert "请问第" in text
    assert "<b>急</b>" not in page  # escaped, so it is text
    assert "<b>急</b>" in text
    assert "platform_share: 0.25" in text
    assert not (run / "arms.md").exists()
    assert sorted(entry.name for entry in run.iterdir() if entry.name.startswith("report")) == ["report.html"]


@pytest.fixture
def study_folder(make_run, tmp_path):
    for arm in ("none", "local", "aggregated", "personalized"):
        for seed in (0, 1):
            failures = [FailureRow("shop_dropped", "<host> died", 2, "shop_01")]
            make_run(f"study/{arm}{seed}", arm, seed, queries=15, shops=3, failures=failures if seed else [])
    return tmp_path / "study"


def test_a_study(study_folder):
    path = report([study_folder])
    page, text = check(path)
    assert "Study: 4 arms, 8 runs" in text
    assert "aggregated − local" in text
    assert "What aggregation does to facts and voice" in text
    assert "<host> died" in text
    assert "Kneser-Ney, characters" in text
    assert page.count("<figure ") >= 5
    assert (study_folder / "arms.md").read_text().count("\n") == 2 + 4
    rows = list(csv.DictReader(io.StringIO((study_folder / "arms.csv").read_text())))
    assert {row["seed"] for row in rows} == {"all", "0", "1"}
    assert {row["arm"] for row in rows} == {"none", "local", "aggregated", "personalized"}
    assert len(rows) == 4 * 3 * 2 * 10


def test_updates_that_stand_out_are_named_where_there_are_any(make_run):
    run = make_run("run", queries=5, shops=2)
    calm = UpdateRow(1, "shop_00", 8, 0.5, 1.0, ())
    write_rows(run / "updates.jsonl", [calm])
    out = io.StringIO()
    _, text = check(report([run], console=Console(file=out, width=140)))
    assert "stand out" not in out.getvalue() and "Flagged updates" not in text
    assert summarise(run)["flagged_updates"] == []
    large = UpdateRow(2, "shop_01", 8, 30.5, 61.0, ("large_norm",))
    write_rows(run / "updates.jsonl", [calm, large])
    _, text = check(report([run], console=Console(file=out, width=140)))
    assert "Flagged updates, which counted" in text and "shop_01 2 large_norm 61" in " ".join(text.split())
    assert "1 updates of shops stand out by their norm and counted" in out.getvalue()
    assert summarise(run)["flagged_updates"] == [encode(large) | {"flags": ["large_norm"]}]
    (run / "updates.jsonl").unlink()
    assert summarise(run)["flagged_updates"] is None


def test_the_same_runs_give_the_same_page(make_run, tmp_path):
    run = make_run("run", queries=5, shops=2)
    assert report([run], tmp_path / "one").read_bytes() == report([run], tmp_path / "two").read_bytes()


def test_platform_shares_stand_side_by_side(make_run, tmp_path):
    for share in (0.0, 0.5):
        for arm in ("local", "aggregated"):
            make_run(f"sweep/{arm}{share}", arm, 0, queries=5, platform_share=share, world=str(share))
    _, text = check(report([tmp_path / "sweep"]))
    assert "Shop facts right, share 0 " in text.replace("\n", " ") or "Shop facts right, share 0" in text
    assert "Platform facts right, share 0.5" in text
    assert "2 settings" in text


@pytest.mark.parametrize(
    "options",
    [
        {"facts": False, "judged": False, "likelihood": False, "platform_share": None},
        {"rounds": 0},
        {"shops": 1, "queries": 1},
        {"shops": 25, "queries": 2},
        {"shop_names": ["坚果<铺>", "a$b$c", "x_{1}"], "queries": 4},
        {"queries": 0},
    ],
)
def test_unusual_runs(make_run, options):
    run = make_run("run", "aggregated", **options)
    page, text = check(report([run], console=Console(file=io.StringIO())))
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL).lower().replace("finance", "")
    if options.get("rounds") == 0:
        assert "No round was served" in text
    if options.get("facts") is False:
        assert "there is no correlation to show" in text
        assert "Shop facts right" not in re.sub(r"In brackets.*?zero out", "", text, flags=re.DOTALL)
    if "shop_names" in options:
        assert "坚果<铺>" in text
        assert "a$b$c" in text


def test_files_that_are_not_there_are_said_to_be_missing(make_run):
    run = make_run("run")
    for name in ("samples.jsonl", "metrics.jsonl", "egress.jsonl", ".hydra/config.yaml"):
        (run / name).unlink()
    _, text = check(report([run], console=Console(file=io.StringIO())))
    assert "There is no ledger" in text
    assert "No query was answered both before and after" in text
    assert "no test reply after evolution from shop_00, shop_01" in text


def test_secrets_in_the_config_are_hidden_wherever_they_stand(make_run):
    config = (
        "teacher:\n  api_key: |\n    geheim-1\n  headers: {Authorization: [geheim-2, {x: geheim-3}]}\n"
        "  url: https://geheim-4:geheim-5@host/v1\n  api_key_env: MY_KEY\n  max_tokens: 77\n"
        "  wrong_key_env: geheim-6\n  model: sk-geheim-7-0123456789\n"
    )
    page = report([make_run("run", shops=1, queries=2, config=config)], console=None).read_text()
    assert "geheim" not in page
    for shown in ("api_key: &#39;***&#39;", "url: https://***@host/v1", "api_key_env: MY_KEY", "max_tokens: 77"):
        assert shown in page


@pytest.mark.parametrize("config", ["a: &a [1]\nb: *a\n", "a: " + "[" * 200, "a: [\n"])
def test_a_config_that_would_grow_is_refused_by_its_line(make_run, config):
    with pytest.raises(RunDirectoryError, match=r"config\.yaml, line \d: not YAML"):
        report([make_run("run", shops=1, queries=2, config=config)], console=None)


def test_terminal(make_run, study_folder):
    out = io.StringIO()
    path = report([study_folder], console=Console(file=out, width=140))
    text = out.getvalue()
    for expected in (
        "personalized",
        "Shop facts right",
        "Platform facts right",
        "Escalated, last round",
        "Cloud calls",
    ):
        assert expected in text
    assert "correlate with r = " in text
    assert ": wrong before, right after" in text
    assert "4 failures" in text
    assert f"Report: {path}" in text


@pytest.mark.parametrize(
    ("teachers", "name"),
    [
        (("RetrievalTeacher", "RetrievalTeacher"), "Simulated teacher"),
        (("GeminiTeacher",), "Cloud (gemini teacher)"),
        (("RetrievalTeacher", "GeminiTeacher"), "Cloud (simulated teacher, gemini teacher)"),
    ],
)
def test_the_simulated_teacher_is_called_so_and_no_other(make_run, tmp_path, teachers, name):
    for number, teacher in enumerate(teachers):
        make_run(f"run{number}", seed=number, queries=1, teacher=teacher)
    assert load_study([tmp_path]).cloud_name == name


def test_a_narrow_terminal_gets_more_tables(study_folder):
    rows = arm_rows(load_study([study_folder]))
    assert len(terminal_tables(rows, 200)) == 1
    narrow = terminal_tables(rows, 80)
    assert len(narrow) > 1
    assert sum(len(table.columns) - 1 for table in narrow) == 4
    for table in narrow:
        out = io.StringIO()
        Console(file=out, width=80).print(table)
        assert "…" not in out.getvalue()


def test_others_replies_stand_once_for_all_parts_of_a_sweep_in_which_they_are_the_same(make_run, tmp_path):
    for rank in (2, 4):
        root = make_run(f"r{rank}", "local", others=True, config=f"adapter:\n  rank: {rank}\n")
    labels = [row.label for row in arm_rows(load_study([tmp_path]))]
    assert labels == [
        "local (rank=2)",
        "local (rank=4)",
        "the simulated teacher's own reply",
        "the human agent's reply",
    ]
    rows = read_rows(root / "samples.jsonl", SampleRow)
    other = [replace(row, reply="not that") if row.phase == "teacher" else row for row in rows]
    write_rows(root / "samples.jsonl", other)
    labels = [row.label for row in arm_rows(load_study([tmp_path]))]
    assert labels[2:] == [
        "the simulated teacher's own reply (rank=2)",
        "the simulated teacher's own reply (rank=4)",
        "the human agent's reply",
    ]  # fmt: skip


def test_a_cloud_is_called_a_teacher_alone(make_run, tmp_path):
    make_run("local", "local", others=True, teacher="GeminiTeacher")
    assert [row.label for row in arm_rows(load_study([tmp_path]))][1] == "the teacher's own reply"


def test_the_teacher_and_the_human_agent_are_rows_of_every_table(make_run, tmp_path):
    for arm in ("none", "retrieval", "local"):
        make_run(arm, arm, others=True)
    study = load_study([tmp_path])
    rows = arm_rows(study)
    assert [row.label for row in rows] == [
        "none", "retrieval", "local", "the simulated teacher's own reply", "the human agent's reply",
    ]  # fmt: skip
    teacher, human = (cells(row) for row in rows[-2:])
    assert teacher["Final score"] == human["chrF"] == "–" and human["Final score"].startswith("0.650")
    assert teacher["Shop facts right"].startswith("100.0%") and teacher["Cloud calls"] == "–"
    assert markdown_table(rows).count("\n") == 2 + 5
    _, text = check(report([tmp_path]))
    assert "the simulated teacher's own reply" in text and "the human agent's reply" in text
    assert "local − retrieval" in text
    phases = {(row["arm"], row["phase"]) for row in csv.DictReader(io.StringIO(csv_table(study)))}
    assert phases == {(arm, of) for arm in ("none", "retrieval", "local") for of in PHASES}
    shown = [title.header for table in terminal_tables(rows, 300) for title in table.columns[1:]]
    assert [str(header) for header in shown] == [row.label for row in rows]


def test_a_single_run_shows_others_replies_behind_its_own(make_run):
    rows = arm_rows(load_study([make_run("run", others=True)]))
    (table,) = terminal_tables(rows, 200)
    assert [str(column.header) for column in table.columns] == [
        "95% interval", "before", "after (local)", "paired difference", "the simulated teacher's own reply",
        "the human agent's reply",
    ]  # fmt: skip
    assert {len(list(column.cells)) for column in table.columns} == {len(list(table.columns[0].cells))}


def test_missing_figures_are_dashes(make_run):
    study = load_study([make_run("run", facts=False, judged=False, rounds=0)])
    shown = cells(arm_rows(study)[0])
    assert shown["Final score"] == shown["Shop facts right"] == shown["Cloud calls"] == "–"
    assert shown["Escalated, first round"] == "–"
    assert "–" in markdown_table(arm_rows(study))
    assert ",,,,0" in csv_table(study)


def test_costs_leave_the_evaluation_out(make_run):
    study = load_study([make_run("run", "local", shops=2, rounds=2)])
    assert arm_rows(study)[0].costs.up_bytes == 4 * 94000
    assert cells(arm_rows(study)[0])["Bytes up"] == "376 kB"


def test_several_folders_go_to_the_working_directory(make_run, tmp_path, monkeypatch):
    runs = [make_run("a", "none", queries=2), make_run("b", "local", queries=2)]
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert report(runs) == tmp_path / "here" / "report.html"
    assert (tmp_path / "here" / "arms.csv").exists()


def test_errors_are_the_users(make_run, tmp_path):
    with pytest.raises(UserError, match="holds no run"):
        report([tmp_path])
    run = make_run("run", queries=1)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match=r"cannot write .*another folder for the report"):
        report([run], tmp_path / "file" / "x")


def test_dialogues_show_good_and_bad_from_several_shops(study_folder):
    study = load_study([study_folder])
    dialogues = choose(study)
    assert len(dialogues) == 6
    assert dialogues == choose(study)
    outcomes = [dialogue.outcome for dialogue in dialogues]
    assert outcomes[0] == "Wrong before, right after (personalized)"
    assert "Wrong before and after (personalized)" in outcomes
    assert len({(d.before.shop_id, d.before.pair_id) for d in dialogues}) == 6
    assert len({d.before.shop_id for d in dialogues}) == 3
    for dialogue in dialogues:
        assert list(dialogue.after) == ["local", "aggregated", "personalized"]
        assert all(row.query == dialogue.before.query for row in dialogue.after.values())
        assert re.fullmatch(r"\d+ of 45 test queries", dialogue.share)
    assert choose(study, 0) == []


def test_dialogues_without_facts_follow_the_score(make_run):
    dialogues = choose(load_study([make_run("run", facts=False)]))
    assert dialogues[0].outcome == "Score rose (local)"
    assert 0 < len(dialogues) <= 6


def test_verdicts_name_the_other_shop(make_run):
    run = make_run("run", "aggregated", queries=30)
    rows = read_jsonl(run / "samples.jsonl")
    for row in rows:
        for fact in row["facts"]:
            fact |= {
                "stated": False,
                "competing_stated": ["圆通"],
                "other_shop": ["shop_01", "shop_02", "shop_03", "x"],
            }
    write_jsonl(run / "samples.jsonl", rows)
    row = next(row for row in load_study([run]).runs[0].rows("final") if row.facts)
    texts = [verdict.text for verdict in verdicts(row)]
    assert texts[:2] == ["facts wrong", "states a value of shop_01, shop_02, shop_03, …"]


def test_every_arm_has_a_colour_of_its_own_and_so_have_two_of_a_users() -> None:
    assert len(set(COLOURS)) == len(COLOURS) == len(ARM_ORDER) + 2
    assert len({colour(arm) for arm in (*ARM_ORDER, "a", "b")}) == len(COLOURS)
