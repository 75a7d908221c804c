"""`onggi backup` while the services run, and `onggi restore`, which never winds trust back."""
