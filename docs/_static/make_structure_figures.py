"""Draw the imports of a checkout: its packages and modules in layers, an arrow for each import.

    python docs/_static/make_structure_figures.py sk_ednn docs/_static/structure.svg

A layer is one above the highest of what its members import. Imports that only type checkers see
are left out; those within functions count. An arrow that points up would be red: it closes a cycle.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

# Those that everything may import would hide the others behind their arrows.
_GROUND = ("exceptions", "_utils")


def imports_of(package) -> dict[str, set[str]]:
    """Return the top-level modules and packages of a package, and those that each imports."""
    nodes = {path.stem for path in package.iterdir() if path.suffix == ".py" or path.is_dir()}
    nodes -= {"__init__", "__pycache__", "py"}
    found: dict[str, set[str]] = {node: set() for node in nodes}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package).with_suffix("").parts
        if parts[0] not in nodes:
            continue
        for module in _modules(ast.parse(path.read_text(encoding="utf-8")), parts, package.name):
            if module in nodes and module != parts[0]:
                found[parts[0]].add(module)
    return found


def _modules(tree, parts, name):
    """Yield the top-level names that a module imports from its package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for inner in ast.walk(node):
                inner.skipped = True
        if getattr(node, "skipped", False):
            continue
        if isinstance(node, ast.ImportFrom) and node.level:
            at = [*parts[: len(parts) - node.level], *(node.module or "").split(".")]
            at = [part for part in at if part]
            yield from at[:1] or [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{name}."):
            yield node.module.split(".")[1]


def layers_of(imports) -> dict[str, int]:
    """Return the layer of each node, 0 at the ground; members of a cycle are in one layer."""
    reach = {node: _reach(imports, node) for node in imports}
    layers: dict[str, int] = {}

    def layer(node):
        if node not in layers:
            cycle = {other for other in reach[node] if node in reach[other]} | {node}
            below = {each for member in cycle for each in imports[member]} - cycle
            level = max((layer(each) + 1 for each in below), default=0)
            layers.update(dict.fromkeys(cycle, level))
        return layers[node]

    for node in imports:
        layer(node)
    return layers


def _reach(imports, node) -> set[str]:
    seen, queue = set(), [node]
    while queue:
        for below in imports[queue.pop()] - seen:
            seen.add(below)
            queue.append(below)
    return seen


def draw(imports, layers) -> str:
    """Return the picture as SVG."""
    rows = [sorted(n for n in layers if layers[n] == k) for k in range(max(layers.values()) + 1)]
    width, step, top = 900, 58, 30
    height = top + step * len(rows)
    place = {}
    for k, row in enumerate(rows):
        for i, node in enumerate(row):
            # Rows are shifted in turn, so that arrows do not run through boxes.
            shift = (k % 3 - 1) * 0.08 if len(row) < 5 else 0.0
            place[node] = width * ((i + 1) / (len(row) + 1) + shift), height - step * (k + 0.6)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for node in sorted(imports):
        for below in sorted(imports[node]):
            (x, y), (u, v) = place[node], place[below]
            up = layers[below] >= layers[node]
            colour, thick = ("#d55e00", 1.6) if up else ("#0072b2", 0.7)
            faint = 0.25 if below in _GROUND and not up else 0.75
            lines.append(
                f'<path d="M{x:.0f},{y + 12:.0f} C{x:.0f},{(y + v) / 2:.0f} {u:.0f},'
                f'{(y + v) / 2:.0f} {u:.0f},{v - 12:.0f}" fill="none" stroke="{colour}" '
                f'stroke-width="{thick}" opacity="{faint}"/>'
            )
    for node, (x, y) in sorted(place.items()):
        half = 4 + 3.9 * len(node)
        lines.append(
            f'<rect x="{x - half:.0f}" y="{y - 12:.0f}" width="{2 * half:.0f}" height="24" rx="4" '
            f'fill="#f4f6f8" stroke="#37474f"/><text x="{x:.0f}" y="{y + 4.5:.0f}" '
            f'text-anchor="middle">{node}</text>'
        )
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    imported = imports_of(Path(sys.argv[1]))
    levels = layers_of(imported)
    Path(sys.argv[2]).write_text(draw(imported, levels), encoding="utf-8")
    arrows = [(a, b) for a in imported for b in imported[a]]
    n_up = sum(levels[b] >= levels[a] for a, b in arrows)
    print(f"{len(levels)} nodes, {max(levels.values()) + 1} layers, {len(arrows)} arrows, "
          f"{n_up} in cycles")  # fmt: skip
