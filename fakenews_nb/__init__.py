"""Fine-tune a small BERT to tell fake news from real, and see what it gets wrong.

The names below are the public interface. Each is loaded when it is first asked for,
and loads torch and pandas when it is first called.
"""
__version__ = "0.1.0"

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .audit import run_audit as run_audit
    from .baselines import fit_baseline as fit_baseline
    from .calibration import calibrate as calibrate
    from .calibration import choose_threshold as choose_threshold
    from .cleaning import clean_articles as clean_articles
    from .core import FakeNewsError as FakeNewsError
    from .data import load_articles as load_articles
    from .detector import Detector as Detector
    from .error_analysis import error_report as error_report
    from .error_analysis import finish_run as finish_run
    from .error_analysis import misclassified as misclassified
    from .evaluation import Predictions as Predictions
    from .evaluation import compare as compare
    from .evaluation import evaluate_predictions as evaluate_predictions
    from .evaluation import predict as predict
    from .export import export_model as export_model
    from .scoring import predict_file as predict_file
    from .serving import serve as serve
    from .splits import load_prepared as load_prepared
    from .splits import prepare as prepare
    from .training import RECIPES as RECIPES
    from .training import Recipe as Recipe
    from .training import finetune as finetune
    from .training import load_run as load_run
    from .transfer import transfer_matrix as transfer_matrix

_MODULE_OF = {
    "FakeNewsError": "core",
    "load_articles": "data",
    "clean_articles": "cleaning",
    "prepare": "splits",
    "load_prepared": "splits",
    "fit_baseline": "baselines",
    "run_audit": "audit",
    "Recipe": "training",
    "RECIPES": "training",
    "finetune": "training",
    "load_run": "training",
    "Predictions": "evaluation",
    "predict": "evaluation",
    "evaluate_predictions": "evaluation",
    "compare": "evaluation",
    "calibrate": "calibration",
    "choose_threshold": "calibration",
    "misclassified": "error_analysis",
    "error_report": "error_analysis",
    "finish_run": "error_analysis",
    "transfer_matrix": "transfer",
    "export_model": "export",
    "Detector": "detector",
    "predict_file": "scoring",
    "serve": "serving",
}
__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
