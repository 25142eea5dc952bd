from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ecc_fed.corpus.cleaning.duplicates import SHINGLE, DuplicateFinder, jaccard, minhash, shingle_sets
from ecc_fed.corpus.cleaning.shingles import hashed_shingles, normal_codes


def normal(text: str) -> str:
    """The normal form, by plain loops."""
    kept: list[str] = []
    for character in text:
        if character.isdigit():
            if kept[-1:] != ["0"]:
                kept.append("0")
        elif character.isalpha():
            kept.append(character.lower())
    return "".join(kept)


TEXT = st.text("甲乙丙丁ABab019，。 ~", max_size=40)


@given(st.lists(TEXT, min_size=1, max_size=6))
def test_normal_form_and_shingles_are_those_of_plain_loops(texts):
    codes, owner = normal_codes(texts)
    for i, text in enumerate(texts):
        assert "".join(map(chr, codes[owner == i])) == normal(text)
    hashes, owner = hashed_shingles(texts, SHINGLE)
    for i, text in enumerate(texts):
        grams = [normal(text)[j : j + SHINGLE] for j in range(len(normal(text)) - SHINGLE + 1)]
        mine = hashes[owner == i]
        assert len(mine) == len(grams)
        # Equal shingles have equal hashes, different ones (of these few) different hashes, wherever they stand.
        assert len(set(mine.tolist())) == len(set(grams))
        alone, _ = hashed_shingles([text], SHINGLE)
        np.testing.assert_array_equal(alone, mine)


def grams_of(text: str) -> set[str]:
    return {text[i : i + SHINGLE] for i in range(len(text) - SHINGLE + 1)}


@given(st.text("甲乙丙丁", max_size=30), st.text("甲乙丙丁", max_size=30))
def test_jaccard_is_that_of_sets(left, right):
    sets = shingle_sets(np.array([0, 1]), [left, right].__getitem__)
    union = grams_of(left) | grams_of(right)
    expected = len(grams_of(left) & grams_of(right)) / len(union) if union else 0.0
    assert jaccard(sets[0], sets[1]) == expected


def test_signatures_agree_as_often_as_the_sets_are_similar():
    rng = np.random.default_rng(3)
    agreed, similar = [], []
    for _ in range(200):
        letters = [chr(0x4E00 + int(c)) for c in rng.integers(0, 3000, 60)]
        other = [c if rng.random() > 0.1 else chr(0x4E00 + int(rng.integers(3000))) for c in letters]
        texts = ["".join(letters), "".join(other)]
        signatures, signed = minhash(texts)
        assert signed.all()
        agreed.append((signatures[0] == signatures[1]).mean())
        similar.append(len(grams_of(texts[0]) & grams_of(texts[1])) / len(grams_of(texts[0]) | grams_of(texts[1])))
    # 3200 draws: the standard error of the mean is below 0.01.
    assert abs(np.mean(agreed) - np.mean(similar)) < 0.03


def found(sessions, similarity=0.9):
    """Which of (id, texts) sessions stay, and why the others go."""
    finder = DuplicateFinder(similarity)
    for session_id, texts in sessions:
        finder.add(session_id, False, texts)
    keep, dropped = finder.find(lambda i: "\n".join(sessions[i][1]))
    return keep.tolist(), dropped


LONG = "你好我想问一下前天买的坚果礼盒什么时候可以送到杭州因为周末要带回老家去"
REPLY = "亲您的包裹今天上午已经到杭州转运中心了预计明天下午就能送到您手上请保持电话畅通哦"


