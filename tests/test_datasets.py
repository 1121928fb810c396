"""Data sets: what is read, and the exact line for everything that cannot be."""

import gzip
import random
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fixgrad import datasets
from fixgrad.datasets import Dataset, Part, Scaling
from fixgrad.datasets.loading import load_unlabelled
from fixgrad.datasets.scaling import default_method
from fixgrad.errors import DataError
from fixgrad.protocol import InputFormat

WriteFile = Callable[[str, str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> WriteFile:
    def write_file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file


def refusal(source: object, **options: object) -> str:
    """Return the one line that loading a source is refused with."""
    with pytest.raises(DataError) as caught:
        datasets.load(str(source), **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def idx(array: np.ndarray, code: int = 8) -> bytes:
    """Write an IDX file by its description: 0 0 type rank, sizes, data; all big-endian."""
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


# --- built in -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "samples", "features", "classes"),
    [("digits", 1797, 64, 10), ("wine", 178, 13, 3), ("iris", 150, 4, 3),
     ("breast_cancer", 569, 30, 2)],
)  # fmt: skip
def test_builtin_sets_have_their_published_sizes(
    name: str, samples: int, features: int, classes: int
) -> None:
    dataset = datasets.load(name)
    assert (dataset.size, dataset.width, len(dataset.class_names)) == (samples, features, classes)


def test_builtin_name_may_be_spelled_with_blank_or_dash() -> None:
    assert datasets.load("breast cancer").name == datasets.load("Breast-Cancer").name


def test_diabetes_holds_values_instead_of_classes() -> None:
    dataset = datasets.load("diabetes")
    assert dataset.class_names == ()
    assert dataset.samples.targets.dtype == np.float64


def test_misspelled_builtin_set_is_guessed(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        datasets.load("digit", tmp_path)
    assert str(caught.value) == (
        f"no data set or file '{tmp_path / 'digit'}'; did you mean 'digits'? (built in: digits, "
        "wine, iris, breast_cancer, diabetes; or a CSV, .npz, .npy or IDX file)"
    )


# --- CSV ------------------------------------------------------------------------------------------


def test_csv_with_header_and_text_labels(write: WriteFile) -> None:
    path = write("a.csv", "width,height,kind\n1,2,cat\n3,4.5,dog\n-5e1,6,cat\n")
    dataset = datasets.load(str(path))
    assert dataset.samples.features.tolist() == [[1, 2], [3, 4.5], [-50, 6]]
    assert dataset.samples.targets.tolist() == [0, 1, 0]
    assert dataset.class_names == ("cat", "dog")
    assert dataset.feature_names == ("width", "height")


def test_csv_without_header_takes_the_last_column_as_label(write: WriteFile) -> None:
    dataset = datasets.load(str(write("a.csv", "1,2,7\n3,4,9\n")))
    assert dataset.samples.features.tolist() == [[1, 2], [3, 4]]
    assert dataset.class_names == ("7", "9")


@pytest.mark.parametrize("label", ["kind", 1, -3])
def test_csv_label_column_by_name_and_place(write: WriteFile, label: str | int) -> None:
    path = write("a.csv", "kind,x,y\nb,1,2\na,3,4\n")
    dataset = datasets.load(str(path), label=label)
    assert dataset.samples.features.tolist() == [[1, 2], [3, 4]]
    assert dataset.samples.targets.tolist() == [1, 0]


def test_csv_header_of_numbers_when_told(write: WriteFile) -> None:
    path = write("a.csv", "1,2,3\n5,6,a\n7,8,b\n")
    dataset = datasets.load(str(path), header=True)
    assert dataset.feature_names == ("1", "2")
    assert dataset.samples.features.tolist() == [[5, 6], [7, 8]]


def test_numeric_labels_are_ordered_by_value_not_by_text(write: WriteFile) -> None:
    dataset = datasets.load(str(write("a.csv", "1,10\n2,9\n3,10.0\n")))
    assert dataset.class_names == ("9", "10")
    assert dataset.samples.targets.tolist() == [1, 0, 1]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_csv_delimiter_is_found(write: WriteFile, delimiter: str) -> None:
    text = "x,y,kind\n1,2,a\n3,4,b\n".replace(",", delimiter)
    assert datasets.load(str(write("a.csv", text))).samples.features.tolist() == [[1, 2], [3, 4]]


def test_csv_with_byte_order_mark_crlf_quotes_and_blank_lines(write: WriteFile) -> None:
    path = write("a.csv", b'\xef\xbb\xbfx,"kind, of it"\r\n1,"a, b"\r\n\r\n2,c\r\n')
    dataset = datasets.load(str(path), label="kind, of it")
    assert dataset.class_names == ("a, b", "c")
    assert dataset.samples.features.tolist() == [[1], [2]]


def test_gzipped_csv(write: WriteFile) -> None:
    path = write("a.csv.gz", gzip.compress(b"1,a\n2,b\n"))
    assert datasets.load(str(path)).samples.features.tolist() == [[1], [2]]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("x,y,k\n1,2,a\n3,nan,b\n",
         "row 3, column 2 (y): nan is not a finite number; fill it in or delete the row"),
        ("x,y,k\n1,-inf,a\n3,4,b\n",
         "row 2, column 2 (y): -inf is not a finite number; fill it in or delete the row"),
        ("x,y,k\n1,2,a\n3,,b\n",
         "row 3, column 2 (y): the cell is empty: a value is missing; fill it in or delete the "
         "row"),
        ("x,y,k\n1,2,a\n3,?,b\n",
         "row 3, column 2 (y): '?': a value is missing; fill it in or delete the row"),
        ("x,y,k\n1,2,a\nred,4,b\n",
         "row 3, column 1 (x): 'red' is not a number; every column but the label must hold "
         "numbers"),
        ("x;y;k\n1;2;a\n3;4,5;b\n",
         "row 3, column 2 (y): '4,5' is not a number; write it with a point: 4.5"),
        ("x,y,k\n1,2,a\n1_0,4,b\n",
         "row 3, column 1 (x): '1_0' is not a number; every column but the label must hold "
         "numbers"),
        ("1,red,a\n3,4,b\n",
         "row 1, column 2: 'red' is not a number; every column but the label must hold numbers; "
         "if row 1 holds column names, set header = true in [data]"),
        ("x,y,k\n1,2,a\n3,4,\n",
         "row 3, column 3 (k): the label is missing; fill it in or delete the row"),
        ("x,y,k\n1,2,a\n3,4,nan\n",
         "row 3, column 3 (k): the label is 'nan'; fill it in or delete the row"),
        ("x,y,k\n1,2,a\n3,b\n",
         "row 3 has 2 columns, row 1 has 3; a cell is missing or a delimiter is too many"),
    ],
)  # fmt: skip
def test_bad_cell_is_named_by_row_and_column(write: WriteFile, text: str, complaint: str) -> None:
    path = write("a.csv", text)
    assert refusal(path) == f"{path}: {complaint}"


def test_bad_cell_behind_a_label_in_the_first_column_keeps_its_place(write: WriteFile) -> None:
    path = write("a.csv", "k,x,y\na,1,2\nb,3,bad\n")
    assert refusal(path, label=1).startswith(f"{path}: row 3, column 3 (y): 'bad'")


@pytest.mark.parametrize("content", [b"", b"\n \n", gzip.compress(b"", mtime=0)])
def test_empty_file_is_named(write: WriteFile, content: bytes) -> None:
    path = write("a.csv", content)
    assert refusal(path) == f"{path} is empty"


def test_header_without_samples_is_empty(write: WriteFile) -> None:
    path = write("a.csv", "x,y,kind\n")
    assert refusal(path) == f"{path} is empty: it has a header, but no samples below it"


def test_single_class_is_refused(write: WriteFile) -> None:
    path = write("a.csv", "1,a\n2,a\n3,a\n")
    assert refusal(path) == (
        f"{path}: all 3 samples have the class 'a'; training needs at least two classes (is the "
        "label column right?)"
    )


def test_a_measured_value_as_label_is_refused(write: WriteFile) -> None:
    path = write("a.csv", "".join(f"1,{n}.5\n" for n in range(65)))
    assert refusal(path) == (
        f"{path}: the labels hold 65 classes, a model can have 64 outputs at most; if this is the "
        "wrong column, name the label column (key label in [data], or new --label)"
    )


def test_unknown_label_column_lists_the_columns(write: WriteFile) -> None:
    path = write("a.csv", "x,y,kind\n1,2,a\n")
    assert refusal(path, label="Kind") == (
        f"{path} has no column 'Kind'; its columns are 'x', 'y', 'kind'"
    )


def test_label_place_beyond_the_columns_is_refused(write: WriteFile) -> None:
    path = write("a.csv", "x,y,kind\n1,2,a\n")
    assert refusal(path, label=4) == (
        f"{path} has no column 4; its 3 columns count from 1 (negative: from the end, -1 is the "
        "last)"
    )


def test_label_by_name_needs_a_header(write: WriteFile) -> None:
    path = write("a.csv", "1,2,a\n3,4,b\n")
    assert refusal(path, label="kind") == (
        f"{path}: label 'kind' is a name, but row 1 holds no column names; give the place of the "
        "label column instead (label = -1 is the last)"
    )


def test_binary_file_is_not_taken_for_csv(write: WriteFile) -> None:
    path = write("a.png", b"\x89PNG\r\n\x1a\n\xff\xfe")
    assert refusal(path) == (
        f"{path} is not a CSV file in UTF-8 (byte 0 is 0x89); data is read from CSV, .npz, .npy "
        "and IDX files"
    )


def test_features_to_predict_with_and_without_label_column(write: WriteFile) -> None:
    bare = load_unlabelled(write("a.csv", "1,2\n3,4\n"), 2)
    assert (bare.features.tolist(), bare.labels) == ([[1, 2], [3, 4]], None)
    labelled = load_unlabelled(write("b.csv", "x,y,k\n1,2,a\n"), 2)
    assert (labelled.features.tolist(), labelled.labels) == ([[1, 2]], ["a"])


def test_features_to_predict_of_another_width_are_refused(write: WriteFile) -> None:
    path = write("a.csv", "1,2,3,4\n")
    with pytest.raises(DataError) as caught:
        load_unlabelled(path, 2)
    assert str(caught.value) == (
        f"{path}: row 1 has 4 columns, but the model reads 2 features (2 columns, or 3 with the "
        "label)"
    )


# --- NumPy ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("x", "y"), [("x", "y"), ("X", "y"), ("X", "Y")])
def test_npz_with_features_and_labels(tmp_path: Path, x: str, y: str) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **{x: np.array([[1.5, 2], [3, 4]]), y: np.array([1, 0])})
    dataset = datasets.load(str(path))
    assert dataset.samples.features.tolist() == [[1.5, 2], [3, 4]]
    assert dataset.samples.targets.tolist() == [1, 0]
    assert not dataset.image


