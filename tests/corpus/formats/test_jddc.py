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


def row(session: str, agent: int, text: str) -> str:
    return f"{session}\tu\t{agent}\t0\t1\tnan\t{text}\n"


def test_sessions_that_an_agent_had_at_once_are_put_together(tmp_path):
    turns = [
        ("a", 0, "一"),
        ("b", 0, "二"),
        ("a", 1, "三"),
        ("c", 0, "四"),
        ("b", 1, "五"),
        ("c", 1, "六"),
        ("a", 0, "七"),
    ]
    sessions, log = sessions_of(read_jddc, written(tmp_path, "".join(row(*turn) for turn in turns)), "jddc")
    assert [(s.session_id, s.line_number, s.texts) for s in sessions] == [
        ("a", 1, ["一", "三", "七"]),
        ("b", 2, ["二", "五"]),
        ("c", 4, ["四", "六"]),
    ]
    assert [s.by_agent for s in sessions] == [[False, True, False], [False, True], [False, True]]
    assert [count for note, count in log.notes.items() if "put together" in note] == [3]
    assert [count for note, count in log.notes.items() if "came back" in note] == [3], "once for every session"


def test_put_together_is_what_stands_together(tmp_path):
    lines = jddc_text(40, turns=3).splitlines(keepends=True)
    by_time = sorted(range(len(lines)), key=lambda i: (i % 6, i // 6))
    mixed, _ = sessions_of(read_jddc, written(tmp_path, "".join(lines[i] for i in by_time)), "jddc")
    plain, _ = sessions_of(read_jddc, written(tmp_path, "".join(lines), "plain.txt"), "jddc")
    assert [(s.session_id, s.by_agent, s.texts) for s in mixed] == [(s.session_id, s.by_agent, s.texts) for s in plain]


def test_a_file_joined_to_itself_holds_its_sessions_once(tmp_path):
    text = jddc_text(5, turns=2)
    sessions, log = sessions_of(read_jddc, written(tmp_path, text + text), "jddc")
    plain, _ = sessions_of(read_jddc, written(tmp_path, text, "plain.txt"), "jddc")
    assert sessions == plain
    assert log.dropped == {"repeated_line": 20}


def test_a_sign_that_is_no_character_stays_out_and_the_file_is_text(tmp_path):
    text = jddc_text(5).replace("颜色", "颜\x00色") + row("z", 0, "有\x00货吗") + row("z", 1, "有的")
    sessions, log = sessions_of(read_jddc, written(tmp_path, text), "jddc")
    assert len(sessions) == 6 and not log.dropped
