"`python -m fakenews_nb` is the command `fakenews`."
from fakenews_nb.cli import main

main()
