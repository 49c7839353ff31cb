"""Every byte of a file is checked; a hostile file runs no code and takes little memory."""

import io
import json
import os
import pickle
import tracemalloc
import zipfile

import joblib
import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeRegressor

pytest.importorskip("skops")

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.exceptions import ModelFileError
from sk_ednn.files import _container, describe, load, save
from sk_ednn.solvers import BoostingSolver

X = np.random.default_rng(0).normal(size=(30, 4))
Y = np.sin(X).sum(axis=1)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "small.ednn"
    save(EDNNRegressor(Ridge(), GridTiling(1, 0)).fit(X, Y), path)
    return path


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "tree.ednn"
    fit = BoostingSolver(n_stages=2)
    save(EDNNRegressor(DecisionTreeRegressor(max_depth=3), solver=fit).fit(X, Y), path)
    return path


def parts_of(path):
    with zipfile.ZipFile(path) as archive:
        return {n: archive.read(n) for n in archive.namelist() if n != "manifest.json"}


# --- damage -----------------------------------------------------------------------------------


def refused(file):
    try:
        _container.Container(file, "damaged")
    except ModelFileError:
        return True
    return False


def test_a_folder_that_is_not_there_is_named(tmp_path):
    model = EDNNRegressor(Ridge()).fit(X, Y)
    with pytest.raises(FileNotFoundError, match=r"folder .*nowhere for model\.ednn does not exist"):
        save(model, tmp_path / "nowhere" / "model.ednn")
    assert not list(tmp_path.iterdir())


def test_every_single_changed_byte_is_noticed(path, tmp_path):
    """One bit of each byte, and all bits of each byte of the parts that are not hashed alone."""
    content = path.read_bytes()
    missed = []
    with open(tmp_path / "damaged.ednn", "wb+") as file:
        file.write(content)
        for place, byte in enumerate(content):
            for flip in (1 << (place % 8), 0xFF):
                file.seek(place)
                file.write(bytes([byte ^ flip]))
                file.flush()
                if not refused(file):
                    missed.append((place, flip))
            file.seek(place)
            file.write(bytes([byte]))
        file.flush()
        assert not refused(file)
    assert missed == []


def test_every_truncation_and_every_added_byte_is_noticed(path, tmp_path):
    content = path.read_bytes()
    with open(tmp_path / "damaged.ednn", "wb+") as file:
        file.write(content + b"\0")
        file.flush()
        assert refused(file)
        file.seek(0)
        file.write(b"P" + content)
        file.flush()
        assert refused(file)
        file.seek(0)
        file.write(content)
        for length in reversed(range(len(content))):
            file.truncate(length)
            file.flush()
            assert refused(file), length


