"A Hugging Face Space with the page and the API of a detector: put an exported folder beside this file, named model."
import os
from pathlib import Path

from fakenews_nb import Detector
from fakenews_nb.serving import serve

MODEL = Path(__file__).parent/"model"

if __name__ == "__main__": serve(Detector.load(MODEL), "0.0.0.0", int(os.environ.get("PORT", "7860")))
