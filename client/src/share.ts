import type { Line, Sink } from './line.js';
import type { Track } from './track.js';
import type { Message, Position, StateChange } from './types.js';

/** What a page needs of whoever has the connection. */
export interface Upstream {
	/** Says what is wanted, after each change of it. */
	want(): void;
	/** Leaves. */
	close(): void;
}

/** What whoever has the connection needs of a page. */
export interface Page extends Sink {
	track: Track;
	/** The page's channels follow their positions from here on; a position of now has become one. */
	joined(positions: [string, Position][]): void;
	hidden(): boolean;
}

/** The connection of several pages. */
class Party {
	private readonly members = new Map<string, Set<string>>();
	private readonly hidden = new Set<string>();
	private timer: any;

	constructor(private readonly line: Line, private readonly pause: number) {}

	/** A member wants these channels, the fresh ones from a position. Returns where these begin. */
	want(who: string, names: string[], fresh: [string, Position][], hidden: boolean, newcomer?: () => void): [string, Position][] {
		const had = this.members.get(who);
		if (!had && newcomer) {
			newcomer();
		}
		this.members.set(who, new Set(names));
		fresh.forEach(([name, from]) => this.line.add(name, from));
		had?.forEach((name) => this.drop(name));
		this.hidden[hidden ? 'add' : 'delete'](who);
		this.look();
		// Now is behind all that was heard, though the channel may be at an older position for somebody else.
		const { track, head } = this.line;
		return fresh.map(([name, from]) => [name, from || (track.at.get(name) && head)]);
	}

	leave(who: string): void {
		const had = this.members.get(who) || [];
		this.members.delete(who);
		this.hidden.delete(who);
		had.forEach((name: string) => this.drop(name));
		this.look();
	}

	private drop(name: string) {
		if (![...this.members.values()].some((names) => names.has(name))) {
			this.line.remove(name);
		}
	}

	/** Rests when nobody has looked for long. */
	private look() {
		const seen = this.hidden.size < this.members.size;
		clearTimeout(this.timer);
		if (seen || !this.members.size) {
			this.line.rest(false);
		} else if (this.pause) {
			this.timer = setTimeout(() => this.line.rest(true), this.pause * 1000);
		}
	}

	close(): void {
		clearTimeout(this.timer);
		this.line.close();
	}
}

function wants({ track }: Page): [string[], [string, Position][]] {
	const fresh = [...track.at].filter(([name]) => !track.live.has(name));
	return [[...track.at.keys()], fresh];
}

/** A page with a connection of its own. */
export function alone(page: Page, connect: (sink: Sink) => Line, pause: number): Upstream {
	const party = new Party(connect(page), pause);
	return {
		want() {
			page.joined(party.want('', ...wants(page), page.hidden()));
		},
		close: () => party.close(),
	};
}

type Letter = { from: string; to?: string } & (
	| { t: 'lead' | 'bye' }
	| { t: 'want'; n: number; names: string[]; fresh: [string, Position][]; hidden: boolean }
	| { t: 'joined'; n: number; positions: [string, Position][]; state: StateChange }
	| { t: 'hear'; m: Message }
	| { t: 'state'; state: StateChange }
);

/** A letter without its sender. */
type Body = Letter extends infer L ? (L extends Letter ? Omit<L, 'from'> : never) : never;

export const canShare = (): boolean => !!(globalThis.BroadcastChannel && globalThis.navigator && navigator.locks);

/** How often a page that is seen looks after its leader, and after what silence it wants an answer; milliseconds. */
const look = 3e3, silence = 20e3;

/**
 * A page whose connection is that of all pages. Who holds the lock leads: it has the connection, and tells the others
 * what it hears. The browser frees the lock when that page is closed, left or crashes, and gives it to the next one. A
 * leader that no longer answers, because its page is stopped, is robbed of it.
 *
 * Each page knows its own positions, tells them whoever leads, and takes nothing twice. So a new leader is to it what a
 * new connection is to a single page.
 */
