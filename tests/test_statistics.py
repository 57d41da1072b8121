"Every statistic against scipy, scikit-learn or statsmodels on random input; the coverage of intervals by simulation."
import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax
from sklearn import metrics

from fakenews_nb.calibration import (
    aurc,
    choose_threshold,
    conformal_sets,
    conformal_threshold,
    coverage_at,
    fit_temperature,
    reliability_table,
    risk_coverage,
)
from fakenews_nb.core import FAKE, REAL
from fakenews_nb.data import load_articles
from fakenews_nb.error_analysis import find_slices
from fakenews_nb.evaluation import (
    Predictions,
    _bootstrap_scores,
    _curve_band,
    _probability_scores,
    _unit_weights,
    compare,
    evaluate_predictions,
    score_intervals,
)
from fakenews_nb.stats import _equal_mass_bins, bootstrap_weights, delong_interval, holm, mcnemar, wilson_interval


def random_predictions(n, rng, ties=False):
    "Random predictions of n articles, two fifths of them real; with `ties` many are equally confident."
    labels = (np.arange(n) < .4*n).astype(int)
    log_odds = rng.normal(1.5*(2*labels - 1), 1.5)
    if ties: log_odds = log_odds.round() + .25
    articles = pd.DataFrame({"id": np.arange(n).astype(str), "title": "", "text": "", "label": labels})
    return Predictions(articles, np.column_stack([np.zeros(n), log_odds]))


def probability_score(predictions, name):
    "One score of the probabilities."
    return _probability_scores(predictions, _unit_weights(predictions))[name][0]


def reference_scores(predictions, weights):
    "Scikit-learn's scores, with a weight per article."
    labels = predictions.labels
    predicted = predictions.predicted
    real = predictions.probabilities[:, REAL]
    def averaged(score): return score(labels, predicted, average="weighted", sample_weight=weights, zero_division=0)
    return {
        "accuracy": metrics.accuracy_score(labels, predicted, sample_weight=weights),
        "precision": averaged(metrics.precision_score),
        "recall": averaged(metrics.recall_score),
        "f1": averaged(metrics.f1_score),
        "macro_f1": metrics.f1_score(labels, predicted, average="macro", sample_weight=weights),
        "roc_auc": metrics.roc_auc_score(labels, real, sample_weight=weights),
        "log_loss": metrics.log_loss(labels, predictions.probabilities, sample_weight=weights),
        "brier": metrics.brier_score_loss(labels, real, sample_weight=weights)}


@pytest.mark.parametrize("ties", [False, True])
def test_scores_with_weights(ties):
    "Tolerance 1e-9 against scikit-learn, whose `sample_weight` does what our counts do."
    rng = np.random.default_rng(0)
    for _ in range(20):
        predictions = random_predictions(rng.integers(20, 300), rng, ties)
        resamples = bootstrap_weights(predictions.labels, 3, seed=1).astype(float)
        ours = _bootstrap_scores(predictions, resamples)
        for row, weights in enumerate(resamples):
            for name, value in reference_scores(predictions, weights).items():
                assert abs(ours.at[row, name] - value) < 1e-9, name


def test_calibration_error():
    "Tolerance 1e-9 against scikit-learn's `calibration_curve` with quantile bins."
    from sklearn.calibration import calibration_curve
    rng = np.random.default_rng(1)
    for _ in range(20):
        predictions = random_predictions(rng.integers(100, 500), rng)
        confidence = predictions.confidence
        right = (~predictions.wrong).astype(int)
        accuracies, confidences = calibration_curve(right, confidence, n_bins=15, strategy="quantile")
        sizes = np.bincount(_equal_mass_bins(confidence))
        expected = (sizes*np.abs(accuracies - confidences)).sum()/len(predictions)
        assert abs(probability_score(predictions, "ece") - expected) < 1e-9


def test_wilson():
    "Tolerance 1e-6 against statsmodels: our quantile of the normal distribution has seven digits."
    from statsmodels.stats.proportion import proportion_confint
    rng = np.random.default_rng(2)
    for _ in range(200):
        n = rng.integers(1, 5000)
        count = rng.integers(0, n + 1)
        assert np.allclose(wilson_interval(count, n), proportion_confint(count, n, method="wilson"), atol=1e-6)


