// Properties of objects that only this script makes: neither of the data, of what tests call, nor of the browser. Where
// those have one of these names the sources quote it, as in control["value"], and it stays. `npm run check` fails
// where one is not quoted: see check.mjs.
export const mangleProps =
  /^_[a-z]|^(arrived|axes|boxes|caption|grads|grid|head|hover|how|most|numbers|off|onPick|origin|paint|phase|pick|read|readers|ring|room|shares|side|sizes|taps|tone|upTo|value|real|row|col|signed|windows|names|unit|mark|main|cells|state|next|initial|allows|possible|label|title|cell|counted|tensor)$/;