export function shared(key: string, page: Page, connect: (sink: Sink) => Line, pause: number): Upstream {
	const { locks } = navigator;
	const me = Math.random().toString(36).slice(2);
	const post = new BroadcastChannel(key);
	const over = new AbortController();
	/** Our place among those who wait for the lock. */
	let queue = new AbortController();
	/** Whom we follow, when it was heard last, and whether it was asked since then. */
	let leader: string | undefined, heard = 0, asked = false;
	/** Where we lead: what those have who follow us. */
	let party: Party | undefined, now: StateChange;
	let ready = false, n = 0;

	const say = (letter: Body) => {
		if (!over.signal.aborted) {
			post.postMessage({ ...letter, from: me });
		}
	};

	/** Holds a lock until the signal. */
	const hold = (signal: AbortSignal) => new Promise<void>((free) => signal.addEventListener('abort', () => free()));

	function want() {
		const [names, fresh] = wants(page);
		if (party) {
			page.joined(party.want(me, names, fresh, page.hidden()));
		} else if (ready) {
			say({ t: 'want', n: ++n, names, fresh, hidden: page.hidden() });
		}
	}

	function read(data: Letter) {
		const { from } = data;
		if (data.t === 'lead') {
			depose();
			leader = from;
			page.track.live.clear();
			want();
		} else if (party) {
			if (data.t === 'want') {
				const positions = party.want(from, data.names, data.fresh, data.hidden, () =>
					locks.request(key + ' ' + from, { signal: queue.signal }, () => party?.leave(from)).catch(() => {}),
				);
				say({ t: 'joined', to: from, n: data.n, positions, state: now });
			} else if (data.t === 'bye') {
				party.leave(from);
			}
		} else if (data.t === 'joined' && data.to === me && data.n === n && (!leader || leader === from)) {
			leader = from;
			page.joined(data.positions);
			page.state(data.state);
		} else if (leader === from) {
			if (data.t === 'hear') {
				page.hear(data.m);
			} else if (data.t === 'state') {
				page.state(data.state);
			}
		}
		if (leader === from) {
			heard = Date.now();
			asked = false;
		}
	}
	post.onmessage = (e: MessageEvent<Letter>) => read(e.data);

	function lead() {
		const line = connect({
			hear(m) {
				if (party === mine) {
					say({ t: 'hear', m });
					page.hear(m);
				}
			},
			state(state) {
				if (party === mine) {
					now = state;
					say({ t: 'state', state });
					page.state(state);
				}
			},
		});
		const mine = (party = new Party(line, pause));
		now = { state: 'connecting' };
		leader = me;
		page.track.live.clear();
		say({ t: 'lead' });
		want();
		return mine;
	}

	function depose() {
		if (party) {
			party.close();
			party = leader = undefined;
			heard = Date.now();
			page.track.live.clear();
			queue.abort();
			queue = new AbortController();
		}
	}

	async function elect(steal?: boolean) {
		queue.abort();
		queue = new AbortController();
		let mine: Party | undefined;
		const rule = () => {
			if (over.signal.aborted) {
				return;
			}
			mine = lead();
			return hold(over.signal);
		};
		await (steal ? locks.request(key, { steal }, rule) : locks.request(key, { signal: queue.signal }, rule)).catch(() => {});
		if (mine) {
			// We were robbed of it, or are closed.
			if (party === mine) {
				depose();
				want();
			}
			if (!over.signal.aborted) {
				await elect();
			}
		}
	}

	// A lock of our own tells the leader when we are gone. It must be there before the leader can look.
	locks
		.request(key + ' ' + me, { signal: over.signal }, () => {
			ready = true;
			want();
			void elect();
			return hold(over.signal);
		})
		.catch(() => {});

	const timer = setInterval(() => {
		if (!ready || party || page.hidden() || Date.now() - heard < silence) {
			return;
		}
		if (asked) {
			heard = Date.now();
			void elect(true);
		} else {
			want();
		}
		asked = !asked;
	}, look);

	return {
		want() {
			if (!page.hidden()) {
				heard = 0; // it may have been stopped while nobody looked
			}
			want();
		},
		close() {
			clearInterval(timer);
			say({ t: 'bye' });
			over.abort();
			depose();
			post.close();
		},
	};
}
