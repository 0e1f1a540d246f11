/** Texts are only ever texts here: nothing that the server says becomes markup. The page's CSP has the browser see to it, too. */
type Child = Node | string | number | undefined | false;

export function el(tag: string, props: { [name: string]: string } = {}, ...children: Child[]): HTMLElement {
	const e = document.createElement(tag);
	for (const [name, value] of Object.entries(props)) {
		e.setAttribute(name, value);
	}
	for (const child of children) {
		if (child !== undefined && child !== false) {
			e.append(typeof child === 'number' ? count(child) : child);
		}
	}
	return e;
}

export const byId = <E extends HTMLElement = HTMLElement>(id: string) => document.getElementById(id) as E;

const last = new WeakMap<Element, string>();

/** Draws a part of the page anew if what it shows is another: a text that somebody selects stays. */
export function draw(where: Element, what: unknown, how: () => Child[]) {
	const now = JSON.stringify(what);
	if (last.get(where) !== now) {
		last.set(where, now);
		where.replaceChildren(...(how().filter((c) => c !== undefined && c !== false) as Node[]));
	}
}

const whole = new Intl.NumberFormat(), few = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const compact = new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 1 });

export const count = (n: number) => whole.format(n);
export const short = (n: number) => compact.format(n);

/** A rate, a second. */
export const rate = (n: number) => (n >= 100 || Number.isInteger(n) ? count(Math.round(n)) : few.format(n));

export function bytes(n: number): string {
	const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
	let i = 0;
	for (; n >= 1000 && i < units.length - 1; i++) {
		n /= 1024;
	}
	return `${n >= 100 || i === 0 ? Math.round(n) : few.format(n)} ${units[i]}`;
}

export function seconds(s: number): string {
	if (s < 1) {
		const ms = s * 1000;
		return `${ms < 10 ? +ms.toFixed(ms < 1 ? 2 : 1) : Math.round(ms)} ms`;
	}
	return `${few.format(s)} s`;
}

export function long(s: number): string {
	for (const [unit, size] of [['day', 86400], ['hour', 3600], ['minute', 60]] as const) {
		if (s >= size) {
			const n = Math.round((s / size) * 10) / 10;
			return `${n >= 10 ? count(Math.round(n)) : few.format(n)} ${unit}${n === 1 ? '' : 's'}`;
		}
	}
	const n = Math.round(s);
	return `${n} second${n === 1 ? '' : 's'}`;
}

/** Shows what would not be seen, or would turn the line around, as a mark. */
export const visible = (text: string) =>
	text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]/g, '\ufffd');
