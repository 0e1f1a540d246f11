import { columns, type Status } from './figures.js';

export type Span = 'seconds' | 'minutes';

/** What happened lately, a sample at a time: as the server kept it, and from then on as it comes. */
export class Past {
	t: number[] = [];
	v = new Map<string, (number | null)[]>();

	constructor(private size: number) {}

	async load(span: Span) {
		const answer = await fetch(`history.json?by=${span}`);
		if (!answer.ok) {
			throw new Error((await answer.text()).trim());
		}
		const { t, v } = (await answer.json()) as { t: number[]; v: { [column: string]: (number | null)[] } };
		this.t = t;
		this.v = new Map(Object.entries(v));
	}

	push(s: Status) {
		const at = Math.floor(Date.parse(s.time) / 1000);
		if (at <= this.last) {
			return;
		}
		this.t.push(at);
		const values = columns(s);
		for (const name of Object.keys(values)) {
			if (!this.v.has(name)) {
				this.v.set(name, this.t.slice(1).map(() => null));
			}
		}
		for (const [name, column] of this.v) {
			column.push(values[name] ?? null);
		}
		if (this.t.length > this.size) {
			this.t.shift();
			this.v.forEach((column) => column.shift());
		}
	}

	get last() {
		return this.t.length ? this.t[this.t.length - 1] : 0;
	}

	/** The columns whose names begin so, without that, those with the most first. */
	names(prefix: string): string[] {
		const sum = (name: string) => this.v.get(prefix + name)!.reduce<number>((n, v) => n + (v ?? 0), 0);
		return [...this.v.keys()].filter((n) => n.startsWith(prefix)).map((n) => n.slice(prefix.length))
			.map((n) => [n, sum(n)] as const).sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([n]) => n);
	}

	column(name: string): (number | null)[] {
		return this.v.get(name) ?? this.t.map(() => null);
	}

	/** The values of the last so many samples that have one. */
	recent(name: string, n: number): number[] {
		return this.column(name).slice(-n).filter((v): v is number => v !== null);
	}
}
