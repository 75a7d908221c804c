"""The site's policy: what may be asked of it, who signed it off, and what it says to a plan."""
