"Every statistic against scipy, scikit-learn or statsmodels on random input, and the coverage of the intervals by simulation."
import numpy as np
import pandas as pd
import pytest
from fakenews_nb.stats import delong_interval, wilson_interval
from fakenews_nb.stats import _equal_mass_bins, bootstrap_weights, holm, mcnemar
from fakenews_nb.evaluation import Predictions, _bootstrap_scores, _curve_band, compare, probability_scores, score_intervals
from fakenews_nb.calibration import aurc, choose_threshold, conformal_sets, conformal_threshold, coverage_at, fit_temperature, risk_coverage
from scipy.special import log_softmax
from sklearn import metrics


def made_up(n, rng, ties=False, strength=1.5, share=.4):
    "Random predictions, some of them wrong; with ties if wished."
    labels = (np.arange(n) < share*n).astype(int)
    margin = rng.normal(strength*(2*labels - 1), 1.5)
    margin = margin.round() + .25 if ties else margin
    articles = pd.DataFrame({"id": np.arange(n).astype(str), "title": "", "text": "", "label": labels})
    return Predictions(articles, np.column_stack([np.zeros(n), margin]))


@pytest.mark.parametrize("ties", [False, True])
def test_scores_with_weights(ties):
    "Tolerance 1e-9 against scikit-learn, whose sample_weight does what our counts do."
    rng = np.random.default_rng(0)
    for _ in range(20):
        p = made_up(rng.integers(20, 300), rng, ties)
        weights = bootstrap_weights(p.labels, 3, seed=1).astype(float)
        for drawn, w in zip(_bootstrap_scores(p, weights).itertuples(), weights):
            y, said, real = p.labels, p.predicted, p.probabilities[:, 1]
            precision, recall, f1, _ = metrics.precision_recall_fscore_support(y, said, average="weighted", sample_weight=w, zero_division=0)
            expected = {"accuracy": metrics.accuracy_score(y, said, sample_weight=w), "precision": precision, "recall": recall, "f1": f1,
                        "macro_f1": metrics.f1_score(y, said, average="macro", sample_weight=w), "roc_auc": metrics.roc_auc_score(y, real, sample_weight=w),
                        "log_loss": metrics.log_loss(y, p.probabilities, sample_weight=w), "brier": metrics.brier_score_loss(y, real, sample_weight=w)}
            for name, value in expected.items(): assert abs(getattr(drawn, name) - value) < 1e-9, name


def test_calibration_error():
    "Tolerance 1e-9 against scikit-learn's calibration_curve with quantile bins."
    from sklearn.calibration import calibration_curve
    rng = np.random.default_rng(1)
    for _ in range(20):
        p = made_up(rng.integers(100, 500), rng)
        confidence, right = p.probabilities.max(axis=1), (p.predicted == p.labels).astype(int)
        observed, stated = calibration_curve(right, confidence, n_bins=15, strategy="quantile")
        size = np.bincount(_equal_mass_bins(confidence))
        assert abs(probability_scores(p, np.ones((1, len(p))))["ece"][0] - (size*np.abs(observed - stated)).sum()/len(p)) < 1e-9


def test_wilson_mcnemar_holm():
    "Tolerance 1e-6 (our quantile of the normal distribution has seven digits), 1e-12 and 1e-12 against statsmodels."
    from statsmodels.stats.contingency_tables import mcnemar as reference
    from statsmodels.stats.multitest import multipletests
    from statsmodels.stats.proportion import proportion_confint
    rng = np.random.default_rng(2)
    for _ in range(200):
        n = rng.integers(1, 5000)
        count = rng.integers(0, n + 1)
        assert np.allclose(wilson_interval(count, n), proportion_confint(count, n, method="wilson"), atol=1e-6)
        a, b = rng.integers(0, 40, 2)
        exact = a + b < 25
        if a + b and (exact or a != b): assert abs(mcnemar(a, b) - reference([[10, a], [b, 10]], exact=exact, correction=True).pvalue) < 1e-12
        p = rng.random(rng.integers(1, 12))**3
        assert np.allclose(holm(p), multipletests(p, method="holm")[1], atol=1e-12)


