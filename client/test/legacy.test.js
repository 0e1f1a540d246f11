import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { afterEach, test } from 'node:test';
import vm from 'node:vm';
import { World } from './world.js';

globalThis.self = globalThis;
vm.runInThisContext(readFileSync(new URL('../dist/comet.legacy.js', import.meta.url), 'utf8'));
const { comet } = globalThis;

/** XMLHttpRequest, as far as it is used. */
class Request {
	open(_, url) {
		this.url = new URL(url, location.href).href;
	}
	send() {
		this.control = new AbortController();
		const end = (status, text, headers) => {
			Object.assign(this, { readyState: 4, status, responseText: text, headers });
			this.onreadystatechange?.();
		};
		fetch(this.url, { signal: this.control.signal, headers: this.headed, credentials: this.withCredentials ? 'include' : undefined }).then(
			async (r) => end(r.status, await r.text(), r.headers),
			() => end(0, ''),
		);
	}
	setRequestHeader(name, value) {
		this.headed = { ...this.headed, [name]: value };
	}
	getResponseHeader(name) {
		return this.headers.get(name);
	}
	abort() {
		this.control.abort();
	}
}

let open = [];
afterEach(() => {
	open.forEach((c) => c.close());
	open = [];
});

function page(options, ...channels) {
	globalThis.XMLHttpRequest = Request;
	const c = comet('/comet', options);
	const p = { c, got: [], gaps: [], states: [] };
	open.push(c);
	c.on('*gap', (g) => p.gaps.push(g.channels.sort().join()));
	c.on('*state', (s) => p.states.push(s.state));
	for (const name of channels) c.on(name, (e) => p.got.push(e.data));
	return p;
}
const numbers = (n) => [...Array(n).keys()];

test('nothing is lost and nothing comes twice, whatever is cut when', async () => {
	const w = new World();
	const p = page({}, 'a', 'b');
	await w.pass(100);
	const n = await w.ravage();
	assert.deepEqual([p.got, p.gaps, p.c.state, p.c.transport], [numbers(n), [], 'open', 'poll']);
	p.c.close();
	await w.pass(60e3);
	assert.deepEqual([w.timers.size - w.hub.subs.size, w.kinds(), p.c.state], [0, [], 'closed']);
});

test('positions, gaps and channels that come later', async () => {
	const w = new World();
	for (let i = 0; i < 4; i++) w.hub.publish('ab'[i % 2], i);
	const p = page({ since: { a: 'k3f9.1', b: 'old0.7' } }, 'a', 'b');
	await w.pass(3e3);
	assert.deepEqual([p.got.includes(2), p.gaps.length], [true, 1]);
	const all = page({ since: 'all' }, 'a');
	p.c.on('late', (e) => p.got.push(e.data));
	const off = p.c.on('left', () => {});
	off();
	await w.pass(100);
	w.hub.publish('late', 'new');
	await w.pass(100);
	assert.deepEqual([p.got.at(-1), all.got], ['new', [0, 2]]);
	w.hub.restart('m000');
	w.cut();
	await w.pass(5e3);
	assert.deepEqual([p.gaps.at(-1), p.c.since.a], ['a,b,late', 'm000.0']);
});

test('channels that begin in different places, a gap, and a cut before the first event', async () => {
	const w = new World();
	for (let i = 1; i < 5; i++) w.hub.publish('ab'[i % 2], i);
	const p = page({ since: { a: 'k3f9.3', b: 'k3f9.0' } }, 'a', 'b');
	const now = page({}, 'b');
	await w.pass(100);
	assert.deepEqual(p.got, [1, 3, 4]);
	w.cut();
	w.hub.publish('b', 5);
	await w.pass(5e3);
	assert.deepEqual([p.got, now.got, p.gaps], [[1, 3, 4, 5], [5], []]);
	w.cut();
	w.hub.publish('b', 'lost');
	w.hub.forget();
	await w.pass(5e3);
	w.hub.publish('b', 6);
	await w.pass(100);
	assert.deepEqual([p.got, p.gaps, now.gaps], [[1, 3, 4, 5, 6], ['a,b'], ['b']]);
});

test('Retry-After is obeyed', async () => {
	const w = new World();
	page({}, 'a');
	w.fate.poll = () => new Response('full', { status: 503, headers: { 'Retry-After': '120' } });
	await w.pass(119e3);
	assert.equal(w.log.length, 1);
	await w.pass(60e3);
	assert.equal(w.log.length, 2);
});

for (const [name, fate] of Object.entries({
	nothing: 'down',
	'a login': () => new Response('<form>', { headers: { 'Content-Type': 'text/html' } }),
	'half an answer': () => new Response('{"cursor":"k3f9.9","events":[{"chan'),
	'events that are none': () => new Response('{"cursor":"k3f9.9","events":["a",{"channel":"a","data":"evil"}]}'),
	'the same at once, again and again': () => new Response('{"cursor":"k3f9.1","events":[]}'),
})) {
	test(`${name} for ten minutes is survived at leisure`, async () => {
		const w = new World();
		const p = page({}, 'a');
		await w.pass(100);
		w.hub.publish('a', 0);
		await w.pass(100);
		w.log.length = 0;
		w.fate.poll = fate;
		w.cut();
		w.hub.publish('a', 1);
		await w.pass(10 * 60e3);
		assert.ok(w.log.length >= 10 && w.log.length < (name.startsWith('the same') ? 700 : 50), `${w.log.length} requests`);
		w.fate.poll = 'ok';
		await w.pass(60e3);
		assert.deepEqual(p.got, [0, 1]);
	});
}

test('a token goes in a header, and is asked for each time', async () => {
	const w = new World();
	w.only = 'one';
	const given = page({ token: 'one' }, 'a');
	const asked = page({ token: () => w.only }, 'a');
	const without = page({}, 'a');
	await w.pass(100);
	w.hub.publish('a', 1);
	await w.pass(100);
	w.only = 'two';
	w.hub.publish('a', 2);
	await w.pass(1e3);
	w.hub.publish('a', 3);
	await w.pass(100);
	assert.deepEqual([given.got, asked.got, without.got], [[1, 2], [1, 2, 3], []]);
	assert.ok(w.log.every((ask) => ask.token === undefined), 'no address has it');
});

test('what is denied is told once, and the others go on', async () => {
	const w = new World();
	w.denied.add('secret+1');
	const p = page({}, 'a', 'secret+1'), denied = [];
	p.c.on('*denied', (d) => denied.push(...d.channels));
	await w.pass(1000);
	w.hub.publish('secret+1', 0);
	w.hub.publish('a', 1);
	await w.pass(60e3);
	assert.deepEqual([p.got, denied, p.c.state], [[1], ['secret+1'], 'open']);
	w.denied.add('other');
	const off = p.c.on('other', () => assert.fail());
	await w.pass(1000);
	w.hub.publish('a', 2);
	await w.pass(60e3);
	assert.deepEqual([p.got, denied, p.c.state], [[1, 2], ['secret+1', 'other'], 'open']);
	off();
	p.c.on('other', () => assert.fail());
	await w.pass(1000);
	assert.deepEqual(denied, ['secret+1', 'other', 'other']);
	assert.ok(w.log.length < 20, `${w.log.length} requests`);
});

test('cookies go to another site where that is wanted', async () => {
	for (const credentials of [undefined, true]) {
		const w = new World();
		page({ credentials }, 'a');
		await w.pass(30e3);
		assert.ok(w.log.length > 1 && w.log.every((ask) => ask.credentials === (credentials ? 'include' : undefined)));
	}
});
