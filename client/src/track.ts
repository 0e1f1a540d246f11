import type { Message, Position } from './types.js';

export const isCursor = (c: unknown): c is string => typeof c === 'string' && /^[0-9a-z]+\.\d+$/.test(c);

const split = (p: Position) => (isCursor(p) ? p.split('.') : []);

/** Reports whether who is at p has had all up to the cursor. A sequence has up to 19 digits, which no number keeps. */
export function reached(p: Position, cursor: Position): boolean {
	const [epoch, a] = split(p), [other, b] = split(cursor);
	return !!epoch && epoch === other && (a === b || (a.length - b.length || (a > b ? 1 : -1)) > 0);
}

/** The position from which one request serves all who have one. */
export const least = (all: Position[]): Position => all.reduce((a, b) => (a === 'all' || !b || reached(b, a) ? a : b));

/**
 * Where somebody is in each of his channels, and so what of all that comes is new to him. A channel that is not live is
 * left alone: what comes then does not follow its position.
 */
export class Track {
	at = new Map<string, Position>();
	live = new Set<string>();

	/** Moves on with what came. Reports which channels it is news for, and which of them lost something before it. */
	take(m: Message): { news: string[]; lost: string[] } {
		const news: string[] = [], lost: string[] = [];
		for (const name of m.channel ? [m.channel] : m.channels || this.live) {
			const p = this.at.get(name);
			if (this.live.has(name) && !reached(p, m.cursor)) {
				news.push(name);
				// A position of another epoch is in a history that the server no longer has.
				if (p && (m.gap || (isCursor(p) && split(p)[0] !== split(m.cursor)[0]))) {
					lost.push(name);
				}
				this.at.set(name, m.cursor);
			}
		}
		return { news, lost };
	}
}
