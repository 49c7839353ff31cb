"""Exported networks, run by ONNX Runtime, give the contributions of the model they came from."""

import numpy as np
import pytest

pytest.importorskip("skorch")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

import onnxruntime
from torch import nn

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.exceptions import TileModelError
from sk_ednn.files import export_onnx
from sk_ednn.networks import NotConvolutional, PaperDenseNet
from sk_ednn.solvers import GradientSolver

RNG = np.random.default_rng(0)
FIT = GradientSolver(max_epochs=1)


def convolutions(n_channels=1):
    return nn.Sequential(
        nn.Conv2d(n_channels, 4, 3), nn.SiLU(), nn.Flatten(), nn.Linear(144, 4), nn.SiLU(),
        nn.Linear(4, 1),
    )  # fmt: skip


@pytest.fixture(scope="module")
def model():
    """Fields with channels, a baseline of their content: all that an export has to carry over."""
    fields = RNG.normal(size=(6, 8, 8, 2)).astype(np.float32)
    tiling = GridTiling(4, 2, channel_axis=-1)
    model = EDNNRegressor(convolutions(2), tiling, baseline="content", solver=FIT, random_state=0)
    return model.fit(
        fields, 7.0 + (fields**2).sum(axis=(1, 2, 3)) + fields[..., 1].sum(axis=(1, 2))
    )


def run(path, **given):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, given)[0]


@pytest.mark.slow  # the example of export_onnx is the fast one
@pytest.mark.timeout(300)
def test_the_tile_network(model, tmp_path):
    export_onnx(model, tmp_path / "tile.onnx")
    for shape in ((4, 4), (12, 8)):  # 1 and 6 tiles a field
        fields = RNG.normal(size=(3, *shape, 2)).astype(np.float32)
        tiles = model.tiling_.transform(fields).reshape(-1, 8, 8, 2)
        result = run(tmp_path / "tile.onnx", tiles=np.ascontiguousarray(np.moveaxis(tiles, -1, 1)))
        expected = model.predict_contributions(fields).reshape(-1, 1)
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)
    assert [each.name for each in tmp_path.iterdir()] == ["tile.onnx"]


@pytest.mark.timeout(300)
def test_the_dense_form(model, tmp_path):
    export_onnx(model, tmp_path / "dense.onnx", form="dense")
    for shape in ((4, 4), (12, 8), (8, 20)):
        fields = RNG.normal(size=(2, *shape, 2)).astype(np.float32)
        padded = np.pad(fields, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="wrap")
        result = run(tmp_path / "dense.onnx", fields=np.moveaxis(padded, -1, 1).copy())
        expected = model.predict_contributions(fields)
        assert result.shape == (2, 1, shape[0] // 4, shape[1] // 4)
        np.testing.assert_allclose(result[:, 0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_one_dimension_several_outputs_and_softplus(tmp_path):
    fields = RNG.uniform(size=(8, 12)).astype(np.float32)
    y = np.stack([fields.sum(axis=1), (fields**2).sum(axis=1)], axis=1)
    net = nn.Sequential(nn.Conv1d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 2))
    fit = GradientSolver(max_epochs=1, positive=True)
    model = EDNNRegressor(net, GridTiling(2, 2), baseline=None, solver=fit).fit(fields, y)
    export_onnx(model, tmp_path / "dense.onnx", form="dense")
    result = run(tmp_path / "dense.onnx", fields=np.pad(fields, ((0, 0), (2, 2)), "wrap")[:, None])
    expected = np.moveaxis(model.predict_contributions(fields), -1, 1)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_what_cannot_be_exported_is_named(model, tmp_path):
    from sklearn.linear_model import Ridge

    fields = RNG.normal(size=(6, 8, 8))
    y = fields.sum(axis=(1, 2))
    path = tmp_path / "a.onnx"
    with pytest.raises(TileModelError, match="the tile model is a Ridge"):
        export_onnx(EDNNRegressor(Ridge()).fit(fields, y), path)
    with pytest.raises(TileModelError, match="needs a fitted EDNNRegressor, got Ridge"):
        export_onnx(Ridge(), path)
    with pytest.raises(ValueError, match="form must be one of tile, dense, got 'both'"):
        export_onnx(model, path, form="both")
    with pytest.raises(TileModelError, match="name one of them with `term`, got 'far'"):
        export_onnx(model, path, term="far")
    padded = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(128, 1))
    model = EDNNRegressor(padded, GridTiling(4, 2), solver=FIT).fit(fields, y)
    with pytest.raises(NotConvolutional):
        export_onnx(model, path, form="dense")
    terms = [("a", PaperDenseNet, GridTiling(1, 1)), ("b", PaperDenseNet, GridTiling(2, 0))]
    model = EDNNRegressor(terms, solver=FIT).fit(fields, y)
    with pytest.raises(TileModelError, match="name one of them with `term`, got None"):
        export_onnx(model, path)
    assert not list(tmp_path.iterdir())


def test_a_network_that_does_not_carry_over_is_not_written(tmp_path, monkeypatch):
    fields = RNG.normal(size=(6, 4, 4))
    model = EDNNRegressor(PaperDenseNet, GridTiling(1, 0), solver=FIT)
    model.fit(fields, fields.sum(axis=(1, 2)))

    def wrong(module, args, path, **params):
        import onnx
        from onnx import TensorProto, helper

        shape = ["n", 1, 1, 1]
        given = helper.make_tensor_value_info("tiles", TensorProto.FLOAT, shape)
        returned = helper.make_tensor_value_info("contributions", TensorProto.FLOAT, ["n", "m"])
        node = helper.make_node("Flatten", ["tiles"], ["contributions"])
        graph = helper.make_graph([node], "wrong", [given], [returned])
        opset = [helper.make_opsetid("", 18)]
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)

    monkeypatch.setattr("torch.onnx.export", wrong)
    with pytest.raises(
        TileModelError, match=r"ONNX Runtime returns contributions .* with an error of"
    ):
        export_onnx(model, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


class Looked(nn.Module):
    """Labels, looked up."""

    def __init__(self):
        super().__init__()
        self.table, self.outer = nn.Embedding(3, 2), nn.Linear(18, 1)

    def forward(self, x):
        return self.outer(self.table(x.flatten(1).long()).flatten(1))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["grey", "doubles", "labels"])
def test_units_precision_and_labels_go_along(kind, tmp_path):
    net = nn.Sequential(nn.Flatten(), nn.Linear(9, 8), nn.SiLU(), nn.Linear(8, 1))
    fields, near = 4000 + 300 * RNG.normal(size=(12, 6, 6)), 1e-4
    if kind == "doubles":
        net, fields, near = net.double(), 1e8 + RNG.normal(size=(12, 6, 6)), 1e-9
    if kind == "labels":
        net, fields = Looked(), RNG.integers(0, 3, size=(12, 6, 6))
    model = EDNNRegressor(net, GridTiling(1, 1), solver=FIT, random_state=0)
    model.fit(fields, (fields > fields.mean()).sum(axis=(1, 2)))
    assert (model.tile_model_.standardization is None) == (kind == "labels")
    export_onnx(model, tmp_path / "tile.onnx")
    tiles = model.tiling_.tiles(fields).array()[:, None]
    tiles = tiles.astype(np.float64 if kind == "doubles" else np.float32)
    expected = model.predict_contributions(fields).reshape(-1, 1)
    np.testing.assert_allclose(run(tmp_path / "tile.onnx", tiles=tiles), expected, atol=near)
