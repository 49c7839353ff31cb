"""Distribute blocks of work: workers, payloads, journals and progress."""
