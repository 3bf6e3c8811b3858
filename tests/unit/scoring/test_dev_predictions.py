"""Kept dev predictions: what is written is read, whole or not at all, and no file is believed unchecked."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtbert_ray.errors import PredictionsError, UserError
from mtbert_ray.scoring import dev_predictions
from mtbert_ray.scoring.dev_predictions import (
    TaskPredictions,
    dev_predictions_file,
    read_dev_predictions,
    write_dev_predictions,
)

NAN = float("nan")


def kept(num_rows: int = 40, *, num_classes: int | None = 5, ranked: bool = False, seed: int = 0) -> TaskPredictions:
    draws = np.random.default_rng(seed)
    if num_classes is None:
        values, labels = draws.normal(2.5, 1.0, size=(2, num_rows)).astype(np.float32).astype(float)
    else:
        values, labels = draws.integers(num_classes, size=(2, num_rows)).astype(float)
    probabilities = draws.dirichlet(np.ones(num_classes), size=num_rows) if ranked and num_classes else None
    return TaskPredictions.of(values, labels, num_classes=num_classes, probabilities=probabilities)


TASKS = {"sst": kept(), "quora": kept(num_classes=2, ranked=True), "sts": kept(num_classes=None)}


def same(one: TaskPredictions, other: TaskPredictions) -> bool:
    mine, others = one.arrays(), other.arrays()
    return mine.keys() == others.keys() and all(
        mine[name].dtype == others[name].dtype and np.array_equal(mine[name], others[name]) for name in mine
    )


def test_what_is_written_is_read(tmp_path):
    write_dev_predictions(tmp_path, TASKS, epoch=3)
    epoch, tasks = read_dev_predictions(tmp_path)
    assert epoch == 3 and list(tasks) == list(TASKS)
    assert all(same(tasks[name], TASKS[name]) for name in TASKS)
    assert [path.name for path in (tmp_path / "predictions").iterdir()] == ["dev.npz"]


def test_a_better_epoch_takes_the_place_of_an_earlier_one_and_the_same_gives_the_same_bytes(tmp_path):
    write_dev_predictions(tmp_path, TASKS, epoch=1)
    first = dev_predictions_file(tmp_path).read_bytes()
    write_dev_predictions(tmp_path, {"sst": TASKS["sts"]}, epoch=2)
    epoch, tasks = read_dev_predictions(tmp_path)
    assert epoch == 2 and tasks["sst"].is_regression and list(tasks) == ["sst"]
    write_dev_predictions(tmp_path, TASKS, epoch=1)
    assert dev_predictions_file(tmp_path).read_bytes() == first


def test_only_rows_with_a_label_are_kept_in_their_order():
    values, labels = np.array([4.0, 3.0, 2.0, 1.0]), np.array([NAN, 0.0, NAN, 1.0])
    probabilities = np.array([[0.5, 0.5], [0.25, 0.75], [1.0, 0.0], [0.0, 1.0]])
    few = TaskPredictions.of(values, labels, num_classes=5, probabilities=probabilities)
    assert (few.values.tolist(), few.labels.tolist()) == ([3, 1], [0, 1])
    assert few.probabilities.tolist() == [[0.25, 0.75], [0.0, 1.0]] and few.probabilities.dtype == np.float32


@pytest.mark.parametrize(
    ("num_classes", "dtype"), [(2, "u1"), (256, "u1"), (257, "<u2"), (65_537, "<u4"), (None, "<f4")]
)
def test_a_row_takes_as_little_as_it_can(tmp_path, num_classes, dtype):
    task = kept(1000, num_classes=num_classes)
    assert task.values.dtype == task.labels.dtype == dtype
    size = sum(array.nbytes for array in task.arrays().values())
    assert size == TaskPredictions.bytes_of(1000, num_classes=num_classes, has_probabilities=False)
    write_dev_predictions(tmp_path, {"a": task}, epoch=1)
    assert dev_predictions_file(tmp_path).stat().st_size < size + 1000
    assert same(read_dev_predictions(tmp_path)[1]["a"], task)


def test_probabilities_are_counted_too():
    task = kept(100, num_classes=3, ranked=True)
    size = sum(array.nbytes for array in task.arrays().values())
    assert size == TaskPredictions.bytes_of(100, num_classes=3, has_probabilities=True) == 100 * (2 + 12)


def test_a_task_without_labels_has_no_rows(tmp_path):
    empty = TaskPredictions.of(np.array([1.0]), np.array([NAN]), num_classes=2, probabilities=np.array([[0.5, 0.5]]))
    write_dev_predictions(tmp_path, {"a": empty}, epoch=1)
    again = read_dev_predictions(tmp_path)[1]["a"]
    assert again.values.shape == (0,) and again.probabilities.shape == (0, 2)


def test_a_write_that_fails_leaves_the_earlier_ones(tmp_path, monkeypatch):
    write_dev_predictions(tmp_path, TASKS, epoch=1)

    def savez(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dev_predictions.np, "savez_compressed", savez)
    with pytest.raises(OSError, match="No space left on device") as caught:
        write_dev_predictions(tmp_path, TASKS, epoch=2)
    assert caught.value.filename == str(dev_predictions_file(tmp_path))
    monkeypatch.undo()
    assert read_dev_predictions(tmp_path)[0] == 1
    assert [path.name for path in (tmp_path / "predictions").iterdir()] == ["dev.npz"]


# Files that came from anywhere


def refused(folder: Path) -> str:
    with pytest.raises(PredictionsError) as caught:
        read_dev_predictions(folder)
    assert str(dev_predictions_file(folder)) in str(caught.value)
    return str(caught.value)


def test_none_are_no_damage_but_said(tmp_path):
    assert "no such file; trials of earlier versions kept no dev predictions" in refused(tmp_path)
    dev_predictions_file(tmp_path).mkdir(parents=True)
    assert "no such file" in refused(tmp_path)


@settings(max_examples=300)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_changed_bit_is_found_or_changes_nothing(tmp_path_factory, place, bit):
    folder = tmp_path_factory.mktemp("trial")
    write_dev_predictions(folder, TASKS, epoch=3)
    path = dev_predictions_file(folder)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(content)
    try:
        epoch, tasks = read_dev_predictions(folder)
    except PredictionsError:
        return
    assert epoch == 3 and tasks.keys() == TASKS.keys()
    assert all(same(tasks[name], TASKS[name]) for name in TASKS)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_cut_short(tmp_path, share):
    write_dev_predictions(tmp_path, TASKS, epoch=3)
    path = dev_predictions_file(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "is damaged" in refused(tmp_path)


U1 = np.array([0, 1, 1], dtype="u1")
F4 = np.array([0.5, 1, 2], dtype="<f4")
F2 = np.full((3, 2), 0.5, dtype="<f2")
EPOCH = {"epoch": np.array(1)}
BOTH = {"a.values": U1, "a.labels": U1}


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        (BOTH, "it has no epoch"),
        ({**BOTH, "epoch": np.array(0)}, "it has no epoch"),
        ({**BOTH, "epoch": np.array([1, 2])}, "it has no epoch"),
        ({**BOTH, "epoch": np.array(1.0)}, "it has no epoch"),
        ({**BOTH, "epoch": np.array(2**62)}, "it has no epoch"),
        ({**EPOCH, "a.values": U1}, "a: it has not both values and labels"),
        ({**EPOCH, **BOTH, "b": U1}, "'b.npy' is nothing of dev predictions"),
        ({**EPOCH, **BOTH, "../a.values": U1}, "'../a.values.npy' is nothing of dev predictions"),
        ({**EPOCH, **BOTH, "a.others": U1}, "is nothing of dev predictions"),
        ({**EPOCH, "a.values": U1, "a.labels": F4}, "a: values and labels are neither classes nor numbers"),
        ({**EPOCH, "a.values": U1.astype("i8"), "a.labels": U1.astype("i8")}, "neither classes nor numbers"),
        ({**EPOCH, "a.values": U1.astype("S5"), "a.labels": U1}, "it has arrays of another format"),
        ({**EPOCH, "a.values": U1, "a.labels": U1[:2]}, "a: there is not one label for each value"),
        ({**EPOCH, "a.values": U1[None], "a.labels": U1[None]}, "there is not one label for each value"),
        ({**EPOCH, "a.values": F4, "a.labels": F4 * np.float32("nan")}, "a: it has numbers that are not finite"),
        ({**EPOCH, "a.values": F4 * np.float32("inf"), "a.labels": F4}, "a: it has numbers that are not finite"),
        ({**EPOCH, **BOTH, "a.probabilities": F2[:2]}, "not one row of probabilities for each value"),
        ({**EPOCH, **BOTH, "a.probabilities": F2[:, 0]}, "not one row of probabilities for each value"),
        ({**EPOCH, **BOTH, "a.probabilities": F2.astype("<f8")}, "not one row of probabilities"),
        ({**EPOCH, **BOTH, "a.probabilities": F2 * np.float16("nan")}, "it has probabilities that are none"),
        ({**EPOCH, **BOTH, "a.probabilities": F2 * 3}, "it has probabilities that are none"),
        ({**EPOCH, **BOTH, "a.probabilities": F2[:, :1]}, "there is not a probability for each class"),
        ({**EPOCH, "a.values": F4, "a.labels": F4, "a.probabilities": F2}, "not a probability for each class"),
    ],
)
def test_what_does_not_belong_together_is_refused(tmp_path, arrays, problem):
    path = dev_predictions_file(tmp_path)
    path.parent.mkdir()
    np.savez_compressed(path, **arrays)
    assert problem in refused(tmp_path)


def put(folder: Path, entries: dict[str, bytes], **options) -> Path:
    path = dev_predictions_file(folder)
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def npy(shape: str, content: bytes, descr: str = "'|u1'", order: str = "False") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + content


@pytest.mark.parametrize(
    "content",
    [
        npy("(10**12,)", b"\0"),
        npy("(1000000000000,)", b"\0"),
        npy("(-1,)", b"\0"),
        npy(f"({'1' * 60}x)", b"\0"),
        npy("(3, 1)", b"\0\0\0", order="True"),
        npy("(3,)", b"\0\0"),
        npy("(1,)", b"\0" * 8, descr="'|O'"),
        npy("(1,)", b"\0", descr="__import__('os').getcwd()"),
        npy("(1,)", b"\0", descr="[" * 100),
        b"\x93NUMPY\x02\x00" + npy("(1,)", b"\0")[8:],
        b"\x93NUMPY",
        b"",
        b"anything",
    ],
)
def test_an_array_that_is_none_is_refused(tmp_path, content):
    put(tmp_path, {"epoch.npy": npy("()", b"\1"), "a.values.npy": content, "a.labels.npy": npy("(1,)", b"\0")})
    assert "is damaged" in refused(tmp_path)


def test_nothing_is_unpickled(tmp_path):
    ran = tmp_path / "ran"

    class Bad:
        def __reduce__(self):
            return ran.touch, ()

    file = io.BytesIO()
    np.save(file, np.array([Bad()], dtype=object), allow_pickle=True)
    for content in (file.getvalue(), pickle.dumps(Bad())):
        put(tmp_path, {"epoch.npy": npy("()", b"\1"), "a.values.npy": content})
        assert "is damaged" in refused(tmp_path)
    assert not ran.exists()


def test_a_file_takes_no_more_memory_than_its_size_allows(tmp_path, monkeypatch):
    monkeypatch.setattr(dev_predictions, "_MAX_BYTES_SURELY", 2**20)
    zeros = npy("(8388608,)", bytes(2**23))
    entries = {"epoch.npy": npy("()", b"\1"), "a.values.npy": zeros, "a.labels.npy": zeros}
    packed = put(tmp_path, entries, compression=zipfile.ZIP_DEFLATED)
    assert packed.stat().st_size < 2**16 and "it unpacks to more than dev predictions take" in refused(tmp_path)
    put(tmp_path, entries)  # As large as it says.
    assert len(read_dev_predictions(tmp_path)[1]["a"].values) == 2**23


def test_a_link_is_not_followed(tmp_path):
    write_dev_predictions(tmp_path / "another", TASKS, epoch=1)
    (tmp_path / "trial").mkdir()
    (tmp_path / "trial" / "predictions").symlink_to(tmp_path / "another" / "predictions")
    with pytest.raises(UserError, match="is a symbolic link"):
        read_dev_predictions(tmp_path / "trial")


def test_what_is_in_it_twice_is_refused(tmp_path):
    path = put(tmp_path, {"epoch.npy": npy("()", b"\1")})
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("epoch.npy", npy("()", b"\2"))
    assert "is in it twice" in refused(tmp_path)
