"""Comparison of two samples whose particles come in fields."""

import numpy as np
import pytest
from scipy import stats

from temwatch.analysis.statistics import population
from temwatch.analysis.statistics.sample_difference import cliffs_delta, difference, holm


def made(values, field, weights=None):
    field = np.asarray(field, np.int64)
    return population.make_population(np.asarray(values, float), field, int(field.max()) + 1, weights)


def sample(random, *, mean=10.0, fields=8, each=40, between=0.5, within=2.0):
    """Particles of one field have something in common."""
    of_field = random.normal(mean, between, fields)
    values = of_field[:, None] + random.normal(0, within, (fields, each))
    return made(values.ravel(), np.repeat(np.arange(fields), each))


def test_with_equal_fields_it_is_welchs_test_of_the_means_of_fields():
    """The same t, degrees of freedom, p and interval as scipy has."""
    random = np.random.default_rng(1)
    one, other = sample(random), sample(random, mean=10.6, fields=6, between=0.9)
    means = [np.bincount(found.field, found.values) / np.bincount(found.field) for found in (one, other)]
    expected = stats.ttest_ind(means[1], means[0], equal_var=False)
    found = difference(one, other)
    assert expected.statistic == pytest.approx(found.t)
    assert expected.df == pytest.approx(found.degrees)
    assert expected.pvalue == pytest.approx(found.p)
    low, high = expected.confidence_interval()
    assert (low, high) == pytest.approx(
        (found.difference - found.half_width, found.difference + found.half_width)
    )


def test_particles_of_one_field_are_not_taken_for_independent():
    """Of 400 pairs of equal samples about 5 % are called different; t-tests of particles call a third."""
    random = np.random.default_rng(2)
    by_field = by_particle = 0
    for _ in range(400):
        one, other = sample(random), sample(random)
        by_field += difference(one, other).p < 0.05
        by_particle += stats.ttest_ind(one.values, other.values, equal_var=False).pvalue < 0.05
    assert 0.02 < by_field / 400 < 0.08
    assert by_particle / 400 > 0.2


def test_unequal_fields_keep_the_level():
    """Fields of 5 to 100 particles, also with weights by volume."""
    random = np.random.default_rng(3)
    called = np.zeros(2)
    for _ in range(400):
        pair = []
        for _ in range(2):
            counts = random.integers(5, 100, 12)
            field = np.repeat(np.arange(12), counts)
            values = np.exp(np.log(8) + random.normal(0, 0.05, 12)[field] + random.normal(0, 0.2, len(field)))
            pair.append((values, field))
        for power in (0, 1):
            found = difference(*(made(values, field, values ** (3 * power)) for values, field in pair))
            called[power] += found.p < 0.05
    assert (called / 400 < 0.09).all()
    assert (called / 400 > 0.015).all()


def test_cliffs_delta_counts_pairs():
    """Against all pairs, with ties and weights."""
    random = np.random.default_rng(4)
    a, b = random.integers(0, 6, 40).astype(float), random.integers(1, 8, 30).astype(float)
    weights = [random.uniform(0.5, 2, len(one)) for one in (a, b)]
    signs = np.sign(b[None, :] - a[:, None])
    first, second = (made(x, np.zeros(len(x)), w) for x, w in zip((a, b), weights, strict=True))
    expected = float((signs * weights[0][:, None] * weights[1]).sum() / (weights[0].sum() * weights[1].sum()))
    assert expected == pytest.approx(cliffs_delta(first, second))
    mann_whitney = stats.mannwhitneyu(b, a).statistic
    plain = [made(x, np.zeros(len(x))) for x in (a, b)]
    assert 2 * mann_whitney / (len(a) * len(b)) - 1 == pytest.approx(cliffs_delta(*plain))


@pytest.mark.parametrize(
    ("shift", "word"), [(0.0, "negligible"), (1.0, "small"), (1.6, "medium"), (6.0, "large")]
)
def test_an_effect_has_a_word(shift, word):
    """After Romano."""
    random = np.random.default_rng(5)
    found = difference(*(sample(random, mean=10 + by, fields=40, each=100, between=0) for by in (0.0, shift)))
    assert word == found.effect


def test_too_few_fields_have_no_test_and_nothing_has_no_difference():
    """The difference and its effect size are still known."""
    random = np.random.default_rng(6)
    found = difference(sample(random, fields=3), sample(random))
    assert (None, None, None) == (found.half_width, found.t, found.p)
    assert found.difference
    assert found.cliffs_delta
    assert (
        difference(made([1.0], [0]), population.make_population(np.empty(0), np.empty(0, np.int64), 4))
        is None
    )
    # fields without particles are no observations
    assert difference(made([1, 2, 3, 4.0], [0, 1, 2, 2]), sample(random)).p is None


def test_equal_values_need_no_test():
    """All particles of a sample have one size."""
    one, same, other = (made(np.full(8, size), np.arange(8)) for size in (3.0, 3.0, 4.0))
    assert (0.0, 1.0) == (difference(one, same).difference, difference(one, same).p)
    assert (1.0, 0.0, 1.0) == (
        difference(one, other).difference,
        difference(one, other).p,
        difference(one, other).cliffs_delta,
    )


@pytest.mark.parametrize("seed", range(5))
def test_rounding_is_no_difference(seed):
    """Means of the same value, with weights, differ in the last digit."""
    random = np.random.default_rng(seed)
    one, same = (
        made(np.full(50, 0.1 + 0.2), np.arange(50) % fields, random.uniform(0.5, 2, 50)) for fields in (6, 5)
    )
    assert 1.0 == difference(one, same).p


def test_p_values_are_adjusted_for_their_number():
    """By Holm's rule, in the order in which they were given."""
    assert [0.04, 0.06, 0.06, 0.9] == pytest.approx(holm([0.01, 0.02, 0.03, 0.9]).tolist())
    assert [0.9, 0.04] == pytest.approx(holm([0.9, 0.02]).tolist())
    assert [] == holm([]).tolist()
