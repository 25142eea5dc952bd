"""Whether the corpus's file is there: seen before a run has a folder or hosts."""

from __future__ import annotations

from ecc_fed.assembly.schema import RunConfig
from ecc_fed.assembly.targets import check_text, locate
from ecc_fed.core.protocols import Corpus
from ecc_fed.corpus.formats.files import FileCorpus


def check_corpus_file(config: RunConfig) -> None:
    """Refuses a path of a file corpus at which no such file lies; any other corpus looks after its own.

    Raises:
        ConfigError: the path is no text.
        CorpusError: what lies there is no file of its kind, or nothing does.
    """
    corpus = locate(config.corpus, "corpus", Corpus)
    if not issubclass(corpus, FileCorpus):
        return
    path = config.corpus.get("path")
    check_text(path, str, "corpus.path")
    corpus.check_path(str(path))
