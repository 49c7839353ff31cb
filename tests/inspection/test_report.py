"""Reports: their numbers equal those of the functions, and their page is self-contained."""

import re
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling, ShiftAveraged
from sk_ednn.descriptors import PowerSpectrum
from sk_ednn.inspection import extensivity_report
from sk_ednn.metrics import extensive_errors, judge
from sk_ednn.report import fit_report
from sk_ednn.tiling import AbstractGridTiling, AtomTiling, BagTiling
from tests._cases import make_field, make_ising

matplotlib = pytest.importorskip("matplotlib")

VOID = {"meta", "br", "img", "hr", "input", "link"}
HOSTILE = "</style><script>alert('x')</script><img src=x onerror=alert(1)>\"'&amp;"


class Page(HTMLParser):
    """A page taken apart; raises where tags do not match."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes = [], Counter(), []
        self.values, self.text, self.styles, self.headless = [], [], [], 0
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += [(tag, key, value or "") for key, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "data":
            self.values.append(float(dict(attrs)["value"]))
        if tag == "tr":
            self.in_row = []
        elif tag in ("th", "td"):
            self.in_row.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "tr":
            self.headless += "th" not in self.in_row

    def handle_data(self, data):
        (self.styles if self.open and self.open[-1] == "style" else self.text).append(data)

    def all(self, key):
        return [value for _, name, value in self.attributes if name == key]


class Halves(AbstractGridTiling):
    """Two halves of a chain: a grid tiling that is not a GridTiling and cannot be drawn."""

    channel_axis = None

    def __init__(self):
        self.grid = GridTiling(4, 0, boundary="zero")

    def check(self, X, *, like=None):
        return self.grid.check(X, like=like)

    def tiles(self, X):
        return self.grid.tiles(X)

    def tile_grid(self, field_shape):
        return self.grid.tile_grid(field_shape)

    def tile_shape(self, field_shape):
        return self.grid.tile_shape(field_shape)

    def focus_sites(self, tile_shape):
        return self.grid.focus_sites(tile_shape)

    def affected(self, field_shape, changed):
        return self.grid.affected(field_shape, changed)

    def read(self, fields, block):
        return self.grid.read(fields, block)


def spins():
    X, y = make_ising(38, (6, 6))
    model = EDNNRegressor(Ridge(), GridTiling(2, 1)).fit(X[:30], y[:30])
    return model, (X[:30], y[:30]), (X[30:], y[30:])


def chains():
    X = make_field("float64", 26, (12, 2))
    y = np.stack([(X**2).sum(axis=(1, 2)), X.sum(axis=(1, 2))], axis=1)
    model = EDNNRegressor(Ridge(), GridTiling(2, 3, channel_axis=-1)).fit(X[:20], y[:20])
    return model, (X[:20], y[:20]), (X[20:], y[20:])


def cubes():
    X = make_field("float32", 8, (4, 4, 6))
    model = EDNNRegressor(Ridge(), GridTiling(2, 1, boundary="zero"))
    return model.fit(X, X.sum(axis=(1, 2, 3))), (X, X.sum(axis=(1, 2, 3))), None


def sizes():
    X = [make_field("float64", 1, (n, 4), seed=n)[0] for n in (4, 6, 8) * 5]
    y = np.array([(x**2).sum() for x in X])
    terms = [("near", Ridge(), GridTiling(1, 1)), ("<wide>", Ridge(), GridTiling(2, 1))]
    return EDNNRegressor(terms).fit(X[:9], y[:9]), (X[:9], y[:9]), (X[9:], y[9:])


def committee():
    X, y = make_ising(24, (4, 4))
    member = EDNNRegressor(make_pipeline(PolynomialFeatures(2), Ridge()))
    return EDNNCommittee(member, 2, random_state=0).fit(X, y), (X, y), (X[:1], y[:1])


def perceptron():
    pytest.importorskip("torch")
    X = make_field("float64", 20, (8,))
    # It stops by itself, without a warning, when nothing is gained for so many epochs.
    net = MLPRegressor(hidden_layer_sizes=(4,), n_iter_no_change=3, tol=1e9)
    model = EDNNRegressor(net, GridTiling(2, 1), random_state=0)
    return model.fit(X, X.sum(axis=1)), (X, X.sum(axis=1)), None


def whole():  # of one size alone: copies cannot be predicted
    X = make_field("float64", 12, (6,))
    model = EDNNRegressor(Ridge(), GridTiling(None, 0))
    return model.fit(X, X.sum(axis=1)), (X, X.sum(axis=1)), None


CASES = [spins, chains, cubes, sizes, perceptron]
CASES += [pytest.param(case, marks=pytest.mark.slow) for case in (committee, whole)]


@pytest.fixture(scope="module")
def plain():
    model, train, test = spins()
    return fit_report(model, *train, test=test, name="energies", unit="eV", n_probes=99)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.__name__)
def case(request, plain):
    model, train, test = request.param()
    report = plain
    if request.param is not spins:
        report = fit_report(model, *train, test=test, name="energies", unit="eV", n_probes=99)
    return request.param.__name__, model, train, test, report, Page(report.html)


def test_numbers_equal_those_of_the_functions(case):
    _, model, train, test, report, page = case
    expected = []
    for which, part in (("training", train), ("held back", test)):
        if part is None:
            assert which not in report.numbers["errors"]
            continue
        X, y = part
        true, predicted = (np.reshape(v, (len(y), -1)) for v in (y, model.predict(X)))
        channels = 2 if np.ndim(y) == 2 else 1
        n_sites = np.array([np.size(x) / channels for x in X])
        for k, result in enumerate(report.numbers["errors"][which]):
            errors = extensive_errors(true[:, k], predicted[:, k]).as_dict()
            errors["per_site"] = extensive_errors(true[:, k], predicted[:, k], n_sites).rmse
            errors["r2"] = r2_score(true[:, k], predicted[:, k]) if len(y) > 1 else np.nan
            assert result == pytest.approx(errors, nan_ok=True, abs=1e-12)
            expected += [
                result[key] for key in ("median", "mean", "rmse", "bias", "per_site", "r2")
            ]
        assert report.numbers["data"][which]["systems"] == len(X)
    laws = report.numbers["extensivity"]
    if "why_not" not in laws:
        probes = [np.asarray(x) for x in (train if test is None else test)[0]]
        result = extensivity_report(model, probes)
        assert laws["n_probes"] == len(probes)
        np.testing.assert_array_equal(laws["copies"], result.copies)
        np.testing.assert_array_equal(laws["shift_by_focus"], result.shift_by_focus)
        assert laws["additivity"] == result.additivity
        expected += [laws["additivity"], *laws["copies"], *laws["shift_by_focus"]]
        expected += [max(along) for along in laws["shifts"] if len(along) > 1]
    np.testing.assert_array_equal(page.values, expected)


def test_the_page_is_self_contained(case):
    *_, page = case
    ids = page.all("id")
    assert len(ids) == len(set(ids))
    for reference in page.all("href") + page.all("src"):
        assert reference.startswith("data:image/png;base64,") or reference[1:] in ids
    for value in page.all("style") + page.all("clip-path") + page.styles:
        assert set(re.findall(r"url\(([^)]*)\)", value)) <= {f"#{name}" for name in ids}
        assert "@import" not in value and "expression" not in value
    assert not {"script", "link", "iframe", "object", "img"} & set(page.tags)
    assert not [key for _, key, _ in page.attributes if key.startswith("on")]
    remote = [v for _, _, v in page.attributes if re.match(r"\s*(https?:|//|file:|javascript:)", v)]
    assert remote == []
    assert page.tags["title"] == page.tags["h1"] == page.tags["main"] == 1


def test_the_page_is_accessible(case):
    *_, page = case
    labels = [v for tag, key, v in page.attributes if tag == "svg" and key == "aria-label"]
    assert len(labels) == page.tags["svg"] == page.tags["figcaption"]
    assert all(labels)
    assert page.headless == 0
    assert ("html", "lang", "en") in page.attributes
    # No colour that a dark page would swallow: what was black is drawn as text is.
    drawn = " ".join(v for tag, key, v in page.attributes if key == "style" and tag != "svg")
    assert "#000000" not in drawn and "currentColor" in drawn


def test_seeds_drawn_by_a_fit_are_not_shown():
    X, y = make_ising(60, (4, 4))
    tile_model = make_pipeline(PolynomialFeatures(2), Ridge())
    for random_state in (0, np.random.RandomState(0)):
        model = EDNNRegressor(tile_model, GridTiling(1, 1), random_state=random_state).fit(X, y)
        drawn = model.tile_model_.estimator[-1].random_state
        assert drawn > 1000
        result = fit_report(model, X, y)
        assert str(drawn) not in result.html
        made_of = " ".join(result.numbers["model"].values())
        assert "random_state" not in made_of and "Ridge()" in made_of


def test_each_kind_of_field_is_drawn_or_the_page_gives_the_reason(case):
    name, *_, page = case
    text = " ".join(page.text)
    missing = [line for line in page.text if line.startswith("Not ")]
    # No section on a training where there was none by epochs.
    assert ("Training" in page.text) == (name == "perceptron")
    if name == "perceptron":
        assert re.search(r"Loss of [45] epochs\.", text)
    if name == "whole":
        assert len(missing) == 1
        assert missing[0].startswith("Not measured: ") and "8" not in missing[0].partition(":")[0]
    else:
        assert missing == []
    n_figures = {"spins": 4, "chains": 6, "cubes": 4, "sizes": 7, "committee": 4, "perceptron": 5}
    assert page.tags["figure"] == n_figures.get(name, 4)
    assert "The data determine only the sum" in text
    if name == "cubes":
        assert "the plane at site 3 along axis 0" in text and "not periodic" in text
    if name == "chains":
        assert "the sum of 2 channels is shown" in text
    if name == "sizes":
        assert "<wide>: " in text and "per square root of sites" in text
    if name == "committee":
        assert "by the first member of the committee" in text


def test_all_text_is_escaped():
    model, train, _ = spins()
    given = dict.fromkeys(("name", "unit", "title"), HOSTILE)
    given["about"] = {HOSTILE: HOSTILE, "bell\x07": "escape\x1b[2J\x00"}
    page = Page(fit_report(model, *train, sample=3, **given).html)
    assert "field 3 of the training data" in " ".join(page.text)
    assert not {"script", "img"} & set(page.tags) and page.tags["style"] == 1
    assert page.text.count(HOSTILE) == 4  # title, heading, and both sides of `about`
    assert "escape\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}" in page.text


def test_a_figure_that_fails_does_not_affect_the_rest():
    X = make_field("float64", 10, (8,))
    model = EDNNRegressor(Ridge(), Halves()).fit(X, X.sum(axis=1))
    page = Page(fit_report(model, X, X.sum(axis=1), name="$\\nonsense$").html)
    missing = [line for line in page.text if line.startswith("Not ")]
    # Twice a name that is not a formula, and no boundary to double a field at.
    assert len(missing) == 3 and page.tags["figure"] == 2
    assert sum("nonsense" in line for line in missing) == 2
    assert "all tilings must be GridTiling" in missing[-1]


def test_settings_of_matplotlib_neither_change_nor_matter(plain):
    import matplotlib.pyplot as plt

    model, train, test = spins()
    with plt.style.context("dark_background"), plt.rc_context({"font.size": 30}):
        before, figures = dict(matplotlib.rcParams), plt.get_fignums()
        given = {"test": test, "name": "energies", "unit": "eV", "n_probes": 99}
        html = fit_report(model, *train, **given).html
        assert dict(matplotlib.rcParams) == before and plt.get_fignums() == figures
    end = 'id="provenance"'  # contains the time, and the libraries imported by now
    assert html[: html.index(end)] == plain.html[: plain.html.index(end)]


def test_many_systems_are_rasterised_and_large_fields_omitted(plain):
    model, (X, y), _ = spins()
    many = fit_report(model, np.tile(X, (60, 1, 1)), np.tile(y, 60), max_sites=10)
    assert len(many.html) < 2 * len(plain.html)
    missing = [line for line in Page(many.html).text if line.startswith("Not ")]
    assert sum("36 sites, more than the 10 that a report draws" in line for line in missing) == 3


def test_lazy_fields_and_pipelines(plain):
    da = pytest.importorskip("dask.array")
    model, (X, y), _ = spins()
    lazy = fit_report(model, da.from_array(X, chunks=(10, 3, 3)), y, n_probes=2)
    (errors,) = lazy.numbers["errors"]["training"]
    assert errors == pytest.approx(plain.numbers["errors"]["training"][0], abs=1e-12)
    assert lazy.numbers["data"]["training"]["values"] is None
    assert "read in pieces, range unknown" in lazy.html
    chain = make_pipeline(FunctionTransformer(np.negative), model)
    report = fit_report(chain, -X, y, test=(-X[:2], y[:2]), n_probes=2)
    assert report.numbers["errors"]["training"] == plain.numbers["errors"]["training"]
    assert report.numbers["model"]["estimator"].startswith("Pipeline(")


def test_save_and_repr_html(plain, tmp_path):
    plain.save(tmp_path / "fit.html")
    assert (tmp_path / "fit.html").read_text(encoding="utf-8") == plain.html
    (inner,) = [v for tag, key, v in Page(plain._repr_html_()).attributes if key == "srcdoc"]
    assert inner == plain.html


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"y": np.zeros(3)}, r"y must have shape \(n_samples,\).*for 30 systems, got \(3,\)"),
        ({"y": np.zeros((30, 2))}, r"y has shape \(30, 2\), but the model predicts"),
        ({"sample": 30}, "sample must be from 0 to 29, got 30"),
        ({"estimator": Ridge()}, "Expected a fitted EDNNRegressor"),
        ({"test": np.zeros((30, 4))}, r"test must be a tuple of systems .*, got ndarray"),
        ({"test": (np.zeros((3, 4)),)}, r"test must be a tuple of systems .*, got tuple"),
    ],
)
def test_invalid_arguments_are_rejected(changed, message):
    model, (X, y), _ = spins()
    given = {"estimator": model, "X": X, "y": y} | changed
    with pytest.raises(ValueError, match=message):
        fit_report(given.pop("estimator"), given.pop("X"), given.pop("y"), **given)


def words_of(html):
    return " ".join(" ".join(Page(html).text).split())


@pytest.mark.parametrize("held_back", [True, False])
def test_the_verdict_is_that_of_judge_and_comes_first(held_back):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 6, 6)), rng.normal(100, 8, size=60)
    model = EDNNRegressor(Ridge(1e3), GridTiling(1, 0)).fit(X[:40], y[:40])
    test = (X[40:], y[40:]) if held_back else None
    report = fit_report(model, X[:40], y[:40], test=test, n_probes=2)
    judged = (X[40:], y[40:]) if held_back else (X[:40], y[:40])
    expected = judge(judged[1], model.predict(judged[0]), held_back=held_back)
    assert report.numbers["verdicts"] == [expected.as_dict()]
    assert "better than predicting the mean" in expected.doubts
    assert words_of(report.html).count(expected.doubts) == 2  # below the title, and with the errors
    assert ("none were held back" in words_of(report.html)) is not held_back


def test_systems_of_several_sizes_are_compared_with_their_sizes():
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(n, n)) for n in (4, 5, 6, 8, 10, 12) * 4]
    y = np.array([7.0 * field.size for field in X]) + rng.normal(size=len(X))
    model = EDNNRegressor(Ridge(1e3), GridTiling(1, 0)).fit(X, y)
    report = fit_report(model, X, y, test=(X, y), n_probes=2)
    (verdict,) = report.numbers["verdicts"]
    assert verdict["r2"] > 0.99 and verdict["over_size"] > 0.9
    assert "better than a constant times the size" in words_of(report.html)


def test_each_output_of_a_report_has_a_verdict():
    X = np.random.default_rng(0).normal(size=(40, 6, 6))
    y = np.stack([X.sum(axis=(1, 2)), np.random.default_rng(1).normal(size=40)], axis=1)
    model = EDNNRegressor(Ridge(1e-6), GridTiling(1, 0)).fit(X[:30], y[:30])
    report = fit_report(model, X[:30], y[:30], test=(X[30:], y[30:]), n_probes=2)
    good, bad = report.numbers["verdicts"]
    assert good["over_spread"] < 1e-6 and bad["over_spread"] > 0.5
    text = words_of(report.html)
    assert "totals (output 1): The model is" in text
    assert "totals (output 0): The model is" not in text


# --- systems without a grid -----------------------------------------------------------------------


def bags():
    """Counts in bags of 0 to 5 instances, with two totals."""
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(n, 3)) for n in [0, 1, 2, 3, 4, 5] * 4]
    y = np.array([[len(bag), bag.sum()] for bag in X])
    model = EDNNRegressor(Ridge(1e-6), BagTiling()).fit(X[:18], y[:18])
    return model, X, y


def structures(tile_model=None):
    ase = pytest.importorskip("ase")
    rng = np.random.default_rng(0)
    X = []
    for n in (2, 3, 4) * 6:
        numbers = [29] * (n - 1) + [79]
        atoms = ase.Atoms(numbers, positions=4.0 * rng.random((n, 3)), cell=[6.0] * 3, pbc=True)
        X.append(atoms)
    y = np.array([-3.5 * len(atoms) - 0.3 for atoms in X])
    descriptor = PowerSpectrum(cutoff=4.0, n_radial=2, max_l=1)
    tiling = AtomTiling(descriptor)
    if tile_model is None:
        return EDNNRegressor(Ridge(), tiling, baseline="content").fit(X[:12], y[:12]), X, y
    terms = AtomTiling.per_species(tile_model, descriptor, ["Cu", "Au"])
    return EDNNRegressor(terms).fit(X[:12], y[:12]), X, y


def test_report_of_bags_gives_sizes_and_no_figures_of_fields():
    model, X, y = bags()
    report = fit_report(model, X[:18], y[:18], test=(X[18:], y[18:]), unit="h")
    page, text = Page(report.html), words_of(report.html)
    data = report.numbers["data"]["training"]
    values = np.concatenate(X[:18])
    assert data["per"] == "instance" and data["features"] == 3
    assert data["sizes"] == {"least": 0, "greatest": 5, "mean": 2.5, "std": np.std(range(6))}
    assert data["values"] == {"least": values.min(), "greatest": values.max()}
    assert "shapes" not in data and "composition" not in data
    # Parity, distribution and growth of the errors of each output, and nothing else.
    assert page.tags["figure"] == 6
    assert not {"tiling", "contributions"} & set(page.all("id"))
    assert [line for line in page.text if line.startswith("Not ")] == []
    assert "RMSE per instance" in text and "0 to 5, mean 2.5" in text
    for k, errors in enumerate(report.numbers["errors"]["held back"]):
        true, predicted = y[19:, k], model.predict(X[19:])[:, k]  # X[18] is empty
        expected = extensive_errors(true, predicted, [1, 2, 3, 4, 5]).rmse
        assert errors["per_site"] == pytest.approx(expected, rel=1e-9)
        assert errors["r2"] > 0.99
    assert report.numbers["extensivity"]["additivity"] < 1e-12


@pytest.mark.parametrize("tile_model", [None, Ridge()], ids=["one term", "a term per species"])
def test_report_of_structures_gives_their_composition(tile_model):
    model, X, y = structures(tile_model)
    report = fit_report(model, X[:12], y[:12], test=(X[12:], y[12:]), name="energies", unit="eV")
    page, text = Page(report.html), words_of(report.html)
    data = report.numbers["data"]["training"]
    assert data["per"] == "atom"
    assert data["composition"] == {"Cu": 4 * (1 + 2 + 3), "Au": 12}
    assert (data["sizes"]["least"], data["sizes"]["greatest"]) == (2, 4)
    assert page.tags["figure"] == 3
    assert "Cu 66.7\N{NO-BREAK SPACE}%, Au 33.3\N{NO-BREAK SPACE}%" in report.html
    assert "RMSE per atom" in text and "PowerSpectrum" in text
    assert "only fields on a grid are doubled" in text.lower()
    (errors,) = report.numbers["errors"]["held back"]
    sizes = [len(atoms) for atoms in X[12:]]
    expected = extensive_errors(y[12:], model.predict(X[12:]), sizes)
    assert errors["per_site"] == pytest.approx(expected.rmse, rel=1e-9, abs=1e-12)
    assert errors["rmse"] < 1e-6  # the composition determines these energies
    assert report.numbers["extensivity"]["additivity"] < 1e-12


@pytest.mark.parametrize("kind", [bags, structures])
def test_additivity_of_any_systems_is_measured(kind, monkeypatch):
    model, X, y = kind()
    contributions = EDNNRegressor.predict_contributions

    def doubled(self, X):
        return [2 * values for values in contributions(self, X)]

    monkeypatch.setattr(EDNNRegressor, "predict_contributions", doubled)
    report = fit_report(model, X, y)
    totals = model.predict(X)
    n = report.numbers["extensivity"]["n_probes"]
    assert n == 8 and report.numbers["extensivity"]["additivity"] > 1.0
    assert len(totals) > n


def test_report_of_a_shift_average():
    X, y = make_ising(38, (6, 6))
    model = ShiftAveraged(EDNNRegressor(Ridge(), GridTiling(2, 1)), "all").fit(X[:30], y[:30])
    report = fit_report(model, X[:30], y[:30], n_probes=4)
    assert report.numbers["model"]["estimator"].startswith("ShiftAveraged(")
    assert max(max(along) for along in report.numbers["extensivity"]["shifts"]) < 1e-9
    assert "without an average over shifts" in words_of(report.html)
    assert [line for line in Page(report.html).text if line.startswith("Not ")] == []


def test_report_of_a_search_describes_the_best_estimator():
    X, y = make_ising(30, (4, 4))
    search = GridSearchCV(EDNNRegressor(Ridge(), GridTiling(2, 1)), {"tile_model__alpha": [7.0]})
    report = fit_report(search.fit(X, y), X, y, n_probes=1)
    assert "Ridge(alpha=7.0)" in report.numbers["model"]["tile model"]
    assert report.numbers["model"]["estimator"].startswith("GridSearchCV(")