def test_npz_with_its_own_test_part_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    images = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    np.savez(path, x_train=images, y_train=[0, 1], x_test=images[:1], y_test=[1])
    dataset = datasets.load(str(path))
    train, test = datasets.split(dataset, 0.5, seed=1)
    assert dataset.image
    assert train.features.dtype == np.uint8
    assert train.features.shape == (2, 9)
    assert (test.features.shape, test.targets.tolist()) == ((1, 9), [1])


def test_npz_with_text_and_with_one_hot_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "text.npz", x=np.eye(2), y=np.array(["b", "a"]))
    np.savez(tmp_path / "hot.npz", x=np.eye(2), y=np.array([[0, 1], [1, 0]]))
    text, hot = (datasets.load(str(tmp_path / name)) for name in ("text.npz", "hot.npz"))
    assert text.class_names == ("a", "b")
    assert text.samples.targets.tolist() == hot.samples.targets.tolist() == [1, 0]


def test_npy_finds_its_labels_beside_it_or_by_name(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.eye(3))
    np.save(tmp_path / "y.npy", np.array([2, 1, 0]))
    np.save(tmp_path / "other.npy", np.array([0, 1, 1]))
    found = datasets.load(str(tmp_path / "x.npy"))
    told = datasets.load("x.npy", tmp_path, labels="other.npy")
    assert found.samples.targets.tolist() == [2, 1, 0]
    assert told.samples.targets.tolist() == [0, 1, 1]


