"The package, described by settings.ini alone."
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

EXTRAS = ("dev", "excel", "explain", "openvino", "ray", "serve")

here = Path(__file__).parent
parser = ConfigParser(delimiters=["="], interpolation=None)
parser.read(here / "settings.ini", encoding="utf-8")
cfg = parser["DEFAULT"]

readme = (here / "README.md").read_text(encoding="utf-8")
pictures = "https://raw.githubusercontent.com/{user}/{repo}/{branch}".format(**cfg)

setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=readme.replace("](nbs/assets/", f"]({pictures}/nbs/assets/"),
    long_description_content_type="text/markdown",
    url=cfg["git_url"],
    author=cfg["author"],
    author_email=cfg["author_email"],
    license="Apache-2.0",
    keywords=cfg["keywords"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Natural Language :: English",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    packages=find_packages(include=["fakenews_nb", "fakenews_nb.*"]),
    package_data={"fakenews_nb": ["*.jinja", "py.typed"]},
    include_package_data=True,
    python_requires=">=" + cfg["min_python"],
    install_requires=cfg["requirements"].split(),
    extras_require={name: cfg[f"{name}_requirements"].split() for name in EXTRAS},
    entry_points={
        "console_scripts": cfg["console_scripts"].split("\n"),
        "nbdev": [f'{cfg["lib_name"]}={cfg["lib_name"]}._modidx:d'],
    },
    zip_safe=False,
)
