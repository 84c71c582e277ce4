/** Panel 8: what a study found, if one is given: every seed, intervals, the margin, curves. */
import { app } from "./app.ts";
import { Figure, Panel } from "./controls.tsx";
import { real, type Real } from "./contract.ts";
import { fmt } from "./text.ts";

function Dots() {
  const study = app.data.study!;
  const arms = study.arms.map((a) => ({ name: a.name, values: a.values.map(real), mean: real(a.mean), low: real(a.low ?? a.mean), high: real(a.high ?? a.mean) }));
  const margin = real(study.margin);
  const control = (arms.find((a) => a.name === study.baseline) ?? arms[0]!).mean;
  const all = [...arms.flatMap((a) => [...a.values, a.low, a.high]), control - margin, control + margin].filter(Number.isFinite);
  const [least, most] = [Math.min(...all), Math.max(...all)];
  const gap = (most - least || 1) * 0.06;
  const x = (v: number): number => 170 + ((v - least + gap) / (most - least + 2 * gap)) * 690;
  const rows = arms.length;
  const ticks = [0, 1, 2, 3, 4].map((n) => least + ((most - least) * n) / 4);
  return (
    <svg viewBox={`0 0 880 ${rows * 44 + 40}`} role="img" aria-label={`${study.metric} of each seed, with the mean and interval of each arm`} class="plot">
      <rect class="margin" x={x(control - margin)} y={0} width={x(control + margin) - x(control - margin)} height={rows * 44} />
      {ticks.map((t) => (
        <g key={t}>
          <line class="grid" x1={x(t)} x2={x(t)} y1={0} y2={rows * 44} />
          <text x={x(t)} y={rows * 44 + 20} text-anchor="middle">
            {fmt(t)}
          </text>
        </g>
      ))}
      {arms.map((arm, n) => {
        const y = n * 44 + 22;
        return (
          <g key={arm.name}>
            <text x={0} y={y + 5} class="name">
              {arm.name}
            </text>
            {arm.values.map((v, k) => (
              <circle key={k} class="seed" cx={x(v)} cy={y + 8} r={4} />
            ))}
            <line class="interval" x1={x(arm.low)} x2={x(arm.high)} y1={y - 6} y2={y - 6} />
            <circle class="mean" cx={x(arm.mean)} cy={y - 6} r={5.5} />
          </g>
        );
      })}
    </svg>
  );
}

function Curves() {
  const arms = app.data.study!.arms.filter((a) => a.curve?.length).map((a) => ({ name: a.name, curve: a.curve!.map(real) }));
  if (!arms.length) return null;
  const all = arms.flatMap((a) => a.curve);
  const [least, most] = [Math.min(...all), Math.max(...all)];
  const n = Math.max(...arms.map((a) => a.curve.length));
  const x = (k: number): number => 48 + (k / Math.max(1, n - 1)) * 640;
  const y = (v: number): number => 12 + (1 - (v - least) / (most - least || 1)) * 210;
  return (
    <Figure title={`${app.data.study!.curve_of ?? "measure"} by epoch, the mean over seeds`}>
      <svg viewBox="0 0 880 256" class="plot" role="img" aria-label={`${app.data.study!.curve_of} by epoch`}>
        {[least, (least + most) / 2, most].map((v) => (
          <g key={v}>
            <line class="grid" x1={48} x2={688} y1={y(v)} y2={y(v)} />
            <text x={0} y={y(v) + 4}>
              {fmt(v)}
            </text>
          </g>
        ))}
        {arms.map((a, k) => (
          <g key={a.name} class={`curve c${k % 4}`}>
            <path d={`M${a.curve.map((v, q) => `${x(q).toFixed(1)},${y(v).toFixed(1)}`).join("L")}`} />
            <text x={698} y={20 + k * 20}>
              {a.name}
            </text>
            <line x1={690} x2={696} y1={16 + k * 20} y2={16 + k * 20} />
          </g>
        ))}
        <text x={48} y={248}>
          epoch 1
        </text>
        <text x={688} y={248} text-anchor="end">
          epoch {n}
        </text>
      </svg>
    </Figure>
  );
}

const shown = (v?: Real): string => (v === undefined ? "" : fmt(real(v), 4));
const range = (low?: Real, high?: Real): string => (low === undefined ? "" : `${shown(low)} to ${shown(high)}`);

export function Study() {
  const { study } = app.data;
  if (!study) return null;
  return (
    <Panel
      id="study"
      number={8}
      title="What a study found"
      lede="One trained net proves little. Here every head was trained with several seeds: each small dot is one of them, the large one their mean with its interval."
    >
      <div class="wide">
        <Figure title={study.metric} note={`The band is the margin of ${fmt(real(study.margin))} to both sides of ${study.baseline}: differences inside it do not matter in practice. Intervals have ${fmt(100 * study.confidence)} % confidence.`}>
          <Dots />
        </Figure>
        {study.verdict && <p class="verdict small">{study.verdict}</p>}
        <Curves />
        <details class="more">
          <summary>Numbers of the study</summary>
          <div class="scroll" tabIndex={0} role="region" aria-label="Numbers of the study">
            <table>
              <thead>
                <tr>
                  {["arm", "mean", "interval", "difference", "verdict", "seeds"].map((t) => (
                    <th key={t} scope="col">
                      {t}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {study.arms.map((a) => (
                  <tr key={a.name}>
                    <th scope="row">{a.name}</th>
                    <td>{shown(a.mean)}</td>
                    <td>{range(a.low, a.high)}</td>
                    <td>
                      {shown(a.difference)} {range(a.difference_low, a.difference_high)}
                    </td>
                    <td>{a.verdict}</td>
                    <td>{a.values.map(shown).join(", ")}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </details>
      </div>
    </Panel>
  );
}
