"""The keeper's memory: every state is a row, every change a transition."""
