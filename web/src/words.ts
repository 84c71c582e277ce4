/** The sentences that the page completes with what it computes; the others stand in page.html. */
import type sentences from "../../minicnn/explain/words.json";

let known: typeof sentences;

/** Return a sentence, with `{0}`, `{1}` and so on replaced. */
export const words = (key: keyof typeof sentences, ...facts: unknown[]): string =>
  (known ??= JSON.parse(document.getElementById("words")!.textContent!) as typeof sentences)[key].replace(/{(\d)}/g, (_, n) => `${facts[n as number]}`);
