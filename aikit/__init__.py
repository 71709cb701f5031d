"""Prompt experiments in a notebook: one client, hard budgets, every call logged, and honest statistics."""
