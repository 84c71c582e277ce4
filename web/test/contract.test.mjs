// The golden page that Python's tests read and write, read by the page's own code: every array to the last bit, every id.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { mangleProps } from "../mangle.mjs";
import { layerOf, unpack } from "../src/arrays.ts";
import { real, tensor } from "../src/contract.ts";
import { forward } from "../src/ops.ts";
import { fmt } from "../src/text.ts";

// `npm run check` starts in web/.
const data = JSON.parse(readFileSync("../tests/data/explain_page.json", "utf8"));
const arrays = await unpack(data);
const close = (a, b, what) => assert.ok(Math.abs(a - b) <= 1e-5 * Math.max(1, Math.abs(b)), `${what}: ${a} and ${b}`);

/** Every value of the data with the path of its field. */
function* walk(value, path = []) {
  if (value !== null && typeof value === "object") for (const [key, item] of Object.entries(value)) yield* walk(item, [...path, key]);
  else yield [path, value];
}

test("the format is the one that the page reads", () => assert.equal(data.format, 1));

test("the id of every array is the digest of its shape and its bits", () => {
  assert.equal(arrays.size, Object.keys(data.arrays).length);
  for (const [id, { shape, data: values }] of arrays) {
    assert.equal(values.length, shape.reduce((a, b) => a * b, 1), id);
    assert.equal(createHash("sha256").update(shape.join("x")).update(Buffer.from(values.buffer)).digest("hex").slice(0, 12), id);
  }
});

test("rules are among them, and every id that is named exists", () => {
  assert.ok(Object.values(data.arrays).some((packed) => packed.rule));
  const named = /^(image|array|value|grad|part|after|class_maps|winners|coverage)$/;
  let count = 0;
  for (const [path, value] of walk({ ...data, arrays: {} })) {
    if (typeof value !== "string") continue;
    if (!named.test(path.at(-1)) && !["params", "inputs", "examples"].includes(path.at(-2))) continue;
    if (path.includes("options")) continue;
    assert.ok(arrays.has(value), `${path.join(".")} = ${value}`);
    count++;
  }
  assert.ok(count > 50, `${count} ids`);
});

test("fields are there with their kinds", () => {
  const kinds = { minicnn: "string", title: "string", label: "number", image: "string", draw: "boolean" };
  for (const [name, kind] of Object.entries(kinds)) assert.equal(typeof data[name], kind, name);
  for (const name of ["classes", "input", "examples", "example_labels", "net", "shapes", "execution", "summary", "heads"]) assert.ok(Array.isArray(data[name]), name);
  assert.equal(data.walk.steps.length, 6);
  for (const node of data.tape.nodes) {
    for (const { node: from } of node.from) assert.ok(from < data.tape.nodes.length);
    for (const check of node.checks) {
      // The element of the gradient that a check stands beside.
      const { shape, data: grad } = arrays.get(node.grad);
      assert.equal(Math.fround(real(check.exact)), grad[check.cell.reduce((n, i, axis) => n * shape[axis] + i, 0)]);
    }
    if (node.layer && node.op !== "parameter") assert.equal(layerOf(data.net, node.layer).name, node.layer);
  }
});

test("the page's layers give the logits of every head, and its class maps add up to them", () => {
  const image = tensor(data.input, arrays.get(data.image).data);
  for (const head of data.heads) {
    const logits = forward(head.net, image, arrays).at(-1).data;
    const maps = arrays.get(head.class_maps).data;
    const each = maps.length / logits.length;
    logits.forEach((logit, k) => {
      close(logit, real(head.logits[k]), `${head.name}, logit ${k}`);
      const sum = maps.subarray(k * each, (k + 1) * each).reduce((a, b) => a + b, 0);
      close(sum + real(head.bias[k]) + real(head.remainder[k]), logit, `${head.name}, class map ${k}`);
    });
  }
});

test("fields of the data that the build would rename are in quotes", () => {
  const fields = [...readFileSync("src/contract.ts", "utf8").matchAll(/^ {2}("?)(\w+)"?\??: /gm)];
  assert.ok(fields.length > 90, `${fields.length} fields`);
  for (const [, quote, name] of fields) assert.equal(quote === '"', mangleProps.test(name), name);
});

test("numbers that JSON has none for are strings", () => {
  assert.deepEqual(["inf", "-inf", "nan", 2].map(real), [Infinity, -Infinity, NaN, 2]);
});

test("numbers have the text that Python gives them", () => {
  for (const [value, digits, text] of JSON.parse(readFileSync("../tests/data/numbers.json", "utf8"))) assert.equal(fmt(real(value), digits), text);
});
