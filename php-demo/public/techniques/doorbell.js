// The event variable, or doorbell. Ask PHP for the counter: it gives it, or says which event to wait for. Waiting is a
// script element of another origin; its script calls doorbell(number). Then, or when it fails, ask PHP again.
import { otherOrigin } from './other-origin.js';

const waiting = new Map(); // number → what to do when it rings, or when nobody will ring any more

// The numbers are longer than a JavaScript number is exact. Both sides round in the same way.
window.doorbell = (number) => waiting.get(Number(number))?.(true);

function rings(number, origin) {
	const script = document.createElement('script');
	return new Promise((resolve) => {
		waiting.set(Number(number), resolve);
		script.onerror = script.onload = () => resolve(false); // after doorbell() this changes nothing
		setTimeout(resolve, 5 * 60_000, false); // should a connection have died without a word
		script.src = `${origin}/doorbell/${number}`;
		document.head.append(script);
	}).finally(() => {
		waiting.delete(Number(number));
		script.remove();
	});
}

export default function doorbell(panel) {
	const stopped = new AbortController();
	const { signal } = stopped;
	let origin = otherOrigin;
	let counter = '';

	async function json(request) {
		panel.asks();
		const response = await fetch(request, { signal });
		const text = await response.text();
		panel.received(text);
		return JSON.parse(text);
	}

	async function ask() {
		let pause = 1000 + 2000 * Math.random();
		try {
			const answer = await json(`/counter.php?after=${counter}`);
			if (signal.aborted) {
				return;
			}
			if ('counter' in answer) {
				panel.find('[data-counter]').textContent = answer.counter;
				panel.told(`counter is ${answer.counter}`, counter === '' ? null : answer.at); // the first is no news
				counter = answer.counter;
				pause = 0;
			} else if ('wait' in answer) {
				panel.live(`waits for ${answer.wait.slice(0, 4)}…`);
				panel.asks();
				if (await rings(answer.wait, origin)) {
					panel.received(`doorbell(${answer.wait});`);
					pause = 0;
				} else {
					origin = origin ? '' : otherOrigin; // as in jsonp.js
					panel.lost();
				}
			} else {
				panel.lost();
			}
		} catch {
			panel.lost();
		}
		if (!signal.aborted) {
			setTimeout(ask, pause);
		}
	}

	panel.on('[data-count]', 'click', () => fetch('/counter.php', { method: 'POST' }));

	ask();
	return () => stopped.abort();
}
