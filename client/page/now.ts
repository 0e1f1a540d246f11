import { bytes, byId, count, draw, el, long, rate, seconds, visible } from './dom.js';
import { type Limit, type Status, workers } from './figures.js';
import type { Past } from './past.js';

const body = (id: string) => byId(id).querySelector('.body')!;
const none = (text: string) => [el('p', { class: 'soft none' }, text)];

/** What a waiting php-fpm worker takes, for those who have not measured theirs. */
const workerBytes = 30 * 1024 * 1024;

function tile(label: string, value: string, kind: string, ...under: (Node | string | false)[]): HTMLElement {
	return el('div', { class: `tile ${kind}` }, el('h2', {}, label), el('p', { class: 'value' }, value), el('p', { class: 'under' }, ...under));
}

function tiles(s: Status, past: Past) {
	const mean = (name: string) => {
		const values = past.recent(name, 10);
		return values.length ? values.reduce((a, b) => a + b, 0) / values.length : 0;
	};
	const saved = workers(s), parked = el('span', { class: 'bar' }, el('span'));
	(parked.firstChild as HTMLElement).style.width = `${s.held ? (100 * s.parked) / s.held : 0}%`;
	const medians = past.recent('median', 60), worst = past.recent('p99', 60);
	const sources: { [name: string]: number } = {};
	for (const h of s.hubs) {
		for (const [name, n] of Object.entries(h.sources)) {
			sources[name] = (sources[name] ?? 0) + n;
		}
	}
	const from = Object.entries(sources).sort((a, b) => b[1] - a[1]).slice(0, 3).map(([name, n]) => `${count(n)} ${name}`).join(', ');
	byId('tiles').replaceChildren(
		tile('Held now', count(s.held), 'held', parked, s.held ? `${count(s.parked)} parked, ${count(s.held - s.parked)} with a goroutine` : 'nobody waits'),
		tile('PHP workers free', count(saved), 'good',
			saved ? `${bytes(saved * workerBytes)} if each took 30 MiB. ` : 'each held request would take one. ', `${long(s.worker_seconds)} of waiting saved in ${long(kept(s))}`),
		tile('Events a second', rate(mean('events')), '', from || 'none yet'),
		tile('Deliveries a second', rate(mean('deliveries')), '', `${rate(mean('requests'))} requests begin to wait`),
		tile('Publish to last answer', medians.length ? seconds(medians.reduce((a, b) => a + b, 0) / medians.length) : '–', '',
			medians.length ? `the slowest ${seconds(Math.max(...worst))}, in the last minute` : 'nobody waited for an event in the last minute'),
		s.process ? tile('Memory of the server', bytes(s.process.memory), '',
			s.held >= 100 ? `${bytes(s.process.memory / s.held)} a held request with all else, ` : '', `${count(s.process.goroutines)} goroutines`)
			: tile('Channels in use', count(s.hubs.reduce((n, h) => n + h.channels, 0)), '', `${count(s.hubs.reduce((n, h) => n + h.history, 0))} events kept`),
	);
}

function limit(l: Limit, named: boolean): HTMLElement {
	const share = l.used / Math.max(1, l.most), bar = el('span', { class: 'bar' }, el('span'));
	(bar.firstChild as HTMLElement).style.width = `${Math.min(100, share * 100)}%`;
	const f = l.bytes ? bytes : count;
	const state = share >= 0.95 ? 'bad' : share >= 0.8 ? 'warn' : '';
	return el('li', { class: state }, el('span', { class: 'name' }, el('code', {}, l.name), named && l.hub ? ` ${l.hub}` : false),
		el('span', { class: 'of' }, `${f(l.used)} of ${f(l.most)}`, el('b', {}, ` ${share > 0 && share < 0.01 ? '<1' : Math.floor(share * 100)} %`)), bar);
}

function table(head: string[], rows: (Node | string)[][]): HTMLElement {
	return el('div', { class: 'scroll' }, el('table', {},
		el('thead', {}, el('tr', {}, ...head.map((h) => el('th', { scope: 'col' }, h)))),
		el('tbody', {}, ...rows.map((row) => el('tr', {}, ...row.map((cell, i) => el('td', { 'data-label': head[i] }, cell)))))));
}

