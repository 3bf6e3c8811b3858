"""Syntax errors of YAML in a person's words, with the line and the column where the mistake was made.

Long because most of it is one table: a mistake a row, and its message to the letter.
"""

import random
from pathlib import Path

import pytest

from mtbert_ray.config.yaml_lines import MAX_FILE_BYTES, read_value, read_yaml_mapping
from mtbert_ray.errors import ConfigError

TOO_FAR = (
    "the line is indented more than it may be; keys that belong together begin in the same column, and a key with a "
    "value has none below it"
)
NO_FIT = "the line's indentation fits none of those above; keys that belong together begin in the same column"
ALIAS = (
    "a value that begins with '*' must stand in quotes (it is read as an alias, and there is no anchor of this name)"
)
COLON = "a colon and a space must stand between a key and its value"
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb:\n\tc: 3\n", "F:3:1: the line is indented with a tab; use spaces, in `c: 3`"),
        ("b:\n  c: 3\n\td: 4\n", "F:3:1: the line is indented with a tab; use spaces, in `d: 4`"),
        ("a:\t1\n", "F:1:3: a tab stands inside the line; use spaces, in `a: 1`"),
        ("a: 1\nepochs 3\nb: 1\n", f"F:2:1: {COLON}: 'epochs: 3', in `epochs 3`"),
        ("f:\n  epochs 3\n  b: 1\n", f"F:2:3: {COLON}: 'epochs: 3', in `epochs 3`"),
        ("a: 1\nepochs:3\n", "F:2:1: the colon needs a space behind it: 'epochs: 3', in `epochs:3`"),
        ("f:\n  epochs:3\n  b: 1\n", "F:2:3: the colon needs a space behind it: 'epochs: 3', in `epochs:3`"),
        ("a: 1\nb = 2\n", "F:2:1: a key and its value are parted by a colon: 'b: 2', in `b = 2`"),
        ("t:\n  - sst\n  -sts\n", "F:3:3: '-' needs a space behind it: '- sts', in `-sts`"),
        ("q: why: so\n", "F:1:4: a value that holds ': ' must stand in quotes, in `q: why: so`"),
        ("a: 1\n  b: 2\n", f"F:2:3: {TOO_FAR}, in `b: 2`"),
        ("f:\n    a: 1\n  b: 2\n", f"F:3:3: {NO_FIT}, in `b: 2`"),
        ("t:\n  - a: 1\n   b: 2\n", f"F:3:4: {NO_FIT}, in `b: 2`"),
        ('a: 1\nb: "x\nc: 2\n', 'F:2:4: the quote that opens here is not closed, in `b: "x`'),
        ("b: 'x\nc: 'y'\n", "F:1:4: the quote that opens here is not closed on its line, in `b: 'x`"),
        (
            "b: 'it's'\n",
            "F:1:8: text follows a value that has ended; put the whole value into one pair of quotes, in `b: 'it's'`",
        ),
        ("a: {b: 1\nc: 2\n", "F:1:4: the '{' that opens here is not closed by a '}', in `a: {b: 1`"),
        ("a: {b: [1, 2}\n", "F:1:8: the '[' that opens here is not closed by a ']', in `a: {b: [1, 2}`"),
        ("a: 1\nb: {c: {", "F:2:8: the '{' that opens here is not closed by a '}', in `b: {c: {`"),
        ("a: {b: 1 c: 2}\n", "F:1:11: a ',' is missing in front of this, or a '}', in `a: {b: 1 c: 2}`"),
        ("a: [1, 2]]\n", "F:1:10: ']' closes a bracket that is not open, in `a: [1, 2]]`"),
        ("a: [1, , 2]\n", "F:1:8: a value is missing in front of ',', in `a: [1, , 2]`"),
        (
            'a: "C:\\data"\n',
            'F:1:8: a backslash in double quotes must be doubled; or use single quotes, in `a: "C:\\data"`',
        ),
        ("a: *.csv\n", f"F:1:4: {ALIAS}, in `a: *.csv`"),
        ("a: @x\n", "F:1:4: a value that begins with '@' must stand in quotes, in `a: @x`"),
        (
            "a: !!python/object:os.system {}\n",
            "F:1:4: a value that begins with '!' must stand in quotes; YAML's tags are not used here, "
            "in `a: !!python/object:os.system {}`",
        ),
        (
            "a: - b\n",
            "F:1:4: a list's items ('- ') begin on the line below the key; on the key's own line write [a, b], "
            "in `a: - b`",
        ),
        ("t:\n  - a\n  b: 1\n", "F:3:3: a key stands where the next item of the list ('- ') is due, in `b: 1`"),
        (
            "a: {{ x }}\n",
            "F:1:5: a mapping or a list stands where a key is due; text with brackets needs quotes, in `a: {{ x }}`",
        ),
        ("a: 1\n---\nb: 2\n", "F:2:1: a second document begins here; a file has one, so take out '---', in `---`"),
        ("  a: 0\n b: 1\n", f"F:2:2: {NO_FIT}, in `b: 1`"),
        ("a: 1\n...\nfoo\n", "F:2:1: '...' ends the document, and nothing may follow; take it out, in `...`"),
        (
            "%FOO\na: 1\n",
            "F:1:1: a line that begins with '%' is a directive to YAML's parser; take it out, in `%FOO`",
        ),
        ("a: 1\nb: \x07\n", "F:2:4: an invisible control character stands here; take it out, in `b: ?`"),
        ("a: 1\nb: 2020-13-45\n", "F:2: '2020-13-45' looks like a date or a number and is none; put it into quotes"),
        (
            f"a: {'9' * 5000}\n",
            f"F:1:4: a number of more than 1000 digits; if it is a text, put it into quotes, in `a: {'9' * 77}...`",
        ),
        (
            f"a: 0x{'f' * 5000}\n",
            f"F:1:4: a number of more than 1000 digits; if it is a text, put it into quotes, in `a: 0x{'f' * 75}...`",
        ),
        ("a: 1\nb: 2\na: 3\n", "F:3: duplicate key 'a'; it stands on line 1 already"),
        ("t:\n  - {a: 1}\n  - {b: 1, b: 2}\n", "F:3: duplicate key 't.1.b'; it stands on line 3 already"),
        ("", "F: is empty"),
        ("# nothing\n", "F: is empty"),
        ("- a: 1\n", "F:1: must be a mapping of keys to values, got a list; take out the '- ' in front of the keys"),
        (b"\x80\x02", "F: not a text file (byte 0x80 is not UTF-8)"),
        ("a: 1".encode("utf-16"), "F: not a text file (byte 0xff is not UTF-8)"),
    ],
)
def test_what_is_no_yaml_is_told_in_plain_words(read, text, expected):
    assert mistake(read, text) == expected


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
def test_an_option_s_value_is_told_by_the_option(value, expected):
    with pytest.raises(ConfigError) as caught:
        read_value(value, f"--set x={value}")
    assert caught.value.problems == (f"--set x={value}: {expected}",)


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
