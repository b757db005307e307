// Draw charts with uPlot. An element with `data-chart-of="id"` becomes the chart of the element with that ID, whose
// `data-chart` is JSON: from_ms, to_ms, unit, points [[ms, number or null]], states [[from ms, to ms, text]],
// gaps [[from ms, to ms, cause]]. It is drawn again whenever that attribute changes, which the update stream does.
const HEIGHT_PX = 260;
const STATES_HEIGHT_PX = 120;
const GAP_WIDTH_PX_MIN = 4;
const LABEL_WIDTH_PX_MIN = 34;
const TONES = ["--accent", "--warn", "--info", "--ok", "--bad", "--line-strong"];

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const axisColours = { stroke: () => colour("--ink-3"), grid: { stroke: () => colour("--line"), width: 1 }, ticks: { stroke: () => colour("--line"), width: 1 } };

const DAY = "\n{D} {MMM}";
const YEAR = "\n{D} {MMM} {YYYY}";
const TIMES = [
  [31_536_000, "{YYYY}", null, null, null, null, null, null, 1],
  [2_419_200, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [86_400, "{D} {MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [3600, "{HH}:{mm}", YEAR, null, DAY, null, null, null, 1],
  [60, "{HH}:{mm}", YEAR, null, DAY, null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", YEAR, null, DAY, null, null, null, 1],
  [0.001, "{ss}.{fff}", YEAR, null, DAY, null, "\n{HH}:{mm}", null, 1],
];

// Vertical spans behind the line, in the pixels of the canvas.
function spanOf(plot, from_ms, to_ms, width_min) {
  const { left, width } = plot.bbox;
  const start = Math.max(plot.valToPos(from_ms / 1000, "x", true), left);
  const end = Math.min(plot.valToPos(to_ms / 1000, "x", true), left + width);
  const missing = Math.max(0, width_min * devicePixelRatio - (end - start));
  return end < left || start > left + width ? null : { start: start - missing / 2, width: end - start + missing };
}

function label(context, text, start, top, width) {
  context.font = `${12 * devicePixelRatio}px ${colour("--sans")}`;
  if (width < LABEL_WIDTH_PX_MIN * devicePixelRatio || context.measureText(text).width > width - 6 * devicePixelRatio) return;
  context.fillStyle = colour("--ink");
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(text, start + width / 2, top);
}

function shadeGaps(plot, gaps) {
  const { ctx: context, bbox } = plot;
  context.save();
  for (const [from_ms, to_ms] of gaps) {
    const span = spanOf(plot, from_ms, to_ms, GAP_WIDTH_PX_MIN);
    if (!span) continue;
    context.globalAlpha = 0.16;
    context.fillStyle = colour("--bad");
    context.fillRect(span.start, bbox.top, span.width, bbox.height);
    context.globalAlpha = 1;
    context.strokeStyle = colour("--bad");
    context.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
    context.strokeRect(span.start, bbox.top, span.width, bbox.height);
    label(context, "gap", span.start, bbox.top + 10 * devicePixelRatio, span.width);
  }
  context.restore();
}

function drawStates(plot, states, tones) {
  const { ctx: context, bbox } = plot;
  const top = bbox.top + bbox.height * 0.22;
  const height = bbox.height * 0.56;
  context.save();
  for (const [from_ms, to_ms, text] of states) {
    const span = spanOf(plot, from_ms, to_ms, 1);
    if (!span) continue;
    context.globalAlpha = 0.38;
    context.fillStyle = colour(tones.get(text));
    context.fillRect(span.start, top, span.width, height);
    context.globalAlpha = 1;
    context.fillRect(span.start, top, Math.max(1, devicePixelRatio), height);
    label(context, text, span.start, top + height / 2, span.width);
  }
  context.restore();
}

class Chart {
  constructor(place, source) {
    this.place = place;
    this.source = source;
    this.isZoomed = false;
    this.read();
    this.make();
    new ResizeObserver(() => this.plot.setSize(this.size())).observe(place);
    new MutationObserver(() => this.update()).observe(source.parentElement, {
      subtree: true,
      attributes: true,
      attributeFilter: ["data-chart"],
    });
  }

  size() {
    return { width: Math.max(200, this.place.clientWidth), height: this.isStates ? STATES_HEIGHT_PX : HEIGHT_PX };
  }

  read() {
    const said = this.source.dataset.chart;
    this.said = said;
    this.drawn = JSON.parse(said);
    const { points, states, from_ms, to_ms } = this.drawn;
    this.isStates = states.length > 0;
    this.tones = new Map();
    for (const [, , text] of states) if (!this.tones.has(text)) this.tones.set(text, TONES[this.tones.size % TONES.length]);
    this.data = points.length
      ? [points.map((point) => point[0] / 1000), points.map((point) => point[1])]
      : [[from_ms / 1000, to_ms / 1000], [null, null]];
    this.place.dataset.points = points.length;
    this.place.dataset.states = states.length;
    this.place.dataset.gaps = this.drawn.gaps.length;
  }

  make() {
    const values = this.isStates ? { show: false } : { ...axisColours, size: 56 };
    this.plot = new uPlot(
      {
        ...this.size(),
        legend: { show: !this.isStates, live: true },
        padding: [null, 16, null, this.isStates ? 34 : null],
        cursor: { y: false, drag: { x: true, y: false } },
        scales: {
          // Whoever drags over a part of the chart keeps that part while new readings come; a double click undoes it.
          x: { time: true, range: (plot, low, high) => (this.isZoomed ? [low, high] : [this.drawn.from_ms / 1000, this.drawn.to_ms / 1000]) },
          y: this.isStates ? { range: [0, 1] } : {},
        },
        axes: [{ ...axisColours, values: TIMES, space: 70 }, values],
        series: [
          { value: "{D} {MMM} {HH}:{mm}:{ss}" },
          {
            label: this.drawn.unit || "value",
            stroke: () => colour("--accent"),
            width: 1.5,
            points: { size: 5, fill: () => colour("--accent") },
            value: (plot, value) => (value === null || value === undefined ? "–" : String(Number(value.toPrecision(10)))),
          },
        ],
        hooks: {
          drawClear: [(plot) => shadeGaps(plot, this.drawn.gaps)],
          drawSeries: [(plot) => this.isStates && drawStates(plot, this.drawn.states, this.tones)],
          setSelect: [(plot) => (this.isZoomed = plot.select.width > 0)],
        },
      },
      this.data,
      this.place,
    );
    this.plot.over.addEventListener("dblclick", () => {
      this.isZoomed = false;
      this.plot.setData(this.data);
    });
    this.showKey();
  }

  showKey() {
    this.place.querySelector(".state-key")?.remove();
    if (!this.isStates) return;
    const key = document.createElement("ul");
    key.className = "state-key";
    for (const [text, tone] of this.tones) {
      const item = document.createElement("li");
      item.className = `tone-${tone.slice(2)}`;
      item.textContent = text;
      key.append(item);
    }
    this.place.append(key);
  }

  update() {
    // A morph may have put another element in the old one's place.
    this.source = document.getElementById(this.place.dataset.chartOf) ?? this.source;
    if (this.source.dataset.chart === this.said) return;
    const was = this.isStates;
    this.read();
    if (was !== this.isStates) {
      this.plot.destroy();
      this.make();
      return;
    }
    this.showKey();
    if (this.isZoomed) {
      const { min, max } = this.plot.scales.x;
      this.plot.setData(this.data, false);
      this.plot.setScale("x", { min, max });
    } else this.plot.setData(this.data);
  }
}

const charts = [];
for (const place of document.querySelectorAll("[data-chart-of]")) {
  const source = document.getElementById(place.dataset.chartOf);
  if (source) charts.push(new Chart(place, source));
}

const redraw = () => charts.forEach((chart) => chart.plot.redraw());
new MutationObserver(redraw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
