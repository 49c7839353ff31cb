"""Files of settings in YAML, in which a value means what it looks like."""

from __future__ import annotations

import re
from typing import Any

_MERGE = "tag:yaml.org,2002:merge"
_OCTAL = re.compile(r"[-+]?0[0-9_]+")
_MOST_CHARACTERS = 40  # of a value in a message


def load_plain(text) -> Any:
    """Return the settings of a text in YAML: plain values, with unique keys.

    PyYAML itself keeps the last of equal keys, and reads ``010`` as 8, ``1:30`` as 90 and ``NO`` as
    false.

    Parameters
    ----------
    text : str

    Raises
    ------
    yaml.YAMLError
        If the text is not YAML, or has something else than plain values.

    Examples
    --------
    >>> from sk_ednn._utils.settings import load_plain
    >>> load_plain("composition: Cu2")
    {'composition': 'Cu2'}
    >>> load_plain("n_labels: 010")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    yaml.error.MarkedYAMLError: '010' is 8 in YAML: write 10, or 8
    ...
    """
    import yaml

    def refuse(node, why):
        raise yaml.MarkedYAMLError(problem=why, problem_mark=node.start_mark)

    base: Any = yaml.SafeLoader

    class Loader(base):
        def construct_mapping(self, node, deep=False):
            seen = set()
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    refuse(key, "the name of a setting must be a word")
                if key.tag == _MERGE:  # a few of them can expand to billions of settings
                    refuse(key, "<< is not supported: write the settings themselves")
                if key.value in seen:
                    refuse(key, f"{_shown(key.value)} is a duplicate")
                seen.add(key.value)
            return super().construct_mapping(node, deep)

    def whole(loader, node):
        value, shown = loader.construct_yaml_int(node), _shown(node.value)
        if ":" in node.value:
            refuse(node, f"{shown} is {value} in YAML, counted in sixties: write the number")
        if _OCTAL.fullmatch(node.value) and value:
            decimal = node.value.replace("_", "").lstrip("+-0")
            refuse(node, f"{shown} is {value} in YAML: write {decimal}, or {value}")
        return value

    def real(loader, node):
        value = loader.construct_yaml_float(node)
        if ":" in node.value:
            shown = _shown(node.value)
            refuse(node, f"{shown} is {value:g} in YAML, counted in sixties: write the number")
        return value

    def truth(loader, node):
        value, shown = loader.construct_yaml_bool(node), _shown(node.value)
        if node.value.lower() not in ("true", "false"):
            word = str(value).lower()
            refuse(node, f"{shown} is {word} in YAML: write {word}, or for the text {shown!s}")
        return value

    for name, construct in (("int", whole), ("float", real), ("bool", truth)):
        Loader.add_constructor(f"tag:yaml.org,2002:{name}", construct)
    return yaml.load(text, Loader)


def _shown(text) -> str:
    return repr(text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}...")
