"""Summarise a model in its file, for those who read it."""

from __future__ import annotations

_BYTES_PER_NAME = 250


def parameters(node, budget) -> dict[str, str]:
    """Return the parameters of a model that a file describes, as text, by their names."""
    found: dict[str, str] = {}
    _collect(node, "model", found, budget)
    return found


def _collect(node, name, found, budget):
    # A name is as long as its place is deep, whatever little lies there.
    budget.take(_BYTES_PER_NAME + len(name), "the list of its parameters")
    tag = node.get("$") if isinstance(node, dict) else None
    if tag in ("object", "yours"):
        found[name] = str(node.get("class"))
        for key, value in node.get("vars", {}).items():
            fitted = key.endswith("_") and key not in ("tile_model_", "estimators_", "regressor_")
            if not key.startswith("_") and not fitted:
                _collect(value, key if name == "model" else f"{name}.{key}", found, budget)
    elif tag == "tuple" and any(isinstance(each, (dict, list)) for each in node["values"]):
        _collect(node["values"], name, found, budget)
    elif isinstance(node, list) and any(isinstance(each, (dict, list)) for each in node):
        for k, each in enumerate(node):
            _collect(each, f"{name}.{k}", found, budget)
    else:
        shown = _shown(node)
        budget.take(len(shown), "the text of its parameters")
        found[name] = shown


def _shown(node) -> str:
    if not isinstance(node, dict):
        return repr(node)
    tag = node.get("$")
    if tag == "tuple":
        return "(" + ", ".join(_shown(each) for each in node["values"]) + ")"
    if tag == "dict":
        pairs = ", ".join(f"{_shown(k)}: {_shown(v)}" for k, v in node["pairs"])
        return "{" + pairs + "}"
    if tag == "module":
        return _shown(node["built"])
    if tag == "layers":
        inner = node.get("layers") or []
        return f"{node['class']}({', '.join(_shown(layer) for _, layer in inner)})"
    for key in ("shown", "value", "class", "yours", "name"):
        if isinstance(node.get(key), str):
            return node[key]
    return str(tag)
