"""Thin scripts, one question each."""
