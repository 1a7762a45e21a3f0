"""Hosting code that is not ours: which plugins may be used, whose name is whose, and what one of them may break (promise P12)."""
