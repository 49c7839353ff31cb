"""Pages in the browser: start fits, counts and searches, and watch them."""

from .._utils.optional import later

__all__ = ["Site", "Tools", "serve"]

__getattr__ = later(__name__, {"Site": "._site", "Tools": "._site", "serve": "._app"}, extra="ui")
