from ecc_fed.assembly.same_config import config_digest, differences

A = "seed: 1\narm: {name: local}\nupdate: {}\nx: [1, 2]\n"


def test_the_layout_of_a_config_does_not_count() -> None:
    assert config_digest(A) == config_digest("x:\n- 1\n- 2\nupdate: {}\narm:\n  name: local\nseed: 1\n")
    for change in (("1\n", "2\n"), ("local", "none"), ("update: {}", "update: {a: {}}"), ("[1, 2]", "[2, 1]")):
        assert config_digest(A) != config_digest(A.replace(*change, 1)), change
    assert differences(A, A) == []


def test_every_difference_is_told_with_both_values() -> None:
    now = A.replace("1", "3", 1).replace("local", "null").replace("update: {}", "update: {clip: {norm: 2}}")
    assert differences(A, now) == [
        "arm.name was local and is None",
        "seed was 1 and is 3",
        "update was {} and is not set",
        "update.clip.norm was not set and is 2",
    ]
    many = "\n".join(f"k{number:02}: 1" for number in range(12))
    assert differences("{}", many)[-1] == "3 more differ" and len(differences("{}", many)) == 11


def test_a_run_is_the_same_whatever_study_it_is_part_of() -> None:
    one, more = (f"{A}study: {{seeds: {seeds}, methods: null}}\n" for seeds in ("[0]", "[0, 1]"))
    assert config_digest(one) == config_digest(more) == config_digest(A)
    assert differences(one, more) == []
