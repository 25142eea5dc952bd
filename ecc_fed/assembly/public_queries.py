"""The public queries of an arm whose shops teach each other by replies to them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ecc_fed.assembly.build import build_corpus
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.protocols import AsksPublicly, TeachesByReplies
from ecc_fed.corpus.public_queries import read_queries
from ecc_fed.federation.plan import FederationPlan


def with_queries(plan: FederationPlan, config: RunConfig) -> FederationPlan:
    """The plan with its queries, where its arm has any: of a file, or of the corpus.

    Raises:
        CorpusError: the file cannot be used, or the corpus has not so many.
    """
    if not isinstance(plan.arm, TeachesByReplies):
        return plan
    source = plan.arm.queries
    if source.path is not None:
        return replace(plan, queries=read_queries(Path(source.path), source.count, config.seed))
    corpus = build_corpus(config)
    assert isinstance(corpus, AsksPublicly), "build_plan has refused any other"
    return replace(plan, queries=corpus.public_queries(source.count))
