"""`python -m consortium` is `onggi-aggregator`."""

from consortium.cli import main

main()