def test_bootstrap_is_scipys():
    "In one class the stratified bootstrap is the plain one: ends within .004 of scipy.stats.bootstrap with as many draws."
    from scipy.stats import bootstrap
    p = made_up(400, np.random.default_rng(3)).take(np.arange(160))
    right = (p.predicted == p.labels).astype(float)
    reference = bootstrap((right,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(0)).confidence_interval
    found = score_intervals(p, n_resamples=20_000).loc["accuracy"]
    assert abs(found.low - reference.low) < .004 and abs(found.high - reference.high) < .004


def test_paired_difference():
    "The interval of the F1 difference equals one computed draw by draw with scikit-learn, to 1e-9."
    rng = np.random.default_rng(4)
    a = made_up(200, rng)
    b = Predictions(a.articles, a.logits + rng.normal(size=a.logits.shape))
    differences = [np.subtract(*(metrics.f1_score(p.labels, p.predicted, average="weighted", sample_weight=w) for p in (a, b))) for w in bootstrap_weights(a.labels, 200)]
    found = compare(a, b, n_resamples=200)
    assert np.allclose([found.low, found.high], np.quantile(differences, [.025, .975]), atol=1e-7)
    back = compare(b, a, n_resamples=200)
    assert back.p == found.p and abs(back.difference + found.difference) < 1e-12


def test_temperature():
    "The temperature is that of a fine grid on scikit-learn's log loss, to 1 %."
    rng = np.random.default_rng(5)
    for scale in (.3, 1, 4):
        p = made_up(500, rng)
        p = Predictions(p.articles, scale*p.logits)
        grid = np.exp(np.linspace(-3, 3, 601))
        best = grid[np.argmin([metrics.log_loss(p.labels, Predictions(p.articles, p.logits/t).probabilities) for t in grid])]
        assert abs(fit_temperature(p)/best - 1) < .011
    sure = Predictions(p.articles, np.eye(2)[p.labels]*5)
    assert fit_temperature(sure) == 1, "no error, nothing to learn"


def test_thresholds():
    "The threshold is that of a search over all of them."
    rng = np.random.default_rng(6)
    for _ in range(20):
        p = made_up(150, rng, ties=True)
        share, fake = p.probabilities[:, 0], p.labels == 0
        cost = rng.uniform(.2, 10)
        found = choose_threshold(p, cost=cost)
        def costs(t): return cost*(fake & (share < t)).sum() + (~fake & (share >= t)).sum()
        assert np.isclose(costs(found), min(costs(t) for t in [*share, 2])), "a cheaper threshold exists"
        precision = .8
        good = [t for t in np.unique(share) if fake[share >= t].mean() >= precision]
        assert not good or choose_threshold(p, precision=precision) == min(good)


def test_risk_and_coverage():
    "Against a loop over all thresholds, and AURC against the mean over 4,000 random orders of ties, to .002."
    rng = np.random.default_rng(7)
    p = made_up(120, rng, ties=True)
    confidence, wrong = p.probabilities.max(axis=1), p.predicted != p.labels
    for row in risk_coverage(p).itertuples():
        answered = confidence >= row.confidence
        assert np.isclose(answered.mean(), row.coverage) and np.isclose(wrong[answered].mean(), row.risk)
    best = max([(confidence >= t).mean() for t in confidence if wrong[confidence >= t].mean() <= .1], default=0)
    assert np.isclose(coverage_at(p, .1), best)
    orders = [wrong[np.lexsort([rng.random(120), -confidence])] for _ in range(4000)]
    assert abs(np.mean([np.mean(order.cumsum()/np.arange(1, 121)) for order in orders]) - aurc(p)) < .002


@pytest.mark.parametrize("ties", [False, True])
def test_curves(ties):
    "The ROC curve is scikit-learn's, to 1e-9; the other has its end, and its area to .01."
    p = made_up(200, np.random.default_rng(8), ties)
    fpr, tpr, _ = metrics.roc_curve(p.labels, p.logits[:, 1], drop_intermediate=False)
    band = _curve_band(p, "roc", n_resamples=20)
    assert np.allclose(band.y, np.interp(band.x, fpr, tpr), atol=1e-9)
    precision, recall, _ = metrics.precision_recall_curve(p.labels == 0, -p.logits[:, 1])
    band = _curve_band(p, "pr", n_resamples=20)
    assert np.isclose(band.y.iloc[-1], precision[np.flatnonzero(recall == 1)[-1]])
    assert ties or abs(band.y.mean() - metrics.average_precision_score(p.labels == 0, -p.logits[:, 1])) < .01


def test_delong():
    "The AUC is scikit-learn's to 1e-12, and the interval is the bootstrap's to .01."
    p = made_up(800, np.random.default_rng(9))
    auc, low, high = delong_interval(p.logits[:, 1], p.labels)
    boot = score_intervals(p).loc["roc_auc"]
    assert abs(auc - metrics.roc_auc_score(p.labels, p.logits[:, 1])) < 1e-12 and abs(low - boot.low) < .01 and abs(high - boot.high) < .01


def test_coverage_of_the_intervals():
    "Of a thousand samples, 93 to 97 % have intervals that hold the true value: Wilson's for the accuracy, the bootstrap's for six scores."
    rng = np.random.default_rng(10)
    truth = _bootstrap_scores(made_up(2_000_000, rng), np.ones((1, 2_000_000))).iloc[0]
    names = ["accuracy", "f1", "macro_f1", "roc_auc", "log_loss", "brier"]
    held, times = dict.fromkeys(["wilson", *names], 0), 1000
    for seed in range(times):
        p = made_up(400, rng)
        low, high = wilson_interval((p.predicted == p.labels).sum(), len(p))
        held["wilson"] += low <= truth.accuracy <= high
        found = score_intervals(p, n_resamples=400, seed=seed)
        for name in names: held[name] += found.low[name] <= truth[name] <= found.high[name]
    shares = {name: count/times for name, count in held.items()}
    print(shares)
    assert all(.93 <= share <= .97 for share in shares.values()), shares


def test_coverage_of_the_calibration_error():
    "The reflected interval holds the true calibration error in 82 to 97 % of 200 samples of 1,000 articles; the plain one is far worse, and is not used."
    rng = np.random.default_rng(14)
    truth = probability_scores(made_up(2_000_000, rng), np.ones((1, 2_000_000)))["ece"][0]
    found = [score_intervals(made_up(1000, rng), n_resamples=300, seed=seed).loc["ece"] for seed in range(200)]
    held, plain = (np.mean([low <= truth <= high for low, high in ends]) for ends in
        ([(row.low, row.high) for row in found], [(2*row.value - row.high, 2*row.value - row.low) for row in found]))
    print(held, plain)
    assert .82 <= held <= .97 and plain < .5


def test_the_conformal_promise():
    "Sets miss the true label in at most the stated share of cases: on average over 400 validation samples, within .01; and not much less."
    rng = np.random.default_rng(11)
    for rate in (.05, .2):
        missed = []
        for _ in range(400):
            validation, test = made_up(200, rng), made_up(500, rng)
            sets = conformal_sets(test, conformal_threshold(validation, rate))
            names = np.array(["fake", "real"])[test.labels]
            missed.append(((sets != names) & (sets != "either")).mean())
        assert rate - .02 < np.mean(missed) < rate + .01, np.mean(missed)


def test_log_loss_of_huge_logits():
    "No overflow: the loss of a sure and wrong verdict is the margin."
    p = made_up(10, np.random.default_rng(12))
    p = Predictions(p.articles, np.eye(2)[1 - p.labels]*1000.)
    assert np.isclose(probability_scores(p, np.ones((1, 10)))["log_loss"][0], 1000) and np.isfinite(log_softmax(p.logits, axis=1)).all()


def test_all_of_it_in_seconds():
    "Metrics, intervals, slices and calibration of as many articles as the published test set has, in under 15 s."
    import time
    from fakenews_nb.data import load_articles
    from fakenews_nb.error_analysis import find_slices
    from fakenews_nb.evaluation import evaluate_predictions
    from fakenews_nb.calibration import reliability_table
    sample = load_articles("sample")
    articles = pd.concat([sample]*12, ignore_index=True).head(6735).assign(id=[str(row) for row in range(6735)])
    p = Predictions(articles, np.random.default_rng(13).normal(size=(6735, 2)) + 2*np.eye(2)[articles.label])
    start = time.perf_counter()
    for work in (evaluate_predictions, score_intervals, find_slices, fit_temperature, reliability_table, aurc, conformal_threshold): work(p)
    assert time.perf_counter() - start < 15
