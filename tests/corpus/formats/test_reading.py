import gzip

import pytest

from ecc_fed.core.errors import CorpusError
from ecc_fed.corpus.formats import reading
from ecc_fed.corpus.formats.ecd import read_ecd
from ecc_fed.corpus.formats.jddc import read_jddc
from ecc_fed.corpus.formats.jsonl import read_jsonl
from tests.corpus.dialogue_files import ecd_text, jddc_text, jsonl_text, sessions_of, written

READERS = {"ecd": read_ecd, "jddc": read_jddc, "jsonl": read_jsonl}
TEXTS = {"ecd": ecd_text(30), "jddc": jddc_text(30), "jsonl": jsonl_text(30)}


def refused(path, kind="jddc") -> str:
    with pytest.raises(CorpusError) as caught:
        sessions_of(READERS[kind], path, kind)
    message = str(caught.value)
    assert str(path) in message
    return message


def test_a_path_that_is_no_file_is_refused_by_name(tmp_path):
    assert "does not exist" in refused(tmp_path / "nowhere.txt")
    assert "is a directory" in refused(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n \n\t\n", "is empty"),
        (b"\x89PNG\r\n\x00\x00\x01", "binary file"),
        ("a\tb".encode("utf-16"), "UTF-16"),
        (gzip.compress(b"text", mtime=0), "compressed (gzip)"),
        (TEXTS["jddc"].encode("gb18030"), "not UTF-8"),
        (b"just some words\nand more\n", "not in the JDDC format: 2 of its first 2 lines"),
    ],
)
def test_a_file_of_another_kind_is_refused_with_what_was_expected(tmp_path, content, said):
    message = refused(written(tmp_path, content))
    assert said in message
    assert "seven tab-separated columns" in message or "onvert it" in message


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("other", READERS)
def test_a_file_of_another_format_is_recognised(tmp_path, kind, other):
    path = written(tmp_path, TEXTS[other])
    if kind == other:
        assert sessions_of(READERS[kind], path, kind)[0]
    else:
        assert f"use corpus={other}" in refused(path, kind)


def test_a_file_half_of_whose_lines_are_broken_is_read_and_one_more_is_too_many(tmp_path):
    sound = jsonl_text(10)
    sessions, log = sessions_of(read_jsonl, written(tmp_path, sound + "x\n" * 10 + "\n" * 5), "jsonl")
    assert (len(sessions), log.dropped) == (10, {"broken": 10, "blank": 5})
    assert "11 of its first 21 lines are broken, the first being line 11" in refused(
        written(tmp_path, sound + "x\n" * 11 + "\n" * 5), "jsonl"
    )


def test_a_foreign_file_is_refused_early(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "PROBE_LINES", 10)
    message = refused(written(tmp_path, "x\n" * 100))
    assert "10 of its first 10 lines" in message


def test_byte_order_mark_and_line_ends_of_windows_do_not_matter(tmp_path):
    plain, _ = sessions_of(read_jddc, written(tmp_path, TEXTS["jddc"]), "jddc")
    windows = b"\xef\xbb\xbf" + TEXTS["jddc"].replace("\n", "\r\n").encode()
    assert sessions_of(read_jddc, written(tmp_path, windows), "jddc")[0] == plain


def test_a_line_that_cannot_be_decoded_is_broken_and_the_rest_is_read(tmp_path):
    content = TEXTS["jddc"].encode() + b"a\tu\t0\t0\t0\tnan\t\xff\n"
    sessions, log = sessions_of(read_jddc, written(tmp_path, content), "jddc")
    assert len(sessions) == 30
    assert log.broken_lines[0].number == 121
    assert "not UTF-8" in log.broken_lines[0].reason


def test_an_endless_line_is_broken_and_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MAX_LINE_BYTES", 200)
    content = TEXTS["jddc"] + "y" * 1000 + "\n" + "z" * 199 + "\n" + "a\tu\t0\t0\t0\tnan\t好\n"
    sessions, log = sessions_of(read_jddc, written(tmp_path, content), "jddc")
    assert sessions[-1].texts == ["好"]
    assert [(line.number, line.reason) for line in log.broken_lines] == [
        (121, "longer than 0 MiB"),
        (122, "1 columns instead of 7"),
    ]


def test_only_the_first_broken_lines_are_kept_and_all_are_counted(tmp_path):
    content = TEXTS["jddc"] + "x\n" * 50
    _, log = sessions_of(read_jddc, written(tmp_path, content), "jddc")
    assert log.dropped["broken"] == 50
    assert len(log.broken_lines) == reading.KEPT_BROKEN_LINES


def test_text_with_a_few_nul_signs_is_text_and_a_binary_file_is_none(tmp_path):
    text = TEXTS["jddc"].replace("坚果", "坚\x00果")
    assert "\x00" in text
    sessions, log = sessions_of(read_jddc, written(tmp_path, text), "jddc")
    assert len(sessions) == 30 and not log.dropped
    assert "is a binary file" in refused(written(tmp_path, bytes(range(256)) * 40))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("hello\tthere\n" * 50, "is UTF-16. Convert it to UTF-8 first"),
        ("1\t在吗 有货的\t有的\n" * 50, "as with `iconv -f GB18030"),
        ("1\tdéjà reçu\toù ça\n" * 50, "as with `iconv -f WINDOWS-1252"),
    ],
)
def test_the_remedy_names_the_encoding(tmp_path, content, said):
    encoding = {"UTF-16": "utf-16-le", "GB18030": "gb18030"}.get(
        said.split()[-1] if "iconv" in said else "UTF-16", "cp1252"
    )
    assert said in refused(written(tmp_path, content.encode(encoding)))


def test_a_table_of_another_library_is_named(tmp_path):
    assert "is a table of Parquet. Read its folder with corpus=hf" in refused(written(tmp_path, b"PAR1" + b"x" * 99))
