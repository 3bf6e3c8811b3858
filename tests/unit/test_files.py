"""A file is in its place whole or not at all, and a folder that cannot be made is the user's to mend."""

import pytest

from mtbert_ray.errors import UserError
from mtbert_ray.files import make_folder, put_file


def test_a_file_takes_the_place_of_an_older_one_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "a.b.csv"
    for text in ("older", "newer"):
        put_file(path, lambda new, text=text: new.write_text(text))
        assert path.read_text() == text
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_breaks_off_leaves_the_old_file(tmp_path):
    path = tmp_path / "weights.bin"
    path.write_text("old")

    def break_off(new):
        new.write_text("ne")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        put_file(path, break_off)
    assert path.read_text() == "old"
    assert list(tmp_path.glob("*.bin")) == [path], "what is left is not taken for a file like it"


def test_a_folder_is_made_with_those_above_it_or_refused_by_what_was_given(tmp_path):
    for _ in range(2):
        make_folder(tmp_path / "a" / "b", "--out a/b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError) as caught:
        make_folder(tmp_path / "file" / "below", "--out mine")
    assert str(caught.value) == f"--out mine: no folder can be made there: {tmp_path / 'file'} is a file"
    with pytest.raises(UserError, match=r"^--out mine: is a file; give a folder$"):
        make_folder(tmp_path / "file", "--out mine")
    with pytest.raises(UserError, match=r"^--out mine: no folder can be made there: File name too long$"):
        make_folder(tmp_path / ("x" * 300), "--out mine")


def test_others_may_read_a_file_that_a_library_wrote_for_its_owner_alone(tmp_path):
    def write(path):
        path.touch(mode=0o600)

    put_file(tmp_path / "weights", write)
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "weights").stat().st_mode == (tmp_path / "plain").stat().st_mode
