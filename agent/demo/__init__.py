"""`onggi demo`: three silos and an aggregator on one machine, on measured data; nothing staged."""