/** Counters by name, the largest first. */
function counters(id: string, values: { [name: string]: number }, empty: string, good: string[]) {
	const sorted = Object.entries(values).sort((a, b) => b[1] - a[1]), most = sorted[0]?.[1] ?? 1;
	draw(body(id), values, () => (sorted.length === 0 ? none(empty) : [el('ul', { class: 'counters' }, ...sorted.map(([name, n]) => {
		const bar = el('span', { class: 'bar' }, el('span'));
		(bar.firstChild as HTMLElement).style.width = `${Math.max(0.5, (100 * n) / most)}%`;
		return el('li', { class: good.includes(name) ? '' : 'warn' }, el('code', {}, name), bar, el('b', {}, n));
	}))]));
}

/** For how many seconds figures are kept: none, for a page that is new to the server. */
const kept = (s: Status) => (s.since.startsWith('0001') ? 0 : (Date.parse(s.time) - Date.parse(s.since)) / 1000);

/** Everything but the plots and the events. */
export function show(s: Status, past: Past) {
	tiles(s, past);
	const several = s.hubs.length > 1;
	draw(body('limits'), [s.limits, several], () => [el('ul', { class: 'limits' }, ...s.limits.map((l) => limit(l, several)))]);

	byId('hubs').hidden = !several && !s.hubs.some((h) => h.store);
	draw(body('hubs'), [s.hubs, s.more_hubs], () => [
		table(['hub', 'held', 'parked', 'channels', 'events', 'deliveries', 'history', 'on disk'], s.hubs.map((h) => [
			el('strong', {}, h.hub), count(h.held), count(h.parked), count(h.channels), count(h.events), count(h.deliveries), bytes(h.history_bytes),
			h.store?.error ? el('span', { class: 'chip bad' }, visible(h.store.error)) : h.store ? bytes(h.store.bytes) : '–',
		])),
		...(s.more_hubs ? [el('p', { class: 'soft' }, `and ${count(s.more_hubs)} with fewer held requests`)] : []),
	]);

	draw(body('watches'), [s.watches, s.more_watches, several], () => (s.watches.length === 0 ? none('No files are watched.') : [
		table([...(several ? ['hub'] : []), 'path', 'what', 'how', 'files', ''], s.watches.map((w) => [
			...(several ? [w.hub] : []), el('code', {}, visible(w.glob)), w.what,
			el('span', { class: `chip ${w.mode === 'inotify' ? 'good' : w.mode ? 'warn' : 'bad'}` }, w.mode || 'no directory'), count(w.files),
			el('span', { class: w.error ? 'wrong' : 'soft' }, visible(w.error || w.why)),
		])),
		...(s.more_watches ? [el('p', { class: 'soft' }, `and ${count(s.more_watches)} more`)] : []),
	]));

	draw(body('problems'), s.problems, () => (s.problems.length === 0 ? none('None since the server began.') : [
		el('ol', { class: 'problems' }, ...s.problems.map((p) => el('li', {},
			el('span', { class: `chip ${p.level === 'warn' ? 'warn' : 'bad'}` }, p.level),
			el('time', { datetime: p.time, title: p.time }, new Date(p.time).toLocaleTimeString(undefined, { hour12: false })),
			p.hub ? el('span', { class: 'chip' }, p.hub) : false, p.count > 1 && el('span', { class: 'soft' }, `${count(p.count)} times`),
			el('p', {}, visible(p.message)), p.detail ? el('p', { class: 'soft' }, visible(p.detail)) : false)))]));

	counters('ended', s.ended, 'None has ended.', ['event', 'timeout', 'client_gone', 'again', 'recycled', 'expired']);
	counters('refused', s.refused, 'Nothing was refused.', []);
	byId('about').textContent = `Caddy ${s.version}, figures kept for ${long(kept(s))}.`;
	byId('scope').textContent = s.hub ?? 'status';
	document.title = `${count(s.held)} held · ${s.hub ?? 'comet'}`;
}
