"""Building the one file that a host is installed from."""
