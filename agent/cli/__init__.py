"""The command line: builds objects, maps errors to exit codes; no logic."""
