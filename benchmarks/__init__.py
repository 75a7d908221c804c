"""What this program does with measured data, in tables and JSON; never part of the tests."""
