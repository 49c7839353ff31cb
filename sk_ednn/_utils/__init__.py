"""Small tools for any module, independent of fields, tiles and models."""
