"""From a `RunConfig` to objects. Config stops here: what is built takes plain values."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from ecc_fed.assembly.evaluation_budget import kept_for_final
from ecc_fed.assembly.federation import build_arm, build_masking, build_transforms
from ecc_fed.assembly.language import prompt_layout, system_text, why_withheld
from ecc_fed.assembly.privacy import build_private_training, check_budgets
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.assembly.spent import count_spent
from ecc_fed.assembly.targets import accepts, instantiate
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.protocols import (
    Answering,
    Corpus,
    EndModel,
    FeedbackSource,
    Judge,
    Partition,
    Redactor,
    RelevanceModel,
    SimilarityModel,
    StudyView,
    Teacher,
    TeachesByReplies,
    Tracker,
)
from ecc_fed.core.records import AdapterState, PseudoLabel, Shop
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.truth import ShopTruth
from ecc_fed.end_model.adapters.files import save_adapter
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.end_model.adapters.settings import AdapterSettings, dealt, with_alpha
from ecc_fed.end_model.adapters.tensors import widened
from ecc_fed.evolution.device import ShopDevices
from ecc_fed.evolution.scoring import Scoring
from ecc_fed.evolution.settings import LoopSettings, Services
from ecc_fed.evolution.shop_state import WriteAdapter
from ecc_fed.evolution.uplink import Uplink
from ecc_fed.evolution.warm_start import own_rows, shared_rows
from ecc_fed.judging.final_score import FinalScoreJudge
from ecc_fed.privacy.ledger import MemoryLedger
from ecc_fed.teacher.distillation.generated import read_generated
from ecc_fed.teacher.gateway.gateway import Gateway
from ecc_fed.teacher.gateway.settings import GatewaySettings
from ecc_fed.teacher.gateway.texts import KeptTexts

EMBEDDED = Path(__file__).parent.parent / "end_model" / "embedded"

# Models stay resident in a process over all runs that use the same ones. `loads` counts bases read.
_RESIDENT: dict[str, Any] = {}
loads: dict[str, int] = {"base": 0}


def _resident(kind: str, settings: Mapping[str, Any], make: Any) -> Any:
    key = f"{kind}:{json.dumps(settings, sort_keys=True, default=str)}"
    if key not in _RESIDENT:
        # One model of a kind at a time: a second base would not fit beside the first on a small GPU.
        for other in [name for name in _RESIDENT if name.startswith(f"{kind}:")]:
            del _RESIDENT[other]
        _RESIDENT[key] = make()
    return _RESIDENT[key]


def build_corpus(config: RunConfig) -> Corpus:
    """The corpus, seeded from the run; a corpus that takes a partition gets the config's."""
    objects: dict[str, Any] = {}
    if "seed" not in config.corpus and accepts(config.corpus, "corpus", "seed"):
        objects["seed"] = derive_seed(config.seed, "corpus")
    if accepts(config.corpus, "corpus", "partition") and "_target_" in config.partition:
        objects["partition"] = instantiate(config.partition, "partition", Partition)
    return cast(Corpus, instantiate(config.corpus, "corpus", Corpus, **objects))


def base_path(config: RunConfig) -> str:
    """Where the end model's base lies."""
    return str(EMBEDDED) if config.end_model.path == "embedded" else config.end_model.path


def build_end_model(config: RunConfig) -> EndModel:
    """The resident end model, loaded once a process.

    Raises:
        ModelError: a base that cannot be opened, or cannot bear the adapter.
        ConfigError: what this machine or the base has no room for.
    """
    key = {"engine": config.runtime.engine, **asdict(config.end_model), "adapter": config.adapter.settings()}
    key["system"] = system = system_text(config)

    def make() -> EndModel:
        from ecc_fed.end_model.engines.opening import open_engine  # with torch, which hosts alone need

        loads["base"] += 1
        settings = replace(config.end_model, path=base_path(config))
        return open_engine(settings, config.adapter.settings(), config.runtime.engine, system)

    model = _resident("end_model", key, make)
    positions = getattr(model, "positions", None)
    longest = config.end_model.max_prompt_tokens + config.decoding.max_new_tokens
    if positions is not None and longest > positions:
        raise ConfigError(
            f"the end model {config.end_model.path} has {positions} positions, and prompt and reply take up to "
            f"{longest}: lower end_model.max_prompt_tokens={config.end_model.max_prompt_tokens} or "
            f"decoding.max_new_tokens={config.decoding.max_new_tokens}"
        )
    return cast(EndModel, model)