def test_damage_is_named_by_load_and_describe(path, tmp_path):
    content, damaged = bytearray(path.read_bytes()), tmp_path / "damaged.ednn"
    content[len(content) // 2] ^= 4
    damaged.write_bytes(content)
    for read in (load, describe):
        with pytest.raises(
            ModelFileError, match=r"damaged\.ednn cannot be read: its sha256 does not match"
        ):
            read(damaged)
    damaged.write_bytes(content[:-1])
    with pytest.raises(ModelFileError, match="damaged or truncated"):
        load(damaged)
    damaged.write_bytes(b"")
    with pytest.raises(ModelFileError, match="it is not a model file"):
        load(damaged)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nowhere.ednn")


# --- hostile files, whose hashes are right ----------------------------------------------------


class Trap:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def traps(path):
    """Pickles that make a folder, in every shape that Python's tools would open."""
    trap = Trap(path)
    buffer = io.BytesIO()
    np.save(buffer, np.array([trap, trap], dtype=object), allow_pickle=True)
    return {
        "pickle": pickle.dumps(trap),
        "text pickle": pickle.dumps(trap, protocol=0),
        "npy of objects": buffer.getvalue(),
    }


@pytest.mark.parametrize("kind", ["pickle", "text pickle", "npy of objects"])
@pytest.mark.parametrize("slot", ["config.json", "weights.safetensors", "estimators.skops"])
def test_a_pickle_in_any_part_is_not_opened(slot, kind, path, tmp_path):
    sprung, file = tmp_path / "sprung", tmp_path / "hostile.ednn"
    _container.write(file, parts_of(path) | {slot: traps(sprung)[kind]})
    with pytest.raises(ModelFileError):
        load(file)
    assert not sprung.exists()


@pytest.mark.parametrize("kind", ["pickle", "text pickle", "npy of objects"])
def test_a_pickle_within_a_part_is_not_opened(kind, grown, tmp_path):
    """In place of the arrays of scikit-learn's estimators, and of what describes them."""
    sprung, file = tmp_path / "sprung", tmp_path / "hostile.ednn"
    content = traps(sprung)[kind]
    parts = parts_of(grown)
    with zipfile.ZipFile(io.BytesIO(parts["estimators.skops"])) as archive:
        names = archive.namelist()
    for name in names:
        changed = inner(parts["estimators.skops"], {name: content})
        _container.write(file, parts | {"estimators.skops": changed})
        with pytest.raises(ModelFileError):
            load(file)
    assert len(names) > 5 and not sprung.exists()


def inner(content, changes, compression=zipfile.ZIP_STORED):
    """Return a zip with some of its parts changed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old:
        parts = {name: old.read(name) for name in old.namelist()} | changes
    with zipfile.ZipFile(out, "w", compression) as new:
        for name, part in parts.items():
            new.writestr(name, part)
    return out.getvalue()


@pytest.mark.parametrize("wrap", ["plain", "joblib", "joblib, compressed", "gzip"])
def test_pickled_models_are_refused_with_the_way_to_convert_them(wrap, tmp_path):
    file, sprung = tmp_path / "old.joblib", tmp_path / "sprung"
    trap = Trap(sprung)
    if wrap == "plain":
        file.write_bytes(pickle.dumps(trap))
    elif wrap == "gzip":
        import gzip

        file.write_bytes(gzip.compress(pickle.dumps(trap)))
    else:
        joblib.dump(trap, file, compress=3 if "compressed" in wrap else 0)
    with pytest.raises(
        ModelFileError, match=r"looks like a pickle.*save\(joblib\.load\(old\), new"
    ):
        load(file)
    assert not sprung.exists()


@pytest.mark.parametrize(
    "name", ["../evil.json", "/etc/evil.json", "a/b.json", "..\\evil.json", "evil.py", "", "A.json"]
)
def test_no_part_has_a_path(name, path, tmp_path):
    file = tmp_path / "hostile.ednn"
    _container.write(file, parts_of(path) | {name: b"{}"})
    with pytest.raises(ModelFileError, match=r"a part with the name|not an intact zip"):
        load(file)
    assert [each.name for each in tmp_path.iterdir()] == ["hostile.ednn"]


def forge(path, write, manifest=None):
    """Write a zip by hand, with the digest that makes it whole."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        write(archive)
        if manifest is not None:
            archive.writestr("manifest.json", json.dumps(manifest))
        archive.comment = b"sk_ednn sha256 " + b"0" * 64
    seal(path, buffer.getvalue())


def seal(path, content):
    import hashlib

    digest = hashlib.sha256(content[:-64]).hexdigest().encode()
    path.write_bytes(content[:-64] + digest)


def test_wrong_hashes_of_parts_are_noticed(path, tmp_path):
    file, parts = tmp_path / "hostile.ednn", parts_of(path)
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    manifest["parts"]["config.json"]["sha256"] = "0" * 64

    def write(archive):
        for name, content in parts.items():
            archive.writestr(name, content)

    forge(file, write, manifest)
    with pytest.raises(ModelFileError, match=r"config\.json does not match its manifest"):
        load(file)
    forge(file, write, {"format": "sk_ednn model", "parts": {}})
    with pytest.raises(ModelFileError, match="lists other parts than it contains"):
        load(file)
    forge(file, write, {"format": "another"})
    with pytest.raises(ModelFileError, match="manifest is that of another format"):
        load(file)
    forge(file, write)
    with pytest.raises(ModelFileError, match=r"no part manifest\.json"):
        load(file)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_parts_of_one_name_are_refused(path, tmp_path):
    file, parts = tmp_path / "hostile.ednn", parts_of(path)

    def write(archive):
        for name, content in [*parts.items(), ("config.json", b"{}")]:
            archive.writestr(name, content)

    forge(file, write, {"format": "sk_ednn model", "parts": {}})
    with pytest.raises(ModelFileError, match="two parts with one name"):
        load(file)
    text = json.dumps({"schema": 1, "model": None})
    doubled = text.replace('"schema": 1', '"schema": 1, "schema": 1').encode()
    _container.write(file, parts | {"config.json": doubled})
    with pytest.raises(ModelFileError, match="it has a duplicate name"):
        load(file)


@pytest.mark.parametrize("schema", [4, 0, -1, True, "1", None, 1.0, [1]])
def test_another_schema_is_refused(schema, path, tmp_path):
    file, parts = tmp_path / "hostile.ednn", parts_of(path)
    config = json.loads(parts["config.json"]) | {"schema": schema}
    _container.write(file, parts | {"config.json": json.dumps(config).encode()})
    words = "has schema 4, .* Upgrade it" if schema == 4 else "describes no model"
    with pytest.raises(ModelFileError, match=words):
        load(file)


# --- memory -----------------------------------------------------------------------------------


def peak_of(read, *args):
    """Return what was allocated at most while something was refused."""
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError):
            read(*args)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# Besides what grows with the file: zipfile's and hashlib's buffers, and messages.
