"""`python -m agent` is `onggi`."""

# The processes that standardize structures import this module anew under another name; they need
# none of the commands.
if __name__ == "__main__":
    from agent.cli.main import main

    main()