def test_npy_without_labels_says_how_to_name_them(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.eye(3))
    assert refusal(path) == (
        f"{path} holds features only, and no file of labels stands beside it; name it with the "
        "key labels in [data] (or new --labels FILE)"
    )


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"x": np.array([[1, np.nan]]), "y": [0]},
         ": x[0, 1] (row 1, column 2) is nan: not a finite number; fill it in or delete the row"),
        ({"x": np.array([[1.0], [-np.inf]]), "y": [0, 1]},
         ": x[1, 0] (row 2, column 1) is -inf: not a finite number; fill it in or delete the row"),
        ({"x": np.array([["a"]]), "y": [0]}, ": x holds <U1; features must be numbers"),
        ({"x": np.eye(2), "y": [0, -1]},
         ": y[1] is -1: out of range; class labels are whole numbers from 0, or text"),
        ({"x": np.eye(2), "y": [0, 0.5]},
         ": y[1] is 0.5: not a class; class labels are whole numbers from 0, or text"),
        ({"x": np.eye(2), "y": [0, np.nan]},
         ": y[1] is nan: not a class; class labels are whole numbers from 0, or text"),
        ({"x": np.eye(2), "y": [0, 1, 1]},
         ": y holds 3 labels for 2 samples; both must have the same length"),
        ({"x": np.ones(3), "y": [0, 1, 1]},
         ": x has the shape (3,); features are [samples, features]"),
        ({"x": np.ones((0, 3)), "y": []}, " is empty: x has the shape (0, 3)"),
        ({"a": np.eye(2), "b": [0, 1]},
         " holds a, b; needed are the arrays x and y, or x_train, y_train, x_test and y_test"),
        ({"x": np.eye(2), "y": [1, 1]},
         ": all 2 samples have the class '1'; training needs at least two classes (is the label "
         "column right?)"),
    ],
)  # fmt: skip
def test_bad_arrays_are_named(tmp_path: Path, arrays: dict[str, object], complaint: str) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **{name: np.asarray(value) for name, value in arrays.items()})
    assert refusal(path) == f"{path}{complaint}"


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=np.array([[{}]]), y=[0], allow_pickle=True)
    assert refusal(path) == (
        f"{path}: cannot read the array x: it holds Python objects, which are not loaded; save "
        "plain numbers"
    )


