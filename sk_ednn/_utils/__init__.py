"""Small tools that any module may use: they know nothing of fields, tiles or models."""
