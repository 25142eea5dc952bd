"""Data sets whose published files are records of a form that is read anyway: their names, layouts and orders.

Bitext   customer support and retail: CSV of instruction, category, intent, response, with flags or tags
ABCD     Action-Based Conversations (Chen et al. 2021): an object of train, dev and test, each a list of
         {"convo_id", "scenario", "original": [[speaker, text], …], "delexed": [{"speaker", "text", …}, …]}
CSConv   of DianJin-CSC (Zhu et al. 2025): a list of {"dialogue": [{"speaker": "客户"|"客服", "text", "strategy"}, …]}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ecc_fed.corpus.formats.jsonl import JsonlCorpus
from ecc_fed.corpus.formats.tables import TableCorpus

_NO_TIME = "Split in the file's order, which is not that of time: the data set tells none."


@dataclass(frozen=True, kw_only=True)
class BitextCorpus(TableCorpus):
    """Shops from a Bitext file. Arguments: see `RecordCorpus`."""

    format: ClassVar[str] = "bitext"
    expected: ClassVar[str] = "Bitext: a table with the columns instruction, category, intent and response"
    order: ClassVar[str] = _NO_TIME


@dataclass(frozen=True, kw_only=True)
class AbcdCorpus(JsonlCorpus):
    """Shops from an ABCD file. Arguments: see `RecordCorpus`."""

    format: ClassVar[str] = "abcd"
    expected: ClassVar[str] = 'ABCD: JSON of {"convo_id": …, "original": [[speaker, text], …]}, by train, dev and test'
    order: ClassVar[str] = _NO_TIME


@dataclass(frozen=True, kw_only=True)
class CsconvCorpus(JsonlCorpus):
    """Shops from DianJin-CSC's CSConv. Arguments: see `RecordCorpus`."""

    format: ClassVar[str] = "csconv"
    expected: ClassVar[str] = 'CSConv: a JSON list of {"dialogue": [{"speaker": "客户"|"客服", "text": …}, …]}'
    order: ClassVar[str] = _NO_TIME
