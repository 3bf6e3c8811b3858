"""Syntax errors of YAML in a person's words, with the line and the column where the mistake was made."""

import random
from pathlib import Path

import pytest
from mistake_cases import NOT_YAML

from mtbert_ray.config.yaml_lines import MAX_FILE_BYTES, read_assignments, read_yaml_mapping
from mtbert_ray.errors import ConfigError, Problems

JARGON = ("scanning", "expected '<", "token", "block end", "simple key", "mapping values", "<stream end>", "ruamel")


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Write a file as F and read it."""
    monkeypatch.chdir(tmp_path)

    def write_and_read(text: str | bytes):
        Path("F").write_bytes(text if isinstance(text, bytes) else text.encode())
        content, problems = read_yaml_mapping(Path("F"))
        problems.raise_if_any()
        return content

    return write_and_read


def mistake(read, text: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text)
    [problem] = caught.value.problems
    return problem


@pytest.mark.parametrize(("text", "place"), NOT_YAML)
def test_what_is_no_yaml_is_refused_with_its_place(read, text, place):
    assert mistake(read, text).startswith(f"{place}: ")


# Aliases and depth


@pytest.mark.parametrize("text", ["a: &a [*a]\n", "a: &a\n  b: *a\n", "a: &a {<<: *a}\n", "a: &a [[{x: *a}]]\n"])
def test_an_alias_inside_what_it_stands_for_ends(read, text):
    assert "an alias (*) stands inside what it is an alias of" in mistake(read, text)


def test_a_few_lines_that_stand_for_billions_of_values_end(read):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "it has more than 100000 values, its aliases (*) written out" in mistake(read, "\n".join(lines))


@pytest.mark.parametrize("depth", [150, 5000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a: ", "}"), ("- ", "")])
def test_deep_nesting_ends(read, depth, opening, closing):
    assert "inside each other" in mistake(read, f"a:\n  {opening * depth}1{closing * depth}\n")


def test_aliases_and_merges_are_values_like_others_with_their_lines(tmp_path):
    path = tmp_path / "F"
    path.write_text("base: &base\n  epochs: 1\n  seed: 2\nown:\n  <<: *base\n  seed: 3\n")
    content, problems = read_yaml_mapping(path)
    assert content["own"] == {"epochs": 1, "seed": 3}
    assert [problems.place_of(("own", key)) for key in ("epochs", "seed")] == [f"{path}:2", f"{path}:6"]


# Files


def test_a_missing_file_a_folder_and_a_data_file(tmp_path):
    (tmp_path / "peft.yaml").write_text("a: 1")
    rows = tmp_path / "train.csv"
    rows.write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    for path, expected in (
        (tmp_path / "pfet.yaml", "no such file; did you mean 'peft.yaml'?"),
        (tmp_path / "no" / "peft.yaml", "no such file"),
        (tmp_path, "is a folder; give one of its YAML files (peft.yaml)"),
        (rows, "has 1 MB, so it is no configuration; give a YAML file"),
    ):
        with pytest.raises(ConfigError) as caught:
            read_yaml_mapping(path)
        assert str(caught.value) == f"{path}: {expected}"


def test_a_byte_order_mark_is_no_part_of_the_first_key(read):
    assert read(b"\xef\xbb\xbfa: 1\n") == {"a": 1}


# Options


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("{", "the '{' that opens here is not closed by a '}'"),
        ("[1, 2", "the '[' that opens here is not closed by a ']'"),
        ("a: b: c", "a value that holds ': ' must stand in quotes"),
        ("'x", "the quote that opens here is not closed"),
        ("{a: 1, a: 2}", "duplicate key 'a'"),
        ("&a [*a]", "an alias (*) stands inside what it is an alias of"),
        ("2020-13-45", "'2020-13-45' looks like a date or a number and is none; put it into quotes"),
    ],
)
def test_a_mistake_in_an_option_s_value_stands_at_the_option(value, expected):
    problems = Problems("--set")
    assert list(read_assignments([f"x={value}"], problems)) == []
    assert problems.found == [f"--set x={value}: {expected}"]


# Anything


def test_a_spoilt_file_is_one_line_a_mistake_without_the_parser_s_words(read):
    right = Path(__file__).parents[3] / "search_spaces" / "peft.yaml"
    pieces = [*"{}[]:,'\"*&!|>@`%\t#", "- ", "\n", "\n\t", "? ", "<<: ", "\n---\n", "a: b: c", "\\", "  ", "\x07", "é"]
    rng = random.Random(11)
    num_refused = 0
    for _ in range(300):
        text = right.read_text()
        for _ in range(rng.randint(1, 3)):
            start = rng.randrange(len(text))
            text = text[:start] + rng.choice(pieces) + text[start + rng.choice([0, 0, 1, 3]) :]
        try:
            read(text)
        except ConfigError as error:
            num_refused += 1
            assert error.problems, text
            for problem in error.problems:
                assert problem.startswith("F:") and "\n" not in problem, text
                said = problem.split(", in `")[0]
                assert not [word for word in JARGON if word in said], (problem, text)
                assert "cannot be read as YAML" not in said, (problem, text)
    assert num_refused > 100