def test_every_kind_of_duplicate_has_its_name():
    sessions = [
        ("a", [LONG, REPLY, "谢谢", "不客气"]),
        ("a", ["别的", "事情"]),
        ("b", [LONG, REPLY, "谢谢", "不客气"]),
        ("c", [LONG, REPLY]),
        ("d", [LONG, REPLY, "谢谢", "不客气", "还在吗"]),
        ("e", [LONG + "！", REPLY + "12", "谢谢~", "不客气"]),
        ("f", ["完全不同的一个问题在这里", "完全不同的一个回答在这里"]),
    ]
    keep, dropped = found(sessions)
    assert keep == [True, False, False, False, False, False, True]
    assert dropped == {"same_id": 1, "duplicate": 2, "part_of_other": 1, "near_duplicate": 1}


def test_sessions_that_the_agent_opens_are_compared_with_their_opening():
    finder = DuplicateFinder(None)
    sessions = [
        (True, ["您好亲", "在吗", "在的", "发货了吗", "发了"]),
        (True, ["您好亲", "在吗", "在的"]),  # the beginning of the first
        (True, ["您好亲", "在吗", "在的", "发货了吗", "发了", "谢谢"]),  # the first, up to an unanswered turn
        (True, ["欢迎光临", "在吗", "在的", "发货了吗", "发了"]),  # another opening, another session
        (False, ["在吗", "在的", "发货了吗", "发了"]),  # no opening
        (True, ["您好亲", "在吗", "在呢", "发货了吗", "发了"]),  # another answer
    ]
    for number, (agent_first, texts) in enumerate(sessions):
        finder.add(str(number), agent_first, texts)
    keep, dropped = finder.find(lambda i: "\n".join(sessions[i][1]))
    assert keep.tolist() == [True, False, False, True, True, True]
    assert dropped == {"duplicate": 1, "part_of_other": 1}


def test_numbers_do_not_make_a_session_new_and_words_do():
    numbered = [
        (str(i), [f"订单{i * 37}为什么还没有发货呢我等了很久", f"您的订单{i}今天就会发出请放心"]) for i in range(5)
    ]
    assert found(numbered)[0] == [True, False, False, False, False]
    assert found(numbered, None)[0] == [True] * 5
    words = [(c, [f"{c * 6}为什么还没有发货", f"{c * 5}今天就会发出"]) for c in "甲乙丙丁"]
    assert found(words)[0] == [True] * 4


def test_sessions_as_similar_as_the_limit_are_duplicates():
    # Equal but for numbers and punctuation: the similarity is 1.
    alike = [("a", [LONG, REPLY]), ("b", [LONG + "?", REPLY + "!!"])]
    assert found(alike, 1.0) == ([True, False], {"near_duplicate": 1})
    other = REPLY[:-4] + "不要着急"
    left, right = ("".join(texts) for texts in ([LONG, REPLY], [LONG, other]))
    similarity = len(grams_of(left) & grams_of(right)) / len(grams_of(left) | grams_of(right))
    assert 0.8 < similarity < 0.95
    for limit, kept in ((similarity, False), (float(np.nextafter(similarity, 1)), True)):
        assert found([("a", [LONG, REPLY]), ("b", [LONG, other])], limit)[0] == [True, kept]


def test_short_sessions_are_compared_exactly():
    assert found([("a", ["在", "嗯"]), ("b", ["在", "好"]), ("c", ["?", "!"]), ("d", ["!", "?"])])[0] == [True] * 4


@given(st.lists(st.lists(st.sampled_from(["在吗", "您好", "发货了吗", "发了"]), min_size=2, max_size=6), max_size=12))
def test_what_is_kept_covers_what_is_dropped(dialogues):
    sessions = [(str(i), texts) for i, texts in enumerate(dialogues)]
    keep, dropped = found(sessions, None)
    assert sum(dropped.values()) == len(sessions) - sum(keep)

    def answered(texts):
        return tuple(texts[: len(texts) // 2 * 2])

    kept = [answered(texts) for (_, texts), stays in zip(sessions, keep, strict=True) if stays]
    assert max(Counter(kept).values(), default=1) == 1
    for _, texts in sessions:
        mine = answered(texts)
        assert any(other[: len(mine)] == mine for other in kept)
