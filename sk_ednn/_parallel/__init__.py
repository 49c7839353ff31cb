"""Workers, payloads, journals and progress: how blocks of work are spread."""
