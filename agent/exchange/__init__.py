"""The courier: carries sealed envelopes out and signed files in, and believes neither."""
