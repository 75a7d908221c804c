"""Files of up to a million structures: jobs that outlive the process that answers HTTP."""
