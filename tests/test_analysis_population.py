"""Population statistics against populations whose truth is known."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from temwatch.analysis.statistics import (
    border,
    comparison,
    convergence,
    distributions,
    manual_table,
    population,
)
from temwatch.analysis.statistics.summary import summarise


def fields_of(random, fields, particles, *, between=0.05, within=0.3):
    """Log-normal diameters with a shift that all particles of a field share."""
    field = np.repeat(np.arange(fields), particles)
    shift = random.normal(0, between, fields)[field]
    return np.exp(math.log(3) + shift + random.normal(0, within, len(field))), field


def made(values, field=None, fields=None, weights=None):
    values = np.asarray(values, float)
    field = np.zeros(len(values), int) if field is None else np.asarray(field)
    return population.make_population(
        values, field, int(field.max()) + 1 if fields is None else fields, weights
    )


def test_equal_weights_give_the_figures_of_the_summary():
    """Population and summary.json must not disagree."""
    random = np.random.default_rng(1)
    x, field = fields_of(random, 5, 40)
    expected = summarise({"equivalent_diameter_nm": x})["equivalent_diameter_nm"]
    found = made(x, field).figures
    for name in ("mean", "sd", "d10", "d50", "d90"):
        assert expected[name] == pytest.approx(found[name].value, rel=1e-12)
    assert math.exp(np.log(x).std(ddof=1)) == pytest.approx(found["gsd"].value)


def test_intervals_hold_the_truth_as_often_as_they_say():
    """95 % of intervals of mean and D50 hold it, though particles of a field are alike; drawing particles
    instead of fields would give a fraction of that."""
    random = np.random.default_rng(2)
    between, within, fields, particles = 0.1, 0.3, 8, 60
    total = math.hypot(between, within)
    truth = {"mean": 3 * math.exp(total**2 / 2), "d50": 3.0}
    held, naive, trials = {"mean": 0, "d50": 0}, 0, 250
    for _ in range(trials):
        x, field = fields_of(random, fields, particles, between=between, within=within)
        found = made(x, field).figures
        for name, value in truth.items():
            held[name] += abs(found[name].value - value) <= found[name].half_width
        naive += abs(x.mean() - truth["mean"]) <= 1.96 * x.std() / math.sqrt(len(x))
    assert 0.91 <= held["mean"] / trials <= 0.985, held
    assert 0.91 <= held["d50"] / trials <= 0.985, held
    assert 0.75 > naive / trials


@pytest.mark.parametrize("fields", [40, 50, 256, 700])
def test_the_bootstrap_of_the_mean_agrees_with_theory(fields):
    """For fields of equal size its standard error is that of the means of the fields."""
    random = np.random.default_rng(3)
    x, field = fields_of(random, fields, 30)
    means = x.reshape(fields, 30).mean(axis=1)
    expected = population.interval_factor(fields) * means.std(ddof=0) / math.sqrt(fields)
    assert expected == pytest.approx(made(x, field).figures["mean"].half_width, rel=0.07)


def test_one_more_of_many_fields_changes_the_interval_by_little():
    """The draws of the fields before it stay as they are, so that the page does not flicker."""
    x, field = fields_of(np.random.default_rng(4), 301, 30)
    before, after = (
        made(x[: 30 * fields], field[: 30 * fields]).figures["d50"].half_width for fields in (300, 301)
    )
    assert before == pytest.approx(after, rel=0.01)


def test_few_fields_have_no_interval_and_nothing_has_no_figures():
    """Below four, fields cannot say how much they differ."""
    found = made([1.0, 2.0, 3.0]).figures
    assert 2.0 == found["mean"].value
    assert found["mean"].half_width is None
    for fields, has_interval in ((3, False), (4, True)):
        found = made(np.arange(12.0), np.arange(12) % fields).figures
        assert has_interval == (found["mean"].half_width is not None)
    assert [5, 6] == [step.fields for step in convergence.steps(made(np.arange(12.0), np.arange(12) % 6))]
    assert made([], fields=3).figures["mean"].value is None


def test_volume_weighting_agrees_with_hatch_and_choate():
    """The volume-weighted median of a log-normal population is exp(3 s^2) times the number median."""
    random = np.random.default_rng(4)
    s = 0.25
    x = 4 * np.exp(random.normal(0, s, 400_000))
    found = made(x, weights=x**3).figures
    assert 4 * math.exp(3 * s**2) == pytest.approx(found["d50"].value, rel=0.01)
    assert math.exp(s) == pytest.approx(found["gsd"].value, rel=0.01)


def test_a_histogram_loses_nothing_and_its_density_integrates_to_one():
    """Every particle is in one bin, whatever its weight."""
    random = np.random.default_rng(5)
    x, field = fields_of(random, 4, 500)
    found = population.histogram(made(x, field, weights=x**3))
    assert 2000 == found.counts.sum()
    assert 1 == pytest.approx(float((found.density * np.diff(found.edges)).sum()))
    width = np.diff(found.edges)
    assert width == pytest.approx(np.full(len(width), width[0]))
    assert f"{width[0]:.3g}".strip("0.")[0] in "125"


@pytest.mark.parametrize("values", [[2.0], [2.0, 2.0, 2.0], [0.0, 0.0], [1.0, 1e6], [-1.0, 0.0, 5.0]])
def test_awkward_values_have_a_histogram(values):
    """One value, equal values, zeros, a wild outlier."""
    found = population.histogram(made(values))
    assert len(values) == found.counts.sum()
    assert (np.diff(found.edges) > 0).all()
    distributions.fits(made(values))
    population.density(made(values))


def test_the_smooth_density_integrates_to_one_and_follows_the_truth():
    """Gaussian kernels on 20,000 values of a normal distribution."""
    x = np.random.default_rng(6).normal(10, 2, 20_000)
    at, y = population.density(made(x))
    assert 1 == pytest.approx(float(np.trapezoid(y, at)), rel=0.01)
    truth = np.exp(-0.5 * ((at - 10) / 2) ** 2) / (2 * math.sqrt(2 * math.pi))
    assert np.abs(y - truth).max() < 0.01


def test_the_smooth_density_keeps_to_what_can_be():
    """Nothing lies beyond a limit, nothing is lost there, and what is flat stays flat."""
    x = np.random.default_rng(6).uniform(0, 1, 20_000)
    at, y = population.density(made(x), limits=(0.0, 1.0))
    assert (0, 1) == (at[0], at[-1])
    assert 1 == pytest.approx(float(np.trapezoid(y, at)), rel=0.01)
    assert np.abs(y - 1).max() < 0.15


@pytest.mark.parametrize("name", ["normal", "log-normal"])
def test_the_better_fit_is_the_one_the_values_came_from(name):
    """With its parameters, and a small distance."""
    random = np.random.default_rng(7)
    x = random.normal(10, 2, 4000) if name == "normal" else np.exp(random.normal(1, 0.4, 4000))
    best, other = distributions.fits(made(x))
    assert name == best.name
    assert best.distance < 0.02 < other.distance
    assert ((10, 2) if name == "normal" else (1, 0.4)) == (
        pytest.approx(best.location, rel=0.03),
        pytest.approx(best.scale, rel=0.03),
    )


def test_fits_that_the_data_do_not_tell_apart_are_equal():
    """A narrow log-normal distribution is a normal one; a wide one is not."""
    from scipy import special

    quantiles = np.linspace(0.005, 0.995, 100)
    for spread, expected in ((0.002, True), (0.5, False)):
        values = np.exp(spread * special.ndtri(quantiles))
        found = distributions.fits(made(values))
        assert expected == distributions.are_equal(found), spread
    assert not distributions.are_equal(found[:1])


def test_akaike_and_distance_agree_with_scipy():
    """The closed forms are the likelihoods and the Kolmogorov-Smirnov statistic of scipy."""
    from scipy import stats

    x = np.exp(np.random.default_rng(8).normal(1, 0.3, 300))
    found = {fit.name: fit for fit in distributions.fits(made(x))}
    normal = stats.norm(x.mean(), x.std())
    lognormal = stats.lognorm(np.log(x).std(), scale=math.exp(np.log(x).mean()))
    for name, model in (("normal", normal), ("log-normal", lognormal)):
        assert 4 - 2 * model.logpdf(x).sum() == pytest.approx(found[name].aic)
        assert stats.kstest(x, model.cdf).statistic == pytest.approx(found[name].distance)
        at = np.linspace(0.5, 8, 20)
        assert model.pdf(at) == pytest.approx(distributions.fitted_density(found[name], at))


def test_the_border_correction_brings_a_simulated_field_back_to_the_truth():
    """Discs thrown on a plane, those that touch the border of the field left out, as the pipeline does."""
    random = np.random.default_rng(9)
    width, height = 220, 160
    diameter = np.where(random.random(60_000) < 0.5, 10.0, 60.0)
    x = random.uniform(-60, width + 60, len(diameter))
    y = random.uniform(-60, height + 60, len(diameter))
    left, right = np.ceil(x - diameter / 2 - 0.5), np.floor(x + diameter / 2 - 0.5)
    top, bottom = np.ceil(y - diameter / 2 - 0.5), np.floor(y + diameter / 2 - 0.5)
    whole = (left > 0) & (top > 0) & (right < width - 1) & (bottom < height - 1)
    p = border.inclusion_probability(
        (right - left + 1)[whole],
        (bottom - top + 1)[whole],
        np.full(whole.sum(), width),
        np.full(whole.sum(), height),
    )
    weights = border.border_weights(p)
    raw = float(diameter[whole].mean())
    corrected = float(np.average(diameter[whole], weights=weights))
    assert raw < 33  # the truth is 35
    assert 35 == pytest.approx(corrected, rel=0.02)
    # and the number of particles whose centres lie within the field
    inside = ((x > 0) & (x < width) & (y > 0) & (y < height)).sum()
    assert inside == pytest.approx(weights.sum(), rel=0.03)


def test_a_particle_as_large_as_the_field_counts_nothing():
    """Its probability to be seen whole is none."""
    p = border.inclusion_probability(*np.array([[99.0], [10.0], [100.0], [100.0]]))
    assert [0.0] == border.border_weights(p).tolist()


def test_half_widths_shrink_and_the_forecast_comes_true():
    """The number foretold after 12 fields has, on the average, the half-width that was wanted."""
    random = np.random.default_rng(10)
    reached = []
    for _ in range(20):
        x, field = fields_of(random, 400, 20, between=0.1)
        first = field < 12
        now = convergence.steps(made(x[first], field[first], 12))[-1]
        needed = convergence.fields_needed(now.mean, 12, 0.02)
        part = field < needed
        reached.append(convergence.steps(made(x[part], field[part], needed))[-1].mean)
    assert 0.02 == pytest.approx(float(np.mean(reached)), rel=0.1)


def test_earlier_steps_are_what_was_said_then():
    """The half-widths of the first fields are those that the page showed when there were no more."""
    x, field = fields_of(np.random.default_rng(12), 40, 60)
    for step in convergence.steps(made(x, field))[:-1]:
        first = field < step.fields
        assert convergence.steps(made(x[first], field[first], step.fields))[-1] == step


def test_what_is_kept_of_earlier_steps_changes_nothing():
    """A curve that grew with its micrographs is the curve of all of them, a sequence that grows included."""
    x, field = fields_of(np.random.default_rng(13), 25, 40)
    field[::7] = 1  # frames of one sequence come between micrographs
    known = {}
    for until in (200, 333, 700, len(x)):
        part = made(x[:until], field[:until], int(field[:until].max()) + 1)
        assert convergence.steps(part, known) == convergence.steps(part)


def test_the_last_step_alone_is_that_of_the_curve():
    """What is asked with every micrograph agrees with what is asked now and then."""
    x, field = fields_of(np.random.default_rng(14), 12, 30)
    assert convergence.steps(made(x, field))[-1:] == convergence.last_step(made(x, field))
    assert [] == convergence.last_step(made([1.0, 2.0]))


def test_steps_end_with_the_figures_of_the_whole():
    """What the page says beside the histogram is the last point of the curve."""
    x, field = fields_of(np.random.default_rng(11), 30, 20)
    found = convergence.steps(made(x, field))
    whole = made(x, field).figures
    assert (30, 600) == (found[-1].fields, found[-1].particles)
    assert whole["mean"].half_width / whole["mean"].value == found[-1].mean
    assert whole["d50"].half_width / whole["d50"].value == found[-1].d50


def test_too_little_foretells_nothing():
    """Three fields, or a target out of reach."""
    assert convergence.fields_needed(0.1, 3, 0.02) is None
    assert convergence.fields_needed(1.0, 4, 1e-9) is None
    assert convergence.steps(made([1.0, 2.0])) == []


@pytest.mark.parametrize("figure", ["mean", "d50", "volume_mean"])
def test_independent_particles_needed_give_the_error_that_was_wanted(figure):
    """Many simulated samples of that size: 95 % of them are within the target."""
    gsd, target = 1.3, 0.05
    count = convergence.independent_particles_needed(gsd, target)[figure]
    x = np.exp(np.random.default_rng(12).normal(0, math.log(gsd), (2000, count)))
    found = {
        "mean": lambda: x.mean(axis=1),
        "d50": lambda: np.median(x, axis=1),
        "volume_mean": lambda: (x**4).sum(axis=1) / (x**3).sum(axis=1),
    }[figure]()
    s2 = math.log(gsd) ** 2
    truth = {"mean": math.exp(s2 / 2), "d50": 1.0, "volume_mean": math.exp(3.5 * s2)}[figure]
    assert 0.95 == pytest.approx(float((np.abs(found / truth - 1) <= target).mean()), abs=0.02)


def test_a_comparison_agrees_with_scipy_and_sees_a_shift():
    """Same distribution: no small p; shifted by half a deviation: a tiny one."""
    from scipy import stats

    random = np.random.default_rng(13)
    ours, same, shifted = random.normal(5, 1, 400), random.normal(5, 1, 150), random.normal(5.5, 1, 150)
    assert comparison.compare(ours, same).welch_p > 0.01
    found = comparison.compare(ours, shifted)
    assert found.welch_p < 1e-4
    assert found.ks_p < 1e-3
    assert stats.ttest_ind(ours, shifted, equal_var=False).pvalue == pytest.approx(found.welch_p)
    assert stats.ks_2samp(ours, shifted).statistic == pytest.approx(found.ks_distance)
    assert found.difference == pytest.approx(shifted.mean() - ours.mean())
    assert comparison.compare(ours, same[:2]) is None


@pytest.mark.parametrize(
    ("text", "expected", "name"),
    [
        ("2.1\n2.2\n2.3\n", [2.1, 2.2, 2.3], "column 1"),
        ("diameter_nm\n2.1\n2.2\n2.3\n", [2.1, 2.2, 2.3], "diameter_nm"),
        ("\ufeffNo.;Diameter [nm];Note\n1;2,1;a\n2;2,2;b\n3;2,3;\n", [2.1, 2.2, 2.3], "Diameter [nm]"),
        ("n,Area,Feret\n1,9,2.1\n2,9,2.2\n3,9,2.3\n", [2.1, 2.2, 2.3], "Feret"),
        (" ,Label,Length\n1,a,2.1\n2,a,2.2\n3,a,2.3\n", [2.1, 2.2, 2.3], "Length"),
        ("diameter (µm)\n0.0021\n0.0022\n0.0023\n", [2.1, 2.2, 2.3], "diameter (µm)"),
        ("d\n2,1\n2,2\n2,3\n", [2.1, 2.2, 2.3], "d"),
        ("1\t2.1\n2\t2.2\n3\t2.3\n", [2.1, 2.2, 2.3], "column 2"),
        ("diameter_nm\n2.1\n\n-1\nnan\nx\n2.2\n2.3\n", [2.1, 2.2, 2.3], "diameter_nm"),
        ("n;Durchmesser (nm);Max\n1;2,1;9\n2;2,2;9\n3;2,3;9\n", [2.1, 2.2, 2.3], "Durchmesser (nm)"),
        ("n;Fläche [nm²];Max\n1;3,463606;9\n2;3,801327;9\n3;4,154756;9\n", [2.1, 2.2, 2.3], "Fläche [nm²]"),
        ("no,rayon (µm),max\n1,0.00105,9\n2,0.0011,9\n3,0.00115,9\n", [2.1, 2.2, 2.3], "rayon (µm)"),
        ("n\tDiámetro (Å)\tMax\n1\t21\t9\n2\t22\t9\n3\t23\t9\n", [2.1, 2.2, 2.3], "Diámetro (Å)"),
        (
            "n;diamètre équivalent;diamètre min\n1;2,1;9\n2;2,2;9\n3;2,3;9\n",
            [2.1, 2.2, 2.3],
            "diamètre équivalent",
        ),
        (
            " ,Area,Mean,Min,Max,Feret,FeretX,FeretY,FeretAngle,MinFeret\n"
            + "".join(f"{n},9,100,50,200,2.{n},5,6,45,1.9\n" for n in (1, 2, 3)),
            [2.1, 2.2, 2.3],
            "Feret",
        ),
        (
            " ,Area,Mean,Min,Max,Angle,Length\n" + "".join(f"{n},9,100,50,200,45,2.{n}\n" for n in (1, 2, 3)),
            [2.1, 2.2, 2.3],
            "Length",
        ),
        ("sep=;\nDiameter\n2,1\n2,2\n2,3\n", [2.1, 2.2, 2.3], "Diameter"),
        ("d;x\n987,5;a\n1.234,5;b\n1.250;c\n", [987.5, 1234.5, 1250], "d"),
        ('d,x\n987.5,a\n"1,234.5",b\n"1,250",c\n', [987.5, 1234.5, 1250], "d"),
        ('d,x\n987,a\n"1,234",b\n"1,250",c\n', [987, 1234, 1250], "d"),
        ('d,x\n"2,1",a\n"2,25",b\n3,c\n', [2.1, 2.25, 3], "d"),
        ("d;x\n987,5;a\n1\u202f234,5;b\n1 250;c\n", [987.5, 1234.5, 1250], "d"),
        ("d;x\n987.5;a\n1'234.5;b\n1’250;c\n", [987.5, 1234.5, 1250], "d"),
        ("Ø (Ångström)\n21\n22\n23\n", [2.1, 2.2, 2.3], "Ø (Ångström)"),
        ("Diameter (A)\n21\n22\n23\n", [2.1, 2.2, 2.3], "Diameter (A)"),
        ("Diameter (m)\n2.1e-9\n2.2e-9\n2.3e-9\n", [2.1, 2.2, 2.3], "Diameter (m)"),
        ("Diámetro [micras]\n0,0021\n0,0022\n0,0023\n", [2.1, 2.2, 2.3], "Diámetro [micras]"),
        (
            "Durchmesser in Mikrometern\n0,0021\n0,0022\n0,0023\n",
            [2.1, 2.2, 2.3],
            "Durchmesser in Mikrometern",
        ),
        ("Nr;Durchmesser\n;[µm]\n1;0,0021\n2;0,0022\n3;0,0023\n", [2.1, 2.2, 2.3], "Durchmesser"),
        ("Diamètre;Unité\n21;Å\n22;Å\n23;Å\n", [2.1, 2.2, 2.3], "Diamètre"),
        (
            "Nr;Flächenanteil;Durchmesser\n1;7;2,1\n2;8;2,2\n3;9;2,3\nMittelwert;8;2,2\nStdAbw;1;0,1\n",
            [2.1, 2.2, 2.3],
            "Durchmesser",
        ),
        (
            " ,Label,%Area,Feret\n1,a,7,2.1\n2,a,8,2.2\n3,a,9,2.3\n4,Mean,8,2.2\n5,SD,1,.1\n6,Max,9,2.3\n",
            [2.1, 2.2, 2.3],
            "Feret",
        ),
    ],
)
def test_tables_of_people_are_understood(text, expected, name):
    """Excel of two languages, ImageJ, a bare column."""
    values, column = manual_table.diameters(text)
    assert expected == pytest.approx(values.tolist())
    assert name == column


@pytest.mark.parametrize("text", ["", "\n\n", "a,b\nc,d\n", "1\n2\n", "\x00\x01"])
def test_what_holds_no_diameters_is_said_in_words(text):
    """One line, no traceback."""
    with pytest.raises(ValueError, match=r"^(the file is empty|no column )"):
        manual_table.diameters(text)


@pytest.mark.parametrize(
    ("text", "candidates"),
    [
        (" ,Label,Mean,Min,Max\n1,a,9,5,20\n2,a,8,4,21\n3,a,7,3,22\n", (" ", "Mean", "Min", "Max")),
        ("diameter 1,diameter 2\n1,2\n2,3\n3,4\n", ("diameter 1", "diameter 2")),
        ("1.5\t2.1\n2.5\t2.2\n2.5\t2.3\n", ("column 1", "column 2")),
        ("value\n1\n2\n3\n", ("value",)),
    ],
)
def test_a_table_without_a_known_column_asks_for_a_choice(text, candidates):
    """The grey value `Max` of ImageJ is no diameter; a person may choose any column."""
    with pytest.raises(manual_table.ChoiceNeeded) as asked:
        manual_table.diameters(text)
    assert tuple(name.strip() or "column 1" for name in candidates) == asked.value.candidates
    last = asked.value.candidates[-1]
    assert last == manual_table.diameters(text, last)[1]
    with pytest.raises(manual_table.NoColumn):
        manual_table.diameters(text, "none")


@pytest.mark.parametrize(
    "text",
    [
        "Durchmesser (Âµm)\n1\n2\n3\n",
        "diameter (dm)\n1\n2\n3\n",
        "diameter (nm) or µm\n1\n2\n3\n",
        "diameter;unit\n1;nm\n2;µm\n3;nm\n",
        "diameter;unit\n1;px\n2;px\n3;px\n",
    ],
)
def test_a_unit_that_is_not_clear_is_asked_for(text):
    """It is not taken for nm."""
    with pytest.raises(manual_table.NoColumn, match="save it in nm"):
        manual_table.diameters(text)


def test_pixels_are_no_nanometres():
    """The scale of the picture is not in the table."""
    with pytest.raises(manual_table.NoColumn, match="in pixels"):
        manual_table.diameters("Diameter (px)\n1\n2\n3\n")


HEADINGS = [
    "",
    "Max",
    "Area",
    "Fläche [nm²]",
    "Feret",
    "diamètre",
    "radio (µm)",
    "d",
    "x",
    "Länge (px)",
    "\0",
    '"',
]
CELLS = ["1", "2,5", "1e308", "-1", "nan", "", "a", '"', "1_0", "9" * 400, "\0", "\r", "½", "0x1", "1.2.3"]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # scipy: of samples that are nearly constant
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    rows=st.lists(
        st.lists(st.sampled_from(CELLS) | st.text(max_size=4) | st.floats().map(str), max_size=5), max_size=9
    ),
    heading=st.lists(st.sampled_from(HEADINGS) | st.text(max_size=8), max_size=5),
    separator=st.sampled_from(",;\t "),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    chosen=st.none() | st.sampled_from(HEADINGS) | st.just("column 1"),
)
def test_no_table_is_too_odd(rows, heading, separator, end, chosen):
    """Diameters in nm, finite and positive, or one line for a person."""
    text = end.join(separator.join(row) for row in [heading, *rows])
    try:
        values, name = manual_table.diameters(text, chosen)
    except (manual_table.NoColumn, manual_table.ChoiceNeeded):
        return
    assert name
    assert len(values) >= manual_table.FEWEST_VALUES
    assert np.isfinite(values).all()
    assert (values > 0).all()
    comparison.compare(np.linspace(1, 2, 20), values)
