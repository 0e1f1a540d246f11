/** The figures as the server sends them: internal/samples/figures.go says what they mean. */
export interface Status {
	time: string;
	hub?: string;
	version: string;
	tail: boolean;
	since: string;
	worker_seconds: number;
	requests: number;
	events: number;
	deliveries: number;
	median?: number;
	p99?: number;
	held: number;
	parked: number;
	dialects: { dialect: string; held: number; parked: number; transports: { [name: string]: number } }[];
	hubs: Hub[];
	more_hubs?: number;
	limits: Limit[];
	watches: Watch[];
	more_watches?: number;
	refused: { [why: string]: number };
	ended: { [how: string]: number };
	problems: Problem[];
	process?: { goroutines: number; memory: number };
}

export interface Hub {
	hub: string;
	held: number;
	parked: number;
	channels: number;
	history: number;
	history_bytes: number;
	in_flight: number;
	requests: number;
	events: number;
	deliveries: number;
	sources: { [name: string]: number };
	store?: { bytes: number; error?: string };
}

export interface Limit { hub?: string; name: string; used: number; most: number; bytes?: boolean }
export interface Watch { hub: string; glob: string; what: string; mode: string; why: string; files: number; error?: string }
export interface Problem { time: string; level: string; message: string; hub?: string; detail?: string; count: number }

export interface Event {
	channel: string;
	cursor: string;
	time: string;
	type: string;
	content_type?: string;
	size: number;
	data: string;
	binary?: boolean;
}

/** Who looks at a channel on this page is held as well; no PHP worker would have been. */
export const watching = 'status';

export const workers = (s: Status) => s.dialects.reduce((n, d) => n + (d.dialect === watching ? 0 : d.held), 0);

/** What a plot keeps of a reading; the server keeps the same by the same names. */
export function columns(s: Status): { [column: string]: number | null } {
	const values: { [column: string]: number | null } = {
		parked: s.parked, requests: s.requests, events: s.events, deliveries: s.deliveries,
		median: s.median ?? null, p99: s.p99 ?? null,
	};
	for (const d of s.dialects) {
		values[`held ${d.dialect}`] = d.held;
	}
	for (const h of s.hubs) {
		values[`hub ${h.hub}`] = h.held;
	}
	return values;
}
