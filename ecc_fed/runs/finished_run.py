"""A finished run, opened again: its config, its shops' end states, and one of them under review."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

from ecc_fed.assembly.build import (
    adapter_writer,
    base_path,
    build_corpus,
    build_end_model,
    build_services,
    build_settings,
    keep_texts,
)
from ecc_fed.assembly.compose import load_config
from ecc_fed.assembly.federation import build_plan
from ecc_fed.assembly.language import spoken_in, with_language
from ecc_fed.assembly.paths import check_there
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import UserError
from ecc_fed.core.finished import finished_directory
from ecc_fed.core.protocols import Corpus
from ecc_fed.core.records import AdapterState, Shop
from ecc_fed.core.rows import RunInfo, check_schema, read_run_info
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.core.seeding import adapter_seed
from ecc_fed.end_model.adapters.tensors import of_rank
from ecc_fed.end_model.text.streaming import StreamingEngine, stream_reply
from ecc_fed.evolution.downlink import received
from ecc_fed.evolution.own_alpha import at_alpha
from ecc_fed.evolution.owner import owner_of
from ecc_fed.evolution.review.session import Review
from ecc_fed.evolution.scoring import recorded_relevance
from ecc_fed.evolution.shop_state import ShopState, newest_state
from ecc_fed.federation.checkpoint import load_checkpoint
from ecc_fed.models.folder import find_folder

_END_BYTES = 1 << 20
_SHOWN = 20


@dataclass(frozen=True)
class FinishedRun:
    """A run's directory, its `run.json`, and its config."""

    directory: RunDirectory
    info: RunInfo
    config: RunConfig

    @property
    def shop_ids(self) -> tuple[str, ...]:
        """Its shops, in its order."""
        return self.info.shops


def open_run(root: Path, overrides: Sequence[str] = (), allowed: Sequence[str] = ()) -> FinishedRun:
    """The run in `root`, with single settings changed; `allowed` are packages whose classes its config may name.

    Raises:
        UserError: no finished run lies there; names those that lie below.
        RunDirectoryError: another version wrote it.
        ConfigError: as `load_config`.
    """
    directory = finished_directory(root)
    info = read_run_info(directory.run)
    # The config of an older run names classes and settings by the names they had.
    check_schema(info.schema, str(root))
    return FinishedRun(directory, info, load_config(directory.config, overrides, allowed))


def trained_corpus(run: FinishedRun, shop_ids: Sequence[str], nothing: str) -> tuple[RunConfig, Corpus]:
    """The run's config in its corpus' language, and the corpus, which still has these shops.

    Raises:
        UserError: a shop or a file is gone, or the arm trains no adapter: there is `nothing`, such as "nothing to
            attack".
        CorpusError: it cannot be read.
    """
    check_there(run.config, ("corpus", "end_model", "answering"), run.directory.root)
    corpus = build_corpus(run.config)
    if not build_plan(run.config).arm.trains:
        raise UserError(f"The arm {run.info.arm} trains no adapter: there is {nothing}.")
    gone = [shop_id for shop_id in shop_ids if shop_id not in corpus.shop_ids()]
    if gone:
        raise UserError(f"The corpus of {run.directory.root} has no shop {gone[0]} any more. Check corpus.path.")
    return with_language(run.config, spoken_in(corpus)), corpus


def list_shops(run: FinishedRun) -> str:
    """The shops in one line."""
    more = len(run.shop_ids) - _SHOWN
    return ", ".join(run.shop_ids[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def chat_folder(run: FinishedRun, shop_id: str) -> Path:
    """Where a chat with the shop keeps its own."""
    return run.directory.shop(shop_id) / "chat"


def end_state(run: FinishedRun, shop: Shop, fresh: AdapterState) -> tuple[ShopState, AdapterState | None]:
    """The shop's state at the end of the run, and the adapter it answered with then (None: the bare base).

    Args:
        run: where it lies.
        shop: its dialogues.
        fresh: the adapter of a shop that never trained.
    """
    owner = owner_of(shop, run.info.run_id)
    state = newest_state(run.directory.shop(shop.shop_id), owner=owner)
    plan = build_plan(run.config)
    if state is not None and not plan.arm.trains:
        return state, None
    if state is None:
        natural_ids = tuple(pair.pair_id for pair in shop.history)
        untrained = ShopState(
            shop.shop_id,
            0,
            fresh,
            natural_ids=natural_ids,
            run_id=owner.run_id,
            dialogues_sha256=owner.dialogues_sha256,
        )
        return untrained, None
    found = load_checkpoint(run.directory.server, run.info.run_id)
    if found is None or not plan.federated or shop.shop_id in run.info.shops_on_their_own:
        return state, state.adapter
    incoming = plan.aggregator.downlink(found[0].state.aggregator, shop.shop_id)
    return state, received(state.adapter, incoming, run.config.adapter.shared_rank)


def fingerprint(path: str) -> str:
    """SHA-256 over a model's config and the ends and sizes of its weight files: cheap, and moved by any training."""
    digest = hashlib.sha256()
    folder = find_folder(path, "end model")
    for file in sorted([folder / "config.json", *folder.glob("*.safetensors"), *folder.glob("*.bin")]):
        size = file.stat().st_size
        digest.update(f"{file.name}{size}".encode())
        with file.open("rb") as opened:
            digest.update(opened.read(_END_BYTES))
            opened.seek(max(0, size - _END_BYTES))
            digest.update(opened.read(_END_BYTES))
    return digest.hexdigest()


def open_review(run: FinishedRun, shop_id: str) -> Review:
    """One shop of the run, ready to talk.

    Raises:
        UserError: a file is gone, the run's corpus has no such shop, or its chat began from another adapter.
        EccError: corpus, models or states cannot be read.
    """
    config = run.config
    check_there(config, ("corpus", "end_model", "answering", "judge", "redaction", "teacher"), run.directory.root)
    corpus = build_corpus(config)
    config = with_language(config, spoken_in(corpus))
    if shop_id not in corpus.shop_ids():
        raise UserError(f"The corpus of {run.directory.root} has no shop {shop_id} any more. Check corpus.path.")
    shop = corpus.shop(shop_id)
    alpha = config.adapter.alphas_of(run.shop_ids).get(shop_id)
    services = at_alpha(build_services(config), alpha)
    keep_texts(config, services.gateway, lambda shop_id: chat_folder(run, shop_id))
    found = recorded_relevance(run.directory.shop(shop_id))
    if found is not None:
        services.scoring.shops[shop_id] = found
    rank = config.adapter.ranks_of(run.shop_ids).get(shop_id)
    fresh = of_rank(build_end_model(config).new_adapter(adapter_seed(config.seed)), rank)
    end, answering = end_state(run, shop, fresh)
    return Review(
        shop,
        end,
        answering,
        chat_folder(run, shop_id),
        services,
        build_settings(config),
        config.chat,
        partial(stream_reply, cast(StreamingEngine, services.end_model)),
        adapter_writer(config) if alpha is None else partial(adapter_writer(config), lora_alpha=alpha),
        config.seed,
        (config.end_model.path, fingerprint(base_path(config))),
    )
