"""What a worker does, each kind in its own module; imported in the worker process alone."""