@pytest.mark.parametrize("keep", [3, 30, 60, 150, 250])
def test_truncated_npz_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=np.eye(3), y=[0, 1, 2])
    path.write_bytes(path.read_bytes()[:keep])
    assert refusal(path).startswith(f"{path} ")


# --- IDX ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_images_with_labels_beside_them(write: WriteFile, suffix: str) -> None:
    pack = gzip.compress if suffix else bytes
    images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    path = write(f"train-images-idx3-ubyte{suffix}", pack(idx(images)))
    write(f"train-labels-idx1-ubyte{suffix}", pack(idx(np.array([1, 0, 1], np.uint8))))
    dataset = datasets.load(str(path))
    assert dataset.samples.features.tolist() == images.reshape(3, 4).tolist()
    assert dataset.samples.targets.tolist() == [1, 0, 1]
    assert dataset.image


def test_folder_with_the_four_files_of_mnist(write: WriteFile, tmp_path: Path) -> None:
    for part, count in (("train", 4), ("t10k", 2)):
        pixels = np.full((count, 2, 2), count, np.uint8)
        write(f"{part}-images-idx3-ubyte.gz", gzip.compress(idx(pixels)))
        write(f"{part}-labels.idx1-ubyte", idx(np.arange(count, dtype=np.uint8)))
    dataset = datasets.load(str(tmp_path))
    assert (len(dataset.samples), dataset.test and len(dataset.test)) == (4, 2)
    assert dataset.class_names == ("0", "1", "2", "3")


def test_folder_that_lacks_one_of_the_four_files(write: WriteFile, tmp_path: Path) -> None:
    write("train-images-idx3-ubyte", idx(np.zeros((1, 2, 2), np.uint8)))
    assert refusal(tmp_path).startswith(
        f"the folder {tmp_path} has no train-labels-idx1-ubyte (or .gz); a folder must hold "
    )


def test_idx_of_wider_values_is_read_big_endian(write: WriteFile) -> None:
    path = write("images", idx(np.array([[1, -2], [300, 4]], np.int16), 0x0B))
    write("labels", idx(np.array([0, 1], np.uint8)))
    assert datasets.load(str(path)).samples.features.tolist() == [[1, -2], [300, 4]]


def test_cut_off_idx_is_refused(write: WriteFile) -> None:
    path = write("images", idx(np.zeros((3, 2, 2), np.uint8))[:-1])
    write("labels", idx(np.zeros(3, np.uint8)))
    assert refusal(path) == (
        f"{path}: an IDX file of 3 x 2 x 2 values has 28 bytes, this one has 27; it is cut off or "
        "damaged"
    )


