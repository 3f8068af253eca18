/** Spend by day as bars. For the eye only: the table under it says the same. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { amount, plainAmount } from "../quantity";
import { printing } from "../printing";
import { theme } from "../theme";
import { dayWords, MEASURE_WORDS, measured, type Measure } from "./days";
import type { Row } from "./shape";

interface DayChartProps {
  days: { day: string; row: Row | null }[];
  measure: Measure;
}

const HEIGHT = 190;

export function DayChart({ days, measure }: DayChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const [at, point] = useState<number | null>(null);
  const dark = theme.value;
  const paper = printing.value;

  useLayoutEffect(() => {
    const target = box.current;
    if (!target) return;
    const plot = draw(target, days, measure, point);
    const resized = new ResizeObserver(() => plot.setSize({ width: target.clientWidth, height: HEIGHT }));
    resized.observe(target);
    return () => {
      resized.disconnect();
      plot.destroy();
    };
  }, [days, measure, dark, paper]);

  const shown = at === null ? null : days[at];
  return (
    <figure class="chart">
      <div ref={box} role="img" aria-label={`${MEASURE_WORDS[measure]} by day, as bars; the table below says the same.`} />
      <figcaption class="quiet num" aria-hidden="true">
        {shown
          ? `${dayWords(shown.day, Date.now())}: ${shown.row ? amount(measured(shown.row, measure)) : "nothing"}`
          : caption(days, measure)}
      </figcaption>
    </figure>
  );
}

function caption(days: DayChartProps["days"], measure: Measure): string {
  const unknown = days.filter(({ row }) => row && measured(row, measure).value === null).length;
  const first = days[0] && dayWords(days[0].day, Date.now());
  const last = days.at(-1) && dayWords(days.at(-1)!.day, Date.now());
  return `${first} to ${last}${unknown > 0 ? `; unknown on ${unknown} of the days, which have no bar` : ""}`;
}

function draw(target: HTMLElement, days: DayChartProps["days"], measure: Measure, point: (at: number | null) => void): uPlot {
  const style = getComputedStyle(target);
  // Paper is light, and the page's styles for it count only once it is laid out.
  if (printing.peek()) target.style.colorScheme = "light";
  else target.style.colorScheme = "";
  // The canvas knows no CSS: `light-dark()` is asked for through a colour that the browser has worked out.
  const colour = (name: string) => {
    target.style.color = `var(${name})`;
    const found = getComputedStyle(target).color;
    target.style.color = "";
    return found;
  };
  const [ink, quiet, hair] = [colour("--ink-2"), colour("--ink-3"), colour("--hair")];
  const quantities = days.map(({ row }) => (row ? measured(row, measure) : null));
  const unit = quantities.find((quantity) => quantity !== null)?.unit ?? "";
  const values = quantities.map((quantity) => quantity?.value ?? null);
  const top = Math.max(0, ...quantities.map((quantity) => quantity?.high ?? quantity?.value ?? 0));
  const font = `11px ${style.fontFamily}`;
  const plot = new uPlot(
    {
      width: target.clientWidth,
      height: HEIGHT,
      padding: [8, 4, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: {
        x: { time: false, range: [-0.6, Math.max(days.length, 1) - 0.4] },
        y: { range: [0, top > 0 ? top * 1.06 : 1] },
      },
      series: [{}, { paths: uPlot.paths.bars!({ size: [0.66, 36] }), points: { show: false }, fill: ink, stroke: ink, width: 0 }],
      axes: [
        {
          stroke: quiet,
          font,
          grid: { show: false },
          ticks: { show: false },
          size: 26,
          incrs: [1, 2, 7, 14, 30, 60, 90],
          space: 56,
          values: (_, splits) => splits.map((index) => (days[index] ? dayWords(days[index].day, Date.now()) : "")),
        },
        {
          stroke: quiet,
          font,
          grid: { stroke: hair, width: 1 },
          ticks: { show: false },
          size: widthOfLabels,
          space: 32,
          values: (_, splits) => splits.map((value) => plainAmount(value, unit)),
        },
      ],
      hooks: {
        setCursor: [(self) => point(self.cursor.left !== undefined && self.cursor.left >= 0 ? (self.cursor.idx ?? null) : null)],
        draw: [(self) => whiskers(self, quantities, quiet)],
      },
    },
    [days.map((_, index) => index), values],
    target,
  );
  return plot;
}

/** As wide as the longest number of the axis: "1,000,000 tokens" is told whole. */
function widthOfLabels(plot: uPlot, values: string[] | null, axisIndex: number): number {
  const axis = plot.axes[axisIndex];
  const gap = (axis?.gap ?? 0) + 6;
  if (!values || !axis) return gap;
  plot.ctx.save();
  plot.ctx.font = Array.isArray(axis.font) ? String(axis.font[0]) : String(axis.font);
  const widest = Math.max(0, ...values.map((value) => plot.ctx.measureText(value ?? "").width));
  plot.ctx.restore();
  return Math.ceil(widest / devicePixelRatio + gap);
}

/** The interval of a bar, where its number has one. */
function whiskers(plot: uPlot, quantities: (ReturnType<typeof measured> | null)[], colour: string): void {
  const { ctx } = plot;
  ctx.save();
  ctx.strokeStyle = colour;
  ctx.lineWidth = Math.max(1, devicePixelRatio);
  ctx.beginPath();
  for (const [index, quantity] of quantities.entries()) {
    if (quantity?.value == null || quantity.low == null || quantity.high == null || quantity.low === quantity.high) continue;
    const x = Math.round(plot.valToPos(index, "x", true));
    ctx.moveTo(x, plot.valToPos(quantity.low, "y", true));
    ctx.lineTo(x, plot.valToPos(quantity.high, "y", true));
  }
  ctx.stroke();
  ctx.restore();
}
