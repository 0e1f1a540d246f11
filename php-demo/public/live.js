// The front page's chat and counter. Which way they come is shown by live-ladder.js, and that they all come by
// live-ledger.js.
import { Ladder } from './live-ladder.js';
import { Ledger } from './live-ledger.js';

const page = document.getElementById('live');
const counter = document.getElementById('count');
const messages = document.getElementById('messages');
const verdict = document.getElementById('verdict');
const ledger = new Ledger({ count: +counter.textContent, talk: +page.dataset.said });
const ladder = new Ladder((localStorage.cut || '').split(','), cut);
const tabs = 'BroadcastChannel' in window ? new BroadcastChannel('demo') : { postMessage() {} };
const name = localStorage.name ||= 'Guest ' + Math.floor(100 + 900 * Math.random());

// PHP rendered what was so at the cursor; from there on the page follows by itself.
let live;
follow(page.dataset.cursor || 'now');

// address is where the server cuts off what the switches say.
function address() {
	const ways = ladder.cut();
	return ways.length ? '/live/without-' + ways.join('-') : '/live';
}

function follow(since) {
	live = comet(address(), { since, jsonp: true });
	live.on('talk', ({ data }) => {
		arrived('talk', data);
		say(data);
	});
	live.on('count', ({ data }) => {
		arrived('count', data);
		counter.textContent = data.n;
	});
	live.on('*state', (change) => ladder.show(change));
	live.on('*gap', () => location.reload()); // PHP renders what is so now
}

function arrived(channel, { n, at }) {
	const latency = Demo.since(at);
	ledger.arrived(channel, n, latency, live.state === 'open' ? live.transport : undefined);
	if (latency !== null) {
		document.getElementById('latency').textContent = Demo.ms(latency);
	}
}

function say({ name: who, text }) {
	const message = document.createElement('li');
	for (const [tag, content] of [['b', who], ['span', text]]) {
		message.append(Object.assign(document.createElement(tag), { textContent: content }), ' ');
	}
	messages.append(message);
	while (messages.children.length > 20) {
		messages.firstElementChild.remove();
	}
	messages.scrollTop = messages.scrollHeight;
}
messages.scrollTop = messages.scrollHeight;

// --- What the visitor does ---

async function publish(form) {
	try {
		const { channel, n } = await Demo.post('/', form);
		ledger.published(channel, n);
		return true;
	} catch (error) {
		verdict.textContent = error.message;
		return false;
	}
}

document.getElementById('say').addEventListener('submit', async (event) => {
	event.preventDefault();
	const input = event.target.text;
	const text = input.value;
	input.value = '';
	if (!await publish({ name, text })) {
		input.value = text;
	}
});
document.getElementById('plus').addEventListener('click', () => publish({}));

// runUntil is when the counter stops to run by itself.
let runUntil = 0, running = false;
const button = document.getElementById('run');
button.addEventListener('click', () => run(running ? 0 : Infinity));

async function run(until) {
	runUntil = until;
	if (running) {
		return;
	}
	running = true;
	button.setAttribute('aria-pressed', 'true');
	while (performance.now() < runUntil && await publish({})) {
		await new Promise((resolve) => setTimeout(resolve, 100));
	}
	running = false;
	button.setAttribute('aria-pressed', 'false');
}

// --- The switches ---

// cut is told that a switch was pressed.
function cut(ways) {
	localStorage.cut = ways.join();
	tabs.postMessage(ways);
	if (runUntil < Infinity) {
		run(performance.now() + 4000); // so that there is something to lose
	}
	begin();
}
tabs.onmessage = ({ data: ways }) => {
	ladder.set(ways);
	begin();
};

// begin has the page go on from where it is, as on another network: where nobody knows yet what works.
function begin() {
	const { since } = live;
	live.close();
	localStorage.removeItem('comet ' + new URL(address(), location));
	ladder.begin();
	follow(since);
}

// --- The tabs that share it: each holds the same lock, which ends with it. Sharing needs https or localhost. ---

if (navigator.locks) {
	navigator.locks.request('demo', { mode: 'shared' }, () => new Promise(() => {}));
	const look = async () => {
		const { held } = await navigator.locks.query();
		const n = held.filter((lock) => lock.name === 'demo').length;
		document.getElementById('tabs').textContent = n === 1 ? '1 tab' : `${n} tabs`;
	};
	look();
	setInterval(look, 1000);
}