def test_mcnemar():
    "Tolerance 1e-12 against statsmodels, which has no answer for two equal counts in the chi-squared variant."
    from statsmodels.stats.contingency_tables import mcnemar as reference
    rng = np.random.default_rng(2)
    for _ in range(200):
        only_first, only_second = rng.integers(0, 40, 2)
        exact = only_first + only_second < 25
        if only_first + only_second == 0: continue
        if not exact and only_first == only_second: continue
        table = [[10, only_first], [only_second, 10]]
        expected = reference(table, exact=exact, correction=True).pvalue
        assert abs(mcnemar(only_first, only_second) - expected) < 1e-12


def test_holm():
    "Tolerance 1e-12 against statsmodels."
    from statsmodels.stats.multitest import multipletests
    rng = np.random.default_rng(2)
    for _ in range(200):
        p_values = rng.random(rng.integers(1, 12))**3
        assert np.allclose(holm(p_values), multipletests(p_values, method="holm")[1], atol=1e-12)


def test_bootstrap_against_scipy():
    "Within one class the stratified bootstrap is the ordinary one: ends within .004 of `scipy.stats.bootstrap`."
    from scipy.stats import bootstrap
    real = random_predictions(400, np.random.default_rng(3)).take(np.arange(160))
    right = (~real.wrong).astype(float)
    settings = {"n_resamples": 20_000, "method": "percentile", "rng": np.random.default_rng(0)}
    expected = bootstrap((right,), np.mean, **settings).confidence_interval
    ours = score_intervals(real, n_resamples=20_000).loc["accuracy"]
    assert abs(ours.low - expected.low) < .004
    assert abs(ours.high - expected.high) < .004


def test_blocks_of_resamples():
    "A large test set is resampled in blocks, the block that starts at resample i with the seed plus i."
    predictions = random_predictions(20_000, np.random.default_rng(15))
    block = 10_000_000//len(predictions)
    first = bootstrap_weights(predictions.labels, block, seed=7)
    second = bootstrap_weights(predictions.labels, 100, seed=7 + block)
    accuracy = [_bootstrap_scores(predictions, weights).accuracy for weights in (first, second)]
    expected = pd.concat(accuracy).quantile([.025, .975])
    ours = score_intervals(predictions, n_resamples=block + 100, seed=7).loc["accuracy"]
    assert ours.low == expected.iloc[0]
    assert ours.high == expected.iloc[1]


def test_paired_difference():
    "The interval of the F1 difference equals one computed resample by resample with scikit-learn, to 1e-7."
    rng = np.random.default_rng(4)
    first = random_predictions(200, rng)
    second = Predictions(first.articles, first.logits + rng.normal(size=first.logits.shape))
    differences = []
    for weights in bootstrap_weights(first.labels, 200):
        first_f1 = metrics.f1_score(first.labels, first.predicted, average="weighted", sample_weight=weights)
        second_f1 = metrics.f1_score(second.labels, second.predicted, average="weighted", sample_weight=weights)
        differences.append(first_f1 - second_f1)
    comparison = compare(first, second, n_resamples=200)
    expected = np.quantile(differences, [.025, .975])
    assert np.allclose([comparison.low, comparison.high], expected, atol=1e-7)


def test_comparison_is_symmetric():
    rng = np.random.default_rng(4)
    first = random_predictions(200, rng)
    second = Predictions(first.articles, first.logits + rng.normal(size=first.logits.shape))
    forwards = compare(first, second, n_resamples=200)
    backwards = compare(second, first, n_resamples=200)
    assert backwards.p == forwards.p
    assert backwards.discordant == forwards.discordant[::-1]
    assert abs(backwards.difference + forwards.difference) < 1e-12


@pytest.mark.parametrize("scale", [.3, 1, 4])
def test_temperature(scale):
    "The temperature is that of a fine grid on scikit-learn's log loss, to 1 %."
    predictions = random_predictions(500, np.random.default_rng(5))
    predictions = Predictions(predictions.articles, scale*predictions.logits)
    grid = np.exp(np.linspace(-3, 3, 601))
    losses = []
    for temperature in grid:
        scaled = Predictions(predictions.articles, predictions.logits/temperature)
        losses.append(metrics.log_loss(predictions.labels, scaled.probabilities))
    assert abs(fit_temperature(predictions)/grid[np.argmin(losses)] - 1) < .011


def test_temperature_without_errors():
    "Without an error there is nothing to fit."
    predictions = random_predictions(500, np.random.default_rng(5))
    assert fit_temperature(Predictions(predictions.articles, np.eye(2)[predictions.labels]*5)) == 1


