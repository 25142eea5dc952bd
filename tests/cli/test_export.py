"""From a finished run to a folder that peft and transformers open without this package."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from ecc_fed.assembly.build import EMBEDDED, build_corpus, build_end_model
from ecc_fed.cli.main import main
from ecc_fed.core.records import AdapterState, Example, LikelihoodRequest, Turn
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.end_model.adapters.files import load_adapter
from ecc_fed.reporting.summary import write_summary
from ecc_fed.runs.export import export
from ecc_fed.runs.finished_run import end_state, open_run
from tests.cli.test_cross import finish

PROMPT = (Turn("customer", "请问抱枕多少钱"),)
REPLY = "亲，抱枕59.9元呀"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    # Shops of two ranks and scales, which goes with a strategy that mixes them.
    more = ["arm=aggregated", "strategy=hetlora", "adapter.ranks=[4,8]", "adapter.lora_alphas=[16,64]"]
    more.append("runtime.engine=peft")
    directory = finish(tmp_path_factory.mktemp("export") / "run", *more)
    write_summary(directory.root)
    return directory


def said(text: str) -> str:
    return " ".join(text.split())


def ends_with(directory: RunDirectory, shop_id: str) -> AdapterState:
    """What the shop answered with at the end of the run."""
    run = open_run(directory.root)
    adapter = end_state(run, build_corpus(run.config).shop(shop_id), {})[1]
    assert adapter is not None
    return adapter


def own_logits(directory: RunDirectory, adapter: AdapterState | None, lora_alpha: float | None) -> Any:
    """Of the run's own end model, after the prompt's last token."""
    run = open_run(directory.root)
    engine: Any = build_end_model(run.config)
    with torch.inference_mode(), engine._adapter(adapter, lora_alpha):
        return engine.model(prompt()).logits[0].clone()


def prompt() -> Any:
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED)
    turns = [{"role": "user", "content": PROMPT[0].text}]
    return tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=False)


@torch.inference_mode()
def logits(model: Any) -> Any:
    return model.eval()(prompt()).logits[0].clone()


def with_peft(folder: Path) -> Any:
    """Opened as a stranger would: the base by what the folder says, from within it."""
    base = json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert not Path(base).is_absolute()
    model = AutoModelForCausalLM.from_pretrained(folder / base, dtype=torch.float32)
    return PeftModel.from_pretrained(model, folder)


@pytest.mark.parametrize(("shop_id", "lora_alpha"), [("shop_0000", 16.0), ("shop_0001", 64.0)])
def test_peft_opens_the_adapter_and_answers_as_the_runs_own_end_model(
    shop_id: str, lora_alpha: float, finished: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(finished.shops.rglob("*"))
    out = tmp_path / "a" / "b"
    assert main(["export", str(finished.root), "--shop", shop_id, "--to", "peft", "--out", str(out)]) == 0
    assert f"Exported: {out}" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    found = logits(with_peft(out))
    expected = own_logits(finished, ends_with(finished, shop_id), lora_alpha)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert (expected - own_logits(finished, None, None)).abs().max() > 0.01, "the adapter does something"
    assert sorted(finished.shops.rglob("*")) == before
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "| teacher | simulated teacher |" in card and "| corpus | simulator corpus (zh) |" in card


def test_the_merged_folder_is_a_plain_model_that_answers_as_base_and_adapter(
    finished: RunDirectory, tmp_path: Path
) -> None:
    out, beside = tmp_path / "merged", tmp_path / "peft"
    out.mkdir()  # empty, and so free
    for form, folder in (("merged", out), ("peft", beside)):
        assert main(["export", str(finished.root), "--shop=shop_0001", f"--to={form}", f"--out={folder}"]) == 0
    model = AutoModelForCausalLM.from_pretrained(out)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    torch.testing.assert_close(logits(model), logits(with_peft(beside)), rtol=0, atol=1e-4)
    usual, found = (AutoTokenizer.from_pretrained(folder) for folder in (EMBEDDED, out))
    turns = [{"role": "user", "content": PROMPT[0].text}]
    assert found.apply_chat_template(turns, tokenize=False) == usual.apply_chat_template(turns, tokenize=False)
    assert not list(out.glob("*adapter*"))
    # It is a base like any other, for a run too.
    settings = [f"end_model.path={out}", "runtime.engine=shared"]
    base = build_end_model(open_run(finished.root, settings).config)
    shop = build_end_model(open_run(finished.root, ["runtime.engine=shared"]).config)
    example = (Example(PROMPT, REPLY),)
    alone = base.likelihood([LikelihoodRequest(None, example)])[0][0]
    beside_it = shop.likelihood([LikelihoodRequest(ends_with(finished, "shop_0001"), example, lora_alpha=64.0)])[0][0]
    assert alone.nll_nats == pytest.approx(beside_it.nll_nats, rel=1e-4)


@pytest.mark.parametrize(("outtype", "atol"), [("f32", 1e-5), (None, 0.02)])
def test_the_gguf_file_is_the_merged_model_of_each_rank_and_scale(
    outtype: str | None, atol: float, finished: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for shop_id, lora_alpha in (("shop_0000", 16.0), ("shop_0001", 64.0)):
        out = tmp_path / "new" / shop_id
        more = [] if outtype is None else ["--outtype", outtype]
        assert main(["export", str(finished.root), f"--shop={shop_id}", "--to=gguf", f"--out={out}", *more]) == 0
        assert f"Exported: {out}" in capsys.readouterr().out
        name = f"model-{outtype or 'f16'}.gguf"
        assert sorted(path.name for path in out.iterdir()) == ["README.md", name]
        found = logits(AutoModelForCausalLM.from_pretrained(out, gguf_file=name, dtype=torch.float32))
        expected = own_logits(finished, ends_with(finished, shop_id), lora_alpha)
        torch.testing.assert_close(found, expected, rtol=0, atol=atol)
        assert (found - own_logits(finished, None, None)).abs().max() > 0.3, "the adapter does something"
        card = (out / "README.md").read_text(encoding="utf-8")
        assert f"llama-server -m {name}" in card and "library_name: gguf" in card and "from_pretrained" not in card
        assert f"{shop_id} of a run of ecc_fed".encode() in (out / name).read_bytes()[:2000]


def test_a_base_that_a_gguf_file_cannot_hold_is_refused_before_anything_is_written(
    finished: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(finished.root.rglob("*"))
    base = tmp_path / "base"
    shutil.copytree(EMBEDDED, base)
    config = json.loads((base / "config.json").read_text())
    for changes, reason in (
        ({"model_type": "olmo2"}, "it is of the family olmo2, and those written are llama, qwen2, qwen3, gemma3_text"),
        ({"mlp_bias": True}, "its mlp_bias is True, and a file of llama stands for False"),
    ):
        (base / "config.json").write_text(json.dumps({**config, **changes}))
        run = [str(finished.root), f"end_model.path={base}", "--shop", "shop_0000", "--to", "gguf"]
        assert main(["export", *run, "--out", str(tmp_path / "out")]) == 2
        shown = said(capsys.readouterr().err)
        assert f"{base} cannot be written as GGUF: {reason}: export it with --to merged" in shown
        assert shown.count("Error:") == 1
    shutil.rmtree(base)
    assert main(["export", *run, "--out", str(tmp_path / "out")]) == 2
    assert "end_model.path" in said(capsys.readouterr().err)
    assert not list(tmp_path.iterdir()) and sorted(finished.root.rglob("*")) == before


def test_a_disk_that_fills_while_a_gguf_file_is_written_leaves_nothing(
    finished: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = []
    tensor = gguf.GGUFWriter.write_tensor_data

    def full(self: Any, *given: Any) -> None:
        tensor(self, *given)
        written.append(self.fout[0].tell())
        if len(written) == 3:
            raise OSError(28, os.strerror(28))

    out = tmp_path / "new" / "out"
    run = ["export", str(finished.root), "--shop", "shop_0000", "--to", "gguf", "--out", str(out)]
    with monkeypatch.context() as patched:
        patched.setattr(gguf.GGUFWriter, "write_tensor_data", full)
        assert main(run) == 2
    assert f"{out} cannot be written (No space left on device)" in said(capsys.readouterr().err)
    assert written[-1] > 100_000 and not list(tmp_path.iterdir())
    free = shutil.disk_usage(tmp_path)._replace(free=2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: free)
    assert main(run) == 2
    assert "(it takes 0.00 GiB, and 0.00 GiB are free), and nothing was left there" in said(capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


def test_the_card_says_what_it_is_and_no_file_says_where_the_machine_keeps_things(
    finished: RunDirectory, tmp_path: Path
) -> None:
    for form in ("peft", "merged"):
        out = tmp_path / form
        assert main(["export", str(finished.root), "--shop", "shop_0001", "--to", form, "--out", str(out)]) == 0
        card = (out / "README.md").read_text(encoding="utf-8")
        told = json.loads(finished.summary.read_text())["evaluation"]["final"]["chrf"]["per_shop"]["shop_0001"]
        assert f"| {told:.1f} |" in card
        for line in (
            "shop_0001",
            "| rank | 8 |",
            "| lora_alpha | 64 |",
            "| arm | aggregated |",
            "| strategy | HetLora |",
            "| seed | 0 |",
            "steps a cycle: 2, examples a step: 4, learning rate: 0.01",
            "agents' replies and",
            "other shops' adapters, examples or replies are behind it too",
            "An adapter remembers dialogues",
            "Serving real customers",
            "Apache-2.0",
        ):
            assert line in card, line
        for path in out.iterdir():
            content = path.read_bytes() if path.suffix != ".safetensors" else path.read_bytes()[:5000]
            for place in (EMBEDDED.parent, finished.root, tmp_path):
                assert f'"{place}'.encode() not in content and f" {place}".encode() not in content, path


def test_the_server_has_its_own(finished: RunDirectory) -> None:
    assert main(["export", str(finished.root), "--shop", "server", "--to", "peft"]) == 0
    out = finished.root / "exports" / "server" / "peft"
    adapter, settings = load_adapter(out)
    aggregate = load_adapter(finished.aggregate)[0]
    assert all((adapter[name] == aggregate[name]).all() for name in aggregate) and settings.scale_at(8) == 4.0
    assert "# Adapter: the server's last aggregate" in (out / "README.md").read_text()


def test_a_prefix_goes_to_peft_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    choice = ["adapter=prefix_tuning", "adapter.num_virtual_tokens=4", "adapter.encoder_hidden_size=8"]
    directory = finish(tmp_path / "run", "arm=local", "runtime.engine=peft", "corpus.num_shops=1", *choice)
    run = [str(directory.root), "--shop", "shop_0000"]
    assert main(["export", *run, "--to", "merged"]) == 2
    assert "A prefix_tuning adapter cannot be merged" in said(capsys.readouterr().err)
    assert main(["export", *run, "--to", "gguf"]) == 2
    assert "A prefix_tuning adapter cannot be merged" in said(capsys.readouterr().err)
    assert main(["export", *run, "--to", "peft", "--out", str(tmp_path / "prefix")]) == 0
    expected = own_logits(directory, ends_with(directory, "shop_0000"), None)
    torch.testing.assert_close(logits(with_peft(tmp_path / "prefix")), expected, rtol=0, atol=1e-5)


def test_a_quantized_base_is_not_merged_into(finished: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    kept = finished.config.read_text()
    try:
        finished.config.write_text(kept.replace("quantization: none", "quantization: nf4"))
        assert main(["export", str(finished.root), "--shop", "shop_0000", "--to", "merged"]) == 2
    finally:
        finished.config.write_text(kept)
    assert "The base of this run is nf4" in said(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shop", "shop-0001", "--to", "peft"], "There is no shop shop-0001. Did you mean shop_0001?"),
        (["--shop", "服装店", "--to", "peft"], "There is no shop 服装店. The shops of"),
        (["--to", "peft"], "Say whose adapter: --shop server, or one of shop_0000, shop_0001."),
        (["--shop", "shop_0000"], "Say in which form: --to peft"),
        (["--shop", "shop_0000", "--to", "onnx"], "--to onnx is unknown: --to peft"),
        (["--shop", "shop_0000", "--to", "gguf", "--outtype", "q4_0"], "--outtype q4_0 is unknown: f16, bf16, f32."),
        (
            ["--shop", "shop_0000", "--to", "peft", "--outtype", "f32"],
            "--outtype is for --to gguf, and this is --to peft",
        ),
        (["--shop", "shop_0000", "--to", "gguf", "--out", "TAKEN"], "is there and not empty. Remove it"),
        (["--shop", "shop_0000", "--to", "peft", "--out", "TAKEN"], "is there and not empty. Remove it"),
        (["--shop", "shop_0000", "--to", "merged", "--out", "TAKEN/a"], "taken/a is a file. Give another folder"),
        (
            ["--shop", "shop_0000", "--to", "peft", "--out", "TAKEN/a/b"],
            "taken/a is a file. Give another folder with --out DIR.",
        ),
        (["--shop", "shop_0000", "--to", "peft", "--overwrite"], "There is no flag --overwrite here"),
    ],
)
def test_a_users_mistake_is_one_line_and_writes_nothing(
    arguments: list[str], message: str, finished: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "a").write_text("mine")
    before = sorted([*tmp_path.rglob("*"), *finished.root.rglob("*")])
    given = [each.replace("TAKEN", str(tmp_path / "taken")) for each in arguments]
    assert main(["export", str(finished.root), *given]) == 2
    shown = capsys.readouterr().err
    assert message in said(shown) and shown.count("Error:") == 1 and shown.count("\n") == 1
    assert sorted([*tmp_path.rglob("*"), *finished.root.rglob("*")]) == before


def test_what_is_no_finished_run_or_trained_nothing_has_nothing_to_export(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export"]) == 2
    assert "ecc-fed export RUN --shop ID" in capsys.readouterr().err
    assert main(["export", str(tmp_path), "--shop", "a", "--to", "peft"]) == 2
    assert "holds no finished run" in capsys.readouterr().err
    directory = finish(tmp_path / "none", "arm=none", "corpus.num_shops=1")
    for shop_id in ("shop_0000", "server"):
        for form in ("peft", "merged", "gguf"):
            assert main(["export", str(directory.root), "--shop", shop_id, "--to", form]) == 2
            assert "The arm none trains no adapter: there is nothing to export" in said(capsys.readouterr().err)
    local = finish(tmp_path / "local", "arm=local", "corpus.num_shops=1")
    assert main(["export", str(local.root), "--shop", "server", "--to", "peft"]) == 2
    assert "has no adapter (arm local). Take a shop's: shop_0000." in said(capsys.readouterr().err)


@pytest.mark.parametrize("form", ["peft", "merged", "gguf"])
def test_a_disk_that_is_full_leaves_nothing(
    form: str,
    finished: RunDirectory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(self: Path, *given: Any, **named: Any) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "write_text", full)
    out = tmp_path / "new" / "out"
    assert main(["export", str(finished.root), "--shop", "shop_0000", "--to", form, "--out", str(out)]) == 2
    assert f"{out} cannot be written (No space left on device)" in said(capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


def test_the_card_names_what_the_run_said_before_every_dialogue(finished: RunDirectory, tmp_path: Path) -> None:
    text = 'Be brief. "{shop}" `x`'
    told = open_run(finished.root, ["prompt.system='Be brief. \"{{shop}}\" `x`'"])
    card = (export(told, "shop_0000", "peft", tmp_path / "a") / "README.md").read_text(encoding="utf-8")
    assert f"system = {json.dumps(text)}" in card
    usual = export(open_run(finished.root), "shop_0000", "peft", tmp_path / "b") / "README.md"
    assert "system = " not in usual.read_text(encoding="utf-8")
