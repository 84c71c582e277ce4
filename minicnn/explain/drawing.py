"""The drawing of a tape as SVG, the same in a notebook and in the page: ops from top to bottom, arrays beside them."""

from __future__ import annotations

import html
from typing import NamedTuple

MOST_NODES = 300
WIDTH, HEIGHT = 156, 40
ACROSS, DOWN = WIDTH + 24, HEIGHT + 24
MARGIN = 12
LONGEST = 22
"""Characters of a name that a box has room for."""


class Box(NamedTuple):
    """What is drawn of a node: two lines of text, and the indices of the nodes it was made from."""

    op: str
    name: str
    shape: tuple[int, ...]
    parents: tuple[int, ...]


Place = tuple[int, int]
"""Column and row. Ops stand in columns from 0 to the right, arrays that no op made in negative ones."""


def draw(boxes: list[Box], root: int | None = None) -> str:
    """Return the SVG. `root` is an array that heads the column of ops instead of standing beside it, as the image.

    >>> draw([Box("array", "x", (2,), ()), Box("sum", "", (), (0,))])[:40]
    '<svg xmlns="http://www.w3.org/2000/svg" '
    """
    places = arrange(boxes, root)
    left = min(column for column, _ in places)
    corners = [(MARGIN + (column - left) * ACROSS, MARGIN + row * DOWN) for column, row in places]
    edges = [_edge(i, j, boxes, places, corners) for j, box in enumerate(boxes) for i in dict.fromkeys(box.parents)]
    # Past the last column there is room for the curves that pass by other boxes.
    drawn = [_box(i, box, *corner) for i, (box, corner) in enumerate(zip(boxes, corners, strict=True))]
    width = max(x for x, _ in corners) + WIDTH + MARGIN + 30
    height = max(y for _, y in corners) + HEIGHT + MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" aria-label="Graph of the computation, from top to bottom" font-family="system-ui, sans-serif">'
        f'<g class="edges" fill="none" stroke="currentColor">{"".join(edges)}</g>'
        f'<g class="boxes" fill="none" stroke="currentColor" text-anchor="middle" font-size="12">'
        f"{''.join(drawn)}</g></svg>"
    )


def arrange(boxes: list[Box], root: int | None = None) -> list[Place]:
    """Return a place for each node: below all that it was made from, in the column of the nearest of them.

    An array that no op made stands left of the first op that reads it.
    """
    places: dict[int, Place] = {} if root is None else {root: (0, 0)}
    taken = set(places.values())
    beside: dict[int, list[int]] = {}
    for i, box in enumerate(boxes):
        if not box.parents:
            if i != root and len(boxes) > 1:
                continue
            places.setdefault(i, (0, 0))
            continue
        above = [places[p] for p in box.parents if p in places]
        # Arrays that another op has placed stand at its left: this op does not follow them there.
        column, _ = max((p for p in above if p[0] >= 0), key=lambda place: (place[1], -place[0]), default=(0, 0))
        place = _free((column, 1 + max((row for _, row in above), default=-1)), taken)
        places[i] = place
        taken.add(place)
        beside[i] = [p for p in dict.fromkeys(box.parents) if p not in places]
        # At once, so that the next op that reads it finds it placed.
        for k, p in enumerate(reversed(beside[i])):
            places[p] = _free((-1 - k, place[1]), taken, -1)
            taken.add(places[p])
    return [places[i] for i in range(len(boxes))]


def _free(place: Place, taken: set[Place], step: int = 1) -> Place:
    column, row = place
    while (column, row) in taken:
        column += step
    return column, row


def _edge(i: int, j: int, boxes: list[Box], places: list[Place], corners: list[Place]) -> str:
    (x, y), (to_x, to_y) = corners[i], corners[j]
    if places[i][0] < -1 or (places[i][0] < 0 and y != to_y):  # boxes between an array and the op: below these
        right, low, foot = x + WIDTH, y + HEIGHT + 10, to_y + (3 * HEIGHT // 4 if y == to_y else HEIGHT // 4)
        path = (
            f"M{right} {y + HEIGHT // 2}C{right + 16} {y + HEIGHT // 2} {right + 4} {low} {right + 24} {low}"
            f"L{to_x - 24} {low}C{to_x - 8} {low} {to_x - 16} {foot} {to_x} {foot}"
        )
    elif places[i][0] < 0:  # an array beside the ops: out at its right, in at the left
        start, end = (x + WIDTH, y + HEIGHT // 2), (to_x, to_y + HEIGHT // 2)
        bend = max(20, (end[0] - start[0]) // 2)
        path = f"M{start[0]} {start[1]}C{start[0] + bend} {start[1]} {end[0] - bend} {end[1]} {end[0]} {end[1]}"
    elif places[j][1] - places[i][1] == 1 or places[i][0] != places[j][0]:
        start, end = (x + WIDTH // 2, y + HEIGHT), (to_x + WIDTH // 2, to_y)
        bend = (end[1] - start[1]) // 2
        path = f"M{start[0]} {start[1]}C{start[0]} {start[1] + bend} {end[0]} {end[1] - bend} {end[0]} {end[1]}"
    else:  # past the boxes between the two
        side = x + WIDTH
        path = f"M{side} {y + HEIGHT // 2}C{side + 40} {y + HEIGHT} {side + 40} {to_y} {side} {to_y + HEIGHT // 2}"
    return f'<path class="edge" data-from="{i}" data-to="{j}" d="{path}" opacity="0.5"/>'


def _box(i: int, box: Box, x: int, y: int) -> str:
    name = box.name if len(box.name) <= LONGEST else f"\u2026{box.name[1 - LONGEST :]}"
    first = name if name and not box.parents else box.op
    second = " \u00d7 ".join(map(str, box.shape)) or "one number"
    kind = "node op" if box.parents else "node array"
    text = f'<text x="{x + WIDTH // 2}" fill="currentColor" stroke="none"'
    return (
        f'<g class="{kind}" data-node="{i}"><title>{html.escape(f"{box.op} {box.name}".strip())}</title>'
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="{6 if box.parents else HEIGHT // 2}"/>'
        f'{text} y="{y + 17}">{html.escape(first)}</text>'
        f'{text} y="{y + 32}" font-size="11" opacity="0.7">{second}</text></g>'
    )