def build_similarity(config: RunConfig) -> Any:
    """The resident similarity model."""
    node = config.judge.similarity
    return _resident("similarity", node, lambda: instantiate(node, "judge.similarity", SimilarityModel))


def build_judge(config: RunConfig) -> Judge:
    """Eq. (1) over the resident similarity and relevance models."""
    node = config.judge.relevance
    relevance = _resident("relevance", node, lambda: instantiate(node, "judge.relevance", RelevanceModel))
    return FinalScoreJudge(build_similarity(config), relevance, config.judge)


def build_answering(config: RunConfig) -> Answering:
    """How the run's shops answer. `answering.encoder=judge` is the resident similarity model.

    Raises:
        ConfigError: a value out of range, or a judge that cannot encode texts.
    """
    node = config.answering
    own = node.get("encoder") == "judge" and accepts(node, "answering", "encoder")
    objects = {"encoder": build_similarity(config)} if own else {}
    return cast(Answering, instantiate(node, "answering", Answering, **objects))


@dataclass(frozen=True)
class Cloud:
    """The teacher behind its gateway, and the ledger that the gateway writes."""

    teacher: Teacher
    gateway: Gateway
    ledger: MemoryLedger
    redaction: str


def build_teacher(config: RunConfig) -> Teacher:
    """The teacher, seeded from the run.

    Raises:
        ConfigError: a setting out of range, or no key or package for a provider.
        ModelError: a local teacher that cannot be opened.
    """
    objects: dict[str, Any] = {}
    if "seed" not in config.teacher and accepts(config.teacher, "teacher", "seed"):
        objects["seed"] = derive_seed(config.seed, "teacher")
    return cast(Teacher, instantiate(config.teacher, "teacher", Teacher, **objects))


def build_redactor(config: RunConfig) -> Redactor:
    """What the run's turns pass, resident: it may hold a model. One that takes a language gets that of the prompts.

    Raises:
        ConfigError: a setting out of range, or a package that is not installed.
        ModelError: a model that cannot be taken.
    """
    node = config.redaction
    asks = node.get("language") is None and accepts(node, "redaction", "language")
    objects: dict[str, Any] = {"language": config.gateway.language or "zh"} if asks else {}
    make = partial(instantiate, node, "redaction", Redactor, **objects)
    return cast(Redactor, _resident("redactor", {**node, **objects}, make))


def build_training_redactor(config: RunConfig) -> Redactor | None:
    """What takes values out of all that is trained on; None where dialogues are learned as they are.

    Raises:
        ConfigError: a setting out of range.
    """
    return build_redactor(config) if config.privacy.mask_training else None


def build_cloud(config: RunConfig, budget_share: float = 1.0, teacher: Teacher | None = None) -> Cloud:
    """The way to the teacher.

    Args:
        config: the run.
        budget_share: the part of the run's budget that is spent here.
        teacher: at its end; None builds a new one.

    Raises:
        ConfigError: a setting out of range, or no key or package for a provider.
        ModelError: a local teacher that cannot be opened.
    """
    teacher = build_teacher(config) if teacher is None else teacher
    redactor, ledger, settings = build_redactor(config), MemoryLedger(), config.gateway
    check_prices(settings, teacher)
    gateway = Gateway(
        teacher,
        ledger,
        redactor,
        settings,
        budget=settings.budget(budget_share),
        retry=settings.retry(derive_seed(config.seed, "gateway_retry")),
        layout=prompt_layout(config),
    )
    return Cloud(teacher, gateway, ledger, redactor.name)


def check_prices(settings: GatewaySettings, teacher: Teacher) -> None:
    """Refuses a limit on money that no call counts against."""
    if settings.max_cost_usd is not None and not (
        teacher.input_usd_per_million_tokens or teacher.output_usd_per_million_tokens
    ):
        raise ConfigError(
            f"gateway.max_cost_usd={settings.max_cost_usd:g} bounds nothing: {teacher.name} has no prices. Give "
            "them in teacher.prices (US dollars per million tokens), or set gateway.max_cost_usd=null and bound "
            "max_requests or max_tokens"
        )


def keep_texts(config: RunConfig, gateway: object, folder_of: Callable[[str], Path]) -> None:
    """With `privacy.keep_text`, a gateway keeps what it sends in the folders that its shops are given."""
    if config.privacy.keep_text and isinstance(gateway, Gateway):
        gateway.texts = KeptTexts(folder_of)


