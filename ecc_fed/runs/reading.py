"""A run's corpus: all its shops, and what it was read as, for `run.json`."""

from __future__ import annotations

from ecc_fed.assembly.build import build_corpus
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import CorpusError
from ecc_fed.core.outside_text import cut
from ecc_fed.core.protocols import Corpus
from ecc_fed.core.records import Shop
from ecc_fed.core.rows.reading import BrokenLineRow, Reading, StepRow
from ecc_fed.core.truth import ShopTruth
from ecc_fed.corpus.report import CorpusReport

_STEPS = ("lines", "turns", "sessions", "placed", "pairs")


def read_corpus(config: RunConfig) -> tuple[list[Shop], dict[str, ShopTruth], Reading | None]:
    """Every shop, what is true of each of them, by shop_id, and what was lost as they were read.

    Raises:
        CorpusError: as `Corpus.shop`; or there is no shop.
    """
    corpus = build_corpus(config)
    reading = reading_of(corpus)
    shops, truth = [], {}
    for shop_id in corpus.shop_ids():
        shops.append(corpus.shop(shop_id))
        truth[shop_id] = corpus.truth(shop_id)
    if not shops:
        raise CorpusError("The corpus has no shops. Check corpus.path, or ask for fewer with corpus.num_shops.")
    return shops, truth, reading


def reading_of(corpus: Corpus) -> Reading | None:
    """What was read, cleaned, dropped and why; None for a corpus that tells nothing of it.

    Asked for before the shops, it costs nothing: a corpus of a file keeps those that it counted.

    Raises:
        CorpusError: as `Corpus.shop`.
    """
    report = getattr(corpus, "report", lambda: None)()
    if not isinstance(report, CorpusReport):
        return None
    steps = {name: step for name in _STEPS if (step := getattr(report, name)) is not None}
    return Reading(
        path=report.path,
        format=report.format,
        steps={name: StepRow(step.read, step.kept, dict(step.dropped)) for name, step in steps.items()},
        edits=dict(report.edits),
        broken_lines=tuple(BrokenLineRow(line.number, cut(line.reason)) for line in report.broken_lines),
        notes=report.notes,
        order=report.order,
        language=report.language,
    )
