"""What does not change in the panel of the training step: a sentence per step, and what is told of each node."""

from __future__ import annotations

import html

from minicnn.explain.contract import From, Node, Tape
from minicnn.explain.markup import last, lines, number, size, table

UPDATE = ("parameter", "shape", "element with the largest gradient", "gradient", "old", "change", "new")


def step_panel(tape: Tape) -> dict[str, str]:
    """Return the texts of the panel; all but those of the step that is shown, and of its node, leave the page."""
    nodes = range(len(tape.nodes))
    return {
        "last_step": str(len(tape.steps) - 1),
        "said": "".join(_said(tape, n) for n in range(len(tape.steps))),
        "titles": "".join(_title(tape.nodes[k], k) for k in nodes),
        "parts": "".join(_parts(tape, k) for k in nodes),
        "checks": "".join(map(_checks, nodes, tape.nodes)),
        "optimizer": html.escape(tape.optimizer or "The optimizer"),
        "updates": table(UPDATE, [_update(node) for node in tape.nodes if node.leaf and node.checks]),
    }


def _name(node: Node) -> str:
    return f"{last(node.layer)}/{node.leaf}" if node.op == "parameter" else node.op


def _said(tape: Tape, n: int) -> str:
    """Return the sentence of a step, with its number for a live region, which is read only when it changes."""
    kind = "" if n <= tape.steps.index(len(tape.nodes) - 1) else ' class="back"'
    text, aside = html.escape(_sentence(tape, n)), f'<span class="aside"> Step {n + 1}.</span>'
    return f'<span{kind} data-when="step={n}">{text}{aside}</span>'


def _sentence(tape: Tape, n: int) -> str:
    if tape.steps[n] < 0:
        return "Update: every parameter moves against its gradient."
    node, forward = tape.nodes[tape.steps[n]], tape.steps.index(tape.steps[n]) == n
    if not node.from_:
        return (
            f"Forward: {_name(node)} is given." if forward else f"Backward: the gradient of {_name(node)} is complete."
        )
    if forward:
        return f"Forward: {node.op} gives {size(node.shape[1:])}."
    return f"Backward, {node.op}: {tape.rules.get(node.op, 'each argument gets its part of the gradient')}."


def _title(node: Node, k: int) -> str:
    more = node.layer if node.layer and node.op != "parameter" else size(node.shape)
    return f'<h3 data-when="node={k}">{html.escape(_name(node))} <small class="dim">{html.escape(more)}</small></h3>'


def _parts(tape: Tape, k: int) -> str:
    """Return the parts that a node sends on once its gradient is complete."""
    node = tape.nodes[k]
    sent = "".join(_part(tape, k, part) for part in node.from_ if part.part)
    if node.complete is None or not sent:
        return ""
    here = f'data-when="node={k} from={node.complete}"'
    return f'<div {here}><h4>Parts sent on</h4><ul class="parts stack dim">{sent}</ul></div>'


def _checks(k: int, node: Node) -> str:
    """Return differences beside a gradient that is complete, in a table that all nodes share."""
    rows = [[str(c.cell), number(c.exact, 4), number(c.numeric, 4), number(c.h, 2)] for c in node.checks]
    return f'<tbody data-when="node={k} from={node.complete}">{lines(rows)}</tbody>' if rows and node.complete else ""


def _part(tape: Tape, k: int, part: From) -> str:
    """Return a part of a gradient that node `k` sends on; the backward pass goes from the last node to the first."""
    node = tape.nodes[part.node]
    senders = [i for i, later in enumerate(tape.nodes) for f in later.from_ if f.node == part.node and f.part]
    sign = '<em class="plus grad">+=</em>' if max(senders) > k else "<em>=</em>"
    shape = node.shape[1:] if len(node.shape) > 1 and node.shape[0] == 1 else node.shape
    meet = f"<span>{len(senders)} parts meet here and add up</span>" if len(senders) > 1 else ""
    return (
        f'<li class="flex"><button type="button" data-set="node={part.node}"><b>{html.escape(_name(node))}</b> {sign} '
        f"{size(shape)}</button><span>largest {number(part.largest or 0)}</span>{meet}</li>"
    )


def _update(node: Node) -> list[str]:
    """Return what the optimizer makes of the element of a parameter with the largest gradient."""
    check = node.checks[0]
    old, new = float(check.value), float(check.value if check.after is None else check.after)
    values = (f"{v:.4g}" for v in (float(check.exact), old, new - old, new))
    return [_name(node), " \u00d7 ".join(map(str, node.shape)), str(check.cell), *values]