_CONSTANT = 4 << 20


def test_a_zip_bomb_is_not_inflated(grown, tmp_path):
    file, parts = tmp_path / "bomb.ednn", parts_of(grown)
    zeros = bytes(1 << 26)

    def write(archive):
        for name, content in parts.items():
            deflated = zipfile.ZIP_DEFLATED if name == "weights.safetensors" else None
            archive.writestr(name, zeros if deflated else content, deflated)

    forge(file, write, {"format": "sk_ednn model", "parts": {}})
    assert file.stat().st_size < 1 << 17
    assert peak_of(load, file) < 2 * file.stat().st_size + _CONSTANT
    # And one within the part that skops reads.
    bomb = inner(parts["estimators.skops"], {"0.npy": zeros}, zipfile.ZIP_DEFLATED)
    _container.write(file, parts | {"estimators.skops": bomb})
    assert peak_of(load, file) < 2 * file.stat().st_size + _CONSTANT


def test_parts_that_lie_in_one_another_are_refused(path, tmp_path):
    """Many entries of the directory that all show the same megabytes."""
    file = tmp_path / "bomb.ednn"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("weights.safetensors", bytes(1 << 20))
        for k in range(12):
            archive.filelist.append(_twin(archive.filelist[0], f"twin{k}.json"))
        archive._didModify = True
        archive.comment = b"sk_ednn sha256 " + b"0" * 64
    seal(file, buffer.getvalue())
    assert peak_of(load, file) < 2 * file.stat().st_size + _CONSTANT
    with pytest.raises(ModelFileError, match="its parts are larger than the file"):
        load(file)


def _twin(info, name):
    import copy

    twin = copy.copy(info)
    twin.filename = name
    return twin


def test_a_long_directory_is_not_read(tmp_path):
    file = tmp_path / "bomb.ednn"

    def write(archive):
        for k in range(20_000):
            archive.writestr(f"p{k}.json", b"")

    forge(file, write)
    assert peak_of(load, file) < 2 * file.stat().st_size + _CONSTANT
    with pytest.raises(ModelFileError, match="its directory is longer"):
        load(file)


HEADERS = {
    "longer than the part": (1 << 60, b"{}"),
    "negative": ((1 << 64) - 1, b"{}"),
    "no JSON": (4, b"\xff\xfe{}"),
    "no mapping": (2, b"[]"),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_a_header_of_arrays_is_read_only_if_it_fits(kind, path, tmp_path):
    file, (length, text) = tmp_path / "hostile.ednn", HEADERS[kind]
    content = length.to_bytes(8, "little") + text
    _container.write(file, parts_of(path) | {"weights.safetensors": content})
    assert peak_of(load, file) < _CONSTANT


ENTRIES = {
    "giant": {"dtype": "F64", "shape": [1 << 40], "data_offsets": [0, 8 << 40]},
    "giant, small bytes": {"dtype": "F64", "shape": [1 << 40], "data_offsets": [0, 8]},
    "overflowing": {"dtype": "F64", "shape": [1 << 32, 1 << 32], "data_offsets": [0, 0]},
    "negative": {"dtype": "F64", "shape": [-1], "data_offsets": [0, -8]},
    "within another": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
    "no shape": {"dtype": "U8", "data_offsets": [8, 9]},
    "of objects": {"dtype": "O", "shape": [1], "data_offsets": [8, 16]},
    "truth for a number": {"dtype": "U8", "shape": [True], "data_offsets": [8, 9]},
    "many axes": {"dtype": "U8", "shape": [1] * 40, "data_offsets": [8, 9]},
    "empty and giant": {"dtype": "U8", "shape": [0, 1 << 62, 1 << 62], "data_offsets": [8, 8]},
    "words": "F64",
}


@pytest.mark.parametrize("kind", ENTRIES)
def test_an_array_is_made_only_as_large_as_its_bytes(kind, path, tmp_path):
    file = tmp_path / "hostile.ednn"
    header = {"fine": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}, "bad": ENTRIES[kind]}
    text = json.dumps(header).encode()
    content = len(text).to_bytes(8, "little") + text + bytes(9)
    _container.write(file, parts_of(path) | {"weights.safetensors": content})
    assert peak_of(load, file) < _CONSTANT
    with pytest.raises(ModelFileError, match=r"weights\.safetensors"):
        load(file)


