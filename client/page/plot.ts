import uPlot from 'uplot';
import { el } from './dom.js';
import type { Past } from './past.js';
import { stack } from './stack.js';

/** One line of a plot. */
export interface Line { label: string; column: string; colour: string; axis?: 'right' }

export interface Kind {
	title: string;
	/** What stands there while nothing happens. */
	lines: (past: Past) => Line[];
	/** The areas stand on one another, and so show their sum. */
	stacked?: boolean;
	/** Large and small times are both to be seen. */
	log?: boolean;
	value: (v: number) => string;
	tick: (v: number) => string;
}

const style = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const clock = (long: boolean) => new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', ...(long && { second: '2-digit' }), hour12: false });
const hm = clock(false), hms = clock(true);

/** A plot with its title and legend. uPlot draws; its own legend is left out, because this one says the values better. */
export class Plot {
	readonly card: HTMLElement;
	private legend = el('ul', { class: 'legend' });
	private box = el('div', { class: 'plot' });
	private u?: uPlot;
	private lines: Line[] = [];
	private shape = '';
	private past?: Past;

	constructor(private kind: Kind) {
		this.card = el('figure', { class: 'card' }, el('figcaption', {}, el('h2', {}, kind.title), this.legend), this.box);
		new ResizeObserver(() => this.u?.setSize(this.size())).observe(this.box);
	}

	/** Draws all anew: the colours are others. */
	forget() {
		this.shape = '';
		if (this.past) {
			this.show(this.past);
		}
	}

	show(past: Past) {
		this.past = past;
		this.lines = this.kind.lines(past);
		const shape = JSON.stringify(this.lines.map((l) => [l.label, l.colour]));
		if (shape !== this.shape) {
			this.shape = shape;
			this.u?.destroy();
			this.u = new uPlot(this.options(), this.data(past), this.box);
		} else {
			this.u!.setData(this.data(past));
		}
		this.say(this.u!.cursor.idx ?? null);
	}

	private data(past: Past): uPlot.AlignedData {
		const columns = this.lines.map((l) => past.column(l.column));
		return [past.t, ...(this.kind.stacked ? stack(columns) : columns)] as uPlot.AlignedData;
	}

	private say(at: number | null) {
		const i = at ?? (this.past!.t.length - 1);
		this.legend.replaceChildren(...this.lines.map((l) => {
			const v = this.past!.column(l.column)[i];
			const key = el('span', { class: 'key' });
			key.style.background = style(l.colour);
			return el('li', {}, key, l.label, ' ', el('b', {}, v === null || v === undefined ? '–' : this.kind.value(v)));
		}));
	}

	private size() {
		return { width: Math.max(160, this.box.clientWidth), height: 190 };
	}

	private options(): uPlot.Options {
		const soft = style('--soft'), line = style('--line');
		const font = `11px ${getComputedStyle(document.body).fontFamily}`;
		const ink = (l: Line) => style(l.colour);
		const faint = (l: Line) => ink(l) + '38';
		const { kind } = this;
		const y = (scale: string, right: boolean): uPlot.Axis => ({
			scale, side: right ? 1 : 3, stroke: soft, font, size: 44, gap: 4, ticks: { show: false },
			grid: { show: !right, stroke: line, width: 1 },
			values: (_, splits) => splits.map((v) => (v === null ? '' : kind.tick(v))),
			...(kind.log ? { splits: (_, _axis, min, max) => decades(min, max) } : { incrs: whole }),
		});
		const right = this.lines.some((l) => l.axis);
		const range = (_: uPlot, min: number, max: number): [number, number] => {
			if (kind.log) {
				// Whole decades, and at least two.
				const low = Math.floor(Math.log10(Math.max(min || 1e-4, 1e-5))), high = Math.ceil(Math.log10(Math.max(max || 1e-2, 1e-4)));
				return [10 ** Math.min(low, high - 2), 10 ** high];
			}
			return [0, Math.max(max || 0, 1) * 1.1];
		};
		return {
			...this.size(),
			legend: { show: false },
			padding: [8, right ? 0 : 18, 0, 0],
			cursor: { sync: { key: 'comet' }, y: false, points: { size: 7 }, drag: { x: false, y: false } },
			scales: { y: { range, distr: kind.log ? 3 : 1 }, right: { range } },
			axes: [
				{ stroke: soft, font, size: 28, gap: 6, ticks: { show: false }, grid: { show: false }, space: 64,
					values: (_, splits, _axis, _space, step) => splits.map((t) => (step % 60 ? hms : hm).format(t * 1000)) },
				y('y', false),
				...(right ? [y('right', true)] : []),
			],
			series: [{}, ...this.lines.map((l): uPlot.Series => ({
				label: l.label, scale: l.axis ?? 'y', stroke: ink(l), width: kind.stacked ? 1.25 : 1.75, spanGaps: false,
				points: { show: (u, i) => alone(u, i), size: 5, fill: ink(l) },
				fill: kind.stacked ? ink(l) + '66' : l.axis || kind.log ? undefined : faint(l),
			}))],
			bands: kind.stacked ? this.lines.slice(1).map((_, i) => ({ series: [i + 1, i + 2] as [number, number] })) : undefined,
			hooks: { setCursor: [(u) => this.past && this.say(u.cursor.idx ?? null)] },
		};
	}
}

/** The lines of a count: whole numbers. */
const whole = Array.from({ length: 9 }, (_, i) => [1, 2, 5].map((n) => n * 10 ** i)).flat();

function decades(min: number, max: number): number[] {
	const all = [];
	for (let v = Math.round(Math.log10(min)); v <= Math.round(Math.log10(max)); v++) {
		all.push(10 ** v);
	}
	return all;
}

/** Points are drawn where times are measured now and then, and no line would lead to them. */
function alone(u: uPlot, i: number): boolean {
	const column = u.data[i];
	let n = 0;
	for (let at = 0; at < column.length; at++) {
		if (column[at] != null && column[at - 1] == null && column[at + 1] == null) {
			n++;
		}
	}
	return n > 0;
}