def total_cost(predictions, threshold, cost):
    "What the errors cost at a threshold, where a missed fake article costs `cost` and a false alarm 1."
    is_fake = predictions.labels == FAKE
    flagged = predictions.probabilities[:, FAKE] >= threshold
    return cost*(is_fake & ~flagged).sum() + (~is_fake & flagged).sum()


def test_threshold_of_least_cost():
    "No other threshold is cheaper."
    rng = np.random.default_rng(6)
    for _ in range(20):
        predictions = random_predictions(150, rng, ties=True)
        cost = rng.uniform(.2, 10)
        ours = total_cost(predictions, choose_threshold(predictions, cost=cost), cost)
        thresholds = [*predictions.probabilities[:, FAKE], 2]
        assert np.isclose(ours, min(total_cost(predictions, threshold, cost) for threshold in thresholds))


def test_threshold_of_wanted_precision():
    "The lowest of all thresholds that reach the precision is found."
    rng = np.random.default_rng(6)
    n_reached = 0
    for _ in range(20):
        predictions = random_predictions(150, rng, ties=True)
        probability = predictions.probabilities[:, FAKE]
        is_fake = predictions.labels == FAKE
        enough = [threshold for threshold in np.unique(probability) if is_fake[probability >= threshold].mean() >= .8]
        if not enough: continue
        n_reached += 1
        assert choose_threshold(predictions, precision=.8) == min(enough)
    assert n_reached > 10


def test_risk_coverage():
    "Against a loop over all thresholds."
    predictions = random_predictions(120, np.random.default_rng(7), ties=True)
    for row in risk_coverage(predictions).itertuples():
        answered = predictions.confidence >= row.confidence
        assert np.isclose(answered.mean(), row.coverage)
        assert np.isclose(predictions.wrong[answered].mean(), row.risk)


def test_coverage_at_a_risk():
    "Against a loop over all thresholds."
    predictions = random_predictions(120, np.random.default_rng(7), ties=True)
    coverages = [0.]
    for threshold in predictions.confidence:
        answered = predictions.confidence >= threshold
        if predictions.wrong[answered].mean() <= .1: coverages.append(answered.mean())
    assert np.isclose(coverage_at(predictions, .1), max(coverages))


def test_aurc():
    "Against the mean over 4,000 random orders of equally confident articles, to .002."
    rng = np.random.default_rng(7)
    predictions = random_predictions(120, rng, ties=True)
    areas = []
    for _ in range(4000):
        order = np.lexsort([rng.random(120), -predictions.confidence])
        risks = predictions.wrong[order].cumsum()/np.arange(1, 121)
        areas.append(risks.mean())
    assert abs(np.mean(areas) - aurc(predictions)) < .002


@pytest.mark.parametrize("ties", [False, True])
def test_roc_curve(ties):
    "The curve is scikit-learn's, to 1e-9."
    predictions = random_predictions(200, np.random.default_rng(8), ties)
    fpr, tpr, _ = metrics.roc_curve(predictions.labels, predictions.log_odds, drop_intermediate=False)
    band = _curve_band(predictions, "roc", n_resamples=20)
    assert np.allclose(band.y, np.interp(band.x, fpr, tpr), atol=1e-9)


@pytest.mark.parametrize("ties", [False, True])
def test_end_of_the_precision_recall_curve(ties):
    "Where all fake articles are found, the precision is scikit-learn's."
    predictions = random_predictions(200, np.random.default_rng(8), ties)
    precision, recall, _ = metrics.precision_recall_curve(predictions.labels == FAKE, -predictions.log_odds)
    band = _curve_band(predictions, "pr", n_resamples=20)
    assert np.isclose(band.y.iloc[-1], precision[np.flatnonzero(recall == 1)[-1]])


def test_area_of_the_precision_recall_curve():
    "The area is scikit-learn's average precision, to .01."
    predictions = random_predictions(200, np.random.default_rng(8))
    band = _curve_band(predictions, "pr", n_resamples=20)
    expected = metrics.average_precision_score(predictions.labels == FAKE, -predictions.log_odds)
    assert abs(band.y.mean() - expected) < .01


def test_delong():
    "The AUC is scikit-learn's to 1e-12, and the interval is the bootstrap's to .01."
    predictions = random_predictions(800, np.random.default_rng(9))
    auc, low, high = delong_interval(predictions.log_odds, predictions.labels)
    bootstrap = score_intervals(predictions).loc["roc_auc"]
    assert abs(auc - metrics.roc_auc_score(predictions.labels, predictions.log_odds)) < 1e-12
    assert abs(low - bootstrap.low) < .01
    assert abs(high - bootstrap.high) < .01