def test_an_array_of_an_estimator_is_made_only_as_large_as_its_bytes(grown, tmp_path):
    file, parts = tmp_path / "hostile.ednn", parts_of(grown)
    buffer = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (1 << 34,)}
    np.lib.format.write_array_header_1_0(buffer, header)
    changed = inner(parts["estimators.skops"], {"0.npy": buffer.getvalue()})
    _container.write(file, parts | {"estimators.skops": changed})
    load(grown)  # so that what is imported on the way is not counted
    assert peak_of(load, file) < 2 * file.stat().st_size + _CONSTANT
    with pytest.raises(ModelFileError, match=r"size of 0\.npy does not match"):
        load(file)


@pytest.mark.parametrize("part", ["config.json", "estimators.skops", "weights.safetensors"])
@pytest.mark.parametrize("filling", [b"[],", b"{},", b"1,", b'"",'])
def test_a_text_of_many_small_values_is_not_made(part, filling, grown, tmp_path):
    """A list of empty lists takes ten times the memory of its text."""
    file, parts = tmp_path / "hostile.ednn", parts_of(grown)
    text = b'{"schema": 1, "model": [' + filling * (6_000_000 // len(filling)) + b"null]}"
    if part == "estimators.skops":
        text = inner(parts[part], {"schema.json": text})
    elif part == "weights.safetensors":
        text = len(text).to_bytes(8, "little") + text
    _container.write(file, parts | {part: text})
    del text
    load(grown)
    # The text itself is read before its values are counted: that is once the file.
    assert peak_of(load, file) < 2 * file.stat().st_size + _CONSTANT
    with pytest.raises(ModelFileError, match="pass a larger max_bytes"):
        load(file)


def test_deep_texts_end_in_an_error(path, tmp_path):
    file, parts = tmp_path / "hostile.ednn", parts_of(path)
    deep = b'{"schema": 1, "model": ' + b"[" * 90_000 + b"]" * 90_000 + b"}"
    _container.write(file, parts | {"config.json": deep})
    with pytest.raises(ModelFileError):
        load(file)


def test_reading_a_large_model_takes_about_its_size(tmp_path):
    file = tmp_path / "large.ednn"
    model = EDNNRegressor(KernelRidge(), GridTiling(1, 1)).fit(X, Y)
    estimator = model.tile_model_.estimator  # as if fitted to many tiles
    estimator.X_fit_, estimator.dual_coef_ = np.ones((850_000, 3)), np.ones(850_000)
    save(model, file)
    assert file.stat().st_size > 25 << 20
    tracemalloc.start()
    load(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.0 * file.stat().st_size


# --- what estimators contain ---------------------------------------------------------------------


def changed_schema(parts, change):
    """Return parts whose description of scikit-learn's estimators has been changed."""
    with zipfile.ZipFile(io.BytesIO(parts["estimators.skops"])) as archive:
        schema = json.loads(archive.read("schema.json"))
    change(schema)
    changed = inner(parts["estimators.skops"], {"schema.json": json.dumps(schema).encode()})
    return parts | {"estimators.skops": changed}


def node(kind, module, name, **content):
    return {"__class__": name, "__module__": module, "__loader__": kind, "__id__": 10**6, **content}


CALLS = {
    "an object of another library": node("ObjectNode", "subprocess", "Popen"),
    "a function": node("FunctionNode", "os", "system"),
    "a type": node("TypeNode", "os", "system"),
    "a method": node("MethodNode", "os", "system", content={"obj": None, "func": "system"}),
    "a partial": node("PartialNode", "functools", "partial", content={}),
    "an operator": node("OperatorFuncNode", "operator", "methodcaller", attrs=None),
    "a constructor": node("ConstructorFromReduceNode", "os", "mkdir", content=None),
    "a sparse matrix": node(
        "SparseMatrixNode", "scipy.sparse", "csr_matrix", type="scipy", file=""
    ),
    "an unknown kind": node("NoNode", "builtins", "list", content=[]),
}


@pytest.mark.parametrize("kind", CALLS)
def test_nothing_but_data_is_made_of_estimators(kind, grown, tmp_path):
    file = tmp_path / "hostile.ednn"
    parts = changed_schema(parts_of(grown), lambda schema: schema["content"].append(CALLS[kind]))
    _container.write(file, parts)
    with pytest.raises(ModelFileError, match=r"estimators\.skops"):
        load(file)


@pytest.mark.parametrize("child", ["left_child", "right_child", "feature"])
@pytest.mark.parametrize("value", [-7, 0, 10**9])
def test_trees_do_not_point_outside_of_themselves(child, value, grown, tmp_path):
    """scikit-learn would read there, or go round for ever, without a look."""
    file, parts = tmp_path / "hostile.ednn", parts_of(grown)
    content, result = parts["estimators.skops"], 0
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            array = np.load(io.BytesIO(archive.read(name))) if name.endswith(".npy") else None
            if array is None or array.dtype.names is None or (child == "feature" and value == 0):
                continue
            array[0][child], result = value, result + 1
            buffer = io.BytesIO()
            np.save(buffer, array)
            content = inner(content, {name: buffer.getvalue()})
    if result:
        _container.write(file, parts | {"estimators.skops": content})
        with pytest.raises(ModelFileError, match="a tree"):
            load(file)


# --- what objects are made of -----------------------------------------------------------------

MODELS = {
    "nothing": (None, "which is not a model"),
    "an unknown class": ({"$": "object", "class": "Popen", "vars": {}}, "contains a Popen, which"),
    "an unknown kind": ({"$": "reduce", "args": []}, "contains a 'reduce', which this version"),
    "no kind": ({"a": 1}, "contains a None, which this version"),
    "special attributes": (
        {"$": "object", "class": "EDNNRegressor", "vars": {"__class__": 1}},
        "'__class__' is not a valid name",
    ),
    "no array": ({"$": "array", "name": "nowhere"}, "does not describe a model"),
    "no estimator": ({"$": "estimator", "number": 99}, "does not describe a model"),
    "a layer that is none": (
        {"$": "module", "built": {"$": "layers", "class": "Bilinear", "with": {}}, "weights": {}},
        "contains a layer Bilinear",
    ),
    "someone's module": (
        {"$": "module", "weights": {}, "built": {"$": "your module", "class": "X", "with": {}}},
        r"Pass the class, as load\(path, modules=\[X\]\)",
    ),
    "a class of torch": ({"$": "class", "name": "torch.load"}, "does not describe a model"),
}


@pytest.mark.parametrize("kind", MODELS)
def test_a_config_makes_only_what_this_package_knows(kind, path, tmp_path):
    model, words = MODELS[kind]
    if "layer" in kind or "torch" in kind or "someone" in kind:
        pytest.importorskip("torch")
    file, parts = tmp_path / "hostile.ednn", parts_of(path)
    config = json.loads(parts["config.json"]) | {"model": model}
    _container.write(file, parts | {"config.json": json.dumps(config).encode()})
    with pytest.raises(ModelFileError, match=words):
        load(file)


def test_a_layer_takes_no_memory_until_its_weights_are_there(path, tmp_path):
    pytest.importorskip("torch")
    layer = {"in_features": 10**6, "out_features": 10**6, "bias": True}
    pairs = [[key, value] for key, value in layer.items()]
    built = {"$": "layers", "class": "Linear", "with": {"$": "dict", "pairs": pairs}}
    model = {"$": "module", "built": built, "weights": {}, "frozen": []}
    file, parts = tmp_path / "hostile.ednn", parts_of(path)
    config = json.loads(parts["config.json"]) | {"model": model}
    _container.write(file, parts | {"config.json": json.dumps(config).encode()})
    with pytest.raises(ModelFileError, match=r"differ in .(weight|bias)."):
        load(file)
