"""Summarise the parameters of a model in a file, without loading it."""

from __future__ import annotations

_BYTES_PER_NAME = 250


def parameters(node, budget) -> dict[str, str]:
    """Return the parameters of a model in a file, as text by name."""
    texts: dict[str, str] = {}
    _collect(node, "model", texts, budget)
    return texts


def _collect(node, name, texts, budget):
    # Names grow with the depth of nesting, even if values are small.
    budget.take(_BYTES_PER_NAME + len(name), "the list of its parameters")
    tag = node.get("$") if isinstance(node, dict) else None
    if tag in ("object", "yours"):
        texts[name] = str(node.get("class"))
        for key, value in node.get("vars", {}).items():
            fitted = key.endswith("_") and key not in ("tile_model_", "estimators_", "regressor_")
            if not key.startswith("_") and not fitted:
                _collect(value, key if name == "model" else f"{name}.{key}", texts, budget)
    elif tag == "tuple" and any(isinstance(item, (dict, list)) for item in node["values"]):
        _collect(node["values"], name, texts, budget)
    elif isinstance(node, list) and any(isinstance(item, (dict, list)) for item in node):
        for k, item in enumerate(node):
            _collect(item, f"{name}.{k}", texts, budget)
    else:
        shown = _shown(node)
        budget.take(len(shown), "the text of its parameters")
        texts[name] = shown


def _shown(node) -> str:
    if not isinstance(node, dict):
        return repr(node)
    tag = node.get("$")
    if tag == "tuple":
        return "(" + ", ".join(_shown(item) for item in node["values"]) + ")"
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
