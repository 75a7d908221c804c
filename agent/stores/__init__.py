"""Where measurements come from: files and databases, read as they are, nothing interpreted."""