def test_coverage_of_the_intervals():
    "93 to 97 % of 1,000 samples have intervals that contain the true value: Wilson's, and those of six scores."
    rng = np.random.default_rng(10)
    population = random_predictions(2_000_000, rng)
    truth = _bootstrap_scores(population, _unit_weights(population)).iloc[0]
    names = ["accuracy", "f1", "macro_f1", "roc_auc", "log_loss", "brier"]
    contained = dict.fromkeys(["wilson", *names], 0)
    n_samples = 1000
    for seed in range(n_samples):
        predictions = random_predictions(400, rng)
        low, high = wilson_interval((~predictions.wrong).sum(), len(predictions))
        contained["wilson"] += low <= truth.accuracy <= high
        intervals = score_intervals(predictions, n_resamples=400, seed=seed)
        for name in names: contained[name] += intervals.low[name] <= truth[name] <= intervals.high[name]
    print(contained)
    for name, count in contained.items(): assert .93 <= count/n_samples <= .97, name


def test_coverage_of_the_calibration_error():
    "The basic interval contains the true value in 82 to 97 % of 200 samples, the percentile interval in under half."
    rng = np.random.default_rng(14)
    truth = probability_score(random_predictions(2_000_000, rng), "ece")
    basic = []
    percentile = []
    for seed in range(200):
        ece = score_intervals(random_predictions(1000, rng), n_resamples=300, seed=seed).loc["ece"]
        basic.append(ece.low <= truth <= ece.high)
        percentile.append(2*ece.value - ece.high <= truth <= 2*ece.value - ece.low)
    print(np.mean(basic), np.mean(percentile))
    assert .82 <= np.mean(basic) <= .97
    assert np.mean(percentile) < .5


@pytest.mark.parametrize("error_rate", [.05, .2])
def test_conformal_error_rate(error_rate):
    "Sets miss the true label at the chosen rate: at most .01 above and .02 below, over 400 validation samples."
    rng = np.random.default_rng(11)
    missed = []
    for _ in range(400):
        validation = random_predictions(200, rng)
        test = random_predictions(500, rng)
        sets = conformal_sets(test, conformal_threshold(validation, error_rate))
        truth = np.array(["fake", "real"])[test.labels]
        missed.append(((sets != truth) & (sets != "either")).mean())
    assert np.mean(missed) > error_rate - .02
    assert np.mean(missed) < error_rate + .01


def test_log_loss_of_huge_logits():
    "No overflow: the loss of a confident and wrong prediction is the difference of its logits."
    predictions = random_predictions(10, np.random.default_rng(12))
    wrong = Predictions(predictions.articles, np.eye(2)[1 - predictions.labels]*1000.)
    assert np.isclose(probability_score(wrong, "log_loss"), 1000)
    assert np.isfinite(log_softmax(wrong.logits, axis=1)).all()


@pytest.fixture(scope="module")
def source_sized():
    "As many predictions as the test set of the source notebook has: 6,735."
    articles = pd.concat([load_articles("sample")]*12, ignore_index=True).head(6735)
    articles = articles.assign(id=[str(row) for row in range(6735)])
    logits = np.random.default_rng(13).normal(size=(6735, 2)) + 2*np.eye(2)[articles.label]
    return Predictions(articles, logits)


def test_intervals_at_full_size(source_sized):
    "benchmarks/statistics_time.py measures how long this takes."
    intervals = score_intervals(source_sized)
    scores = evaluate_predictions(source_sized)
    assert scores["n"] == 6735
    assert np.isfinite(intervals.to_numpy()).all()
    for name in ("accuracy", "f1", "precision", "recall", "macro_f1", "roc_auc"):
        assert abs(intervals.value[name] - scores[name]) < 1e-12, name


def test_calibration_at_full_size(source_sized):
    assert reliability_table(source_sized).articles.sum() == 6735
    assert .05 < fit_temperature(source_sized) < 50
    assert 0 < aurc(source_sized) < 1
    assert 0 < conformal_threshold(source_sized) < 1


def test_slices_at_full_size(source_sized):
    slices = find_slices(source_sized)
    assert len(slices) > 0
    assert (slices.n <= 6735).all()
