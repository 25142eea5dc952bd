"""The model card of an exported adapter: what it is, came of and is worth, and what it is not for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from ecc_fed import __version__
from ecc_fed.assembly.federation import build_plan
from ecc_fed.assembly.language import system_text, with_language
from ecc_fed.core.outside_text import cut, visible
from ecc_fed.core.run_directory import read_json
from ecc_fed.end_model.adapters.names import WEIGHTS_FILE
from ecc_fed.reporting.formatting import teacher_name, value_text, words
from ecc_fed.reporting.measures import MEASURES
from ecc_fed.runs.exporting.taken import Taken
from ecc_fed.runs.finished_run import FinishedRun

Form = Literal["peft", "merged", "gguf"]
_LIBRARIES: dict[Form, str] = {"peft": "peft", "merged": "transformers", "gguf": "gguf"}
_EMBEDDED = "embedded"

_LOAD_PEFT = """from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = {base}{where}
tokenizer = AutoTokenizer.from_pretrained(base)
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype="float32"), ".")"""
_LOAD_MERGED = """from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
model = AutoModelForCausalLM.from_pretrained(".")"""
_LOAD_GGUF = """llama-server -m {file} --port 8080"""

_SYSTEM = """
# Before every dialogue: a message of the role system; of a chat template without one, the beginning of the first
# customer's message, with a line break behind it.
system = {text}"""


def model_card(run: FinishedRun, taken: Taken, form: Form, base: str, hub: bool, file: str = "") -> str:
    """README.md of the exported folder.

    Args:
        run: which the adapter is of.
        taken: the adapter.
        form: how it is exported.
        base: its hub id, or its folder's path relative to the exported folder.
        hub: which of the two.
        file: of the form gguf, its name in the folder.
    """
    whose = "the server's last aggregate" if taken.shop_id is None else f"shop {_text(taken.shop_id)}"
    embedded = run.config.end_model.path == _EMBEDDED
    what = "Adapter" if form == "peft" else "Base with the adapter merged in"
    rows = [f"| {name} | {_text(value)} |" for name, value in _facts(run, taken, base)]
    load = _LOAD_MERGED if form == "merged" else _LOAD_GGUF.format(file=file)
    if form == "peft":
        load = _LOAD_PEFT.format(base=json.dumps(base), where="" if hub else "  # relative to this folder")
    system = system_text(with_language(run.config, run.info.language))
    if system is not None:
        load += _SYSTEM.format(text=json.dumps(system, ensure_ascii=False))
    return "\n".join(
        [
            *_front_matter(form, base if hub else None, embedded),
            f"# {what}: {whose}",
            "",
            f"What it answered with at the end of a run of `ecc_fed` {__version__}, which simulates how a cloud model "
            "and the small models of many shops work together in customer service.",
            "",
            "| | |",
            "|---|---|",
            *rows,
            "",
            "## Loading",
            *_loading(form),
            "",
            "```" if form == "gguf" else "```python",
            load,
            "```",
            *_own_files(taken, form),
            "",
            "## Final figures",
            *_figures(run, taken),
            "",
            "## What it is not for",
            *_not_for(embedded),
            "",
            "## Privacy",
            *_privacy(run),
            "",
            "## Licence",
            "Apache-2.0, as `ecc_fed` and its embedded base."
            if embedded
            else "The base's licence holds for what is made of it; the dialogues may bring terms of their own.",
            "",
        ]
    )


def _loading(form: Form) -> list[str]:
    if form != "gguf":
        return ["Run in this folder. Prompts are turns: `tokenizer.apply_chat_template`."]
    return [
        "Run in this folder, with llama.cpp; then any client of OpenAI's interface talks to "
        "`http://127.0.0.1:8080/v1`, and a browser to `http://127.0.0.1:8080`. Prompts are turns, and the file has "
        "their template. llama.cpp takes a control token for one whoever wrote it, a customer too.",
    ]


def _text(value: object) -> str:
    """On one line, and no part of a table or of Markdown, whatever a shop is called."""
    shown = " ".join(cut(visible(str(value)), 200).split())
    return "".join(f"\\{sign}" if sign in "\\|`<[*" else sign for sign in shown)


def _front_matter(form: Form, hub_id: str | None, embedded: bool) -> list[str]:
    lines = ["---", f"library_name: {_LIBRARIES[form]}", "pipeline_tag: text-generation"]
    if hub_id is not None:
        lines.append(f"base_model: {json.dumps(hub_id)}")
    if embedded:
        lines.append("license: apache-2.0")
    return [*lines, "---", ""]


def _class(node: Mapping[str, Any]) -> str:
    return str(node.get("_target_", "")).rpartition(".")[2]


def _facts(run: FinishedRun, taken: Taken, base: str) -> Iterator[tuple[str, object]]:
    info, config, plan = run.info, run.config, build_plan(run.config)
    stored = taken.settings.stored_words(taken.adapter)
    embedded = " (the embedded model of ecc_fed)" if config.end_model.path == _EMBEDDED else ""
    yield "base", f"{base}{embedded}"
    if config.end_model.quantization != "none":
        yield "base as the run held it", config.end_model.quantization
    yield "method", taken.settings.method
    for name, key in (("rank", "r"), ("lora_alpha", "lora_alpha"), ("virtual tokens", "num_virtual_tokens")):
        if key in stored:
            yield name, f"{stored[key]:g}"
    yield "arm", info.arm
    yield "seed", info.seed
    yield "run", info.run_id
    yield "server rounds", f"{info.server_rounds}, of which personal: {info.personal_rounds}"
    tune = config.finetune
    yield (
        "fine-tuning",
        f"cycles a round: {info.cycles}, steps a cycle: {tune.steps}, examples a step: {tune.batch_size}, learning "
        f"rate: {tune.learning_rate:g}",
    )
    if plan.federated:
        yield "strategy", _class(config.strategy)
    answering = _class(config.answering)
    if answering != "ModelAlone":
        yield "answering", f"the run answered by {answering}, of which this is the model alone"
    yield "corpus", f"{words(info.corpus)} ({info.language})"
    yield "teacher", teacher_name(info.teacher)
    yield "learned from", _learned(taken)


def _own_files(taken: Taken, form: Form) -> list[str]:
    own = [name for name in taken.settings.stored_tensors(taken.adapter) if name != WEIGHTS_FILE]
    return ["", f"`{own[0]}` is for `ecc_fed`, to train on; peft does without."] if own and form == "peft" else []


def _learned(taken: Taken) -> str:
    whose = "the shop's" if taken.shop_id is not None else "all shops'"
    text = f"{taken.natural_pairs:,} of {whose} agents' replies and {taken.pseudo_labels:,} pseudo-labels of the cloud"
    return f"{text}; other shops' adapters, examples or replies are behind it too" if taken.from_others else text


def _figures(run: FinishedRun, taken: Taken) -> list[str]:
    """From `summary.json`: the shop's, or the means over all shops where the adapter is the server's."""
    if not run.directory.summary.is_file():
        return ["The run has no `summary.json`."]
    evaluation = read_json(run.directory.summary).get("evaluation", {})

    def figure(phase: str, measure: str) -> float | None:
        told = (evaluation.get(phase) or {}).get(measure) or {}
        found = told.get("mean") if taken.shop_id is None else told.get("per_shop", {}).get(taken.shop_id)
        return None if found is None else float(found)

    measured = [(each, figure("base", each.name), figure("final", each.name)) for each in MEASURES]
    whose = "the shop's" if taken.shop_id is not None else "all shops', each with what it ended with,"
    return [
        f"On {whose} held-out test questions, from `summary.json`.",
        "",
        "| | bare base | at the end |",
        "|---|---|---|",
        *(
            f"| {each.label} | {value_text(base, each.unit)} | {value_text(final, each.unit)} |"
            for each, base, final in measured
            if final is not None
        ),
    ]


def _not_for(embedded: bool) -> list[str]:
    lines = ["- Serving real customers: it comes of a simulation, and nobody has checked its replies."]
    if embedded:
        lines.append("- Real Chinese: the base has two million parameters and has read simulated text alone.")
    return [*lines, "- Other shops: what it states of prices, stock and terms is what one corpus held at one time."]


def _privacy(run: FinishedRun) -> list[str]:
    """What bounds the memory of whoever holds this folder, and what does not."""
    told = run.info.privacy
    lines = [
        "An adapter remembers dialogues: whoever has it can try whether one was among those it learned from, and "
        "draw out what was said there. `ecc-fed attack RUN` measures both. Give it to nobody who may not read the "
        "dialogues.",
        "",
    ]
    masked = "masked" if run.config.privacy.mask_training else "as they are"
    lines.append(f"- Values that redaction ({told.redaction}) finds in what was learned: {masked}.")
    if told.epsilon is not None:
        budget = f"epsilon {told.epsilon:g}, delta {told.delta:g}"
        lines.append(f"- Differential privacy of a question with its answer: {budget}.")
    if told.shop_epsilon is not None:
        budget = f"epsilon {told.shop_epsilon:g}, delta {told.shop_delta:g}"
        lines.append(f"- Differential privacy of a shop in the server's aggregate: {budget}.")
    if told.epsilon is None and told.shop_epsilon is None:
        lines.append("- Differential privacy: none; nothing bounds what it tells.")
    return lines
