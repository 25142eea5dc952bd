from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from ecc_fed.end_model.chatglm3 import ConversionReport, convert_chatglm3

from . import original


@dataclass
class Converted:
    """An original checkpoint, its converted form, and both sides loaded."""

    weights: dict[str, Tensor]
    config: dict[str, Any]
    processor: Any
    report: ConversionReport
    folder: Path
    model: Any
    tokenizer: Any
    progress: list[tuple[str, int, int]]


@pytest.fixture(scope="session")
def pieces() -> bytes:
    return original.train_pieces()


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory, pieces: bytes) -> Converted:
    root = tmp_path_factory.mktemp("chatglm3")
    weights = original.random_weights(original.CONFIG)
    source = original.write_checkpoint(root / "source", weights, original.CONFIG, pieces)
    progress: list[tuple[str, int, int]] = []
    report = convert_chatglm3(
        source, root / "native", progress=lambda *step: progress.append(step), shard_bytes=100_000
    )
    return Converted(
        weights=weights,
        config=original.CONFIG,
        processor=sentencepiece.SentencePieceProcessor(model_proto=pieces),
        report=report,
        folder=root / "native",
        model=AutoModelForCausalLM.from_pretrained(root / "native").eval(),
        tokenizer=AutoTokenizer.from_pretrained(root / "native"),
        progress=progress,
    )
