"""`python -m agent` is `onggi`."""

from agent.cli.main import main

# The processes that standardize structures import this module anew under another name.
if __name__ == "__main__":
    main()