def test_damaged_gzip_is_refused(write: WriteFile) -> None:
    path = write("images.gz", gzip.compress(idx(np.zeros((9, 9), np.uint8)))[:-9])
    assert refusal(path).startswith(f"{path} is a damaged .gz file: ")


def test_mnist_is_read_whole(shared: Path) -> None:
    dataset = datasets.load(str(shared / "data" / "mnist.npz"))
    assert dataset.test is not None
    assert (len(dataset.samples), len(dataset.test), dataset.width) == (60000, 10000, 784)
    assert len(dataset.class_names) == 10


# --- damage ---------------------------------------------------------------------------------------


def damaged(rng: random.Random, content: bytes) -> bytes:
    """Flip, insert, delete, cut or repeat up to four times."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0 if data:
                data[at % len(data)] ^= 1 << rng.randrange(8)
            case 1:
                data[at:at] = bytes(rng.choices(b'09.,-+e_"[]={}\n\r#nai\0\xff', k=3))
            case 2:
                del data[at : at + rng.randint(1, 20)]
            case 3:
                data = data[:at]
            case _:
                data[at:at] = data[at // 2 : at // 2 + 30]
    return bytes(data)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.npz", "x.npy", "images"])
def test_damaged_file_is_read_or_refused_in_one_line(
    write: WriteFile, tmp_path: Path, name: str, seed: int
) -> None:
    text = "a,b,kind\n" + "".join(f"{n},{n / 2},{'xyz'[n % 3]}\n" for n in range(9))
    features, labels = np.arange(24.0).reshape(6, 4), np.arange(6) % 3
    np.savez(tmp_path / "a.npz", x=features, y=labels)
    np.save(tmp_path / "x.npy", features)
    np.save(tmp_path / "y.npy", labels)
    write("a.csv", text)
    write("a.csv.gz", gzip.compress(text.encode()))
    write("images", idx(features.astype(np.uint8)))
    write("labels", idx(labels.astype(np.uint8)))
    content = (tmp_path / name).read_bytes()
    rng = random.Random(f"{name} {seed}")
    for _ in range(60):
        path = write(name, damaged(rng, content))
        try:
            dataset = datasets.load(str(path))
        except DataError as error:
            assert "\n" not in str(error)
        else:
            assert np.isfinite(dataset.samples.features.astype(np.float64)).all()


# --- layers, split, scaling -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "complaint"),
    [
        ((63, 32, 10),
         "digits has 64 features, but the first layer is 63 wide; type layers = [64, 32, 10]"),
        ((64, 32, 9),
         "digits has 10 classes, but the last layer has only 9 outputs; type layers = "
         "[64, 32, 10]"),
        ((64, 12),
         "digits has 10 classes, but the last layer has 12 outputs; type layers = [64, 10]"),
    ],
)  # fmt: skip
def test_layers_that_do_not_match_the_data(layers: tuple[int, ...], complaint: str) -> None:
    with pytest.raises(DataError) as caught:
        datasets.check_layers(datasets.load("digits"), layers)
    assert str(caught.value) == complaint


def test_label_out_of_range_of_the_outputs_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=np.eye(3), y=[0, 1, 7])
    dataset = datasets.load(str(path))
    with pytest.raises(DataError) as caught:
        datasets.check_layers(dataset, (3, 4))
    assert str(caught.value) == (
        f"{path}: label 7 (sample 2) is out of range: 4 outputs take the labels 0 to 3; type "
        "layers = [3, 8], or number the classes from 0"
    )


def test_class_indices_may_leave_outputs_without_a_sample(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=np.eye(3), y=[0, 1, 1])
    datasets.check_layers(datasets.load(str(path)), (3, 10))


def test_split_keeps_every_sample_once_and_the_share_of_every_class() -> None:
    dataset = datasets.load("iris")
    train, test = datasets.split(dataset, 0.2, seed=3)
    assert np.bincount(test.targets).tolist() == [10, 10, 10]
    rows = np.vstack([train.features, test.features])
    assert sorted(map(tuple, rows)) == sorted(map(tuple, dataset.samples.features))


def test_split_depends_on_the_seed_alone() -> None:
    dataset = datasets.load("iris")
    first, again, other = (datasets.split(dataset, 0.2, seed)[1] for seed in (1, 1, 2))
    assert np.array_equal(first.features, again.features)
    assert not np.array_equal(first.features, other.features)


def test_class_with_a_single_sample_cannot_be_split(write: WriteFile) -> None:
    dataset = datasets.load(str(write("a.csv", "1,a\n2,a\n3,b\n")))
    with pytest.raises(DataError, match="class 'b' has a single sample"):
        datasets.split(dataset, 0.5, seed=1)


def test_test_part_smaller_than_the_classes_says_which_fraction_works(write: WriteFile) -> None:
    dataset = datasets.load(str(write("a.csv", "".join(f"{n},{n % 4}\n" for n in range(20)))))
    with pytest.raises(DataError) as caught:
        datasets.split(dataset, 0.1, seed=1)
    assert str(caught.value).endswith(
        "test_fraction = 0.1 of 20 samples leaves 18 to train and 2 to test, fewer than the 4 "
        "classes; choose a test_fraction between 0.20 and 0.80"
    )


def test_minmax_maps_the_training_range_onto_a_byte_and_clips_the_rest() -> None:
    scaling = Scaling.fit("minmax", np.array([[0.0, -1], [10, 3]]), common=False, name="a")
    assert (scaling.input_format, scaling.input_max, scaling.exponent) == (InputFormat.U8, 255, -8)
    inputs = scaling.apply(np.array([[0.0, -1], [10, 3], [5, 1], [-1, 99]]), "a")
    assert inputs.tolist() == [[0, 0], [255, 255], [128, 128], [0, 255]]


def test_minmax_of_pixels_uses_one_range_for_all() -> None:
    scaling = Scaling.fit("minmax", np.array([[0.0, 8], [4, 16]]), common=True, name="a")
    assert scaling.apply(np.array([[4.0, 16]]), "a").tolist() == [[64, 255]]


def test_standard_has_mean_0_and_deviation_1_in_steps_of_2_to_the_minus_9() -> None:
    features = np.array([[1.0], [3.0]])
    scaling = Scaling.fit("standard", features, common=False, name="a")
    assert (scaling.input_format, scaling.input_max, scaling.exponent) == (
        InputFormat.I16,
        2047,
        -9,
    )
    inputs = scaling.apply(np.array([[1.0], [3], [2], [99], [-99]]), "a")
    assert inputs.ravel().tolist() == [-512, 512, 0, 2047, -2047]


@pytest.mark.parametrize("method", ["minmax", "standard"])
def test_constant_feature_becomes_zero(method: str) -> None:
    scaling = Scaling.fit(method, np.array([[5.0], [5.0]]), common=False, name="a")
    assert scaling.apply(np.array([[5.0], [7.0]]), "a").ravel().tolist() == [0, 0]


def test_unscaled_bytes_stay_what_they_are() -> None:
    features = np.arange(256, dtype=np.uint8).reshape(1, 256)
    scaling = Scaling.fit("none", features, common=False, name="a")
    assert np.array_equal(scaling.apply(features, "a"), features)


@pytest.mark.parametrize("value", [-1.0, 0.5, 256.0])
def test_unscaled_values_that_are_no_bytes_are_refused(value: float) -> None:
    with pytest.raises(DataError) as caught:
        Scaling.unscaled(2).apply(np.array([[0, 0], [0, value]]), "a.csv")
    assert str(caught.value) == (
        f'a.csv: sample 2, feature 2 is {value:g}; scale = "none" takes whole numbers from 0 to '
        '255: type scale = "minmax" or "standard"'
    )


def test_values_beyond_double_precision_are_refused() -> None:
    with pytest.raises(DataError, match="the values of column 1 are too large"):
        Scaling.fit("standard", np.array([[1e308], [-1e308]]), common=False, name="a")


def test_scaling_survives_its_text_form_exactly() -> None:
    features = datasets.load("wine").samples.features
    scaling = Scaling.fit("standard", features, common=False, name="wine")
    assert Scaling.from_json(scaling.to_json(), "scaling") == scaling


def test_default_scaling_tells_pixels_from_tables() -> None:
    methods = [default_method(datasets.load(name)) for name in ("digits", "wine")]
    assert methods == ["minmax", "standard"]


def test_empty_part_is_refused() -> None:
    empty = Part(np.empty((0, 2)), np.empty(0, np.int64))
    dataset = Dataset("a", empty, None, ("0", "1"), ("x", "y"), image=False, indexed=True)
    with pytest.raises(DataError, match="a is empty: it holds no samples"):
        datasets.dataset.check_classes(dataset)
