from ecc_fed.corpus.formats.jddc import read_jddc
from tests.corpus.dialogue_files import jddc_text, sessions_of, written


def test_lines_of_a_session_stand_together(tmp_path):
    sessions, log = sessions_of(read_jddc, written(tmp_path, jddc_text(4, turns=3)), "jddc")
    assert [session.session_id for session in sessions] == ["s00000", "s00001", "s00002", "s00003"]
    assert [session.line_number for session in sessions] == [1, 7, 13, 19]
    assert all(session.by_agent == [False, True] * 3 for session in sessions)
    assert not log.dropped


def test_flags_of_a_session_are_noted_and_drop_no_turn(tmp_path):
    text = "a\tu\t0\t1\t1\tnan\t在吗\na\tu\t1\t1\t1\tnan\t在的\nb\tu\t0\t0\t1\t123\t退款\nb\tu\t1\t0\t1\tnan\t好的\n"
    sessions, log = sessions_of(read_jddc, written(tmp_path, text), "jddc")
    assert [len(session.texts) for session in sessions] == [2, 2]
    assert sum("another agent" in note and count == 1 for note, count in log.notes.items()) == 1
    assert sum("came back" in note and count == 2 for note, count in log.notes.items()) == 1


def test_placeholders_are_kept_as_they_stand(tmp_path):
    sessions, _ = sessions_of(read_jddc, written(tmp_path, "a\tu\t0\t0\t0\tnan\t地址是[地址x] [数字x]\n"), "jddc")
    assert sessions[0].texts == ["地址是[地址x] [数字x]"]


def test_broken_lines_are_counted_with_number_and_reason(tmp_path):
    broken = "a\tu\t0\t0\t0\tnan\n\tu\t0\t0\t0\tnan\t无\na\tu\t2\t0\t0\tnan\t谁\n"
    broken += "a\tu\t0\t0\tx\tnan\t谁\na\tu\t0\t0\t0\tnan\t多\t列\n"
    _, log = sessions_of(read_jddc, written(tmp_path, jddc_text(3) + broken), "jddc")
    assert [(line.number, line.reason) for line in log.broken_lines] == [
        (13, "6 columns instead of 7"),
        (14, "no session"),
        (15, "sent-by-agent is '2', not 0 or 1"),
        (16, "repeated is 'x', not 0 or 1"),
        (17, "8 columns instead of 7"),
    ]
