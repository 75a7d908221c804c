"""The reference aggregator: plans, rounds, receipts and releases for a consortium of silos."""
