"""Pages that stand by themselves: elements, one style, plots; no script, no request."""
