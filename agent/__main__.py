"""`python -m agent` is `onggi`."""

from agent.cli.main import main

main()
