import { Line, type Sink } from './line.js';
import { type Page, type Upstream, alone, canShare, shared } from './share.js';
import { Track } from './track.js';
import type { Comet, Message, Options, State, StateChange } from './types.js';

export type * from './types.js';

/**
 * Follows channels of the server whose comet directive answers at that address:
 *
 *	const live = comet('/comet');
 *	live.on('orders', (event) => console.log(event.data));
 */
export function comet(url = '/comet', options: Options = {}): Comet {
	const { since, share = true, pause = 300 } = options;
	const scope = globalThis as typeof globalThis & { document?: Document };
	const page = scope.document;
	const base = new URL(url, scope.location && scope.location.href).href.replace(/\/+$/, '');
	const handlers = new Map<string, Set<(what: any) => void>>();
	const begun = new Set<string>();
	/** What the page knows to be denied. */
	const barred = new Set<string>();
	const track = new Track();
	let change: StateChange = { state: 'waiting' };
	let upstream: Upstream | undefined, line: Line | undefined;
	let asked = false, over = false;

	function emit(name: string, what: unknown) {
		for (const handler of [...(handlers.get(name) || [])]) {
			try {
				handler(what);
			} catch (e) {
				setTimeout(() => {
					throw e; // for the console; the others go on
				});
			}
		}
	}

	const member: Page = {
		track,
		hidden: () => !!page && page.hidden,
		joined(positions) {
			for (const [name, p] of positions) {
				if (track.at.has(name)) {
					track.live.add(name);
					if (!track.at.get(name)) {
						track.at.set(name, p);
					}
				}
			}
		},
		hear(m: Message) {
			if (m.denied) {
				const channels = m.denied.filter((name) => track.at.has(name) && !barred.has(name));
				channels.forEach((name) => barred.add(name));
				if (channels[0]) {
					emit('*denied', { channels, error: m.error });
				}
				return;
			}
			const { news, lost } = track.take(m);
			if (lost.length) {
				emit('*gap', { channels: lost, cursor: m.cursor });
			}
			if (m.channel && news.length) {
				barred.delete(m.channel);
				const { channels, ...event } = m;
				emit(m.channel, event);
			}
		},
		state(s) {
			const was = change;
			change = s;
			if (s.state !== was.state || s.transport !== was.transport || s.error !== was.error) {
				emit('*state', { ...s });
			}
		},
	};

	const connect = (sink: Sink) => (line = new Line(base, options, sink));
	/** Joins the others, or leaves them while the page is stopped. */
	function join() {
		if (!upstream && !over) {
			upstream = share && canShare() ? shared('comet 1 ' + base, member, connect, pause) : alone(member, connect, pause);
			upstream.want();
		}
	}
	function leave() {
		if (upstream) {
			upstream.close();
			upstream = undefined;
			track.live.clear();
			member.state({ state: over ? 'closed' : 'waiting' });
		}
	}
	/** Says what is wanted, for all that is wanted in one go. */
	function want() {
		if (!asked) {
			asked = true;
			void Promise.resolve().then(() => {
				asked = false;
				join();
				if (upstream) {
					upstream.want();
				}
			});
		}
	}

	const listening: [EventTarget, string, () => void][] = [];
	function listen(target: any, name: string, f: () => void) {
		if (target && target.addEventListener) {
			target.addEventListener(name, f);
			listening.push([target, name, f]);
		}
	}
	listen(scope, 'online', () => line && line.network(true));
	listen(scope, 'offline', () => line && line.network(false));
	if (page) {
		listen(page, 'visibilitychange', () => upstream && upstream.want());
		// A page that is stopped, or kept for the back button, must not lead, nor keep a connection.
		listen(scope, 'pagehide', leave);
		listen(page, 'freeze', leave);
		listen(scope, 'pageshow', () => handlers.size && want());
		listen(page, 'resume', () => handlers.size && want());
	}

	return {
		on(name: string, handler: (what: any) => void, from?: string) {
			// The server would refuse the whole request, which is that of all tabs.
			if (!/^(\*|[\da-z][\w.:@=+-]{0,127}$)/i.test(name)) {
				throw TypeError('no channel ' + name);
			}
			let all = handlers.get(name);
			if (!all) {
				handlers.set(name, (all = new Set()));
			}
			const mine = (what: any) => handler(what); // one handler may be given twice
			all.add(mine);
			if (name[0] !== '*' && !track.at.has(name)) {
				const p = from || (begun.has(name) ? undefined : typeof since === 'string' ? since : since && since[name]);
				begun.add(name);
				track.at.set(name, (p !== 'now' && p) || undefined);
				want();
			}
			return () => {
				if (all.delete(mine) && !all.size && handlers.get(name) === all) {
					handlers.delete(name);
					track.live.delete(name);
					barred.delete(name);
					if (track.at.delete(name)) {
						want();
					}
				}
			};
		},
		get since() {
			return Object.fromEntries([...track.at].filter(([, p]) => p)) as { [channel: string]: string };
		},
		get state(): State {
			return change.state;
		},
		get transport() {
			return change.transport;
		},
		close() {
			over = true;
			leave();
			member.state({ state: 'closed' });
			handlers.clear();
			track.at.clear();
			for (const [target, event, f] of listening) {
				target.removeEventListener(event, f);
			}
		},
	};
}

export default comet;
