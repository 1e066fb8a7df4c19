import type { StartTrace } from "../../traces/index.js";
import { bytesText, plainText } from "./figures.js";
import { html, type Markup, percent } from "./markup.js";
import { countUses, type UnitUse, unitUses, useMeanings, useOfUnits } from "./unit-use.js";

const COLUMNS_MAX = 96;
const ROWS_MAX = 8;
const CELL_WIDTH = 11;
const ROW_HEIGHT = 18;
const CELL_HEIGHT = 15;
const LAYERS_SHOWN_MAX = 64;

/** Each lazy layer of a start as a map of its units, in the order of the blob. */
export function heatMaps(trace: StartTrace, idPrefix: string): Markup {
  const shown = trace.layers.slice(0, LAYERS_SHOWN_MAX);
  const rest = trace.layers.length - shown.length;
  const more = rest === 0 ? undefined : html`<p class="lead">${rest} more layers are not drawn.</p>`;
  return html`<div class="heat"><h4>Layers, unit by unit</h4>${heatLegend()}${shown.map((_, index) => heatMap(trace, index, `${idPrefix}-layer-${index}`))}${more}</div>`;
}

function heatLegend(): Markup {
  const keys = unitUses.map(
    (use) =>
      html`<li><svg class="key" width="18" height="14" aria-hidden="true"><rect class="unit ${use}" x="0.5" y="0.5" width="17" height="13"/></svg> ${useMeanings[use]}</li>`,
  );
  return html`<ul class="legend">${keys}</ul>`;
}

function heatMap(trace: StartTrace, index: number, id: string): Markup {
  const layer = trace.layers[index]!;
  const uses = useOfUnits(trace, index);
  const counts = countUses(uses);
  const columns = Math.max(1, Math.min(COLUMNS_MAX, uses.length));
  const perCell = Math.max(1, Math.ceil(uses.length / (columns * ROWS_MAX)));
  const rows = Math.ceil(uses.length / perCell / columns);
  const summary = unitUses
    .map((use, code) => (counts[code] === 0 ? "" : `${counts[code]} ${useMeanings[use]}`))
    .filter((text) => text !== "")
    .join("; ");
  const title = `Layer ${index + 1}: ${plainText(layer.format)}, ${bytesText(layer.blobBytes)}, ${layer.units} units`;
  const scale = perCell === 1 ? "" : ` A cell stands for ${perCell} units, filled by their shares.`;
  const marks = Array.from({ length: rows }, (_, row) => rowOf({ uses, row, columns, perCell })).flat();
  return html`<figure class="layer"><figcaption><b>${title}</b> <code>${layer.digest.slice(0, 19)}…</code><small>${summary === "" ? "no units" : summary}.${scale}</small></figcaption>
<svg class="chart" data-readout="${id}" role="img" tabindex="0" aria-label="${title}. ${summary}" width="${columns * CELL_WIDTH}" height="${Math.max(1, rows) * ROW_HEIGHT}">${marks}</svg><output id="${id}" class="readout" aria-live="polite"></output></figure>`;
}

/** One row of cells; neighbours that look alike are drawn as one. */
function rowOf(options: {
  readonly uses: Uint8Array;
  readonly row: number;
  readonly columns: number;
  readonly perCell: number;
}): readonly Markup[] {
  const { uses, row, columns, perCell } = options;
  const marks: Markup[] = [];
  let column = 0;
  while (column < columns) {
    const from = (row * columns + column) * perCell;
    if (from >= uses.length) break;
    const plain = plainUse(uses, from, perCell);
    let end = column + 1;
    if (plain !== undefined) {
      while (end < columns && plainUse(uses, (row * columns + end) * perCell, perCell) === plain) end += 1;
    }
    const to = Math.min(uses.length, (row * columns + end) * perCell);
    marks.push(cellsOf({ uses, from, to, row, column, end, columns, plain }));
    column = end;
  }
  return marks;
}

/** The use of a cell all of whose units have the same; undefined: they differ, or the cell lies behind the end. */
function plainUse(uses: Uint8Array, from: number, perCell: number): UnitUse | undefined {
  const code = uses[from];
  if (code === undefined) return undefined;
  const to = Math.min(uses.length, from + perCell);
  for (let unit = from + 1; unit < to; unit += 1) if (uses[unit] !== code) return undefined;
  return unitUses[code];
}

function cellsOf(options: {
  readonly uses: Uint8Array;
  readonly from: number;
  readonly to: number;
  readonly row: number;
  readonly column: number;
  readonly end: number;
  readonly columns: number;
  readonly plain: UnitUse | undefined;
}): Markup {
  const { uses, from, to, row, column, end, columns, plain } = options;
  const x = percent(column, columns);
  const width = percent(end - column - (plain === undefined ? 0.15 : 0.1), columns);
  const top = row * ROW_HEIGHT + 1;
  const where = to - from === 1 ? `Unit ${from}` : `Units ${from} to ${to - 1}`;
  if (plain !== undefined) {
    return html`<g class="mark"><title>${where}: ${useMeanings[plain]}</title><rect class="unit ${plain}" x="${x}" y="${top}" width="${width}" height="${CELL_HEIGHT}"/></g>`;
  }
  const counts = countUses(uses, from, to);
  const told = unitUses.flatMap((use, code) =>
    counts[code] === 0 ? [] : [`${counts[code]} ${useMeanings[use]}`],
  );
  let bottom = top + CELL_HEIGHT;
  const shares = unitUses.flatMap((use, code) => {
    if (counts[code] === 0) return [];
    const height = (counts[code]! / (to - from)) * CELL_HEIGHT;
    bottom -= height;
    return [html`<rect class="unit ${use}" x="${x}" y="${bottom}" width="${width}" height="${height}"/>`];
  });
  return html`<g class="mark"><title>${where}: ${told.join("; ")}</title>${shares}</g>`;
}