def build_services(config: RunConfig, budget_share: float = 1.0) -> Services:
    """Everything that the shops of one host share, and their part of the run's budget for the cloud."""
    # Resident, as the other models are: several nodes of one process ask one teacher.
    teacher = _resident("teacher", {**config.teacher, "run_seed": config.seed}, lambda: build_teacher(config))
    cloud = build_cloud(config, budget_share, teacher)
    return Services(
        build_end_model(config),
        build_judge(config),
        cloud.gateway,
        cast(FeedbackSource, instantiate(config.feedback, "feedback", FeedbackSource)),
        cloud.ledger,
        cloud.gateway.journal,
        build_answering(config),
        Scoring(why_withheld(config), config.judge.relevance_min_auc),
        build_training_redactor(config),
    )


def build_settings(config: RunConfig) -> LoopSettings:
    """All that a shop's loop goes by."""
    arm, private = build_arm(config), build_private_training(config)
    public_share = arm.public_share if isinstance(arm, TeachesByReplies) else 0.0
    return LoopSettings(config.evolution, config.finetune, config.decoding, arm.trains, private, public_share)


def build_uplink(config: RunConfig, shop_ids: Sequence[str]) -> Uplink:
    """How updates leave the devices of the run's shops."""
    chosen = config.adapter
    factors = dealt(chosen.scale_factors, shop_ids)
    return Uplink(chosen.settings().scale_at, build_transforms(config), chosen.shared_rank, factors)


def build_view(config: RunConfig) -> StudyView | None:
    """The study's own pages; None for the report alone."""
    view = config.study.view
    return None if view is None else cast(StudyView, instantiate(view, "study.view", StudyView))


def build_tracker(config: RunConfig) -> Tracker | None:
    """Where the run's numbers are kept beside its own files; None: nowhere.

    Raises:
        ConfigError: a setting out of range, or a package that is not installed.
    """
    if not config.tracker:
        return None
    tracker = cast(Tracker, instantiate(config.tracker, "tracker", Tracker))
    tracker.check()
    return tracker


def whole_aggregate(config: RunConfig, aggregate: AdapterState) -> AdapterState:
    """The server's adapter as a shop could serve it: zeros stand for the ranks that are a shop's own."""
    settings = config.adapter.settings()
    if config.adapter.shared_rank is None or not isinstance(settings, Lora):
        return aggregate
    return widened(aggregate, settings.rank)


def adapter_writer(config: RunConfig) -> WriteAdapter:
    """Writes an adapter folder in peft's format."""
    return partial(_write, config.adapter.settings(), base_path(config))


def _write(
    settings: AdapterSettings, path: str, folder: Path, adapter: AdapterState, lora_alpha: float | None = None
) -> None:
    save_adapter(folder, adapter, with_alpha(settings, lora_alpha), path)


def read_warm_start(config: RunConfig, shops: Sequence[Shop]) -> dict[str, tuple[PseudoLabel, ...]] | None:
    """By shop, what `shops` learn from before their first round; None where nothing is set, or where no shop learns.

    Raises:
        CorpusError: the file is missing, empty, broken, or of another corpus.
    """
    warm, arm = config.evolution.warm_start, build_arm(config)
    if warm.path is None or not (arm.evolves and arm.trains):
        return None
    rows = read_generated(Path(warm.path))
    generated = {shop.shop_id: shared_rows(rows) if warm.shared else own_rows(shop, rows, warm.path) for shop in shops}
    return generated if warm.steps else None


def build_devices(
    config: RunConfig,
    shops: Sequence[Shop],
    truth: Mapping[str, ShopTruth],
    directory: RunDirectory,
    shop_ids: Sequence[str],
    run_id: str = "",
) -> ShopDevices:
    """The shops of one host, of all the run's `shop_ids`, over the process's resident models."""
    settings = build_settings(config)
    check_budgets(settings.private, config, shops)
    services = build_services(config, budget_share=len(shops) / len(shop_ids))
    if isinstance(services.gateway, Gateway):
        services.gateway.budget.keep_for_final(kept_for_final(config, shops))
    count_spent(services.gateway, directory, [shop.shop_id for shop in shops])  # by a former process, too
    keep_texts(config, services.gateway, directory.shop)
    return ShopDevices(
        shops,
        truth,
        services,
        settings,
        directory,
        adapter_writer(config),
        config.seed,
        base_loads=loads["base"],
        generated=read_warm_start(config, shops),
        uplink=build_uplink(config, shop_ids),
        run_id=run_id,
        ranks=config.adapter.ranks_of(shop_ids),
        alphas=config.adapter.alphas_of(shop_ids),
        masking=build_masking(config),
    )
